//! Makes a file's bytes readable: mapped when that pays, read into the worker's scratch otherwise.
//! The only place that maps files. It must not know formats or what the bytes are for.
//!
//! Read instead of mapped: files below the threshold (a mapping costs page faults and, at its end,
//! an interrupt of each core that runs the process), streams that were named
//! explicitly (FIFOs, character devices), files on network and user-space file systems, and
//! everything when the guard can't protect us (`mapped/guard.rs`: table full, handler replaced,
//! not Linux). Source of the idea: ripgrep and memmap2's warnings; the guard is our own.
//!
//! Files that change while they are used:
//! - Shrinking: the guard turns the bus error into zeros; [`Mapped::check`] then says `Shrunk`.
//! - Any other change: `check` compares size and modification time with those at the opening and
//!   says `Shrunk` or `Changed`. A change within one tick of the file system's clock that keeps
//!   the size can escape it (before Linux 6.13 a tick is some milliseconds).
//! - Formally a `&[u8]` must not change, and another process that writes into a mapped file
//!   breaks that: the compiler may load a byte twice and see two values, so that a bounds check
//!   and the index it checks could disagree. No program that maps files can rule this out; every
//!   user of memmap2 lives with it. What we do: pictures of common size are read (a private copy),
//!   the result of a changed file is thrown away by `check`, replacing a file by rename (as
//!   careful writers do, qbg's own sink among them) doesn't touch the mapped one, and
//!   `threshold_bytes: u64::MAX` turns mapping off for those who can't accept the rest.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod guard;

/// Elsewhere nothing is mapped.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod guard {
    /// Never made.
    pub(super) enum Region {}

    impl Region {
        pub(super) fn map(_file: &std::fs::File, _len: usize) -> Option<Region> {
            None
        }

        pub(super) fn bytes(&self) -> &[u8] {
            match *self {}
        }

        pub(super) fn was_hit(&self) -> bool {
            match *self {}
        }
    }
}

use std::fs::{File, FileType, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use crate::error::Kind;
use crate::image::resize_buffer;

/// When to map, and how much to take at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Files of at least this many bytes are mapped. `u64::MAX`: never map.
    pub threshold_bytes: u64,
    /// Files with more bytes are refused.
    pub max_bytes: u64,
}

impl Default for Options {
    /// 2 MiB and 4 GiB. Measured on two cores of an AMD EPYC (Linux 6.18, ext4, page cache, open +
    /// touch all + close, medians, read against mapped): 50 KB 9 and 17 us, 300 KB 24 and 28,
    /// 1 MB 74 and 70, 2 MB 138 and 101, 5 MB 337 and 158. Mapping wins from about 1 MB there; the
    /// threshold is twice that because unmapping interrupts every core that runs the process, which
    /// costs more the more cores there are, and a read picture can't change under the decoder.
    /// Filling the page table at once (`MAP_POPULATE`) was slower at every size.
    fn default() -> Self {
        Options { threshold_bytes: 2 << 20, max_bytes: 4 << 30 }
    }
}

/// A file's bytes. Call [`Mapped::check`] after the last use of them.
#[must_use = "the bytes are only good once `check` has said so"]
pub struct Mapped<'a> {
    bytes: Bytes<'a>,
    witness: Option<Witness>,
}

enum Bytes<'a> {
    Read(&'a [u8]),
    Map(guard::Region),
}

/// What a regular file looked like when it was opened. Streams have none.
struct Witness {
    file: File,
    len: u64,
    modified: Option<SystemTime>,
}

impl<'a> Mapped<'a> {
    /// Opens `path`. `scratch` holds the bytes of a file that is read; it only grows, and its
    /// length is the high-water mark, not the file's.
    pub fn open(
        path: &Path,
        scratch: &'a mut Vec<u8>,
        options: Options,
    ) -> Result<Mapped<'a>, Kind> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(_) if path.is_dir() => return Err(Kind::NotAFile), // Windows refuses to open one
            Err(source) => return Err(Kind::Io { doing: "cannot open", source }),
        };
        let facts = file.metadata().map_err(Kind::io("cannot look at the file"))?;
        if !facts.is_file() {
            return if is_stream(facts.file_type()) {
                let bytes = Bytes::Read(read_stream(&mut file, scratch, options.max_bytes)?);
                Ok(Mapped { bytes, witness: None })
            } else {
                Err(Kind::NotAFile)
            };
        }
        let bytes = contents(&mut file, &facts, scratch, options)?;
        Ok(Mapped { bytes, witness: Some(Witness::new(file, &facts)) })
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Read(bytes) => bytes,
            Bytes::Map(region) => region.bytes(),
        }
    }

    /// Which way was taken.
    pub fn is_mapped(&self) -> bool {
        matches!(self.bytes, Bytes::Map(_))
    }

    /// Whether all that was made of the bytes is valid: the file is as long and as old as it was
    /// and none of its pages was missing.
    pub fn check(self) -> Result<(), Kind> {
        // The mark first: it also orders the caller's reads of the bytes before all that follows.
        let hit = match &self.bytes {
            Bytes::Read(_) => false,
            Bytes::Map(region) => region.was_hit(),
        };
        if let Some(witness) = &self.witness {
            witness.check(hit)?;
        }
        match hit {
            true => Err(Kind::Io {
                doing: "cannot read a mapped page",
                source: io::Error::other("the disk did not deliver it"),
            }),
            false => Ok(()),
        }
    }
}

impl Witness {
    fn new(file: File, facts: &Metadata) -> Self {
        Witness { file, len: facts.len(), modified: facts.modified().ok() }
    }

    fn check(&self, hit: bool) -> Result<(), Kind> {
        let now = self.file.metadata().map_err(Kind::io("cannot look at the file"))?;
        let touched = now.modified().ok() != self.modified;
        if now.len() < self.len || (hit && touched) {
            return Err(Kind::Shrunk);
        }
        if now.len() > self.len || touched {
            return Err(Kind::Changed);
        }
        Ok(())
    }
}

/// The bytes of a regular file, by the way that suits it.
fn contents<'a>(
    file: &mut File,
    facts: &Metadata,
    scratch: &'a mut Vec<u8>,
    options: Options,
) -> Result<Bytes<'a>, Kind> {
    let too_large =
        || Kind::TooManyBytes { what: "reading the file", limit_bytes: options.max_bytes };
    if facts.len() == 0 {
        return Err(Kind::Empty);
    }
    if facts.len() > options.max_bytes {
        return Err(too_large());
    }
    let len = usize::try_from(facts.len()).map_err(|_| too_large())?;
    if facts.len() >= options.threshold_bytes
        && let Some(region) = guard::Region::map(file, len)
    {
        return Ok(Bytes::Map(region));
    }
    grow(scratch, len)?;
    let target = &mut scratch[..len];
    if fill(file, target)? < len {
        return Err(Kind::Shrunk);
    }
    Ok(Bytes::Read(target))
}

/// All of a stream up to its end, which must come within `max_bytes`.
fn read_stream<'a>(
    file: &mut File,
    scratch: &'a mut Vec<u8>,
    max_bytes: u64,
) -> Result<&'a [u8], Kind> {
    let mut len = 0;
    // One byte more than allowed tells a stream that ends at the limit from one that goes on.
    let most = usize::try_from(max_bytes).unwrap_or(usize::MAX).saturating_add(1);
    let mut room = scratch.len().max(64 << 10).min(most);
    loop {
        grow(scratch, room)?;
        len += fill(file, &mut scratch[len..room])?;
        if len == most {
            return Err(Kind::TooManyBytes { what: "reading the file", limit_bytes: max_bytes });
        }
        if len < room {
            return if len == 0 { Err(Kind::Empty) } else { Ok(&scratch[..len]) };
        }
        room = room.saturating_mul(2).min(most);
    }
}

/// Reads until `target` is full or the file ends; says how many bytes came.
fn fill(file: &mut File, target: &mut [u8]) -> Result<usize, Kind> {
    let mut len = 0;
    while len < target.len() {
        match file.read(&mut target[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(Kind::Io { doing: "cannot read", source }),
        }
    }
    Ok(len)
}

/// At least `len` elements. Never shortens: growing back would write zeros for nothing.
fn grow(scratch: &mut Vec<u8>, len: usize) -> Result<(), Kind> {
    if scratch.len() < len { resize_buffer(scratch, len) } else { Ok(()) }
}

/// FIFOs and character devices give bytes until an end; a block device or a socket is a mistake.
fn is_stream(kind: FileType) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        kind.is_fifo() || kind.is_char_device()
    }
    #[cfg(not(unix))]
    {
        let _ = kind;
        false
    }
}

#[cfg(test)]
mod tests;
