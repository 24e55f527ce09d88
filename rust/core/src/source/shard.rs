//! One part of the work of many machines: which of `count` parts an image belongs to.
//!
//! Decided from its output's name below the output folder alone, so that no machine asks another,
//! pictures that come later move none of the others, and two inputs that want one output meet in
//! one part. Must not know who runs the parts, or whether all of them are run.

use std::path::Path;

use super::{Job, Output};
use crate::error::Error;

/// Part `index` of `count`, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u64,
    count: u64,
}

impl Shard {
    /// None unless `index` is less than `count`.
    pub fn new(index: u64, count: u64) -> Option<Shard> {
        (index < count).then_some(Shard { index, count })
    }

    /// Whether this part sees to it. What failed to be found is told by one part too.
    pub(super) fn keeps(self, item: &Result<Job, Error>, output: &Output) -> bool {
        match item {
            Ok(job) => {
                let below = match output {
                    Output::Folder(folder) => job.output.strip_prefix(folder).ok(),
                    _ => None,
                };
                self.has(below.unwrap_or(&job.output))
            }
            Err(error) => self.has(error.path.as_deref().unwrap_or(Path::new(""))),
        }
    }

    fn has(self, path: &Path) -> bool {
        hash(path.as_os_str().as_encoded_bytes()) % self.count == self.index
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo 1991): the same on every machine and in every version.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // From the test vectors of the function's authors.
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn parts_are_whole_disjoint_and_about_equal() {
        assert_eq!(Shard::new(3, 3), None);
        assert_eq!(Shard::new(0, 0), None);
        for count in [1, 2, 3, 7, 64] {
            let parts: Vec<Shard> = (0..count).map(|i| Shard::new(i, count).unwrap()).collect();
            let mut sizes = vec![0u64; parts.len()];
            for i in 0..10_000 {
                let name = format!("folder/{}/photo-{i:05}.png", i % 13);
                let owners: Vec<usize> =
                    (0..parts.len()).filter(|&p| parts[p].has(Path::new(&name))).collect();
                assert_eq!(owners.len(), 1, "{name}");
                sizes[owners[0]] += 1;
            }
            let even = 10_000 / count;
            let slack = 5 * even.isqrt() + 1; // five standard deviations of a fair throw
            assert!(sizes.iter().all(|&n| n.abs_diff(even) <= slack), "{count}: {sizes:?}");
        }
    }
}
