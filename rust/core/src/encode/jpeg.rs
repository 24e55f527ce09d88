//! JPEG, for opaque pictures and masks, through `jpeg-encoder` (baseline, AVX2 where it is).
//!
//! Below quality 90 the crate halves the color's resolution, as others do. The tag is a comment
//! that is put in after the JFIF header, for the crate can't write one.
//! Source: ITU-T T.81 B.2.4.5 (COM), JFIF 1.02 (density), ICC.1:2022 B.4 (profiles in segments).
//! Left out: progressive files, and alpha, which the format hasn't got.

use jpeg_encoder::{ColorType, EncodingError, PixelDensity, PixelDensityUnit};

use super::{Format, Meta, failed};
use crate::error::Kind;
use crate::image::{Density, Raster};

const DEFAULT_QUALITY: u8 = 90;

/// Where the JFIF header begins: after the two bytes that start the picture.
const JFIF_START: usize = 2;

pub(super) fn write(
    raster: Raster<'_>,
    meta: &Meta<'_>,
    quality: Option<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Kind> {
    let color = match raster {
        Raster::Gray(_) => ColorType::Luma,
        Raster::Rgb(_) => ColorType::Rgb,
        Raster::Rgba(_) => {
            return Err(failed(Format::Jpeg, "it can't be transparent: choose a background"));
        }
    };
    let failed = |error: EncodingError| failed(Format::Jpeg, error);
    let quality = quality.unwrap_or(DEFAULT_QUALITY).clamp(1, 100);
    let mut encoder = jpeg_encoder::Encoder::new(&mut *out, quality);
    if let Some(density) = meta.density {
        encoder.set_density(per_inch(density));
    }
    if let Some(icc) = meta.icc {
        encoder.add_icc_profile(icc).map_err(failed)?;
    }
    // Both sides are at most 65535: checked by the caller.
    let (width, height) = (raster.size().width as u16, raster.size().height as u16);
    encoder.encode(raster.data(), width, height, color).map_err(failed)?;
    comment(meta.digest, out)
}

/// Dots per inch as whole numbers of 16 bits: the format has no others.
fn per_inch(density: Density) -> PixelDensity {
    let whole = |dpi: f64| dpi.round().clamp(1.0, f64::from(u16::MAX)) as u16;
    PixelDensity {
        density: (whole(density.x_dpi), whole(density.y_dpi)),
        unit: PixelDensityUnit::Inches,
    }
}

/// Puts a comment after the JFIF header.
fn comment(text: &str, out: &mut Vec<u8>) -> Result<(), Kind> {
    if text.is_empty() {
        return Ok(());
    }
    let Some(&[0xFF, 0xE0, high, low]) = out.get(JFIF_START..JFIF_START + 4) else {
        return Err(failed(Format::Jpeg, "the encoder wrote no JFIF header"));
    };
    let at = (JFIF_START + 2 + usize::from(u16::from_be_bytes([high, low]))).min(out.len());
    // A tag is far shorter than 64 KiB: checked by the caller.
    let [high, low] = (text.len() as u16 + 2).to_be_bytes();
    let segment = [0xFF, 0xFE, high, low].into_iter().chain(text.bytes());
    out.splice(at..at, segment);
    Ok(())
}
