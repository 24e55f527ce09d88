//! Refinements of a finished alpha plane, in place, in this order:
//!
//! 1. `post_process`: what rembg 2.0.86 calls `ppm`, to the bit: opening of the gray levels with a
//!    3x3 cross (minimum, then maximum), Gaussian of 2 pixels as scipy.ndimage computes it (f64,
//!    17 weights, edges mirrored, columns first), then 0 below 127 and 255 from there on.
//! 2. `threshold`: 255 from a level on, 0 below it.
//! 3. `invert`.
//! 4. `feather`: a Gaussian of so many pixels, edges repeated, as three extended box blurs per
//!    direction (Gwosdek, Grewenig, Bruhn, Weickert, "Theoretical foundations of Gaussian convolution
//!    by extended box filtering", 2011): their variance is exactly the Gaussian's, their time is
//!    that of running sums whatever the width. Within 5 levels of the Gaussian (tested).
//!
//! So a thresholded mask can be feathered, and feathering is never undone. Must not know logits,
//! recipes or colors. All arithmetic is scalar: these are options, and off by default.

use crate::error::Kind;
use crate::image::{Alpha8, Size, resize_buffer};

/// The widest feather, in pixels.
pub const FEATHER_LIMIT_PX: f32 = 1000.0;

/// What may be asked of [`Refiner::run`]; the default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Options {
    /// 255 where alpha is at least this, else 0.
    pub threshold: Option<u8>,
    /// 255 - alpha.
    pub invert: bool,
    /// The Gaussian's standard deviation in pixels, 0 (none) to [`FEATHER_LIMIT_PX`].
    pub feather_px: f32,
    /// rembg's post-processing.
    pub post_process: bool,
}

/// Pixels worked on side by side by the feather.
const LANES: usize = 16;
/// Reach of scipy's Gaussian of 2 pixels: it cuts at 4 standard deviations.
const RADIUS: usize = 8;
/// exp(-x^2 / 8) for x of -8 to 0, divided by the sum over -8 to 8: as scipy 1.17 has them.
const WEIGHTS: [f64; RADIUS + 1] = [
    6.691628957263553e-05,
    0.0004363490205067883,
    0.002215963172596555,
    0.00876430436278587,
    0.026995957967298846,
    0.06475993660472744,
    0.12098748976534904,
    0.17603575888479037,
    0.199474647864745,
];

/// A worker's scratch for refinements.
#[derive(Default)]
pub struct Refiner {
    eroded: Vec<u8>,
    opened: Vec<u8>,
    line: Vec<f64>,
    lines: [Vec<[u16; LANES]>; 2],
}

impl Refiner {
    /// A refiner without memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Refines `alpha`, which has one byte per pixel of `size`.
    pub fn run(&mut self, alpha: &mut [u8], size: Size, options: &Options) -> Result<(), Kind> {
        Alpha8::new(size, alpha)?;
        if !(0.0..=FEATHER_LIMIT_PX).contains(&options.feather_px) {
            return Err(Kind::Tensor {
                message: format!(
                    "a feather of `{}` pixels is not in 0 to {FEATHER_LIMIT_PX}",
                    options.feather_px
                ),
            });
        }
        if options.post_process {
            self.post_process(alpha, size)?;
        }
        if let Some(level) = options.threshold {
            alpha.iter_mut().for_each(|a| *a = if *a >= level { 255 } else { 0 });
        }
        if options.invert {
            alpha.iter_mut().for_each(|a| *a = 255 - *a);
        }
        if options.feather_px > 0.0 {
            self.feather(alpha, size, options.feather_px)?;
        }
        Ok(())
    }

    fn post_process(&mut self, alpha: &mut [u8], size: Size) -> Result<(), Kind> {
        resize_buffer(&mut self.eroded, size.pixels())?;
        resize_buffer(&mut self.opened, size.pixels())?;
        resize_buffer(&mut self.line, size.width + 2 * RADIUS)?;
        cross(alpha, &mut self.eroded, size.width, u8::min);
        cross(&self.eroded, &mut self.opened, size.width, u8::max);
        for (y, out) in alpha.chunks_exact_mut(size.width).enumerate() {
            blur_columns(&self.opened, size, y, &mut self.line[RADIUS..RADIUS + size.width]);
            for i in 0..RADIUS {
                self.line[RADIUS - 1 - i] = self.line[RADIUS + mirrored(i, size.width)];
                self.line[RADIUS + size.width + i] =
                    self.line[RADIUS + mirrored(size.width + i, size.width)];
            }
            for (x, out) in out.iter_mut().enumerate() {
                let around = &self.line[x..=x + 2 * RADIUS];
                // The order of the sum is scipy's: center, then pairs from the outside in.
                let mut sum = around[RADIUS] * WEIGHTS[RADIUS];
                for i in 0..RADIUS {
                    sum += (around[i] + around[2 * RADIUS - i]) * WEIGHTS[i];
                }
                *out = if sum < 127.0 { 0 } else { 255 };
            }
        }
        Ok(())
    }

    fn feather(&mut self, alpha: &mut [u8], size: Size, sigma_px: f32) -> Result<(), Kind> {
        let kernel = Box3::new(f64::from(sigma_px));
        let longest = size.width.max(size.height) + 2 * kernel.margin();
        for lines in &mut self.lines {
            resize_buffer(lines, longest)?;
        }
        let [from, to] = &mut self.lines;
        let down = Walk { count: size.width, length: size.height, beside: 1, along: size.width };
        let across = Walk { count: size.height, length: size.width, beside: size.width, along: 1 };
        for walk in [down, across] {
            for first in (0..walk.count).step_by(LANES) {
                kernel.blur(alpha, walk, first, from, to);
            }
        }
        Ok(())
    }
}

/// `out` = the extreme of each pixel and its four neighbors; what is outside the picture is left out.
fn cross(plane: &[u8], out: &mut [u8], width: usize, extreme: fn(u8, u8) -> u8) {
    // Called with `u8::min` and `u8::max`; the rows above and below the picture are the edge's own.
    let height = plane.len() / width;
    for (y, out) in out.chunks_exact_mut(width).enumerate() {
        let row = |y: usize| &plane[y * width..(y + 1) * width];
        let (above, here, below) = (row(y.saturating_sub(1)), row(y), row((y + 1).min(height - 1)));
        for (x, out) in out.iter_mut().enumerate() {
            let beside = extreme(here[x.saturating_sub(1)], here[(x + 1).min(width - 1)]);
            *out = extreme(extreme(beside, here[x]), extreme(above[x], below[x]));
        }
    }
}

/// The place of `at` when a line of `len` is followed by its mirror image, edge pixel included.
fn mirrored(at: usize, len: usize) -> usize {
    let at = at % (2 * len);
    if at < len { at } else { 2 * len - 1 - at }
}

/// Row `y` of scipy's Gaussian along the columns.
fn blur_columns(plane: &[u8], size: Size, y: usize, out: &mut [f64]) {
    // Rows before the first mirror as those behind: -1 is row 0, which is also place 2 n - 1.
    let period = 2 * size.height;
    let row = |at: usize| {
        let y = mirrored(at, size.height);
        &plane[y * size.width..(y + 1) * size.width]
    };
    let turns = RADIUS.div_ceil(period) * period;
    for (out, &a) in out.iter_mut().zip(row(y)) {
        *out = f64::from(a) * WEIGHTS[RADIUS];
    }
    for (i, weight) in WEIGHTS.iter().enumerate().take(RADIUS) {
        let reach = RADIUS - i;
        let (above, below) = (row(y + turns - reach), row(y + reach));
        for ((out, &a), &b) in out.iter_mut().zip(above).zip(below) {
            // Sums of two levels are whole numbers, so this equals scipy's sum of two f64.
            *out += f64::from(u16::from(a) + u16::from(b)) * weight;
        }
    }
}

/// How to go through a plane: `count` lines of `length` pixels.
#[derive(Clone, Copy)]
struct Walk {
    count: usize,
    length: usize,
    /// Bytes from one line to the next.
    beside: usize,
    /// Bytes from one pixel of a line to the next.
    along: usize,
}

/// Three times the same extended box: `2 radius + 1` pixels of weight `inner`, and one of weight
/// `outer` at each end.
struct Box3 {
    radius: usize,
    inner: f32,
    outer: f32,
}

impl Box3 {
    fn new(sigma_px: f64) -> Self {
        // Variance of one pass; a plain box of radius r has r (r + 1) / 3.
        let variance = sigma_px * sigma_px / 3.0;
        let radius = ((12.0 * variance + 1.0).sqrt() / 2.0 - 0.5).floor();
        let end = (2.0 * radius + 1.0) * (radius * (radius + 1.0) - 3.0 * variance)
            / (6.0 * (variance - (radius + 1.0) * (radius + 1.0)));
        let length = 2.0 * radius + 1.0 + 2.0 * end;
        Box3 { radius: radius as usize, inner: (1.0 / length) as f32, outer: (end / length) as f32 }
    }

    /// Pixels that three passes reach to each side.
    fn margin(&self) -> usize {
        3 * (self.radius + 1)
    }

    /// Blurs up to [`LANES`] lines from line `first` on. Values are levels times 256.
    fn blur(
        &self,
        plane: &mut [u8],
        walk: Walk,
        first: usize,
        from: &mut [[u16; LANES]],
        to: &mut [[u16; LANES]],
    ) {
        let lanes = LANES.min(walk.count - first);
        let margin = self.margin();
        for (i, pixels) in from[margin..margin + walk.length].iter_mut().enumerate() {
            for (lane, pixel) in pixels.iter_mut().enumerate() {
                let at = (first + lane) * walk.beside + i * walk.along;
                *pixel = if lane < lanes { u16::from(plane[at]) << 8 } else { 0 };
            }
        }
        let (start, end) = (from[margin], from[margin + walk.length - 1]);
        from[..margin].fill(start);
        from[margin + walk.length..][..margin].fill(end);
        let length = walk.length + 2 * margin;
        let reach = self.radius + 1;
        self.pass(&from[..length], &mut to[..length - 2 * reach]);
        self.pass(&to[..length - 2 * reach], &mut from[..length - 4 * reach]);
        self.pass(&from[..length - 4 * reach], &mut to[..walk.length]);
        for (i, pixels) in to[..walk.length].iter().enumerate() {
            for (lane, &pixel) in pixels[..lanes].iter().enumerate() {
                let at = (first + lane) * walk.beside + i * walk.along;
                plane[at] = ((u32::from(pixel) + 128) >> 8) as u8;
            }
        }
    }

    /// `to[i]` = the box around `from[i + radius + 1]`. Running sums of whole numbers: at most
    /// 2001 * 65280, which u32 holds.
    fn pass(&self, from: &[[u16; LANES]], to: &mut [[u16; LANES]]) {
        let width = 2 * self.radius + 1;
        let mut sums = [0u32; LANES];
        for pixels in &from[1..width] {
            for lane in 0..LANES {
                sums[lane] += u32::from(pixels[lane]);
            }
        }
        for (i, out) in to.iter_mut().enumerate() {
            let (leaving, entering) = (&from[i], &from[i + width]);
            let (next, beyond) = (&from[i + 1], &from[i + width + 1]);
            for lane in 0..LANES {
                sums[lane] += u32::from(entering[lane]);
                let ends = u32::from(leaving[lane]) + u32::from(beyond[lane]);
                let value = sums[lane] as f32 * self.inner + ends as f32 * self.outer;
                out[lane] = (value + 0.5) as u16;
                sums[lane] -= u32::from(next[lane]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic bytes.
    fn noise(seed: u64) -> impl FnMut() -> u8 {
        let mut state = seed | 1;
        move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        }
    }

    fn run(alpha: &[u8], size: Size, options: Options) -> Vec<u8> {
        let mut alpha = alpha.to_vec();
        Refiner::new().run(&mut alpha, size, &options).unwrap();
        alpha
    }

    #[test]
    fn post_process_equals_rembg() {
        let mut file: &[u8] = include_bytes!("../../../../tests/vectors/refine.bin");
        let mut refiner = Refiner::new();
        let mut cases = 0;
        while let Some((head, rest)) = file.split_first_chunk::<8>() {
            let width = u32::from_le_bytes(head[..4].try_into().unwrap()) as usize;
            let height = u32::from_le_bytes(head[4..].try_into().unwrap()) as usize;
            let (plane, rest) = rest.split_at(width * height);
            let (wanted, rest) = rest.split_at(width * height);
            let mut alpha = plane.to_vec();
            let options = Options { post_process: true, ..Options::default() };
            refiner.run(&mut alpha, Size { width, height }, &options).unwrap();
            assert_eq!(alpha, wanted, "case {cases}, {width}x{height}");
            file = rest;
            cases += 1;
        }
        assert_eq!(cases, 33);
    }

    #[test]
    fn threshold_and_invert() {
        let all: Vec<u8> = (0..=255).collect();
        let size = Size { width: 32, height: 8 };
        for level in [0, 1, 127, 128, 255] {
            for invert in [false, true] {
                let options = Options { threshold: Some(level), invert, ..Options::default() };
                for (a, got) in all.iter().zip(run(&all, size, options)) {
                    assert_eq!(got, if (*a >= level) != invert { 255 } else { 0 });
                }
            }
        }
        let inverted = run(&all, size, Options { invert: true, ..Options::default() });
        assert!(inverted.iter().rev().eq(all.iter()));
        assert_eq!(run(&all, size, Options::default()), all);
    }

    /// The Gaussian itself in f64, edges repeated, cut at six standard deviations.
    fn gaussian(plane: &[u8], size: Size, sigma: f64) -> Vec<f64> {
        let reach = (6.0 * sigma).ceil() as isize;
        let weight = |x: isize| (-0.5 * (x as f64 / sigma).powi(2)).exp();
        let total: f64 = (-reach..=reach).map(weight).sum();
        let (w, h) = (size.width as isize, size.height as isize);
        let pass = |from: &[f64], dx: isize, dy: isize| -> Vec<f64> {
            let mut to = Vec::new();
            for y in 0..h {
                for x in 0..w {
                    let value = |i: isize| {
                        let x = (x + i * dx).clamp(0, w - 1);
                        let y = (y + i * dy).clamp(0, h - 1);
                        from[(y * w + x) as usize]
                    };
                    to.push((-reach..=reach).map(|i| value(i) * weight(i)).sum::<f64>() / total);
                }
            }
            to
        };
        let plane: Vec<f64> = plane.iter().map(|&a| f64::from(a)).collect();
        pass(&pass(&plane, 0, 1), 1, 0)
    }

    #[test]
    fn feather_is_near_the_gaussian() {
        let mut worst = 0.0f64;
        for (width, height) in [(1, 1), (40, 3), (61, 47)] {
            let size = Size { width, height };
            let step: Vec<u8> =
                (0..width * height).map(|i| if i % width < width / 2 { 0 } else { 255 }).collect();
            let mut dot = vec![0; width * height];
            dot[width * height / 2] = 255;
            let mut next = noise(7);
            let rough: Vec<u8> = (0..width * height).map(|_| next()).collect();
            for sigma in [0.5, 1.0, 1.7, 2.5, 6.0, 20.0] {
                for plane in [&step, &dot, &rough] {
                    let options = Options { feather_px: sigma, ..Options::default() };
                    let wanted = gaussian(plane, size, f64::from(sigma));
                    for (got, wanted) in run(plane, size, options).iter().zip(&wanted) {
                        let far = (f64::from(*got) - wanted).abs();
                        worst = worst.max(far);
                        assert!(far <= 5.0, "sigma {sigma}, {width}x{height}: {far}");
                    }
                }
            }
        }
        println!("farthest from the Gaussian: {worst:.2} levels");
    }

    #[test]
    fn feather_keeps_what_is_constant_and_is_symmetric() {
        let size = Size { width: 37, height: 21 };
        for level in [0, 1, 127, 254, 255] {
            for feather_px in [0.4, 3.3, 90.0, FEATHER_LIMIT_PX] {
                let plane = vec![level; 37 * 21];
                let options = Options { feather_px, ..Options::default() };
                assert_eq!(run(&plane, size, options), plane);
            }
        }
        let mut next = noise(3);
        let plane: Vec<u8> = (0..37 * 21).map(|_| next()).collect();
        let mirror: Vec<u8> = plane.iter().rev().copied().collect();
        let options = Options { feather_px: 2.2, ..Options::default() };
        let mut back = run(&mirror, size, options);
        back.reverse();
        assert_eq!(run(&plane, size, options), back);
    }

    #[test]
    fn order_is_threshold_invert_feather() {
        let size = Size { width: 20, height: 4 };
        let ramp: Vec<u8> = (0..80).map(|i| (i % 20 * 13) as u8).collect();
        let all =
            Options { threshold: Some(100), invert: true, feather_px: 1.5, post_process: false };
        let mut stepwise = run(&ramp, size, Options { threshold: Some(100), ..Options::default() });
        stepwise = run(&stepwise, size, Options { invert: true, ..Options::default() });
        stepwise = run(&stepwise, size, Options { feather_px: 1.5, ..Options::default() });
        assert_eq!(run(&ramp, size, all), stepwise);
        assert!(stepwise.iter().any(|&a| a != 0 && a != 255), "the feather comes last");
    }

    #[test]
    fn bad_input_is_refused() {
        let size = Size { width: 4, height: 2 };
        let mut refiner = Refiner::new();
        let mut alpha = [9; 8];
        assert!(refiner.run(&mut alpha[..7], size, &Options::default()).is_err());
        let huge = Size { width: usize::MAX, height: 2 };
        assert!(refiner.run(&mut alpha, huge, &Options::default()).is_err());
        for feather_px in [-1.0, f32::NAN, f32::INFINITY, 1000.5] {
            let options = Options { feather_px, ..Options::default() };
            assert!(refiner.run(&mut alpha, size, &options).is_err());
        }
        assert_eq!(alpha, [9; 8]);
    }
}
