//! The AVX2 level: whole vectors only; each function returns how many pixels it has done and leaves
//! the rest to the definition in `scalar`.
//!
//! The foreground estimation is not written twice: its generic bodies are compiled here with AVX2
//! enabled. That keeps every sum in the same order, and Rust never contracts a multiplication and an
//! addition, so the results are those of the scalar level bit for bit.

use std::arch::x86_64::*;

use super::foreground::{self, Foreground};
use super::scalar::Lanes;
use crate::error::Kind;
use crate::image::{Alpha8, Rgb8};

/// `n / 255` to the nearest in each 16-bit lane: `(n + 128 + ((n + 128) >> 8)) >> 8`, which equals
/// it for every `n` up to 255 * 255 (tested over all of them).
#[inline]
#[target_feature(enable = "avx2")]
fn by_255(n: __m256i) -> __m256i {
    let n = _mm256_add_epi16(n, _mm256_set1_epi16(128));
    _mm256_srli_epi16::<8>(_mm256_add_epi16(n, _mm256_srli_epi16::<8>(n)))
}

/// The low bytes of 16 lanes of 16 bits, in order.
#[inline]
#[target_feature(enable = "avx2")]
fn narrow(n: __m256i) -> __m128i {
    // packus works within halves: [0..7 0..7 | 8..15 8..15]; quarters 0 and 2 hold the result.
    let packed = _mm256_packus_epi16(n, n);
    _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(packed))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference covers the 16 bytes read; the load has no need of alignment.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(bytes: &mut [u8; 16], vector: __m128i) {
    // SAFETY: the reference covers the 16 bytes written; the store has no need of alignment.
    unsafe { _mm_storeu_si128(bytes.as_mut_ptr().cast(), vector) }
}

/// See [`super::scalar::multiply`].
#[target_feature(enable = "avx2")]
pub fn multiply(alpha: &mut [u8], by: &[u8]) -> usize {
    let (blocks, _) = alpha.as_chunks_mut::<16>();
    let (others, _) = by.as_chunks::<16>();
    let mut done = 0;
    for (a, b) in blocks.iter_mut().zip(others) {
        let product =
            _mm256_mullo_epi16(_mm256_cvtepu8_epi16(load(a)), _mm256_cvtepu8_epi16(load(b)));
        store(a, narrow(by_255(product)));
        done += 16;
    }
    done
}

/// See [`super::scalar::cutout`].
#[target_feature(enable = "avx2")]
pub fn cutout(rgb: &[u8], alpha: &[u8], out: &mut [u8], keep: bool) -> usize {
    // Per half: r0 g0 b0 r1 g1 b1 r2 g2 b2 r3 g3 b3 . . . . -> r0 g0 b0 0 r1 g1 b1 0 ...
    let spread = _mm256_setr_epi8(
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, //
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1,
    );
    let kept = _mm256_set1_epi32(if keep { -1 } else { 0 });
    let pixels = alpha.len().min(rgb.len() / 3).min(out.len() / 4);
    let mut x = 0;
    // A step uses 24 bytes of color and reads 28: two more pixels must follow.
    while x + 10 <= pixels {
        // SAFETY: `x + 10 <= pixels` and the slices hold 3, 1 and 4 bytes for each of `pixels`
        // pixels, so the reads of bytes 3x..3x+28 and x..x+8 and the write of bytes 4x..4x+32 are
        // inside; none of them needs alignment.
        unsafe {
            let from = rgb.as_ptr().add(3 * x);
            let low = _mm_loadu_si128(from.cast());
            let high = _mm_loadu_si128(from.add(12).cast());
            let colors = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), spread);
            let a = _mm256_cvtepu8_epi32(_mm_loadl_epi64(alpha.as_ptr().add(x).cast()));
            let clear = _mm256_cmpeq_epi32(a, _mm256_setzero_si256());
            let clear = _mm256_andnot_si256(kept, clear);
            let pixel = _mm256_or_si256(colors, _mm256_slli_epi32::<24>(a));
            let pixel = _mm256_andnot_si256(clear, pixel);
            _mm256_storeu_si256(out.as_mut_ptr().add(4 * x).cast(), pixel);
        }
        x += 8;
    }
    x
}

/// See [`super::scalar::over`].
#[target_feature(enable = "avx2")]
pub fn over(rgb: &[u8], alpha: &[u8], back: &[u8], out: &mut [u8]) -> usize {
    let (fronts, _) = rgb.as_chunks::<48>();
    let (backs, _) = back.as_chunks::<48>();
    let (alphas, _) = alpha.as_chunks::<16>();
    let (outs, _) = out.as_chunks_mut::<48>();
    let mut done = 0;
    for (((f, b), a), o) in fronts.iter().zip(backs).zip(alphas).zip(outs) {
        let a = load(a);
        for ((f, b), (o, lanes)) in
            thirds(f).iter().zip(thirds(b)).zip(thirds_mut(o).iter_mut().zip(&TRIPLE))
        {
            let a = _mm256_cvtepu8_epi16(_mm_shuffle_epi8(a, load(lanes)));
            let rest = _mm256_sub_epi16(_mm256_set1_epi16(255), a);
            let front = _mm256_mullo_epi16(_mm256_cvtepu8_epi16(load(f)), a);
            let behind = _mm256_mullo_epi16(_mm256_cvtepu8_epi16(load(b)), rest);
            store(o, narrow(by_255(_mm256_add_epi16(front, behind))));
        }
        done += 16;
    }
    done
}

fn thirds(bytes: &[u8; 48]) -> &[[u8; 16]] {
    bytes.as_chunks::<16>().0
}

fn thirds_mut(bytes: &mut [u8; 48]) -> &mut [[u8; 16]] {
    bytes.as_chunks_mut::<16>().0
}

/// Byte `i` of vector `j` of 48 interleaved bytes belongs to pixel `(16 j + i) / 3`.
const TRIPLE: [[u8; 16]; 3] = {
    let mut lanes = [[0; 16]; 3];
    let mut at = 0;
    while at < 48 {
        lanes[at / 16][at % 16] = (at / 3) as u8;
        at += 1;
    }
    lanes
};

/// `SPLIT[c][j]` takes the bytes of channel `c` out of vector `j` to their places in its plane.
const SPLIT: [[[u8; 16]; 3]; 3] = {
    let mut lanes = [[[0x80; 16]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        lanes[at % 3][at / 16][at / 3] = (at % 16) as u8;
        at += 1;
    }
    lanes
};

/// `JOIN[j][c]` takes the bytes of plane `c` to their places in vector `j`.
const JOIN: [[[u8; 16]; 3]; 3] = {
    let mut lanes = [[[0x80; 16]; 3]; 3];
    let mut at = 0;
    while at < 48 {
        lanes[at / 16][at % 3][at % 16] = (at / 3) as u8;
        at += 1;
    }
    lanes
};

/// [`Lanes`] in AVX2. Called only by way of [`prepare`] and [`row`], which enable it.
struct Avx2;

#[inline]
#[target_feature(enable = "avx2")]
fn split(rgb: &[u8; 48]) -> [__m128i; 3] {
    let thirds = thirds(rgb);
    let (v0, v1, v2) = (load(&thirds[0]), load(&thirds[1]), load(&thirds[2]));
    [0, 1, 2].map(|c| {
        let low = _mm_shuffle_epi8(v0, load(&SPLIT[c][0]));
        let mid = _mm_shuffle_epi8(v1, load(&SPLIT[c][1]));
        let high = _mm_shuffle_epi8(v2, load(&SPLIT[c][2]));
        _mm_or_si128(_mm_or_si128(low, mid), high)
    })
}

#[inline]
#[target_feature(enable = "avx2")]
fn join(planes: &[[u8; 16]; 3], rgb: &mut [u8; 48]) {
    let [r, g, b] = [0, 1, 2].map(|c| load(&planes[c]));
    for (out, lanes) in thirds_mut(rgb).iter_mut().zip(&JOIN) {
        let red = _mm_shuffle_epi8(r, load(&lanes[0]));
        let green = _mm_shuffle_epi8(g, load(&lanes[1]));
        let blue = _mm_shuffle_epi8(b, load(&lanes[2]));
        store(out, _mm_or_si128(_mm_or_si128(red, green), blue));
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn soft(alpha: &[u8; 16]) -> u16 {
    let a = load(alpha);
    let clear = _mm_cmpeq_epi8(a, _mm_setzero_si128());
    let full = _mm_cmpeq_epi8(a, _mm_set1_epi8(-1));
    !(_mm_movemask_epi8(_mm_or_si128(clear, full)) as u16)
}

/// The sums of the two halves of 16 bytes.
#[inline]
#[target_feature(enable = "avx2")]
fn halves(bytes: __m128i) -> [u32; 2] {
    let sums = _mm_sad_epu8(bytes, _mm_setzero_si128());
    [_mm_cvtsi128_si32(sums) as u32, _mm_extract_epi32::<2>(sums) as u32]
}

#[inline]
#[target_feature(enable = "avx2")]
fn count(sums: &mut [[u32; 8]; 2], rgb: &[u8; 48], alpha: &[u8; 16]) {
    let planes = split(rgb);
    let alpha = load(alpha);
    let wide = _mm256_cvtepu8_epi16(alpha);
    let products = planes.map(|p| _mm256_madd_epi16(_mm256_cvtepu8_epi16(p), wide));
    // Per half, which is a cell: the four partial sums of each channel are added across by two
    // rounds of hadd: [r r g g] [b b 0 0] -> [r g b 0].
    let zero = _mm256_setzero_si256();
    let pairs = _mm256_hadd_epi32(products[0], products[1]);
    let weighted = _mm256_hadd_epi32(pairs, _mm256_hadd_epi32(products[2], zero));
    let mut across = [0u32; 8];
    // SAFETY: `across` is 32 bytes; the store has no need of alignment.
    unsafe { _mm256_storeu_si256(across.as_mut_ptr().cast(), weighted) };
    let alphas = halves(alpha);
    let colors = planes.map(|p| halves(p));
    for cell in 0..2 {
        sums[cell][0] += alphas[cell];
        for c in 0..3 {
            sums[cell][1 + c] += across[4 * cell + c];
            sums[cell][4 + c] += colors[c][cell];
        }
    }
}

/// Two vectors of numbers of 0 to 255 to 16 bytes, to the nearest, half to even (the CPU's default,
/// which Rust programs may not change).
#[inline]
#[target_feature(enable = "avx2")]
fn levels(values: [__m256; 2]) -> __m128i {
    let (low, high) = (_mm256_cvtps_epi32(values[0]), _mm256_cvtps_epi32(values[1]));
    // packus works within halves: [l0 h0 | l1 h1] -> [l0 l1 | h0 h1].
    let packed = _mm256_packus_epi32(low, high);
    narrow(_mm256_permute4x64_epi64::<0b11_01_10_00>(packed))
}

#[inline]
#[target_feature(enable = "avx2")]
fn widen(bytes: &[u8; 16]) -> [__m256; 2] {
    let bytes = load(bytes);
    let low = _mm256_cvtepu8_epi32(bytes);
    let high = _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes));
    [_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high)]
}

#[inline]
#[target_feature(enable = "avx2")]
fn choose(alpha: &[u8; 16], image: &[u8; 16], made: &[u8; 16]) -> __m128i {
    let a = load(alpha);
    let clear = _mm_cmpeq_epi8(a, _mm_setzero_si128());
    let full = _mm_cmpeq_epi8(a, _mm_set1_epi8(-1));
    _mm_blendv_epi8(load(made), load(image), _mm_or_si128(clear, full))
}

/// `max` and `min` give their second operand where the first is not a number, as the definition does.
#[inline]
#[target_feature(enable = "avx2")]
fn clip(a: __m256) -> __m256 {
    _mm256_min_ps(_mm256_max_ps(a, _mm256_setzero_ps()), _mm256_set1_ps(255.0))
}

impl Lanes for Avx2 {
    type F = __m256;

    #[inline(always)]
    fn split(rgb: &[u8; 48]) -> [[u8; 16]; 3] {
        // SAFETY: `Avx2` is used in this file's `prepare` and `row` only, which enable AVX2.
        let vectors = unsafe { split(rgb) };
        // SAFETY: both types are 48 plain bytes.
        unsafe { std::mem::transmute::<[__m128i; 3], [[u8; 16]; 3]>(vectors) }
    }

    #[inline(always)]
    fn join(planes: &[[u8; 16]; 3]) -> [u8; 48] {
        let mut rgb = [0; 48];
        // SAFETY: as in `split`.
        unsafe { join(planes, &mut rgb) };
        rgb
    }

    #[inline(always)]
    fn soft(alpha: &[u8; 16]) -> u16 {
        // SAFETY: as in `split`.
        unsafe { soft(alpha) }
    }

    #[inline(always)]
    fn count(sums: &mut [[u32; 8]; 2], rgb: &[u8; 48], alpha: &[u8; 16]) {
        // SAFETY: as in `split`.
        unsafe { count(sums, rgb, alpha) }
    }

    #[inline(always)]
    fn choose(alpha: &[u8; 16], image: &[u8; 16], made: &[u8; 16]) -> [u8; 16] {
        let mut chosen = [0; 16];
        // SAFETY: as in `split`.
        unsafe { store(&mut chosen, choose(alpha, image, made)) };
        chosen
    }

    #[inline(always)]
    fn widen(bytes: &[u8; 16]) -> [__m256; 2] {
        // SAFETY: as in `split`.
        unsafe { widen(bytes) }
    }

    #[inline(always)]
    fn levels(values: [__m256; 2]) -> [u8; 16] {
        let mut bytes = [0; 16];
        // SAFETY: as in `split`.
        unsafe { store(&mut bytes, levels(values)) };
        bytes
    }

    #[inline(always)]
    fn splat(value: f32) -> __m256 {
        // SAFETY: as in `split`.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    fn load(values: &[f32; 8]) -> __m256 {
        // SAFETY: as in `split`; the reference covers the 32 bytes read.
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn store(vector: __m256, values: &mut [f32; 8]) {
        // SAFETY: as in `split`; the reference covers the 32 bytes written.
        unsafe { _mm256_storeu_ps(values.as_mut_ptr(), vector) }
    }

    #[inline(always)]
    fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: as in `split`.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(a: __m256, b: __m256) -> __m256 {
        // SAFETY: as in `split`.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: as in `split`.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    fn div(a: __m256, b: __m256) -> __m256 {
        // SAFETY: as in `split`.
        unsafe { _mm256_div_ps(a, b) }
    }

    #[inline(always)]
    fn clip(a: __m256) -> __m256 {
        // SAFETY: as in `split`.
        unsafe { clip(a) }
    }
}

/// See [`foreground::prepare`].
#[target_feature(enable = "avx2")]
pub fn prepare(state: &mut Foreground, rgb: Rgb8<'_>, alpha: Alpha8<'_>) -> Result<bool, Kind> {
    foreground::prepare::<Avx2>(state, rgb, alpha)
}

/// See [`foreground::row`].
#[target_feature(enable = "avx2")]
pub fn row(state: &mut Foreground, rgb: Rgb8<'_>, alpha: Alpha8<'_>, y: usize) -> bool {
    foreground::row::<Avx2>(state, rgb, alpha, y)
}
