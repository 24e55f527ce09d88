//! A background picture, fitted to whatever size an image turns out to have.
//!
//! Cover fit: scaled until it covers the image, centered, the rest cut off. Each worker keeps the
//! last fit, since photos of one batch tend to share a size. Must not know where pixels end up.

use std::path::Path;
use std::sync::Arc;

use crate::decode::{Decoder, Image, Limits};
use crate::error::{Error, Kind, Stage};
use crate::image::{Pixels, Rect, Rgb8, Size, resize_buffer};
use crate::mapped::{self, Mapped};
use crate::recipe::Filter;
use crate::resample::Resampler;

/// A decoded background picture, shared by all workers.
#[derive(Debug)]
pub struct Picture {
    /// Width and height.
    pub size: Size,
    /// RGB8.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// Reads and decodes the picture at `path`.
    pub fn open(path: &Path, limits: &Limits) -> Result<Arc<Picture>, Error> {
        let mut scratch = Vec::new();
        let mut image = Image::default();
        let mapped = Mapped::open(path, &mut scratch, mapped::Options::default())
            .map_err(|kind| kind.at(Stage::Map, Some(path)))?;
        let decoded = Decoder::default().decode(mapped.bytes(), limits, &mut image);
        mapped.check().map_err(|kind| kind.at(Stage::Map, Some(path)))?;
        decoded.map_err(|kind| kind.at(Stage::Decode, Some(path)))?;
        Ok(Arc::new(Picture { size: image.size, rgb: image.rgb }))
    }
}

/// One worker's fitted copy.
#[derive(Debug, Default)]
pub struct Backdrop {
    cropped: Vec<u8>,
    fitted: Vec<u8>,
    /// Which picture at which size `fitted` holds.
    holds: Option<(Arc<Picture>, Size)>,
}

/// The centered part of `picture` that has the aspect of `image`.
fn cover(picture: Size, image: Size) -> Rect {
    // Compare aspects by cross products, in u64 so that two 65,535-pixel sides fit.
    let wide = picture.width as u64 * image.height as u64;
    let tall = picture.height as u64 * image.width as u64;
    let size = if wide > tall {
        let width = (tall / image.height as u64).max(1) as usize;
        Size { width, height: picture.height }
    } else {
        let height = (wide / image.width as u64).max(1) as usize;
        Size { width: picture.width, height }
    };
    Rect { x: (picture.width - size.width) / 2, y: (picture.height - size.height) / 2, size }
}

impl Backdrop {
    /// `picture` at exactly `size`.
    pub fn fit(
        &mut self,
        picture: &Arc<Picture>,
        size: Size,
        resampler: &mut Resampler,
    ) -> Result<Rgb8<'_>, Kind> {
        let fresh =
            matches!(&self.holds, Some((held, at)) if Arc::ptr_eq(held, picture) && *at == size);
        if !fresh {
            self.holds = None;
            let part = cover(picture.size, size);
            resize_buffer(&mut self.cropped, part.size.pixels() * 3)?;
            for (y, row) in self.cropped.chunks_exact_mut(part.size.width * 3).enumerate() {
                let start = ((part.y + y) * picture.size.width + part.x) * 3;
                row.copy_from_slice(&picture.rgb[start..start + row.len()]);
            }
            resize_buffer(&mut self.fitted, size.pixels() * 3)?;
            let source = Pixels::<3>::new(part.size, &self.cropped)?;
            resampler.resize(source, size, Filter::Bilinear, &mut self.fitted)?;
            self.holds = Some((Arc::clone(picture), size));
        }
        Pixels::new(size, &self.fitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;

    #[test]
    fn cover_keeps_the_aspect_and_the_center() {
        let size = |width, height| Size { width, height };
        let part = cover(size(400, 100), size(50, 50));
        assert_eq!(part, Rect { x: 150, y: 0, size: size(100, 100) });
        let part = cover(size(100, 400), size(60, 30));
        assert_eq!(part, Rect { x: 0, y: 175, size: size(100, 50) });
        assert_eq!(cover(size(1, 1), size(65_535, 1)).size, size(1, 1));
    }

    #[test]
    fn a_new_size_refits_and_the_same_size_does_not() {
        let picture = Arc::new(Picture {
            size: Size { width: 2, height: 1 },
            rgb: vec![10, 20, 30, 10, 20, 30],
        });
        let mut backdrop = Backdrop::default();
        let mut resampler = Resampler::new(Level::SCALAR);
        for (width, height) in [(5, 7), (5, 7), (9, 2)] {
            let size = Size { width, height };
            let fitted = backdrop.fit(&picture, size, &mut resampler).unwrap();
            assert_eq!(fitted.size(), size);
            assert!(fitted.data().chunks(3).all(|p| p == [10, 20, 30]));
        }
    }
}
