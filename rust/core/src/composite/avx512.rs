//! The AVX-512 level of the two steps where 64-byte vectors halve the work: multiplying alpha planes
//! and interleaving the cut-out. Whole vectors only, as in `avx2`.
//!
//! Blending over a background and the foreground estimation stay at AVX2 on this level: blending
//! is an option, and the estimation's time goes into short runs of blocks.

use std::arch::x86_64::*;

/// See [`super::scalar::multiply`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub fn multiply(alpha: &mut [u8], by: &[u8]) -> usize {
    let (blocks, _) = alpha.as_chunks_mut::<32>();
    let (others, _) = by.as_chunks::<32>();
    let mut done = 0;
    for (a, b) in blocks.iter_mut().zip(others) {
        // SAFETY: both references cover the 32 bytes read and written; neither needs alignment.
        unsafe {
            let left = _mm512_cvtepu8_epi16(_mm256_loadu_si256(a.as_ptr().cast()));
            let right = _mm512_cvtepu8_epi16(_mm256_loadu_si256(b.as_ptr().cast()));
            // n / 255 to the nearest, as in `avx2::by_255`.
            let n = _mm512_add_epi16(_mm512_mullo_epi16(left, right), _mm512_set1_epi16(128));
            let n = _mm512_srli_epi16::<8>(_mm512_add_epi16(n, _mm512_srli_epi16::<8>(n)));
            _mm256_storeu_si256(a.as_mut_ptr().cast(), _mm512_cvtepi16_epi8(n));
        }
        done += 32;
    }
    done
}

/// See [`super::scalar::cutout`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
pub fn cutout(rgb: &[u8], alpha: &[u8], out: &mut [u8], keep: bool) -> usize {
    // 48 bytes as 12 words of 32 bits, three to each quarter; the fourth word is not used.
    let quarters = _mm512_setr_epi32(0, 1, 2, 15, 3, 4, 5, 15, 6, 7, 8, 15, 9, 10, 11, 15);
    // Per quarter: r0 g0 b0 r1 g1 b1 r2 g2 b2 r3 g3 b3 . . . . -> r0 g0 b0 0 r1 g1 b1 0 ...
    let spread =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1));
    let (colors, _) = rgb.as_chunks::<48>();
    let (alphas, _) = alpha.as_chunks::<16>();
    let (outs, _) = out.as_chunks_mut::<64>();
    let mut done = 0;
    for ((c, a), o) in colors.iter().zip(alphas).zip(outs) {
        // SAFETY: the masked load touches the 48 bytes of `c` only, the other load the 16 of `a`,
        // the store the 64 of `o`; none needs alignment.
        unsafe {
            let words = _mm512_maskz_loadu_epi32(0x0fff, c.as_ptr().cast());
            let words = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(quarters, words), spread);
            let a = _mm512_cvtepu8_epi32(_mm_loadu_si128(a.as_ptr().cast()));
            let pixel = _mm512_or_si512(words, _mm512_slli_epi32::<24>(a));
            let shown = if keep { 0xffff } else { _mm512_test_epi32_mask(a, a) };
            let pixel = _mm512_maskz_mov_epi32(shown, pixel);
            _mm512_storeu_si512(o.as_mut_ptr().cast(), pixel);
        }
        done += 16;
    }
    done
}
