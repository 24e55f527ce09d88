//! JPEG: the container, its metadata and its color models. The samples come from `jpeg/`.
//!
//! The decoder is written here because the masks of known models should equal those that other
//! programs make of the same file, and one level of noise in a photo moves 1.2 % of a mask's
//! pixels. Measured on 300 street photos (4:2:0) against libjpeg-turbo 3.2 as in Pillow 13:
//!
//! | decoder                        | equal photos | greatest difference | samples differ | time |
//! |--------------------------------|--------------|---------------------|----------------|------|
//! | this one (AVX2)                | 300          | 0                   | 0              | 1    |
//! | zune-jpeg 0.5                  | 0            | 14                  | 9.4 %          | 1.1  |
//! | jpeg-decoder 0.3               | 0            | 4                   | 5.8 %          | 1.2  |
//! | mozjpeg-sys 2.2 (without nasm) | 300          | 0                   | 0              | 2.4  |
//!
//! (Times: 100 photos on one core of an AMD EPYC with AVX2, median ratio of six interleaved runs
//! on a busy machine. For a 4032x3024 picture the ratios were 1, 1.6, 2.2 and 3.1.)
//!
//! zune-jpeg rounds differently in the transform, between the two directions of upsampling and
//! in the color transform, and on pictures narrower than a block it smooths where libjpeg
//! repeats (up to 39 levels). mozjpeg-sys is C, and slow without an assembler.
//!
//! Here the segments before the first scan are walked, so that sizes and variants are judged
//! before anything is allocated, and so that the color model is decided by libjpeg's rules (JFIF
//! first, then Adobe's marker, then the components' names). Ink is taken as inverted, as Adobe
//! writes it and as Pillow reads it.
//! Left out: 12 bits, arithmetic coding, lossless and hierarchical variants (refused by name), a
//! height given after the scan (DNL), gain maps and other pictures after the first.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod entropy;
mod frame;
mod idct;
mod rows;

use std::ops::Range;

use self::frame::{Frame, Sink};
use self::rows::Plane;
use super::unsupported;
use super::{Format, Found, Image, Limits, Scratch, Space, admit, corrupt, density, truncated};
use crate::error::Kind;
use crate::image::resize_buffer;
use crate::simd::Level;

pub(super) use self::frame::Planes;

const FORMAT: Format = Format::Jpeg;

pub(super) fn decode(
    bytes: &[u8],
    limits: &Limits,
    scratch: &mut Scratch,
    out: &mut Image,
) -> Result<Found, Kind> {
    let header = Header::read(bytes)?;
    header.check_variant()?;
    let size = admit(FORMAT, header.width.into(), header.height.into(), limits)?;
    let model = header.color_model()?;
    let mut found = Found { space: Space::Rgb, orientation: 1 };
    header.metadata(limits, &mut found, out)?;

    let progressive = header.frame == 0xC2;
    let mut frame = Frame::new(bytes, scratch.level, header.frame_data, progressive, size)?;
    out.prepare(size, false)?;
    for row in &mut scratch.jpeg_rows {
        resize_buffer(row, frame.padded_width())?;
    }
    let to = match model {
        Model::Cmyk | Model::Ycck => {
            found.space = Space::Cmyk;
            resize_buffer(&mut scratch.staging, 4 * size.pixels())?;
            &mut scratch.staging
        }
        Model::Gray => {
            found.space = Space::Gray;
            &mut out.rgb
        }
        Model::YCbCr | Model::Rgb => &mut out.rgb,
    };
    let mut painter = Painter {
        model,
        level: scratch.level,
        width: size.width,
        rows: &mut scratch.jpeg_rows,
        to,
    };
    frame.decode(&mut scratch.jpeg, &mut painter)?;
    Ok(found)
}

/// Makes pixels of finished rows.
struct Painter<'a> {
    model: Model,
    level: Level,
    width: usize,
    rows: &'a mut [Vec<u8>; 4],
    to: &'a mut [u8],
}

impl Sink for Painter<'_> {
    fn rows(&mut self, planes: &[Plane<'_>], range: Range<usize>) {
        for y in range {
            let mut full: [&[u8]; 4] = [&[]; 4];
            for ((full, plane), row) in full.iter_mut().zip(planes).zip(self.rows.iter_mut()) {
                *full = &plane.full_row(self.level, y, row)[..self.width];
            }
            let channels = if planes.len() == 4 { 4 } else { 3 };
            let to = &mut self.to[y * self.width * channels..][..self.width * channels];
            let [a, b, c, k] = full;
            match self.model {
                Model::YCbCr => rows::color_row(self.level, a, b, c, to),
                Model::Gray => {
                    for (pixel, &v) in to.as_chunks_mut::<3>().0.iter_mut().zip(a) {
                        *pixel = [v; 3];
                    }
                }
                Model::Rgb => {
                    for (i, pixel) in to.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                        *pixel = [a[i], b[i], c[i]];
                    }
                }
                Model::Cmyk => {
                    for (i, pixel) in to.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                        *pixel = [255 - a[i], 255 - b[i], 255 - c[i], 255 - k[i]];
                    }
                }
                Model::Ycck => {
                    // YCC holds the complement of ink, which the inversion would undo again.
                    for (i, pixel) in to.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                        let [c, m, y] = rows::pixel(a[i], b[i], c[i]);
                        *pixel = [c, m, y, 255 - k[i]];
                    }
                }
            }
        }
    }
}

/// One pixel as in this format, for others that hold YCbCr.
pub(super) fn ycc_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    rows::pixel(y, cb, cr)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Model {
    Gray,
    YCbCr,
    Rgb,
    Cmyk,
    Ycck,
}

/// What stands before the first scan.
struct Header<'a> {
    /// The frame marker's low byte, 0xC0 to 0xCF.
    frame: u8,
    precision: u8,
    width: u16,
    height: u16,
    components: u8,
    /// The frame header from the precision on.
    frame_data: &'a [u8],
    jfif: Option<[u8; 5]>,
    /// Adobe's color transform.
    adobe: Option<u8>,
    exif: Option<&'a [u8]>,
    icc: Vec<&'a [u8]>,
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, Kind> {
        let mut header = Header {
            frame: 0,
            precision: 0,
            width: 0,
            height: 0,
            components: 0,
            frame_data: &[],
            jfif: None,
            adobe: None,
            exif: None,
            icc: Vec::new(),
        };
        for segment in (Segments { bytes, at: 2 }) {
            let (marker, data) = segment?;
            match (marker, data) {
                (0xDA, _) if header.frame == 0 => {
                    return Err(corrupt(FORMAT, "a scan comes before the frame"));
                }
                (0xDA, _) => return Ok(header),
                (0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF, _) => {
                    header.frame(marker, data)?;
                }
                (0xE0, [b'J', b'F', b'I', b'F', 0, _, _, unit, x0, x1, y0, y1, ..]) => {
                    header.jfif = Some([*unit, *x0, *x1, *y0, *y1]);
                }
                (0xE1, [b'E', b'x', b'i', b'f', 0, _, block @ ..]) => {
                    header.exif = header.exif.or(Some(block));
                }
                (0xE2, _) if data.starts_with(b"ICC_PROFILE\0") => header.icc.push(&data[12..]),
                (0xEE, [b'A', b'd', b'o', b'b', b'e', _, _, _, _, _, _, transform, ..]) => {
                    header.adobe = Some(*transform);
                }
                _ => {}
            }
        }
        Err(truncated(FORMAT))
    }

    fn frame(&mut self, marker: u8, data: &'a [u8]) -> Result<(), Kind> {
        let &[precision, h0, h1, w0, w1, count, ref rest @ ..] = data else {
            return Err(corrupt(FORMAT, "the frame header is too short"));
        };
        if self.frame != 0 {
            return Err(corrupt(FORMAT, "there are two frames"));
        }
        self.frame = marker;
        self.precision = precision;
        self.height = u16::from_be_bytes([h0, h1]);
        self.width = u16::from_be_bytes([w0, w1]);
        self.components = count;
        self.frame_data = data;
        if rest.len() < 3 * usize::from(count) {
            return Err(corrupt(FORMAT, "the frame header is too short"));
        }
        Ok(())
    }

    fn check_variant(&self) -> Result<(), Kind> {
        let what = match self.frame {
            0xC0..=0xC2 => match self.precision {
                8 => return Ok(()),
                bits => return Err(unsupported(FORMAT, format_args!("{bits}-bit precision"))),
            },
            0xC3 => "lossless coding",
            0xC9 | 0xCA => "arithmetic coding",
            0xCB => "lossless arithmetic coding",
            _ => "hierarchical coding",
        };
        Err(unsupported(FORMAT, what))
    }

    /// libjpeg's rules.
    fn color_model(&self) -> Result<Model, Kind> {
        // The components' names stand every three bytes from the seventh on.
        let names = self.frame_data.iter().skip(6).step_by(3).take(3);
        let rgb_names = names.eq(b"RGB");
        match (self.components, self.jfif, self.adobe) {
            (1, ..) => Ok(Model::Gray),
            (3, None, Some(0)) => Ok(Model::Rgb),
            (3, None, None) if rgb_names => Ok(Model::Rgb),
            (3, ..) => Ok(Model::YCbCr),
            (4, _, None | Some(0)) => Ok(Model::Cmyk),
            (4, ..) => Ok(Model::Ycck),
            (n, ..) => Err(unsupported(FORMAT, format_args!("{n} components"))),
        }
    }

    fn metadata(&self, limits: &Limits, found: &mut Found, out: &mut Image) -> Result<(), Kind> {
        if let Some([unit, x0, x1, y0, y1]) = self.jfif {
            let x = f64::from(u16::from_be_bytes([x0, x1]));
            let y = f64::from(u16::from_be_bytes([y0, y1]));
            out.density = match unit {
                1 => density(x, y),
                2 => density(x * 2.54, y * 2.54),
                _ => None,
            };
        }
        if let Some(block) = self.exif {
            found.exif(block, out);
        }
        self.profile(limits, out)
    }

    /// Puts the profile's pieces together: each says its number and how many there are.
    fn profile(&self, limits: &Limits, out: &mut Image) -> Result<(), Kind> {
        let Some(&&[_, count, ..]) = self.icc.first() else { return Ok(()) };
        let piece = |number: u8| {
            self.icc.iter().find_map(|piece| match *piece {
                [n, c, data @ ..] if *n == number && *c == count => Some(data),
                _ => None,
            })
        };
        let total: Option<usize> = (1..=count).map(|n| piece(n).map(<[u8]>::len)).sum();
        match total {
            Some(total) if total <= limits.max_metadata_bytes => {
                resize_buffer(&mut out.icc, total)?;
                let mut rest = &mut out.icc[..];
                for data in (1..=count).filter_map(piece) {
                    let (place, after) = rest.split_at_mut(data.len());
                    place.copy_from_slice(data);
                    rest = after;
                }
            }
            _ => out.icc_ignored = true,
        }
        Ok(())
    }
}

/// Walks the segments from `at`: marker and data. Entropy-coded data counts as space between.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<(u8, &'a [u8]), Kind>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            // What stands before a 0xFF is filling or garbage; 0xFF00 and restarts are scan data.
            self.at += rest.iter().position(|&b| b == 0xFF)? + 1;
            let marker = *self.bytes.get(self.at)?;
            match marker {
                0xFF => {}
                0x00 | 0x01 | 0xD0..=0xD8 => self.at += 1,
                0xD9 => return Some(Ok((marker, &[]))),
                _ => break,
            }
        }
        let marker = self.bytes[self.at];
        let data = (|| {
            let length: [u8; 2] = self.bytes.get(self.at + 1..self.at + 3)?.try_into().ok()?;
            let end = self.at + 1 + usize::from(u16::from_be_bytes(length)).max(2);
            let data = self.bytes.get(self.at + 3..end)?;
            self.at = end;
            Some(data)
        })();
        Some(data.map(|data| (marker, data)).ok_or(truncated(FORMAT)))
    }
}

#[cfg(test)]
mod tests {
    use super::entropy::Block;
    use super::*;

    fn numbers(mut seed: u64) -> impl FnMut() -> u64 {
        move || {
            seed ^= seed >> 12;
            seed ^= seed << 25;
            seed ^= seed >> 27;
            seed.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32
        }
    }

    /// The definition of the inverse transform, in floating point.
    fn float_inverse(block: &Block, by: &[u16; 64]) -> Vec<f64> {
        let basis = |n: usize, k: usize| {
            let scale = if k == 0 { 0.125f64.sqrt() } else { 0.5 };
            scale * ((2 * n + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos()
        };
        let value = |x: usize, y: usize| -> f64 {
            (0..64)
                .map(|i| f64::from(block[i]) * f64::from(by[i]) * basis(x, i % 8) * basis(y, i / 8))
                .sum()
        };
        (0..64).map(|i| (value(i % 8, i / 8) + 128.0).clamp(0.0, 255.0)).collect()
    }

    #[test]
    fn the_transform_is_near_the_definition_and_equal_at_each_level() {
        let mut next = numbers(5);
        for round in 0..2000 {
            let mut block: Block = [0; 64];
            let mut by = [1u16; 64];
            for i in 0..1 + next() as usize % 64 {
                let range = if round % 3 == 0 { 2048 } else { 64 };
                block[(next() as usize * (i + 1)) % 64] =
                    (next() % range) as i16 - range as i16 / 2;
                by[i] = 1 + (next() % 3) as u16;
            }
            let mut seen = Vec::new();
            for level in Level::available() {
                // Rows are 11 apart; what lies between them must stay.
                let mut to = [7u8; 7 * 11 + 8];
                idct::inverse(level, &block, false, &by, &mut to, 11);
                if block[1..].iter().all(|&c| c == 0) {
                    let mut flat = [7u8; 7 * 11 + 8];
                    idct::inverse(level, &block, true, &by, &mut flat, 11);
                    assert_eq!(flat, to);
                }
                assert!((0..to.len()).all(|i| i % 11 < 8 || to[i] == 7), "{}", level.name());
                seen.push(to);
            }
            assert!(seen.iter().all(|to| *to == seen[0]), "round {round}");
            for (i, wanted) in float_inverse(&block, &by).iter().enumerate() {
                let level = f64::from(seen[0][i / 8 * 11 + i % 8]);
                assert!((level - wanted).abs() < 1.01, "round {round}: {level} for {wanted}");
            }
        }
    }

    /// Coefficients that no encoder makes: sums run over 32 bits, alike at each level.
    #[test]
    fn the_transform_of_anything_is_equal_at_each_level() {
        let mut next = numbers(11);
        for round in 0..2000 {
            let block: Block = std::array::from_fn(|_| next() as i16);
            let by: [u16; 64] = std::array::from_fn(|_| next() as u16);
            let mut seen = Level::available().into_iter().map(|level| {
                let mut to = [0u8; 64];
                idct::inverse(level, &block, false, &by, &mut to, 8);
                to
            });
            let first = seen.next().unwrap();
            assert!(seen.all(|to| to == first), "round {round}");
        }
    }

    #[test]
    fn every_color_is_equal_at_each_level() {
        let plane: Vec<u8> = (0..=255).collect();
        for cb in 0..=255u8 {
            for cr in 0..=255u8 {
                let (cbs, crs) = ([cb; 256], [cr; 256]);
                let wanted: Vec<u8> = plane.iter().flat_map(|&y| rows::pixel(y, cb, cr)).collect();
                for level in Level::available() {
                    let mut to = [0; 3 * 256];
                    rows::color_row(level, &plane, &cbs, &crs, &mut to);
                    assert!(to[..] == wanted[..], "{} at {cb}, {cr}", level.name());
                }
            }
        }
    }

    #[test]
    fn the_color_transform_is_near_the_definition() {
        let mut next = numbers(9);
        for _ in 0..10_000 {
            let [y, cb, cr] = [next() as u8, next() as u8, next() as u8];
            let (fy, b, r) = (f64::from(y), f64::from(cb) - 128.0, f64::from(cr) - 128.0);
            let wanted = [fy + 1.402 * r, fy - 0.344_136 * b - 0.714_136 * r, fy + 1.772 * b];
            for (seen, wanted) in rows::pixel(y, cb, cr).iter().zip(wanted) {
                assert!((f64::from(*seen) - wanted.clamp(0.0, 255.0)).abs() <= 0.51);
            }
        }
    }

    #[test]
    fn rows_of_every_width_are_equal_at_each_level() {
        let mut next = numbers(3);
        for width in 1..=131usize {
            let bytes: Vec<u8> = (0..2 * width).map(|_| next() as u8).collect();
            for (x, y) in [(1, 2), (2, 1), (2, 2), (4, 1), (4, 2)] {
                let smooth_x = x == 2 && width > 2;
                let factors =
                    rows::Factors { x, y, smooth_x, smooth_y: y == 2 && (x == 1 || smooth_x) };
                let plane = Plane { samples: &bytes, stride: width, width, height: 2, factors };
                for row in 0..2 * y {
                    let made: Vec<Vec<u8>> = Level::available()
                        .into_iter()
                        .map(|level| {
                            let mut to = vec![0; x * width];
                            plane.full_row(level, row, &mut to).to_vec()
                        })
                        .collect();
                    assert!(made.iter().all(|m| *m == made[0]), "{width} {x}x{y} row {row}");
                }
            }
        }
    }
}
