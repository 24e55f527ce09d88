//! The inverse transform: libjpeg's accurate integer method, so that its results are equal.
//!
//! ```text
//! eight columns: a[8] = 1-D transform of coefficient * quantizer, kept with 2 fraction bits
//! eight rows:    b[8] = 1-D transform of a, rounded off, + 128, clamped to 0..255
//! ```
//! The 1-D transform is that of Loeffler, Ligtenberg and Moschytz (1989) with 11 multiplications
//! and 13-bit constants. Each line below works on eight columns (or rows) at once. This is the
//! definition; `avx2` holds the same for wide registers.
//! Departure from libjpeg's C code: values far outside the range are clamped, as its SIMD code
//! does, where its table look-up wraps.

use super::entropy::Block;
use crate::simd::{Dispatch, Level};

/// Quantizers in natural order.
pub(super) type Quantizers = [u16; 64];

type Lanes = [i32; 8];

const BITS: u32 = 13;

/// Transforms `block` into eight rows of `to`, `stride` apart, at its beginning. `flat` says that
/// the block has no AC coefficients.
#[inline]
pub(super) fn inverse(
    level: Level,
    block: &Block,
    flat: bool,
    by: &Quantizers,
    to: &mut [u8],
    stride: usize,
) {
    if flat {
        // The general way gives just this; flat blocks are frequent.
        let dc = i32::from(block[0]).wrapping_mul(by[0].into());
        let value = (((dc << 2).wrapping_add(16) >> 5) + 128).clamp(0, 255) as u8;
        for row in to.chunks_mut(stride).take(8) {
            row[..8].fill(value);
        }
        return;
    }
    match level.dispatch() {
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx2 | Dispatch::Avx512 => {
            // SAFETY: a level of Avx2 or more exists only on CPUs that have AVX2 (`Level`).
            unsafe { super::avx2::inverse(block, by, to, stride) }
        }
        Dispatch::Scalar => body(block, by, to, stride),
        #[cfg(not(target_arch = "x86_64"))]
        _ => body(block, by, to, stride),
    }
}

fn body(block: &Block, by: &Quantizers, to: &mut [u8], stride: usize) {
    let mut rows = [[0i32; 8]; 8];
    for (y, row) in rows.iter_mut().enumerate() {
        for (x, v) in row.iter_mut().enumerate() {
            *v = i32::from(block[8 * y + x]).wrapping_mul(i32::from(by[8 * y + x]));
        }
    }
    let columns = transpose(one_dimension::<{ BITS - 2 }>(rows));
    let rows = transpose(one_dimension::<{ BITS + 2 + 3 }>(columns));
    for (row, target) in rows.iter().zip(to.chunks_mut(stride)) {
        for (v, level) in row.iter().zip(&mut target[..8]) {
            *level = (v + 128).clamp(0, 255) as u8;
        }
    }
}

#[inline(always)]
fn transpose(m: [Lanes; 8]) -> [Lanes; 8] {
    let mut t = [[0; 8]; 8];
    for y in 0..8 {
        for x in 0..8 {
            t[x][y] = m[y][x];
        }
    }
    t
}

#[inline(always)]
fn add(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|i| a[i].wrapping_add(b[i]))
}

#[inline(always)]
fn sub(a: Lanes, b: Lanes) -> Lanes {
    std::array::from_fn(|i| a[i].wrapping_sub(b[i]))
}

#[inline(always)]
fn times(a: Lanes, by: i32) -> Lanes {
    std::array::from_fn(|i| a[i].wrapping_mul(by))
}

#[inline(always)]
fn round_off<const SHIFT: u32>(a: Lanes) -> Lanes {
    std::array::from_fn(|i| a[i].wrapping_add(1 << (SHIFT - 1)) >> SHIFT)
}

/// The constants are 2^13 times 0.541196100, 0.765366865, ... of the paper, as libjpeg rounds them.
#[inline(always)]
fn one_dimension<const SHIFT: u32>(v: [Lanes; 8]) -> [Lanes; 8] {
    let z = times(add(v[2], v[6]), 4_433);
    let even2 = sub(z, times(v[6], 15_137));
    let even3 = add(z, times(v[2], 6_270));
    let even0 = times(add(v[0], v[4]), 1 << BITS);
    let even1 = times(sub(v[0], v[4]), 1 << BITS);
    let e = [add(even0, even3), add(even1, even2), sub(even1, even2), sub(even0, even3)];

    let z3 = add(v[7], v[3]);
    let z4 = add(v[5], v[1]);
    let z5 = times(add(z3, z4), 9_633);
    let z1 = times(add(v[7], v[1]), -7_373);
    let z2 = times(add(v[5], v[3]), -20_995);
    let z3 = add(times(z3, -16_069), z5);
    let z4 = add(times(z4, -3_196), z5);
    let o = [
        add(times(v[1], 12_299), add(z1, z4)),
        add(times(v[3], 25_172), add(z2, z3)),
        add(times(v[5], 16_819), add(z2, z4)),
        add(times(v[7], 2_446), add(z1, z3)),
    ];
    [
        round_off::<SHIFT>(add(e[0], o[0])),
        round_off::<SHIFT>(add(e[1], o[1])),
        round_off::<SHIFT>(add(e[2], o[2])),
        round_off::<SHIFT>(add(e[3], o[3])),
        round_off::<SHIFT>(sub(e[3], o[3])),
        round_off::<SHIFT>(sub(e[2], o[2])),
        round_off::<SHIFT>(sub(e[1], o[1])),
        round_off::<SHIFT>(sub(e[0], o[0])),
    ]
}
