//! Sixteen pixels at a time: 48 bytes become sixteen floats in each of three planes.
//!
//! ```text
//! channel c, pixel p is byte 3p + c of three loads of 16 bytes: load (3p + c) / 16, at % 16
//! ```

use std::arch::x86_64::*;

use super::{Affine, Planes};

/// Shuffles that gather a channel's sixteen bytes from the three loads; 0x80 gives a zero.
const fn picks(channel: usize) -> [[u8; 16]; 3] {
    let mut picks = [[0x80; 16]; 3];
    let mut pixel = 0;
    while pixel < 16 {
        let byte = 3 * pixel + channel;
        picks[byte / 16][pixel] = (byte % 16) as u8;
        pixel += 1;
    }
    picks
}

const PICKS: [[[u8; 16]; 3]; 3] = [picks(0), picks(1), picks(2)];

/// Does whole groups of sixteen pixels; returns how many pixels it did.
///
/// # Safety
///
/// The CPU has `avx512f`, `avx512bw`, `avx512vl` and `avx512dq`, and all that AVX2's kernels need.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")]
pub(super) unsafe fn normalize(rgb: &[u8], affine: &Affine, planes: &mut Planes<'_>) -> usize {
    let shortest = planes.iter().map(|plane| plane.len()).fold(rgb.len() / 3, usize::min);
    let groups = shortest / 16;
    for group in 0..groups {
        let bytes = &rgb[group * 48..][..48];
        // SAFETY: the three loads lie within the 48 bytes of the slice.
        let loads: [__m128i; 3] = unsafe {
            let start = bytes.as_ptr();
            [
                _mm_loadu_si128(start.cast()),
                _mm_loadu_si128(start.add(16).cast()),
                _mm_loadu_si128(start.add(32).cast()),
            ]
        };
        for (c, plane) in planes.iter_mut().enumerate() {
            let mut levels = _mm_setzero_si128();
            for (load, pick) in loads.iter().zip(&PICKS[c]) {
                // SAFETY: the array has 16 bytes.
                let pick = unsafe { _mm_loadu_si128(pick.as_ptr().cast()) };
                levels = _mm_or_si128(levels, _mm_shuffle_epi8(*load, pick));
            }
            let values = _mm512_fmadd_ps(
                _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(levels)),
                _mm512_set1_ps(affine.factor[c]),
                _mm512_set1_ps(affine.offset[c]),
            );
            let place = &mut plane[group * 16..][..16];
            // SAFETY: the slice has sixteen floats.
            unsafe { _mm512_storeu_ps(place.as_mut_ptr(), values) };
        }
    }
    groups * 16
}
