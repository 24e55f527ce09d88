//! From the network's output to alpha: activation, min-max, rounding, and up to the picture's size.
//!
//! ```text
//! p = logit                             (activation none)
//!   = 1 / (1 + e^-logit)                (sigmoid)
//!   = 1 / sum of e^(logit_k - logit)    (softmax, k over all channels)
//! p = (p - min) / (max - min)           (min-max; a constant map is left as it is)
//! a = floor(255 p) or floor(255 p + 0.5), clipped to 0..255
//! ```
//!
//! then `a`, 8 bits, is resized with the recipe's filter. Of a letterbox only the part that shows
//! the picture is used, for min and max too. Subtraction, division and multiplication are separate
//! float32 operations, as in the NumPy code that such recipes come from, so that levels agree.
//!
//! The kernels of this stage are plain loops over floats that the compiler turns into vector code
//! by itself: `scalar.rs` is the one text, and `avx2.rs` and `avx512.rs` compile it once more with
//! their features. No operation is reordered, so all levels are equal bit for bit. Softmax, which
//! few models need, stays scalar.
//! A map with values that are no numbers is refused: no mask can be made of it.
//! Must not know the engine. What is done to alpha after the recipe is in `edges` and [`refine`].

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod edges;
pub mod refine;
mod scalar;
#[cfg(test)]
mod tests;

use self::edges::Edges;
use crate::error::Kind;
use crate::image::{Alpha8, Pixels, Rect, Rgb8, Size, resize_buffer};
use crate::recipe::{Activation, Geometry, Output, Rounding};
use crate::resample::Resampler;
use crate::simd::{Dispatch, Level};

/// Turns logits into alpha; owns the scratch for it.
#[derive(Debug)]
pub struct Masker {
    level: Level,
    resampler: Resampler,
    probability: Vec<f32>,
    small: Vec<u8>,
    /// Of `small`.
    size: Size,
    edges: Edges,
}

/// How probabilities become levels: a = trunc(255 * ((p - low) / span) + bias), clipped.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    low: f32,
    span: f32,
    bias: f32,
}

impl Masker {
    /// A masker that runs at `level`.
    pub fn new(level: Level) -> Self {
        Self {
            level,
            resampler: Resampler::new(level),
            probability: Vec::new(),
            small: Vec::new(),
            size: Size::default(),
            edges: Edges::default(),
        }
    }

    /// Writes the alpha plane of a picture of size `image` to `alpha` (resized to fit).
    ///
    /// `logits` is (channels, map.height, map.width). `geometry` is what filled the input tensor;
    /// the map may be smaller or larger than that tensor.
    #[allow(clippy::too_many_arguments)] // each is another thing; a struct would only rename them
    pub fn run(
        &mut self,
        logits: &[f32],
        channels: usize,
        map: Size,
        geometry: &Geometry,
        output: &Output,
        image: Size,
        alpha: &mut Vec<u8>,
    ) -> Result<(), Kind> {
        let plane = map.width.checked_mul(map.height).filter(|&plane| plane > 0);
        let whole = plane.and_then(|plane| plane.checked_mul(channels));
        let Some(plane) = plane.filter(|_| whole == Some(logits.len())) else {
            return Err(unusable(format!("{} floats are not the network's output", logits.len())));
        };
        if output.channel >= channels {
            let message = format!("there is no channel {} among {channels}", output.channel);
            return Err(unusable(message));
        }
        if scalar::has_nan(logits) {
            return Err(unusable("the network gave values that are no numbers".to_owned()));
        }
        let content = shown(geometry, map);
        self.activate(logits, plane, map, content, output)?;
        self.quantize(content.size, output)?;
        self.size = content.size;
        resize_buffer(alpha, image.pixels())?;
        let small = Pixels::<1>::new(content.size, &self.small)?;
        self.resampler.resize(small, image, output.filter, alpha)
    }

    /// Moves the edges of `alpha`, which [`Masker::run`] has just made, to those of the picture.
    pub fn sharpen(&mut self, photo: Rgb8<'_>, alpha: &mut [u8]) -> Result<(), Kind> {
        Alpha8::new(photo.size(), alpha)?;
        let map = Alpha8::new(self.size, &self.small)?;
        self.edges.run(map, photo, alpha)
    }

    /// Fills `probability` with the part of the chosen channel that shows the picture.
    fn activate(
        &mut self,
        logits: &[f32],
        plane: usize,
        map: Size,
        content: Rect,
        output: &Output,
    ) -> Result<(), Kind> {
        resize_buffer(&mut self.probability, content.size.pixels())?;
        let chosen = &logits[output.channel * plane..][..plane];
        let width = content.size.width;
        for (y, row) in self.probability.chunks_exact_mut(width).enumerate() {
            let start = (content.y + y) * map.width + content.x;
            row.copy_from_slice(&chosen[start..start + width]);
            if output.activation == Activation::Softmax {
                scalar::softmax(logits, plane, start, row);
            }
        }
        let values = &mut self.probability;
        match (output.activation, self.level.dispatch()) {
            (Activation::Softmax, _) => {}
            (Activation::None, _) => scalar::tame(values),
            // SAFETY: a `Level` exists only where the CPU has the features of its kernels.
            #[cfg(target_arch = "x86_64")]
            (Activation::Sigmoid, Dispatch::Avx2) => unsafe { avx2::sigmoid(values) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Activation::Sigmoid, Dispatch::Avx512) => unsafe { avx512::sigmoid(values) },
            (Activation::Sigmoid, _) => scalar::sigmoid(values),
        }
        Ok(())
    }

    /// Fills `small` with the levels of `probability`.
    fn quantize(&mut self, size: Size, output: &Output) -> Result<(), Kind> {
        resize_buffer(&mut self.small, size.pixels())?;
        let bias = match output.rounding {
            Rounding::Truncate => 0.0,
            Rounding::Nearest => 0.5,
        };
        let mut stretch = Stretch { low: 0.0, span: 1.0, bias };
        if output.min_max {
            let (low, high) = scalar::range(&self.probability);
            if high > low {
                stretch = Stretch { low, span: high - low, bias };
            }
        }
        let (values, levels) = (&self.probability, &mut self.small);
        match self.level.dispatch() {
            // SAFETY: a `Level` exists only where the CPU has the features of its kernels.
            #[cfg(target_arch = "x86_64")]
            Dispatch::Avx2 => unsafe { avx2::quantize(values, stretch, levels) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Dispatch::Avx512 => unsafe { avx512::quantize(values, stretch, levels) },
            _ => scalar::quantize(values, stretch, levels),
        }
        Ok(())
    }
}

/// The part of the map that shows the picture: `content`, scaled from the tensor to the map.
fn shown(geometry: &Geometry, map: Size) -> Rect {
    let Geometry { tensor, content } = *geometry;
    let scale = |at: usize, map: usize, tensor: usize| {
        (at as u64 * map as u64 + tensor as u64 / 2) / tensor.max(1) as u64
    };
    let span = |start: usize, length: usize, map: usize, tensor: usize| {
        let first = (scale(start, map, tensor) as usize).min(map - 1);
        let end = (scale(start + length, map, tensor) as usize).clamp(first + 1, map);
        (first, end - first)
    };
    let (x, width) = span(content.x, content.size.width, map.width, tensor.width);
    let (y, height) = span(content.y, content.size.height, map.height, tensor.height);
    Rect { x, y, size: Size { width, height } }
}

fn unusable(message: String) -> Kind {
    Kind::Tensor { message }
}
