//! From RGB8 to the network's input: resize, normalize, and move from interleaved pixels (HWC) to
//! planes (NCHW), straight into the caller's tensor.
//!
//! ```text
//! value = (level / scale - mean) / std = level * factor + offset
//!     factor = 1 / (scale * std), offset = -mean / std, both from float64, one fused multiply-add
//!     scale  = 255, or the largest level of the resized picture (at least 1e-6)
//! ```
//!
//! The fused form differs from the formula in float64 by at most 1e-6 and is the definition that
//! all levels equal bit for bit. With a scale of 255 each row is normalized as soon as it is
//! resized, while it is in the first-level cache; with the maximum, the resized picture has to be
//! complete first. Colors are converted to sRGB after resizing, since the small picture is a
//! hundred times cheaper to convert than a photo; before or after differs only where the profile's
//! curve bends between neighbors.
//! Must not know files, profiles or what the network is. Left out: BGR order, 16-bit tensors.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;
#[cfg(test)]
mod tests;

use crate::error::Kind;
use crate::image::{Rect, Rgb8, Size, resize_buffer};
use crate::recipe::{Fit, Geometry, Input, Scale};
use crate::resample::Resampler;
use crate::simd::{Dispatch, Level};

/// The longest tensor that `Fit::ShortSide` makes, in units of its short side. Pictures that are
/// longer still are squashed to it, so that the tensor is bounded.
const LONGEST_ASPECT: usize = 8;

/// value = level * factor + offset, per channel.
#[derive(Clone, Copy, Debug)]
struct Affine {
    factor: [f32; 3],
    offset: [f32; 3],
}

impl Affine {
    fn new(input: &Input, scale: f64) -> Self {
        let mut affine = Affine { factor: [0.0; 3], offset: [0.0; 3] };
        for c in 0..3 {
            let (mean, std) = (f64::from(input.mean[c]), f64::from(input.std[c]));
            affine.factor[c] = (1.0 / (scale * std)) as f32;
            affine.offset[c] = (-mean / std) as f32;
        }
        affine
    }

    /// The definition, for one level of channel `c`.
    #[inline(always)]
    fn apply(&self, c: usize, level: u8) -> f32 {
        f32::from(level).mul_add(self.factor[c], self.offset[c])
    }
}

/// Converts interleaved RGB rows to sRGB in place.
pub type ToSrgb<'a> = dyn FnMut(&mut [u8]) + 'a;

/// One row of three planes.
type Planes<'a> = [&'a mut [f32]; 3];

/// The tensor for a picture of size `image`, and where in it the picture lies.
pub fn geometry(input: &Input, image: Size) -> Geometry {
    let (tensor, content) = match input.fit {
        Fit::Squash { size } => (size, size),
        Fit::Letterbox { size, .. } => (size, inside(image, size)),
        Fit::LongSide { side, multiple } => {
            let scale = side as f64 / image.width.max(image.height) as f64;
            let size = scaled(image, scale, multiple, usize::MAX);
            (size, size)
        }
        Fit::ShortSide { side, multiple } => {
            let scale = side as f64 / image.width.min(image.height) as f64;
            let size = scaled(image, scale, multiple, LONGEST_ASPECT.saturating_mul(side));
            (size, size)
        }
    };
    let x = (tensor.width - content.width) / 2;
    let y = (tensor.height - content.height) / 2;
    Geometry { tensor, content: Rect { x, y, size: content } }
}

/// The largest tensor that [`geometry`] can give: what a slot must hold.
pub fn largest(input: &Input) -> Size {
    match input.fit {
        Fit::Squash { size } | Fit::Letterbox { size, .. } => size,
        Fit::LongSide { side, multiple } => {
            let side = rounded(side as f64, multiple);
            Size { width: side, height: side }
        }
        Fit::ShortSide { side, multiple } => Size {
            width: rounded(LONGEST_ASPECT.saturating_mul(side) as f64, multiple),
            height: rounded(side as f64, multiple),
        },
    }
}

/// The largest size with the aspect of `image` that fits into `frame`.
fn inside(image: Size, frame: Size) -> Size {
    let fit = |frame: usize, image: usize| frame as f64 / image as f64;
    let scale = fit(frame.width, image.width).min(fit(frame.height, image.height));
    let side = |image: usize, frame: usize| ((image as f64 * scale + 0.5) as usize).clamp(1, frame);
    Size { width: side(image.width, frame.width), height: side(image.height, frame.height) }
}

fn scaled(image: Size, scale: f64, multiple: usize, most: usize) -> Size {
    let side = |image: usize| rounded((image as f64 * scale).min(most as f64), multiple);
    Size { width: side(image.width), height: side(image.height) }
}

/// The nearest multiple, halves up, at least one.
fn rounded(side: f64, multiple: usize) -> usize {
    let multiple = multiple.max(1);
    ((side / multiple as f64 + 0.5) as usize).max(1).saturating_mul(multiple)
}

/// Resizes and normalizes; owns the scratch for it.
#[derive(Debug)]
pub struct Preprocessor {
    level: Level,
    resampler: Resampler,
    /// The resized picture, or one row of it.
    resized: Vec<u8>,
}

impl Preprocessor {
    /// A preprocessor that runs at `level`.
    pub fn new(level: Level) -> Self {
        Self { level, resampler: Resampler::new(level), resized: Vec::new() }
    }

    /// Writes the tensor for `image` to `out`, whole: (3, height, width) of the returned geometry.
    ///
    /// `to_srgb` converts interleaved RGB rows in place, after resizing. `out` must hold exactly
    /// three planes of `geometry(input, image.size()).tensor`.
    pub fn run(
        &mut self,
        image: Rgb8<'_>,
        input: &Input,
        to_srgb: Option<&mut ToSrgb<'_>>,
        out: &mut [f32],
    ) -> Result<Geometry, Kind> {
        let geometry = geometry(input, image.size());
        let plane = geometry.tensor.width.checked_mul(geometry.tensor.height);
        if plane.and_then(|plane| plane.checked_mul(3)) != Some(out.len()) {
            let Size { width, height } = geometry.tensor;
            let message = format!("{} floats don't hold a tensor of {width}x{height}", out.len());
            return Err(Kind::Tensor { message });
        }
        let mut tensor = Tensor { level: self.level, geometry, out };
        match input.scale {
            Scale::Full => {
                let affine = Affine::new(input, 255.0);
                tensor.fill_border(input.fit, &affine);
                self.by_rows(image, input, to_srgb, &mut tensor, &affine)?;
            }
            Scale::Maximum => self.by_maximum(image, input, to_srgb, &mut tensor)?,
        }
        Ok(geometry)
    }

    /// Each row is normalized as soon as it is there.
    fn by_rows(
        &mut self,
        image: Rgb8<'_>,
        input: &Input,
        mut to_srgb: Option<&mut ToSrgb<'_>>,
        tensor: &mut Tensor<'_>,
        affine: &Affine,
    ) -> Result<(), Kind> {
        let Self { resampler, resized, .. } = self;
        let size = tensor.geometry.content.size;
        resize_buffer(resized, size.width.saturating_mul(3))?;
        resampler.rows(image, size, input.filter, |y, row| match &mut to_srgb {
            Some(convert) => {
                let own = &mut resized[..row.len()];
                own.copy_from_slice(row);
                convert(own);
                tensor.write_row(y, own, affine);
            }
            None => tensor.write_row(y, row, affine),
        })
    }

    /// The whole picture first, for its largest level.
    fn by_maximum(
        &mut self,
        image: Rgb8<'_>,
        input: &Input,
        to_srgb: Option<&mut ToSrgb<'_>>,
        tensor: &mut Tensor<'_>,
    ) -> Result<(), Kind> {
        let Self { resampler, resized, .. } = self;
        let size = tensor.geometry.content.size;
        resize_buffer(resized, size.pixels() * 3)?;
        resampler.resize(image, size, input.filter, resized)?;
        if let Some(convert) = to_srgb {
            convert(resized);
        }
        let maximum = resized.iter().fold(0, |most, &level| most.max(level));
        let affine = Affine::new(input, f64::from(maximum).max(1e-6));
        tensor.fill_border(input.fit, &affine);
        for (y, row) in resized.chunks_exact(size.width * 3).enumerate() {
            tensor.write_row(y, row, &affine);
        }
        Ok(())
    }
}

/// The tensor being written.
struct Tensor<'a> {
    level: Level,
    geometry: Geometry,
    out: &'a mut [f32],
}

impl Tensor<'_> {
    /// Fills all that no picture row will, if there is such a border.
    fn fill_border(&mut self, fit: Fit, affine: &Affine) {
        let Fit::Letterbox { fill, .. } = fit else { return };
        if self.geometry.content.size == self.geometry.tensor {
            return;
        }
        let plane = self.geometry.tensor.pixels();
        for (c, values) in self.out.chunks_exact_mut(plane).enumerate() {
            values.fill(affine.apply(c, fill));
        }
    }

    /// Normalizes row `y` of the picture into its place in the three planes.
    fn write_row(&mut self, y: usize, rgb: &[u8], affine: &Affine) {
        let Geometry { tensor, content } = self.geometry;
        let plane = tensor.pixels();
        let start = (content.y + y) * tensor.width + content.x;
        let range = start..start + content.size.width;
        let (red, rest) = self.out.split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        let planes = [&mut red[range.clone()], &mut green[range.clone()], &mut blue[range]];
        normalize(self.level, rgb, affine, planes);
    }
}

/// One row of pixels into one row of each plane; all three planes have `rgb.len() / 3` values.
fn normalize(level: Level, rgb: &[u8], affine: &Affine, mut planes: Planes<'_>) {
    let done = match level.dispatch() {
        // SAFETY: a `Level` exists only where the CPU has the features of its kernels.
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx2 => unsafe { avx2::normalize(rgb, affine, &mut planes) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Dispatch::Avx512 => unsafe { avx512::normalize(rgb, affine, &mut planes) },
        _ => 0,
    };
    scalar::normalize(&rgb[done * 3..], affine, planes.map(|plane| &mut plane[done..]));
}
