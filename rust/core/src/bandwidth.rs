//! How fast memory is: McCalpin's STREAM triad, `a[i] = b[i] + s * c[i]`, on doubles.
//!
//! Each thread has its own part of the three arrays, which it touches first, so that the pages lie
//! on its node. A repeat is timed between two barriers that all threads meet at. Counted are 24
//! bytes per element, two read and one written, as STREAM does; that a store reads its line first is
//! not counted (Wikipedia's and likwid's larger figures count it). Left out: non-temporal stores.
//! Must not know who asks.

use std::hint::black_box;

use crate::meter::now_ns;
use crate::pool::together;
use crate::topology::Placement;

/// Bytes moved per element.
const MOVED: usize = 3 * size_of::<f64>();
const SCALE: f64 = 3.0;

/// Bytes per second of each repeat, after one that is not counted.
///
/// `bytes_per_array` is the size of each of the three arrays, over all threads. None if it leaves a
/// thread without an element, or there are no places.
pub fn triad(places: &[Placement], bytes_per_array: usize, repeats: usize) -> Option<Vec<f64>> {
    let each = bytes_per_array / size_of::<f64>() / places.len().max(1);
    if each == 0 || places.is_empty() {
        return None;
    }
    let spans = together(places, |_, barrier| {
        let (mut a, mut b, mut c) = (vec![0.0; each], vec![0.0; each], vec![0.0; each]);
        for (index, ((a, b), c)) in a.iter_mut().zip(&mut b).zip(&mut c).enumerate() {
            (*a, *b, *c) = (0.0, index as f64, 1.0);
        }
        let mut spans = Vec::with_capacity(repeats + 1);
        for _ in 0..=repeats {
            barrier.wait();
            let began_ns = now_ns();
            for ((a, b), c) in a.iter_mut().zip(black_box(&b)).zip(black_box(&c)) {
                *a = b + SCALE * c;
            }
            black_box(&a);
            barrier.wait();
            spans.push(now_ns().saturating_sub(began_ns));
        }
        let right = a.iter().enumerate().all(|(index, &a)| a == index as f64 + SCALE);
        (spans, right)
    });
    // A wrong sum would mean that the loop was not run: nothing was measured.
    if !spans.iter().all(|(_, right)| *right) {
        return None;
    }
    let moved = (each * places.len() * MOVED) as f64;
    // The slowest thread's span is the repeat's: some leave the barrier a little later.
    let longest = |repeat: usize| spans.iter().map(|(spans, _)| spans[repeat]).max().unwrap_or(0);
    Some((1..=repeats).map(|repeat| moved * 1e9 / longest(repeat).max(1) as f64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_repeat_has_a_rate() {
        for threads in [1, 2, 3] {
            let places = vec![Placement::default(); threads];
            let rates = triad(&places, 1 << 16, 4).unwrap();
            assert_eq!(rates.len(), 4);
            assert!(rates.iter().all(|rate| rate.is_finite() && *rate > 0.0));
        }
    }

    #[test]
    fn too_little_is_refused() {
        assert!(triad(&[], 1 << 20, 1).is_none());
        assert!(triad(&vec![Placement::default(); 4], 24, 1).is_none());
    }
}
