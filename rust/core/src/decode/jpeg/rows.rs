//! Finished rows: chroma brought to full size, then the color transform, as libjpeg does both.
//!
//! "Fancy" upsampling is a triangle filter: each new sample is 3/4 of the nearer and 1/4 of the
//! farther old one, in one or both directions, rounded alternately up and down so that no bias
//! arises. libjpeg uses it for factors of two (horizontally only if the plane is wider than two)
//! and repeats samples for the other whole factors.
//! Source: libjpeg-turbo 3, `jdsample.c` and `jdcolor.c`, by behavior; results are equal.

use crate::simd::{Dispatch, Level};

/// How a component's samples become full rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factors {
    pub x: usize,
    pub y: usize,
    /// By a triangle filter; else by repetition.
    pub smooth_x: bool,
    pub smooth_y: bool,
}

/// A component's plane of samples.
#[derive(Clone, Copy)]
pub(super) struct Plane<'a> {
    pub samples: &'a [u8],
    pub stride: usize,
    /// The real size, without the padding to whole blocks.
    pub width: usize,
    pub height: usize,
    pub factors: Factors,
}

impl<'a> Plane<'a> {
    fn row(&self, y: usize) -> &'a [u8] {
        &self.samples[y * self.stride..][..self.width]
    }

    /// Row `y` of the picture, made in `to` or, where nothing is to be done, as it stands.
    pub fn full_row<'b>(&self, level: Level, y: usize, to: &'b mut [u8]) -> &'b [u8]
    where
        'a: 'b,
    {
        let Factors { x, y: factor_y, smooth_x, smooth_y } = self.factors;
        let near_y = (y / factor_y).min(self.height - 1);
        let near = self.row(near_y);
        if x == 1 && factor_y == 1 {
            return near;
        }
        let below = y % 2 == 1;
        let far = match smooth_y {
            true if below => self.row((near_y + 1).min(self.height - 1)),
            true => self.row(near_y.saturating_sub(1)),
            false => near,
        };
        let way = match (smooth_x, smooth_y) {
            (true, true) => Way::Both,
            (true, false) => Way::Across,
            (false, true) => Way::Down { below },
            (false, false) => Way::Repeat { times: x },
        };
        match level.dispatch() {
            #[cfg(target_arch = "x86_64")]
            Dispatch::Avx2 | Dispatch::Avx512 => {
                // SAFETY: a level of Avx2 or more exists only on CPUs that have AVX2 (`Level`).
                unsafe { upsample_avx2(way, near, far, to) }
            }
            Dispatch::Scalar => upsample(way, near, far, to),
            #[cfg(not(target_arch = "x86_64"))]
            _ => upsample(way, near, far, to),
        }
        to
    }
}

/// What makes a full row of two rows of a component.
#[derive(Clone, Copy)]
enum Way {
    Both,
    Across,
    Down { below: bool },
    Repeat { times: usize },
}

#[inline(always)]
fn upsample(way: Way, near: &[u8], far: &[u8], to: &mut [u8]) {
    match way {
        Way::Both => smooth_both(near, far, to),
        Way::Across => smooth_across(near, to),
        Way::Down { below } => smooth_down(near, far, below, to),
        Way::Repeat { times } => {
            for (part, &v) in to.chunks_mut(times).zip(near) {
                part.fill(v);
            }
        }
    }
}

/// The same loops, made into wider vectors by the compiler.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn upsample_avx2(way: Way, near: &[u8], far: &[u8], to: &mut [u8]) {
    upsample(way, near, far, to);
}

/// Two by two: 9/16, 3/16, 3/16, 1/16. `near` has at least three samples.
#[inline(always)]
fn smooth_both(near: &[u8], far: &[u8], to: &mut [u8]) {
    let n = near.len();
    let far = &far[..n];
    let column = |i: usize| 3 * u16::from(near[i]) + u16::from(far[i]);
    let (pairs, _) = to.as_chunks_mut::<2>();
    let pairs = &mut pairs[..n];
    for (i, pair) in pairs[1..n - 1].iter_mut().enumerate() {
        let (left, here, right) = (column(i), column(i + 1), column(i + 2));
        *pair = [((3 * here + left + 8) >> 4) as u8, ((3 * here + right + 7) >> 4) as u8];
    }
    let (first, last) = (column(0), column(n - 1));
    pairs[0] = [((4 * first + 8) >> 4) as u8, ((3 * first + column(1) + 7) >> 4) as u8];
    pairs[n - 1] = [((3 * last + column(n - 2) + 8) >> 4) as u8, ((4 * last + 7) >> 4) as u8];
}

/// Horizontally by two. `near` has at least three samples.
#[inline(always)]
fn smooth_across(near: &[u8], to: &mut [u8]) {
    let n = near.len();
    let at = |i: usize| u16::from(near[i]);
    let (pairs, _) = to.as_chunks_mut::<2>();
    let pairs = &mut pairs[..n];
    for (i, pair) in pairs[1..n - 1].iter_mut().enumerate() {
        let (left, here, right) = (at(i), at(i + 1), at(i + 2));
        *pair = [((3 * here + left + 1) >> 2) as u8, ((3 * here + right + 2) >> 2) as u8];
    }
    pairs[0] = [near[0], ((3 * at(0) + at(1) + 2) >> 2) as u8];
    pairs[n - 1] = [((3 * at(n - 1) + at(n - 2) + 1) >> 2) as u8, near[n - 1]];
}

/// Vertically by two.
#[inline(always)]
fn smooth_down(near: &[u8], far: &[u8], below: bool, to: &mut [u8]) {
    let bias = if below { 2 } else { 1 };
    for ((v, &a), &b) in to.iter_mut().zip(near).zip(far) {
        *v = ((3 * u16::from(a) + u16::from(b) + bias) >> 2) as u8;
    }
}

/// A row of YCbCr to RGB.
pub(super) fn color_row(level: Level, y: &[u8], cb: &[u8], cr: &[u8], to: &mut [u8]) {
    let n = to.len() / 3;
    let (y, cb, cr) = (&y[..n], &cb[..n], &cr[..n]);
    let done = match level.dispatch() {
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx2 | Dispatch::Avx512 => {
            // SAFETY: a level of Avx2 or more exists only on CPUs that have AVX2 (`Level`).
            unsafe { super::avx2::color_row(y, cb, cr, to) }
        }
        Dispatch::Scalar => 0,
        #[cfg(not(target_arch = "x86_64"))]
        _ => 0,
    };
    let rest = to[3 * done..].as_chunks_mut::<3>().0.iter_mut();
    for (((target, &y), &cb), &cr) in rest.zip(&y[done..]).zip(&cb[done..]).zip(&cr[done..]) {
        *target = pixel(y, cb, cr);
    }
}

/// Full-range BT.601 with libjpeg's 16-bit fractions and roundings.
#[inline(always)]
pub(super) fn pixel(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let half = 1 << 15;
    let r = y + ((91_881 * cr + half) >> 16);
    let g = y + ((-22_554 * cb - 46_802 * cr + half) >> 16);
    let b = y + ((116_130 * cb + half) >> 16);
    [r.clamp(0, 255) as u8, g.clamp(0, 255) as u8, b.clamp(0, 255) as u8]
}
