//! Antialiased resizing of 8-bit pictures, equal to Pillow's bit for bit.
//!
//! Source: the algorithm of Pillow's `Resample.c`, 8 bits per channel, written anew.
//!
//! ```text
//! weights (plan.rs), for `in` pixels to `out` pixels, output i:
//!     scale   = in / out                      stretch = max(scale, 1)
//!     center  = (i + 0.5) * scale             reach   = support * stretch
//!     window  = [trunc(center - reach + 0.5), trunc(center + reach + 0.5)), cut to [0, in)
//!     w[j]    = filter((j - center + 0.5) / stretch), divided by their sum,
//!               rounded to a multiple of 2^-22, halves away from zero
//! pass:   out[i] = clip((2^21 + sum of w[j] * in[j] over the window) >> 22, 0, 255)
//! resize: all rows horizontally to 8 bits, then all columns vertically to 8 bits, or, if the
//!         height shrinks by more than twice as many pixels as the width does, the other way
//!         round; a dimension that doesn't change is not passed at all
//! ```
//!
//! The order of passes is that of Pillow 13; earlier ones always pass horizontally first. The two
//! orders differ by the rounding between the passes, a level or two in some pixels.
//!
//! Channels are independent: with 4 channels nothing is multiplied by alpha (Pillow's RGBX, not
//! its RGBA).
//!
//! Departures from that, each of which leaves every byte as it was:
//! 1. No intermediate picture. A sliding window of horizontally resampled rows stays in the
//!    cache: the rows that the coming output row needs, in steps of a strip of `ROWS` rows.
//! 2. One arithmetic kernel, `blend`: weighted rows, added column by column. The vertical pass is
//!    that by nature. For the horizontal pass a strip is turned (transposed bytewise, so that a
//!    source byte-column becomes a row of `ROWS` bytes), blended, and turned back. Turning costs
//!    about a tenth of the blending and keeps all lanes busy for any number of channels.
//! 3. Weights are split into two 16-bit halves, `w = high * 2^15 + low`, so that `pmaddwd` does
//!    two exact products and an addition per lane. Each half is summed modulo 2^32, and so is
//!    `high * 2^15 + low`; since the true sum fits in 32 bits, the result is the true sum, however
//!    far the halves went round.
//! 4. The last vector of a row overlaps the one before it. Rows shorter than a vector are left to
//!    `scalar.rs`: a level's `blend` returns the bytes it did.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod plan;
mod scalar;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use crate::error::Kind;
use crate::image::{Pixels, Size, resize_buffer};
use crate::recipe::Filter;
use crate::simd::{Dispatch, Level};
use plan::{Plan, Plans, Taps};

/// Rows of interleaved pixels on their way through the horizontal pass.
#[derive(Clone, Copy)]
struct Block<'a> {
    /// Whole rows, at most the level's `ROWS`.
    pixels: &'a [u8],
    /// Bytes per row.
    stride: usize,
    /// Bytes per pixel.
    channels: usize,
}

/// A strip of rows and its resampled image, both turned.
#[derive(Debug, Default)]
struct Turned {
    source: Vec<u8>,
    result: Vec<u8>,
}

/// Resizes pictures; owns the weights and the scratch that this takes.
#[derive(Debug)]
pub struct Resampler {
    level: Level,
    plans: Plans,
    turned: Turned,
    window: Vec<u8>,
    strip: Vec<u8>,
    line: Vec<u8>,
}

/// Takes the rows of the result, from the top.
trait Sink {
    /// Where the coming row is to be written.
    fn line(&mut self) -> &mut [u8];
    /// That row is complete.
    fn done(&mut self);
}

/// Rows go side by side into a picture.
struct Picture<'a> {
    rest: &'a mut [u8],
    stride: usize,
}

impl Sink for Picture<'_> {
    fn line(&mut self) -> &mut [u8] {
        &mut self.rest[..self.stride]
    }

    fn done(&mut self) {
        self.rest = std::mem::take(&mut self.rest).split_at_mut(self.stride).1;
    }
}

/// Rows are shown to a function one by one.
struct Each<'a, F> {
    line: &'a mut [u8],
    y: usize,
    take: F,
}

impl<F: FnMut(usize, &[u8])> Sink for Each<'_, F> {
    fn line(&mut self) -> &mut [u8] {
        self.line
    }

    fn done(&mut self) {
        (self.take)(self.y, self.line);
        self.y += 1;
    }
}

impl Resampler {
    /// A resampler that runs at `level`. Nothing is allocated before the first picture.
    pub fn new(level: Level) -> Self {
        Self {
            level,
            plans: Plans::default(),
            turned: Turned::default(),
            window: Vec::new(),
            strip: Vec::new(),
            line: Vec::new(),
        }
    }

    /// The level that it runs at.
    pub fn level(&self) -> Level {
        self.level
    }

    /// How often weights were calculated: stands still while sizes repeat.
    pub fn plans_made(&self) -> u64 {
        self.plans.fills()
    }

    /// Resizes `src` to `size` into `out`, which must hold exactly `size.pixels() * C` bytes.
    pub fn resize<const C: usize>(
        &mut self,
        src: Pixels<'_, C>,
        size: Size,
        filter: Filter,
        out: &mut [u8],
    ) -> Result<(), Kind> {
        let stride = stride::<C>(size)?;
        if stride.checked_mul(size.height) != Some(out.len()) {
            let message = format!(
                "{} bytes don't hold a picture of {}x{} with {C} channels",
                out.len(),
                size.width,
                size.height
            );
            return Err(Kind::Tensor { message });
        }
        self.run(src, size, filter, &mut Picture { rest: out, stride })
    }

    /// Resizes `src` to `size`, showing each finished row to `take` with its number, from the top.
    pub fn rows<const C: usize>(
        &mut self,
        src: Pixels<'_, C>,
        size: Size,
        filter: Filter,
        take: impl FnMut(usize, &[u8]),
    ) -> Result<(), Kind> {
        let mut line = std::mem::take(&mut self.line);
        let sized = stride::<C>(size).and_then(|stride| resize_buffer(&mut line, stride));
        let result = sized
            .and_then(|()| self.run(src, size, filter, &mut Each { line: &mut line, y: 0, take }));
        self.line = line;
        result
    }

    fn run<const C: usize>(
        &mut self,
        src: Pixels<'_, C>,
        size: Size,
        filter: Filter,
        sink: &mut impl Sink,
    ) -> Result<(), Kind> {
        let from = src.size();
        match (from.width != size.width, from.height != size.height) {
            (false, false) => {
                give(src.data(), from.width * C, sink);
                Ok(())
            }
            (true, false) => self.horizontally(src, size, filter, sink),
            (false, true) => self.vertically(src, size, filter, sink),
            (true, true) if vertical_first(from, size) => self.down_first(src, size, filter, sink),
            (true, true) => self.both(src, size, filter, sink),
        }
    }

    fn horizontally<const C: usize>(
        &mut self,
        src: Pixels<'_, C>,
        size: Size,
        filter: Filter,
        sink: &mut impl Sink,
    ) -> Result<(), Kind> {
        let place = self.plans.prepare(src.size().width, size.width, filter)?;
        let (stride, out_stride) = (src.size().width * C, size.width * C);
        let rows = strip_rows(self.level);
        self.turned.fit(rows, stride, out_stride)?; // also proves that rows * stride fits
        resize_buffer(&mut self.window, rows.min(size.height) * out_stride)?;
        for pixels in src.data().chunks(rows * stride) {
            let block = Block { pixels, stride, channels: C };
            let lines = &mut self.window[..pixels.len() / stride * out_stride];
            across(self.level, block, self.plans.at(place), &mut self.turned, lines);
            give(lines, out_stride, sink);
        }
        Ok(())
    }

    fn vertically<const C: usize>(
        &mut self,
        src: Pixels<'_, C>,
        size: Size,
        filter: Filter,
        sink: &mut impl Sink,
    ) -> Result<(), Kind> {
        let place = self.plans.prepare(src.size().height, size.height, filter)?;
        let plan = self.plans.at(place);
        let stride = size.width * C;
        for y in 0..size.height {
            let taps = plan.taps(y);
            blend(self.level, taps.window(src.data(), stride), taps, sink.line());
            sink.done();
        }
        Ok(())
    }

    /// Both passes, vertical first: as many output rows as make a strip, then the strip.
    fn down_first<const C: usize>(
        &mut self,
        src: Pixels<'_, C>,
        size: Size,
        filter: Filter,
        sink: &mut impl Sink,
    ) -> Result<(), Kind> {
        let wide = self.plans.prepare(src.size().width, size.width, filter)?;
        let high = self.plans.prepare(src.size().height, size.height, filter)?;
        let (wide, high) = (self.plans.at(wide), self.plans.at(high));
        let (stride, out_stride) = (src.size().width * C, size.width * C);
        let rows = strip_rows(self.level);
        self.turned.fit(rows, stride, out_stride)?; // also proves that the products fit
        resize_buffer(&mut self.window, rows * stride)?;
        resize_buffer(&mut self.strip, rows * out_stride)?;
        for first in (0..size.height).step_by(rows) {
            let count = rows.min(size.height - first);
            let shrunk = &mut self.window[..count * stride];
            for (y, line) in shrunk.chunks_exact_mut(stride).enumerate() {
                let taps = high.taps(first + y);
                blend(self.level, taps.window(src.data(), stride), taps, line);
            }
            let block = Block { pixels: shrunk, stride, channels: C };
            let lines = &mut self.strip[..count * out_stride];
            across(self.level, block, wide, &mut self.turned, lines);
            give(lines, out_stride, sink);
        }
        Ok(())
    }

    /// Both passes, horizontal first. `window` holds the horizontally resampled rows `first..first + held`.
    fn both<const C: usize>(
        &mut self,
        src: Pixels<'_, C>,
        size: Size,
        filter: Filter,
        sink: &mut impl Sink,
    ) -> Result<(), Kind> {
        let wide = self.plans.prepare(src.size().width, size.width, filter)?;
        let high = self.plans.prepare(src.size().height, size.height, filter)?;
        let (wide, high) = (self.plans.at(wide), self.plans.at(high));
        let (stride, out_stride) = (src.size().width * C, size.width * C);
        let rows = strip_rows(self.level);
        // Room for the rows of one window, for the strip that completes it, and for one more, so
        // that rows move down only every other strip.
        let room = high.longest() + 2 * rows;
        let bytes = room.checked_mul(out_stride).ok_or(Kind::OutOfMemory { bytes: u64::MAX })?;
        resize_buffer(&mut self.window, bytes)?;
        self.turned.fit(rows, stride, out_stride)?;
        let (mut first, last) = high.reach();
        let mut held = 0;
        for y in 0..size.height {
            let taps = high.taps(y);
            let end = taps.start + taps.weights.len();
            while first + held < end {
                if held + rows > room {
                    // At most `longest - 1` rows are still wanted, so now there is room. If no
                    // row that is held is wanted, then nothing is kept.
                    let gone = (taps.start - first).min(held);
                    self.window.copy_within(gone * out_stride..held * out_stride, 0);
                    first += gone;
                    held -= gone;
                }
                let next = first + held;
                let count = rows.min(last - next);
                let pixels = &src.data()[next * stride..][..count * stride];
                let block = Block { pixels, stride, channels: C };
                let lines = &mut self.window[held * out_stride..][..count * out_stride];
                across(self.level, block, wide, &mut self.turned, lines);
                held += count;
            }
            let window = (taps.start - first) * out_stride..(end - first) * out_stride;
            blend(self.level, &self.window[window], taps, sink.line());
            sink.done();
        }
        Ok(())
    }
}

impl Turned {
    /// Makes room for `rows` rows of the given bytes before and after resampling.
    fn fit(&mut self, rows: usize, stride: usize, out_stride: usize) -> Result<(), Kind> {
        let size =
            |stride: usize| rows.checked_mul(stride).ok_or(Kind::OutOfMemory { bytes: u64::MAX });
        resize_buffer(&mut self.source, size(stride)?)?;
        resize_buffer(&mut self.result, size(out_stride)?)
    }
}

/// Bytes per row of a picture of `size`, which must have pixels.
fn stride<const C: usize>(size: Size) -> Result<usize, Kind> {
    match size.width.checked_mul(C) {
        Some(stride) if size.width > 0 && size.height > 0 => Ok(stride),
        _ => Err(Kind::Tensor {
            message: format!("{}x{} is no size of a picture", size.width, size.height),
        }),
    }
}

/// Hands over finished rows of `stride` bytes.
fn give(lines: &[u8], stride: usize, sink: &mut impl Sink) {
    for line in lines.chunks_exact(stride) {
        sink.line().copy_from_slice(line);
        sink.done();
    }
}

/// Pillow 13's rule for the order of passes.
fn vertical_first(from: Size, to: Size) -> bool {
    let saved = |from: usize, to: usize| from as i128 - to as i128;
    let (rows, columns) = (saved(from.height, to.height), saved(from.width, to.width));
    rows > 0 && rows > 2 * columns
}

/// How many rows [`across`] takes at a time.
fn strip_rows(level: Level) -> usize {
    match level.dispatch() {
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx2 => avx2::ROWS,
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx512 => avx512::ROWS,
        _ => scalar::ROWS,
    }
}

/// Resamples the rows of `block` horizontally into the rows of `out`.
fn across(level: Level, block: Block<'_>, plan: &Plan, turned: &mut Turned, out: &mut [u8]) {
    match level.dispatch() {
        // SAFETY: a `Level` exists only where the CPU has the features of its kernels.
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx2 => unsafe { avx2::across(block, plan, turned, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx512 => unsafe { avx512::across(block, plan, turned, out) },
        _ => scalar::across(block, plan, turned, out),
    }
}

/// Blends the rows of `window`, each as long as `out`, into `out`.
fn blend(level: Level, window: &[u8], taps: Taps<'_>, out: &mut [u8]) {
    let done = match level.dispatch() {
        // SAFETY: a `Level` exists only where the CPU has the features of its kernels.
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx2 => unsafe { avx2::blend(window, taps, out) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx512 => unsafe { avx512::blend(window, taps, out) },
        _ => scalar::blend(window, taps, out),
    };
    if done < out.len() {
        let stride = out.len();
        scalar::blend_from(done, window, stride, taps, out);
    }
}
