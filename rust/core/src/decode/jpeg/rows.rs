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
        match (smooth_x, smooth_y) {
            (true, true) => vectored(level, || smooth_both(near, far, to)),
            (true, false) => vectored(level, || smooth_across(near, to)),
            (false, true) => vectored(level, || smooth_down(near, far, below, to)),
            (false, false) => {
                for (part, &v) in to.chunks_mut(x).zip(near) {
                    part.fill(v);
                }
            }
        }
        to
    }
}

/// Runs `body` compiled for the level.
#[inline(always)]
fn vectored(level: Level, body: impl FnOnce()) {
    match level.dispatch() {
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx2 | Dispatch::Avx512 => {
            // SAFETY: a level of Avx2 or more exists only on CPUs that have AVX2 (`Level`).
            unsafe { with_avx2(body) }
        }
        _ => body(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2(body: impl FnOnce()) {
    body();
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
    vectored(level, || color_body(y, cb, cr, to));
}

#[inline(always)]
fn color_body(y: &[u8], cb: &[u8], cr: &[u8], to: &mut [u8]) {
    const STEP: usize = 32;
    let whole = y.len() / STEP * STEP;
    let parts = y.as_chunks::<STEP>().0.iter().zip(cb.as_chunks::<STEP>().0);
    let parts = parts.zip(cr.as_chunks::<STEP>().0).zip(to.as_chunks_mut::<{ 3 * STEP }>().0);
    for (((y, cb), cr), to) in parts {
        // Planes first, which is plain vector work; then the three-way interleaving.
        let mut planes = [[0u8; STEP]; 3];
        for i in 0..STEP {
            let [r, g, b] = pixel(y[i], cb[i], cr[i]);
            planes[0][i] = r;
            planes[1][i] = g;
            planes[2][i] = b;
        }
        for (i, pixel) in to.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            *pixel = [planes[0][i], planes[1][i], planes[2][i]];
        }
    }
    for (i, target) in to[3 * whole..].as_chunks_mut::<3>().0.iter_mut().enumerate() {
        *target = pixel(y[whole + i], cb[whole + i], cr[whole + i]);
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
