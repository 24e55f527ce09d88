//! Eight pixels at a time: 24 bytes become eight floats in each of three planes.
//!
//! ```text
//! low  = bytes 0..16 of the group    rgb rgb rgb rgb rgb r
//! high = bytes 8..24                         (8 bytes in)  gb rgb rgb rgb ..
//! channel c, pixel p is byte 3p + c: taken from `low` below 16, else from `high` at 3p + c - 8
//! ```

use std::arch::x86_64::*;

use super::{Affine, Planes};

/// Shuffles that gather a channel's eight bytes; 0x80 gives a zero.
const fn picks(channel: usize) -> ([u8; 16], [u8; 16]) {
    let (mut low, mut high) = ([0x80; 16], [0x80; 16]);
    let mut pixel = 0;
    while pixel < 8 {
        let byte = 3 * pixel + channel;
        if byte < 16 {
            low[pixel] = byte as u8;
        } else {
            high[pixel] = (byte - 8) as u8;
        }
        pixel += 1;
    }
    (low, high)
}

const PICKS: [([u8; 16], [u8; 16]); 3] = [picks(0), picks(1), picks(2)];

/// Does whole groups of eight pixels; returns how many pixels it did.
///
/// # Safety
///
/// The CPU has `avx2` and `fma`.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn normalize(rgb: &[u8], affine: &Affine, planes: &mut Planes<'_>) -> usize {
    let shortest = planes.iter().map(|plane| plane.len()).fold(rgb.len() / 3, usize::min);
    let groups = shortest / 8;
    for group in 0..groups {
        let bytes = &rgb[group * 24..][..24];
        // SAFETY: both loads lie within the 24 bytes of the slice.
        let (low, high) = unsafe {
            let start = bytes.as_ptr();
            (_mm_loadu_si128(start.cast()), _mm_loadu_si128(start.add(8).cast()))
        };
        for (c, plane) in planes.iter_mut().enumerate() {
            // SAFETY: the arrays have 16 bytes.
            let (pick_low, pick_high) = unsafe {
                let (pick_low, pick_high) = &PICKS[c];
                (
                    _mm_loadu_si128(pick_low.as_ptr().cast()),
                    _mm_loadu_si128(pick_high.as_ptr().cast()),
                )
            };
            let levels =
                _mm_or_si128(_mm_shuffle_epi8(low, pick_low), _mm_shuffle_epi8(high, pick_high));
            let values = _mm256_fmadd_ps(
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(levels)),
                _mm256_set1_ps(affine.factor[c]),
                _mm256_set1_ps(affine.offset[c]),
            );
            let place = &mut plane[group * 8..][..8];
            // SAFETY: the slice has eight floats.
            unsafe { _mm256_storeu_ps(place.as_mut_ptr(), values) };
        }
    }
    groups * 8
}
