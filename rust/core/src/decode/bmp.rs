//! BMP: 1, 4, 8, 16, 24 and 32 bits, palettes, bit fields, run-length coding, both row orders.
//!
//! Written here because the format is small and the decoders at hand differ exactly where files
//! in the wild do: the fourth byte of a 32-bit pixel is alpha only if the header names an alpha
//! mask, or if it names none and any pixel has a value there (writers that forget the mask).
//! Source: Microsoft's description of the bitmap headers (BITMAPCOREHEADER to BITMAPV5HEADER).
//! Left out: embedded JPEG and PNG, OS/2 Huffman coding, V4 calibrated colors and V5 profiles.

use super::{Format, Found, Image, Limits, Space, admit, corrupt, density, truncated, unsupported};
use crate::error::Kind;
use crate::image::Size;

const FORMAT: Format = Format::Bmp;

const RGB: u32 = 0;
const RLE8: u32 = 1;
const RLE4: u32 = 2;
const BIT_FIELDS: u32 = 3;
const ALPHA_BIT_FIELDS: u32 = 6;

struct Header {
    size: Size,
    top_down: bool,
    bits: u32,
    coding: u32,
    /// Red, green, blue, alpha; 0 where there is none.
    masks: [u32; 4],
    /// Alpha without a mask: decided by whether it is ever used.
    guess_alpha: bool,
    pixels_at: usize,
}

pub(super) fn decode(bytes: &[u8], limits: &Limits, out: &mut Image) -> Result<Found, Kind> {
    let mut colors = [[0; 3]; 256];
    let header = header(bytes, limits, &mut colors, out)?;
    let size = header.size;
    let body = bytes.get(header.pixels_at..).ok_or(truncated(FORMAT))?;
    let rle = matches!(header.coding, RLE8 | RLE4);
    let stride = size.width * header.bits as usize / 8;
    let stride =
        if (size.width * header.bits as usize).is_multiple_of(8) { stride } else { stride + 1 };
    let stride = stride.next_multiple_of(4);
    // The last row's padding may be missing.
    let needed = (size.height - 1) * stride + (size.width * header.bits as usize).div_ceil(8);
    if !rle && body.len() < needed {
        return Err(truncated(FORMAT));
    }
    out.prepare(size, !rle && (header.masks[3] != 0 || header.guess_alpha))?;
    if rle {
        run_lengths(body, &header, &colors, out)?;
    } else {
        for y in 0..size.height {
            let row = &body[y * stride..body.len().min((y + 1) * stride)];
            let target = if header.top_down { y } else { size.height - 1 - y };
            plain_row(row, &header, &colors, target, out);
        }
    }
    if header.guess_alpha && out.alpha.iter().all(|&a| a == 0) {
        out.alpha.clear();
    }
    Ok(Found { space: Space::Rgb, orientation: 1 })
}

/// Reads the header, the palette and the density.
fn header(
    bytes: &[u8],
    limits: &Limits,
    colors: &mut [[u8; 3]; 256],
    out: &mut Image,
) -> Result<Header, Kind> {
    let u16_at = |at: usize| -> Result<u32, Kind> {
        let b = bytes.get(at..at + 2).ok_or(truncated(FORMAT))?;
        Ok(u16::from_le_bytes([b[0], b[1]]).into())
    };
    let u32_at = |at: usize| -> Result<u32, Kind> {
        let b = bytes.get(at..at + 4).ok_or(truncated(FORMAT))?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    };
    let pixels_at = u32_at(10)? as usize;
    let length = u32_at(14)? as usize;
    let core = length == 12;
    if !core && length < 40 {
        return Err(unsupported(FORMAT, format_args!("a header of {length} bytes")));
    }
    let (width, height, bits) = if core {
        (u16_at(18)?.into(), u16_at(20)?.into(), u16_at(24)?)
    } else {
        (i64::from(u32_at(18)? as i32), i64::from(u32_at(22)? as i32), u16_at(28)?)
    };
    if width < 0 {
        return Err(corrupt(FORMAT, "the width is negative"));
    }
    let size = admit(FORMAT, width.unsigned_abs(), height.unsigned_abs(), limits)?;
    let coding = if core { RGB } else { u32_at(30)? };
    let fits = match coding {
        RGB => matches!(bits, 1 | 2 | 4 | 8 | 16 | 24 | 32),
        RLE8 => bits == 8,
        RLE4 => bits == 4,
        BIT_FIELDS | ALPHA_BIT_FIELDS => matches!(bits, 16 | 32),
        _ => false,
    };
    if !fits {
        return Err(unsupported(FORMAT, format_args!("coding {coding} with {bits} bits")));
    }
    let mut masks = match bits {
        16 => [0x7C00, 0x03E0, 0x001F, 0],
        _ => [0x00FF_0000, 0x0000_FF00, 0x0000_00FF, 0],
    };
    let mut after = 14 + length;
    if matches!(coding, BIT_FIELDS | ALPHA_BIT_FIELDS) {
        // From 52 bytes on the masks are part of the header; before, they stand right after it.
        // Either way they are at the same place.
        let count = if length >= 56 || coding == ALPHA_BIT_FIELDS { 4 } else { 3 };
        for (i, mask) in masks[..count].iter_mut().enumerate() {
            *mask = u32_at(54 + 4 * i)?;
        }
        if length == 40 {
            after += 4 * count;
        }
    }
    if bits <= 8 {
        let entry = if core { 3 } else { 4 };
        let used = if core { 0 } else { u32_at(46)? as usize };
        let count = if used == 0 { 1 << bits } else { used.min(256) };
        let end = bytes.len().min(pixels_at.max(after));
        let table = bytes.get(after..end).unwrap_or(&[]);
        for (color, bgr) in colors.iter_mut().zip(table.chunks_exact(entry)).take(count) {
            *color = [bgr[2], bgr[1], bgr[0]];
        }
    }
    if !core {
        let per_meter = |at| u32_at(at).map(|v| f64::from(v as i32) * 0.0254);
        out.density = density(per_meter(38)?, per_meter(42)?);
    }
    Ok(Header {
        size,
        top_down: height < 0,
        bits,
        coding,
        masks,
        guess_alpha: bits == 32 && coding == RGB,
        pixels_at,
    })
}

fn plain_row(row: &[u8], header: &Header, colors: &[[u8; 3]; 256], y: usize, out: &mut Image) {
    let width = header.size.width;
    let pixels = &mut out.rgb.as_chunks_mut::<3>().0[y * width..(y + 1) * width];
    match header.bits {
        24 => {
            for (pixel, &[b, g, r]) in pixels.iter_mut().zip(row.as_chunks::<3>().0) {
                *pixel = [r, g, b];
            }
        }
        bits @ (16 | 32) => {
            let fields = header.masks.map(Field::new);
            let mut alphas = out.alpha.iter_mut().skip(y * width);
            let bytes = bits as usize / 8;
            for (pixel, raw) in pixels.iter_mut().zip(row.chunks_exact(bytes)) {
                let raw = match *raw {
                    [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
                    [a, b, ..] => u32::from(u16::from_le_bytes([a, b])),
                    _ => 0,
                };
                *pixel = [fields[0].of(raw), fields[1].of(raw), fields[2].of(raw)];
                if let Some(alpha) = alphas.next() {
                    *alpha = if header.guess_alpha { (raw >> 24) as u8 } else { fields[3].of(raw) };
                }
            }
        }
        bits => {
            let per_byte = 8 / bits as usize;
            let mask = ((1u32 << bits) - 1) as u8;
            for (x, pixel) in pixels.iter_mut().enumerate() {
                let shift = (per_byte - 1 - x % per_byte) * bits as usize;
                *pixel = colors[usize::from(row[x / per_byte] >> shift & mask)];
            }
        }
    }
}

/// A channel's place in a pixel.
#[derive(Clone, Copy)]
struct Field {
    mask: u32,
    shift: u32,
    top: u64,
}

impl Field {
    fn new(mask: u32) -> Self {
        let shift = if mask == 0 { 0 } else { mask.trailing_zeros() };
        Field { mask, shift, top: (mask >> shift).into() }
    }

    /// The channel as 0..255, rounded; 0 without a mask.
    fn of(self, raw: u32) -> u8 {
        if self.top == 255 {
            return (raw >> self.shift) as u8;
        }
        let value = u64::from((raw & self.mask) >> self.shift);
        (value * 255 + self.top / 2).checked_div(self.top).unwrap_or(0).min(255) as u8
    }
}

/// Run-length coded rows, bottom up. What is skipped over keeps color 0.
fn run_lengths(
    body: &[u8],
    header: &Header,
    colors: &[[u8; 3]; 256],
    out: &mut Image,
) -> Result<(), Kind> {
    let Size { width, height } = header.size;
    let pixels = out.rgb.as_chunks_mut::<3>().0;
    pixels.fill(colors[0]);
    let wide = header.coding == RLE8;
    let (mut x, mut y) = (0usize, 0usize);
    let mut put = |x: &mut usize, y: usize, index: u8| {
        if *x < width && y < height {
            let row = if header.top_down { y } else { height - 1 - y };
            pixels[row * width + *x] = colors[usize::from(index)];
        }
        *x += 1;
    };
    let nibble = |byte: u8, i: usize| if i.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
    let mut rest = body;
    loop {
        let Some((&[count, value], after)) = rest.split_first_chunk::<2>() else {
            // The end mark is often missing after the last row.
            let whole = y >= height || (y + 1 == height && x >= width);
            return if whole { Ok(()) } else { Err(truncated(FORMAT)) };
        };
        rest = after;
        match (count, value) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => return Ok(()),
            (0, 2) => {
                let Some((&[right, up], after)) = rest.split_first_chunk::<2>() else {
                    return Err(truncated(FORMAT));
                };
                rest = after;
                (x, y) = (x + usize::from(right), y + usize::from(up));
            }
            (0, n) => {
                let n = usize::from(n);
                let len = if wide { n } else { n.div_ceil(2) };
                let literal = rest.get(..len).ok_or(truncated(FORMAT))?;
                for i in 0..n {
                    let index = if wide { literal[i] } else { nibble(literal[i / 2], i) };
                    put(&mut x, y, index);
                }
                rest = rest.get(len.next_multiple_of(2)..).unwrap_or(&[]);
            }
            (n, value) => {
                for i in 0..usize::from(n) {
                    put(&mut x, y, if wide { value } else { nibble(value, i) });
                }
            }
        }
        if y > height {
            return Err(corrupt(FORMAT, "the rows run over the top"));
        }
    }
}
