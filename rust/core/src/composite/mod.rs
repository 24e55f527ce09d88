//! Colors and alpha to the cut-out: straight alpha, clean edges, a background if one is wanted.
//!
//! ```text
//! alpha *= the input's own alpha          (if it has one)
//! only_mask: alpha, cropped               -> Gray
//! colors = foreground estimation          (soft pixels only; see `foreground`)
//! no background, or a translucent color   -> Rgba: colors never multiplied by alpha, 0 where it is 0
//! an opaque color, or a picture           -> Rgb
//! ```
//!
//! Works row by row, so that a row is still in the cache when it is interleaved; whole-picture passes
//! are only those over alpha, and over colors near soft edges. Must not know where alpha and
//! colors come from, nor what becomes of the raster. Backgrounds are neither decoded nor fitted here.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod bits;
mod foreground;
mod scalar;
#[cfg(test)]
mod tests;

use crate::error::Kind;
use crate::image::{Alpha8, Pixels, Raster, Rect, Rgb8, Size, resize_buffer};
use crate::simd::{Dispatch, Level};
use foreground::Foreground;

/// Alpha below this is no subject for [`Options::crop`]: networks leave a mist of low levels, which
/// would stretch the box to the whole picture; 8 of 255 (3 %) is hardly visible.
pub const CROP_LEVEL: u8 = 8;

/// What the subject is put on.
#[derive(Clone, Copy, Debug, Default)]
pub enum Background<'a> {
    /// Nothing: the cut-out keeps its alpha.
    #[default]
    None,
    /// Red, green, blue and straight alpha. With alpha 255 the result is RGB, with 0 it is as with
    /// `None`, between them it is RGBA.
    Color([u8; 4]),
    /// An opaque picture of the input's size (before cropping): whoever calls has fitted it.
    Image(Rgb8<'a>),
}

/// What may be asked of [`Compositor::run`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Keep the colors of pixels with alpha 0 (only where there is no background).
    pub keep_hidden: bool,
    /// Estimate the subject's own color in soft pixels.
    pub decontaminate: bool,
    /// Give alpha alone, as a gray picture. Background and colors don't matter then.
    pub only_mask: bool,
    /// Multiply colors by the alpha that is shown, before they meet a background.
    pub premultiply: bool,
    /// Crop to the box of all alpha of at least [`CROP_LEVEL`] and this margin in pixels, cut at the
    /// picture's edge. A mask without such a pixel gives the whole picture.
    pub crop: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            keep_hidden: false,
            decontaminate: true,
            only_mask: false,
            premultiply: false,
            crop: None,
        }
    }
}

/// A worker's compositor: the level and the scratch, which only grows.
pub struct Compositor {
    level: Level,
    foreground: Foreground,
    /// One row of an opaque color.
    back: Vec<u8>,
    /// One row of colors times alpha.
    multiplied: Vec<u8>,
    /// Alpha times the input's own.
    product: Vec<u8>,
    out: Vec<u8>,
}

/// The network's alpha, from which colors are estimated, and the alpha that is shown.
#[derive(Clone, Copy)]
struct Planes<'a> {
    alpha: Alpha8<'a>,
    shown: Alpha8<'a>,
}

impl Compositor {
    /// A compositor whose kernels run at `level`.
    pub fn new(level: Level) -> Self {
        Compositor {
            level,
            foreground: Foreground::default(),
            back: Vec::new(),
            multiplied: Vec::new(),
            product: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Puts the picture's subject on `background`.
    ///
    /// `alpha` has one byte per pixel of `rgb`. What is shown is its product with `input_alpha`; the
    /// subject's own color is estimated from `alpha` alone, since a picture's own soft alpha is no
    /// sign of background in its colors. The raster lies in the compositor's memory until the next
    /// call.
    pub fn run<'a>(
        &'a mut self,
        rgb: Rgb8<'_>,
        alpha: &[u8],
        input_alpha: Option<Alpha8<'_>>,
        background: Background<'_>,
        options: &Options,
    ) -> Result<Raster<'a>, Kind> {
        let size = rgb.size();
        let alpha = Alpha8::new(size, alpha)?;
        // Taken out for the time of the call, so that a plane in it can be read beside `self`.
        let mut product = std::mem::take(&mut self.product);
        let result = self.show(rgb, alpha, input_alpha, &mut product, background, options);
        self.product = product;
        let (rect, channels) = result?;
        Ok(match channels {
            1 => Raster::Gray(Pixels::new(rect.size, &self.out)?),
            3 => Raster::Rgb(Pixels::new(rect.size, &self.out)?),
            _ => Raster::Rgba(Pixels::new(rect.size, &self.out)?),
        })
    }

    /// Fills `out`; says which part of the picture that is, and with how many channels.
    fn show(
        &mut self,
        rgb: Rgb8<'_>,
        alpha: Alpha8<'_>,
        input_alpha: Option<Alpha8<'_>>,
        product: &mut Vec<u8>,
        background: Background<'_>,
        options: &Options,
    ) -> Result<(Rect, usize), Kind> {
        let size = rgb.size();
        let shown = match input_alpha {
            Some(by) => {
                same(size, by.size(), "the input's alpha")?;
                resize_buffer(product, size.pixels())?;
                product.copy_from_slice(alpha.data());
                multiply(self.level, product, by.data());
                Alpha8::new(size, product)?
            }
            None => alpha,
        };
        let rect = match options.crop {
            Some(margin) => subject(shown, margin),
            None => Rect { x: 0, y: 0, size },
        };
        if options.only_mask {
            self.mask(shown, rect)?;
            return Ok((rect, 1));
        }
        let estimated =
            options.decontaminate && prepare(self.level, &mut self.foreground, rgb, alpha)?;
        let planes = Planes { alpha, shown };
        let channels = self.compose(rgb, planes, background, rect, options, estimated)?;
        Ok((rect, channels))
    }

    fn mask(&mut self, alpha: Alpha8<'_>, rect: Rect) -> Result<(), Kind> {
        resize_buffer(&mut self.out, rect.size.pixels())?;
        for (y, out) in self.out.chunks_exact_mut(rect.size.width).enumerate() {
            out.copy_from_slice(&alpha.row(rect.y + y)[rect.x..][..rect.size.width]);
        }
        Ok(())
    }

    fn compose(
        &mut self,
        rgb: Rgb8<'_>,
        planes: Planes<'_>,
        background: Background<'_>,
        rect: Rect,
        options: &Options,
        estimated: bool,
    ) -> Result<usize, Kind> {
        let background = match background {
            Background::Color([.., 0]) => Background::None,
            other => other,
        };
        let width = rect.size.width;
        let channels = match background {
            Background::None | Background::Color([.., ..=254]) => 4,
            Background::Color([r, g, b, 255]) => {
                resize_buffer(&mut self.back, 3 * width)?;
                self.back.chunks_exact_mut(3).for_each(|pixel| pixel.copy_from_slice(&[r, g, b]));
                3
            }
            Background::Image(image) => {
                same(rgb.size(), image.size(), "the background picture")?;
                3
            }
        };
        if options.premultiply {
            resize_buffer(&mut self.multiplied, 3 * width)?;
        }
        let bytes = rect.size.pixels().checked_mul(channels);
        resize_buffer(&mut self.out, bytes.ok_or(Kind::OutOfMemory { bytes: u64::MAX })?)?;
        for (y, out) in self.out.chunks_exact_mut(channels * width).enumerate() {
            let y = rect.y + y;
            let made = estimated && row(self.level, &mut self.foreground, rgb, planes.alpha, y);
            let colors = if made { self.foreground.colors() } else { rgb.row(y) };
            let colors = &colors[3 * rect.x..][..3 * width];
            let alpha = &planes.shown.row(y)[rect.x..][..width];
            let colors = if options.premultiply {
                scalar::premultiply(colors, alpha, &mut self.multiplied);
                &self.multiplied
            } else {
                colors
            };
            match background {
                Background::None => cutout(self.level, colors, alpha, out, options.keep_hidden),
                Background::Color(back @ [.., ..=254]) => {
                    scalar::over_translucent(colors, alpha, back, out);
                }
                Background::Color(_) => over(self.level, colors, alpha, &self.back, out),
                Background::Image(image) => {
                    over(self.level, colors, alpha, &image.row(y)[3 * rect.x..][..3 * width], out);
                }
            }
        }
        Ok(channels)
    }
}

fn same(wanted: Size, given: Size, what: &str) -> Result<(), Kind> {
    if wanted == given {
        return Ok(());
    }
    Err(Kind::Tensor {
        message: format!(
            "{what} is {}x{}, the picture {}x{}",
            given.width, given.height, wanted.width, wanted.height
        ),
    })
}

/// The box of all alpha of at least [`CROP_LEVEL`], with a margin; the whole picture if there is none.
fn subject(alpha: Alpha8<'_>, margin: usize) -> Rect {
    let size = alpha.size();
    let shown = |a: &u8| *a >= CROP_LEVEL;
    let (mut top, mut bottom, mut left, mut right) = (None, 0, size.width, 0);
    for y in 0..size.height {
        let row = alpha.row(y);
        // Most rows have nothing outside the box found so far: those two scans find the rest.
        let Some(first) = row.iter().position(shown) else { continue };
        top.get_or_insert(y);
        bottom = y + 1;
        left = left.min(first);
        right = row[right..].iter().rposition(shown).map_or(right, |last| right + last + 1);
    }
    let Some(top) = top else { return Rect { x: 0, y: 0, size } };
    let (x, y) = (left.saturating_sub(margin), top.saturating_sub(margin));
    let width = right.saturating_add(margin).min(size.width) - x;
    let height = bottom.saturating_add(margin).min(size.height) - y;
    Rect { x, y, size: Size { width, height } }
}

fn multiply(level: Level, alpha: &mut [u8], by: &[u8]) {
    let done = match level.dispatch() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Level` exists only where the CPU has its features (`simd`).
        Dispatch::Avx2 => unsafe { avx2::multiply(alpha, by) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Dispatch::Avx512 => unsafe { avx512::multiply(alpha, by) },
        _ => 0,
    };
    scalar::multiply(&mut alpha[done..], &by[done..]);
}

fn cutout(level: Level, rgb: &[u8], alpha: &[u8], out: &mut [u8], keep: bool) {
    let done = match level.dispatch() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Level` exists only where the CPU has its features (`simd`).
        Dispatch::Avx2 => unsafe { avx2::cutout(rgb, alpha, out, keep) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Dispatch::Avx512 => unsafe { avx512::cutout(rgb, alpha, out, keep) },
        _ => 0,
    };
    scalar::cutout(&rgb[3 * done..], &alpha[done..], &mut out[4 * done..], keep);
}

fn over(level: Level, rgb: &[u8], alpha: &[u8], back: &[u8], out: &mut [u8]) {
    let done = match level.dispatch() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Level` exists only where the CPU has its features (`simd`); AVX-512 has AVX2's.
        Dispatch::Avx2 | Dispatch::Avx512 => unsafe { avx2::over(rgb, alpha, back, out) },
        _ => 0,
    };
    scalar::over(&rgb[3 * done..], &alpha[done..], &back[3 * done..], &mut out[3 * done..]);
}

fn prepare(
    level: Level,
    state: &mut Foreground,
    rgb: Rgb8<'_>,
    alpha: Alpha8<'_>,
) -> Result<bool, Kind> {
    match level.dispatch() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Level` exists only where the CPU has its features (`simd`); AVX-512 has AVX2's.
        Dispatch::Avx2 | Dispatch::Avx512 => unsafe { avx2::prepare(state, rgb, alpha) },
        _ => foreground::prepare::<scalar::Scalar>(state, rgb, alpha),
    }
}

fn row(level: Level, state: &mut Foreground, rgb: Rgb8<'_>, alpha: Alpha8<'_>, y: usize) -> bool {
    match level.dispatch() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a `Level` exists only where the CPU has its features (`simd`); AVX-512 has AVX2's.
        Dispatch::Avx2 | Dispatch::Avx512 => unsafe { avx2::row(state, rgb, alpha, y) },
        _ => foreground::row::<scalar::Scalar>(state, rgb, alpha, y),
    }
}
