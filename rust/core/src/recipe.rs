//! How a network wants its input and what its output means: data, never branches elsewhere.
//!
//! A recipe comes from the registry (or a TOML file, or a guess from the graph) and is plain
//! fields. The stages read the part that is theirs.

use crate::image::Size;

/// Resampling filters, as Pillow defines them (antialiased: the support grows with the reduction).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// Triangle, support 1.
    Bilinear,
    /// Windowed sinc, a = 3.
    Lanczos,
}

/// How the picture is fitted to the tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Both sides stretched to `size`, aspect ignored.
    Squash {
        /// Tensor size.
        size: Size,
    },
    /// Aspect kept, centred in `size`, the rest filled with grey level `fill`.
    Letterbox {
        /// Tensor size.
        size: Size,
        /// Level 0 to 255 of the border, before normalising.
        fill: u8,
    },
    /// The shorter side becomes `side`; both are rounded to the nearest `multiple` (at least one).
    ShortSide {
        /// Pixels.
        side: usize,
        /// Both sides are multiples of this.
        multiple: usize,
    },
    /// The longer side becomes `side`; both are rounded to the nearest `multiple` (at least one).
    LongSide {
        /// Pixels.
        side: usize,
        /// Both sides are multiples of this.
        multiple: usize,
    },
}

/// What a level is divided by before mean and std.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// 255.
    Full,
    /// The largest level in the resized picture, at least 1e-6 (rembg's habit).
    Maximum,
}

/// The input half of a recipe: value = (level / scale - mean) / std, channel order RGB, NCHW.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// Geometry.
    pub fit: Fit,
    /// Filter of the reduction.
    pub filter: Filter,
    /// Divisor.
    pub scale: Scale,
    /// Per channel, in units of the scaled level.
    pub mean: [f32; 3],
    /// Per channel, not 0.
    pub std: [f32; 3],
}

/// What turns the network's numbers into 0..1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// They already are.
    None,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// e^x of the chosen channel over the sum of all channels.
    Softmax,
}

/// How 0..1 becomes 0..255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// floor(255 p): rembg's habit.
    Truncate,
    /// floor(255 p + 0.5).
    Nearest,
}

/// The output half of a recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// Which channel of the output tensor is the subject.
    pub channel: usize,
    /// Applied first.
    pub activation: Activation,
    /// Stretch the map to 0..1 by its own minimum and maximum (a constant map is left as it is, clipped).
    pub min_max: bool,
    /// Applied last.
    pub rounding: Rounding,
    /// Filter from the tensor's size to the picture's.
    pub filter: Filter,
    /// Move alpha's edges to the picture's, unless a caller says otherwise.
    pub refine: bool,
}

/// A model's recipe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// How to fill the input tensor.
    pub input: Input,
    /// How to read the output tensor.
    pub output: Output,
}

/// Where the picture lies inside the tensor: the whole of it, except for a letterbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Height and width of the tensor.
    pub tensor: Size,
    /// The part of it that shows the picture.
    pub content: crate::image::Rect,
}
