//! The passes with 256-bit vectors: 32 bytes of a row, or 32 rows, at a time.
//!
//! See the head of `mod.rs` for the algorithm and why it is exact. Blending does whole vectors,
//! the last one overlapping the one before it, and leaves rows shorter than a vector to
//! `scalar.rs`. Nothing here detects anything: who calls holds a `Level`.

use std::arch::x86_64::*;

use super::plan::{PRECISION_BITS, Plan, SPLIT_BITS, Taps};
use super::{Block, Turned};

/// Rows that [`across`] wants at a time: the bytes of a vector.
pub const ROWS: usize = 32;

/// Columns that are turned at a time: the bytes of a 128-bit lane.
const COLUMNS: usize = 16;

/// Blends the rows of `window`, each as long as `out`, into `out`. Returns the bytes done.
#[target_feature(enable = "avx2")]
pub fn blend(window: &[u8], taps: Taps<'_>, out: &mut [u8]) -> usize {
    let (count, stride) = (taps.weights.len(), out.len());
    if stride < ROWS {
        return 0;
    }
    assert!(window.len() >= count * stride && taps.pairs.len() == count.div_ceil(2) && count > 0);
    let mut column = 0;
    loop {
        // SAFETY: `column + 32 <= stride`; the assertion covers the rows and the pairs.
        unsafe {
            let blended = blend_32(window.as_ptr().add(column), stride, taps);
            _mm256_storeu_si256(out.as_mut_ptr().add(column).cast(), blended);
        }
        if column + ROWS == stride {
            return stride;
        }
        column = (column + ROWS).min(stride - ROWS);
    }
}

/// 32 columns, from `top` down.
///
/// Two rows a and b are interleaved bytewise and widened with zeros, so that each 32-bit lane
/// holds one column's pair of pixels, for `pmaddwd` with the pair of weights in all lanes:
///
/// ```text
/// unpack bytes      a0 b0 a1 b1 .. a7 b7 | a16 b16 ..      and  a8 b8 .. | a24 b24 ..
/// unpack with zero  a0 0 b0 0 a1 0 b1 0 a2 0 b2 0 a3 0 b3 0 | a16 ..    and so on, 4 vectors
/// ```
///
/// The packs at the end undo both steps within the same 128-bit lanes.
///
/// # Safety
/// 32 bytes are readable at `top + row * stride` for each row that has a weight, and
/// `taps.pairs` holds half as many pairs, rounded up.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn blend_32(top: *const u8, stride: usize, taps: Taps<'_>) -> __m256i {
    let zero = _mm256_setzero_si256();
    let half = _mm256_set1_epi32(1 << (PRECISION_BITS - 1));
    let mut low = [half; 4];
    let mut high = [zero; 4];
    let count = taps.weights.len();
    for (index, &[low_pair, high_pair]) in taps.pairs.iter().enumerate() {
        // An odd last row is its own partner, with weight 0.
        let (row, partner) = (2 * index, (2 * index + 1).min(count - 1));
        // SAFETY: both rows have weights, so the caller vouches for them.
        let (a, b) = unsafe {
            (
                _mm256_loadu_si256(top.add(row * stride).cast()),
                _mm256_loadu_si256(top.add(partner * stride).cast()),
            )
        };
        let (near, far) = (_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b));
        let pairs = [
            _mm256_unpacklo_epi8(near, zero),
            _mm256_unpackhi_epi8(near, zero),
            _mm256_unpacklo_epi8(far, zero),
            _mm256_unpackhi_epi8(far, zero),
        ];
        let (low_pair, high_pair) = (_mm256_set1_epi32(low_pair), _mm256_set1_epi32(high_pair));
        for lane in 0..4 {
            low[lane] = _mm256_add_epi32(low[lane], _mm256_madd_epi16(pairs[lane], low_pair));
            high[lane] = _mm256_add_epi32(high[lane], _mm256_madd_epi16(pairs[lane], high_pair));
        }
    }
    let mut sums = [zero; 4];
    for lane in 0..4 {
        let sum =
            _mm256_add_epi32(low[lane], _mm256_slli_epi32::<{ SPLIT_BITS as i32 }>(high[lane]));
        sums[lane] = _mm256_srai_epi32::<{ PRECISION_BITS as i32 }>(sum);
    }
    let near = _mm256_packs_epi32(sums[0], sums[1]);
    let far = _mm256_packs_epi32(sums[2], sums[3]);
    _mm256_packus_epi16(near, far)
}

/// Resamples each row of `block` into a row of `out`: turn, blend, turn back.
#[target_feature(enable = "avx2")]
pub fn across(block: Block<'_>, plan: &Plan, turned: &mut Turned, out: &mut [u8]) {
    let out_stride = plan.outputs() * block.channels;
    let line = block.channels * ROWS;
    let (source, result) = (&mut turned.source, &mut turned.result);
    assert!(source.len() >= block.stride * ROWS && result.len() >= out_stride * ROWS);
    turn(block, source);
    for (x, lanes) in result[..out_stride * ROWS].chunks_exact_mut(line).enumerate() {
        let taps = plan.taps(x);
        let done = blend(&source[taps.start * line..], taps, lanes);
        debug_assert_eq!(done, line);
    }
    turn_back(result, out_stride, out);
}

/// Byte `column` of row `row` goes to `turned[column * 32 + row]`. Rows that the block lacks are
/// filled with its last one.
#[target_feature(enable = "avx2")]
fn turn(block: Block<'_>, turned: &mut [u8]) {
    let (stride, rows) = (block.stride, block.pixels.len() / block.stride);
    assert!(rows > 0 && block.pixels.len() == rows * stride && turned.len() >= stride * ROWS);
    if stride < COLUMNS {
        for (column, lanes) in turned.chunks_exact_mut(ROWS).take(stride).enumerate() {
            for (row, byte) in lanes.iter_mut().enumerate() {
                *byte = block.pixels[row.min(rows - 1) * stride + column];
            }
        }
        return;
    }
    let mut column = 0;
    loop {
        let mut tile = [_mm256_setzero_si256(); COLUMNS];
        for (row, vector) in tile.iter_mut().enumerate() {
            let (upper, lower) = (row.min(rows - 1), (row + COLUMNS).min(rows - 1));
            // SAFETY: both rows are the block's, and `column + 16 <= stride`.
            *vector = unsafe {
                let at = block.pixels.as_ptr().add(column);
                _mm256_loadu2_m128i(at.add(lower * stride).cast(), at.add(upper * stride).cast())
            };
        }
        for (index, vector) in transpose(tile).into_iter().enumerate() {
            // SAFETY: `column + index < stride`, and `turned` holds 32 bytes for each of those.
            unsafe {
                let to = turned.as_mut_ptr().add((column + index) * ROWS);
                _mm256_storeu_si256(to.cast(), vector);
            }
        }
        if column + COLUMNS == stride {
            return;
        }
        column = (column + COLUMNS).min(stride - COLUMNS);
    }
}

/// `turned[column * 32 + row]` goes to byte `column` of row `row` of `out`, for the rows that it
/// has.
#[target_feature(enable = "avx2")]
fn turn_back(turned: &[u8], stride: usize, out: &mut [u8]) {
    let rows = out.len() / stride;
    assert!(rows <= ROWS && turned.len() >= stride * ROWS);
    if stride < COLUMNS {
        for (row, line) in out.chunks_exact_mut(stride).enumerate() {
            for (column, byte) in line.iter_mut().enumerate() {
                *byte = turned[column * ROWS + row];
            }
        }
        return;
    }
    let mut column = 0;
    loop {
        let mut tile = [_mm256_setzero_si256(); COLUMNS];
        for (index, vector) in tile.iter_mut().enumerate() {
            // SAFETY: `column + index < stride`, and `turned` holds 32 bytes for each of those.
            *vector =
                unsafe { _mm256_loadu_si256(turned.as_ptr().add((column + index) * ROWS).cast()) };
        }
        for (row, vector) in transpose(tile).into_iter().enumerate() {
            let halves = [_mm256_castsi256_si128(vector), _mm256_extracti128_si256::<1>(vector)];
            for (half, row) in halves.into_iter().zip([row, row + COLUMNS]) {
                if row < rows {
                    // SAFETY: `row` is one of the rows of `out`, and `column + 16 <= stride`.
                    unsafe {
                        let to = out.as_mut_ptr().add(row * stride + column);
                        _mm_storeu_si128(to.cast(), half);
                    }
                }
            }
        }
        if column + COLUMNS == stride {
            return;
        }
        column = (column + COLUMNS).min(stride - COLUMNS);
    }
}

/// Transposes 16 x 16 bytes in each 128-bit lane: byte j of vector i goes to byte i of vector j.
///
/// Four times, vectors i and i + 8 are interleaved into vectors 2i and 2i + 1. Write the 8 bits
/// of a byte's address as vector (4) then byte (4): interleaving moves the topmost bit of the
/// vector to the bottom of the byte, and the others up by one, so that the 8 bits turn by one
/// place; after four turns vector and byte have changed places.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(mut tile: [__m256i; 16]) -> [__m256i; 16] {
    for _ in 0..4 {
        let before = tile;
        for index in 0..8 {
            tile[2 * index] = _mm256_unpacklo_epi8(before[index], before[index + 8]);
            tile[2 * index + 1] = _mm256_unpackhi_epi8(before[index], before[index + 8]);
        }
    }
    tile
}
