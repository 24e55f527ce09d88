//! The inverse transform and the color transform for AVX2, equal to `idct` and `rows`.
//!
//! The transform holds eight columns (then eight rows) in one register of 32-bit lanes. The color
//! transform uses 16-bit products: each constant is a whole number plus a fraction that fits in
//! 16 signed bits, and the whole part is added outside of the rounded product, which changes
//! nothing since `(x + 65536 n) >> 16 == (x >> 16) + n`.

use std::arch::x86_64::*;

use super::entropy::Block;
use super::idct::Quantizers;

const BITS: i32 = 13;

/// As `idct::inverse` for blocks with AC coefficients: eight rows of `to`, `stride` apart.
#[target_feature(enable = "avx2")]
pub(super) fn inverse(block: &Block, by: &Quantizers, to: &mut [u8], stride: usize) {
    let (block, _) = block.as_chunks::<8>();
    let (by, _) = by.as_chunks::<8>();
    let mut v = [_mm256_setzero_si256(); 8];
    for ((v, coefficients), by) in v.iter_mut().zip(block).zip(by) {
        // SAFETY: both are arrays of eight 16-bit numbers, 16 bytes; no alignment is needed.
        let (c, q) = unsafe {
            (_mm_loadu_si128(coefficients.as_ptr().cast()), _mm_loadu_si128(by.as_ptr().cast()))
        };
        *v = _mm256_mullo_epi32(_mm256_cvtepi16_epi32(c), _mm256_cvtepu16_epi32(q));
    }
    let v = transpose(one_dimension::<{ BITS - 2 }>(v));
    let v = transpose(one_dimension::<{ BITS + 2 + 3 }>(v));
    // After the shift, as the definition has it: before it, coefficients that no encoder makes
    // would carry the sum over the end of 32 bits. 14 bits are left, so 16 hold it.
    let offset = _mm256_set1_epi16(128);
    let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (half, rows) in [[v[0], v[1], v[2], v[3]], [v[4], v[5], v[6], v[7]]].iter().enumerate() {
        // Saturation to 16 and then to 8 bits clamps; lanes: a0 b0 c0 d0 | a1 b1 c1 d1.
        let ab = _mm256_add_epi16(_mm256_packs_epi32(rows[0], rows[1]), offset);
        let cd = _mm256_add_epi16(_mm256_packs_epi32(rows[2], rows[3]), offset);
        let packed = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(ab, cd), order);
        let mut bytes = [0u8; 32];
        // SAFETY: 32 bytes are written to an array of 32 bytes; no alignment is needed.
        unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), packed) };
        for (i, row) in bytes.as_chunks::<8>().0.iter().enumerate() {
            to[(4 * half + i) * stride..][..8].copy_from_slice(row);
        }
    }
}

/// As `idct::one_dimension`.
#[target_feature(enable = "avx2")]
fn one_dimension<const SHIFT: i32>(v: [__m256i; 8]) -> [__m256i; 8] {
    macro_rules! times {
        ($a:expr, $by:expr) => {
            _mm256_mullo_epi32($a, _mm256_set1_epi32($by))
        };
    }
    macro_rules! add {
        ($a:expr, $b:expr) => {
            _mm256_add_epi32($a, $b)
        };
    }
    macro_rules! sub {
        ($a:expr, $b:expr) => {
            _mm256_sub_epi32($a, $b)
        };
    }
    let rounding = _mm256_set1_epi32(1 << (SHIFT - 1));
    let z = times!(add!(v[2], v[6]), 4_433);
    let even2 = sub!(z, times!(v[6], 15_137));
    let even3 = add!(z, times!(v[2], 6_270));
    let even0 = add!(_mm256_slli_epi32::<BITS>(add!(v[0], v[4])), rounding);
    let even1 = add!(_mm256_slli_epi32::<BITS>(sub!(v[0], v[4])), rounding);
    let e = [add!(even0, even3), add!(even1, even2), sub!(even1, even2), sub!(even0, even3)];

    let z3 = add!(v[7], v[3]);
    let z4 = add!(v[5], v[1]);
    let z5 = times!(add!(z3, z4), 9_633);
    let z1 = times!(add!(v[7], v[1]), -7_373);
    let z2 = times!(add!(v[5], v[3]), -20_995);
    let z3 = add!(times!(z3, -16_069), z5);
    let z4 = add!(times!(z4, -3_196), z5);
    let o = [
        add!(times!(v[1], 12_299), add!(z1, z4)),
        add!(times!(v[3], 25_172), add!(z2, z3)),
        add!(times!(v[5], 16_819), add!(z2, z4)),
        add!(times!(v[7], 2_446), add!(z1, z3)),
    ];
    [
        _mm256_srai_epi32::<SHIFT>(add!(e[0], o[0])),
        _mm256_srai_epi32::<SHIFT>(add!(e[1], o[1])),
        _mm256_srai_epi32::<SHIFT>(add!(e[2], o[2])),
        _mm256_srai_epi32::<SHIFT>(add!(e[3], o[3])),
        _mm256_srai_epi32::<SHIFT>(sub!(e[3], o[3])),
        _mm256_srai_epi32::<SHIFT>(sub!(e[2], o[2])),
        _mm256_srai_epi32::<SHIFT>(sub!(e[1], o[1])),
        _mm256_srai_epi32::<SHIFT>(sub!(e[0], o[0])),
    ]
}

/// ```text
/// a0..a7, b0..b7   unpack 32:  a0 b0 a1 b1 | a4 b4 a5 b5   and   a2 b2 a3 b3 | a6 b6 a7 b7
///                  unpack 64:  a0 b0 c0 d0 | a4 b4 c4 d4   and so on
///                  swap halves of e..h with those of a..d
/// ```
#[target_feature(enable = "avx2")]
fn transpose(m: [__m256i; 8]) -> [__m256i; 8] {
    let ab = [_mm256_unpacklo_epi32(m[0], m[1]), _mm256_unpackhi_epi32(m[0], m[1])];
    let cd = [_mm256_unpacklo_epi32(m[2], m[3]), _mm256_unpackhi_epi32(m[2], m[3])];
    let ef = [_mm256_unpacklo_epi32(m[4], m[5]), _mm256_unpackhi_epi32(m[4], m[5])];
    let gh = [_mm256_unpacklo_epi32(m[6], m[7]), _mm256_unpackhi_epi32(m[6], m[7])];
    let low = [
        _mm256_unpacklo_epi64(ab[0], cd[0]),
        _mm256_unpackhi_epi64(ab[0], cd[0]),
        _mm256_unpacklo_epi64(ab[1], cd[1]),
        _mm256_unpackhi_epi64(ab[1], cd[1]),
    ];
    let high = [
        _mm256_unpacklo_epi64(ef[0], gh[0]),
        _mm256_unpackhi_epi64(ef[0], gh[0]),
        _mm256_unpacklo_epi64(ef[1], gh[1]),
        _mm256_unpackhi_epi64(ef[1], gh[1]),
    ];
    [
        _mm256_permute2x128_si256::<0x20>(low[0], high[0]),
        _mm256_permute2x128_si256::<0x20>(low[1], high[1]),
        _mm256_permute2x128_si256::<0x20>(low[2], high[2]),
        _mm256_permute2x128_si256::<0x20>(low[3], high[3]),
        _mm256_permute2x128_si256::<0x31>(low[0], high[0]),
        _mm256_permute2x128_si256::<0x31>(low[1], high[1]),
        _mm256_permute2x128_si256::<0x31>(low[2], high[2]),
        _mm256_permute2x128_si256::<0x31>(low[3], high[3]),
    ]
}

/// For each of three output registers and each channel: which pixel goes to which byte.
const INTERLEAVE: [[[u8; 16]; 3]; 3] = {
    let mut masks = [[[0x80; 16]; 3]; 3];
    let mut byte = 0;
    while byte < 48 {
        masks[byte / 16][byte % 3][byte % 16] = (byte / 3) as u8;
        byte += 1;
    }
    masks
};

/// As `rows::pixel` for sixteen pixels at a time; gives the number of pixels done.
#[target_feature(enable = "avx2")]
pub(super) fn color_row(y: &[u8], cb: &[u8], cr: &[u8], to: &mut [u8]) -> usize {
    let (y, cb, cr) = (y.as_chunks::<16>().0, cb.as_chunks::<16>().0, cr.as_chunks::<16>().0);
    let (to, _) = to.as_chunks_mut::<48>();
    let middle = _mm256_set1_epi16(128);
    let two = _mm256_set1_epi16(2);
    let half = _mm256_set1_epi32(1 << 15);
    // Pairs of 16-bit factors; 16384 meets the 2 and makes the rounding half.
    let by_red = pair(91_881 - 65_536, 1 << 14);
    let by_blue = pair(116_130 - 2 * 65_536, 1 << 14);
    let by_green = pair(-22_554, 65_536 - 46_802);
    let mut done = 0;
    for (((y, cb), cr), to) in y.iter().zip(cb).zip(cr).zip(to) {
        let y = widen(y);
        let cb = _mm256_sub_epi16(widen(cb), middle);
        let cr = _mm256_sub_epi16(widen(cr), middle);
        let fraction = |low: __m256i, high: __m256i| {
            _mm256_packs_epi32(_mm256_srai_epi32::<16>(low), _mm256_srai_epi32::<16>(high))
        };
        let (low, high) = (_mm256_unpacklo_epi16(cr, two), _mm256_unpackhi_epi16(cr, two));
        let red = fraction(_mm256_madd_epi16(low, by_red), _mm256_madd_epi16(high, by_red));
        let red = _mm256_add_epi16(_mm256_add_epi16(y, cr), red);
        let (low, high) = (_mm256_unpacklo_epi16(cb, two), _mm256_unpackhi_epi16(cb, two));
        let blue = fraction(_mm256_madd_epi16(low, by_blue), _mm256_madd_epi16(high, by_blue));
        let blue = _mm256_add_epi16(_mm256_add_epi16(y, _mm256_add_epi16(cb, cb)), blue);
        let (low, high) = (_mm256_unpacklo_epi16(cb, cr), _mm256_unpackhi_epi16(cb, cr));
        let green = fraction(
            _mm256_add_epi32(_mm256_madd_epi16(low, by_green), half),
            _mm256_add_epi32(_mm256_madd_epi16(high, by_green), half),
        );
        let green = _mm256_add_epi16(_mm256_sub_epi16(y, cr), green);

        let channels = [narrow(red), narrow(green), narrow(blue)];
        for (masks, target) in INTERLEAVE.iter().zip(to.as_chunks_mut::<16>().0) {
            let mut mixed = _mm_setzero_si128();
            for (channel, mask) in channels.iter().zip(masks) {
                // SAFETY: a mask is an array of 16 bytes; no alignment is needed.
                let mask = unsafe { _mm_loadu_si128(mask.as_ptr().cast()) };
                mixed = _mm_or_si128(mixed, _mm_shuffle_epi8(*channel, mask));
            }
            // SAFETY: 16 bytes are written to an array of 16 bytes; no alignment is needed.
            unsafe { _mm_storeu_si128(target.as_mut_ptr().cast(), mixed) };
        }
        done += 16;
    }
    done
}

/// Two 16-bit factors in every 32-bit lane.
#[target_feature(enable = "avx2")]
fn pair(low: i32, high: i32) -> __m256i {
    _mm256_set1_epi32((low & 0xFFFF) | high << 16)
}

#[target_feature(enable = "avx2")]
fn widen(bytes: &[u8; 16]) -> __m256i {
    // SAFETY: an array of 16 bytes; no alignment is needed.
    _mm256_cvtepu8_epi16(unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) })
}

/// Sixteen 16-bit lanes clamped to bytes.
#[target_feature(enable = "avx2")]
fn narrow(v: __m256i) -> __m128i {
    _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi16(v, v)))
}
