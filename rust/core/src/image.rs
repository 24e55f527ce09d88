//! Borrowed views of pixels, and sizes. Rows are contiguous, without padding.
//!
//! Views borrow; the scratch buffers behind them belong to the worker. Nothing here knows a
//! file format, a kernel or a stage.

use crate::error::Kind;

/// Width and height in pixels, both at least 1 in a valid image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Size {
    /// Pixels in all. Sizes that reach this call have passed the limits, so it can't overflow.
    pub const fn pixels(self) -> usize {
        self.width * self.height
    }
}

/// A rectangle inside an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rect {
    /// Left edge.
    pub x: usize,
    /// Top edge.
    pub y: usize,
    /// Width and height.
    pub size: Size,
}

/// Interleaved 8-bit pixels of `C` channels.
#[derive(Clone, Copy, Debug)]
pub struct Pixels<'a, const C: usize> {
    size: Size,
    data: &'a [u8],
}

/// Interleaved red, green, blue.
pub type Rgb8<'a> = Pixels<'a, 3>;
/// One 8-bit plane: 0 is background, 255 is subject.
pub type Alpha8<'a> = Pixels<'a, 1>;
/// Interleaved red, green, blue and straight alpha.
pub type Rgba8<'a> = Pixels<'a, 4>;

impl<'a, const C: usize> Pixels<'a, C> {
    /// A view of `data`, which must hold exactly `width * height * C` bytes, with both sides > 0.
    pub fn new(size: Size, data: &'a [u8]) -> Result<Self, Kind> {
        let wanted = size.width.checked_mul(size.height).and_then(|n| n.checked_mul(C));
        if size.width == 0 || size.height == 0 || wanted != Some(data.len()) {
            return Err(Kind::Tensor {
                message: format!(
                    "{} bytes are no image of {}x{} with {C} channels",
                    data.len(),
                    size.width,
                    size.height
                ),
            });
        }
        Ok(Self { size, data })
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// All bytes, row after row.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Row `y`, of `width * C` bytes.
    pub fn row(&self, y: usize) -> &'a [u8] {
        let stride = self.size.width * C;
        &self.data[y * stride..(y + 1) * stride]
    }
}

/// What `encode` takes: 1 (grey or mask), 3 (RGB) or 4 (RGBA, straight) channels of 8 bits.
#[derive(Clone, Copy, Debug)]
pub enum Raster<'a> {
    /// A mask.
    Gray(Alpha8<'a>),
    /// An opaque picture.
    Rgb(Rgb8<'a>),
    /// A cut-out.
    Rgba(Rgba8<'a>),
}

impl<'a> Raster<'a> {
    /// Width and height.
    pub fn size(&self) -> Size {
        match self {
            Raster::Gray(p) => p.size(),
            Raster::Rgb(p) => p.size(),
            Raster::Rgba(p) => p.size(),
        }
    }

    /// All bytes, row after row.
    pub fn data(&self) -> &'a [u8] {
        match self {
            Raster::Gray(p) => p.data(),
            Raster::Rgb(p) => p.data(),
            Raster::Rgba(p) => p.data(),
        }
    }

    /// Bytes per pixel.
    pub fn channels(&self) -> usize {
        match self {
            Raster::Gray(_) => 1,
            Raster::Rgb(_) => 3,
            Raster::Rgba(_) => 4,
        }
    }
}

/// Physical density, carried from the input's header to the output's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Density {
    /// Dots per inch, horizontally.
    pub x_dpi: f64,
    /// Dots per inch, vertically.
    pub y_dpi: f64,
}

/// Makes `buffer` hold exactly `len` elements, reporting a lack of memory instead of aborting.
/// Grows to the high-water mark and never gives memory back, so a warm worker allocates nothing.
/// Contents are unspecified (old or default values).
pub fn resize_buffer<T: Clone + Default>(buffer: &mut Vec<T>, len: usize) -> Result<(), Kind> {
    if len > buffer.len() {
        let more = len - buffer.len();
        buffer.try_reserve_exact(more).map_err(|_| Kind::OutOfMemory {
            bytes: (len as u64).saturating_mul(size_of::<T>() as u64),
        })?;
    }
    buffer.resize(len, T::default());
    Ok(())
}
