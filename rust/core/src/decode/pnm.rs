//! PNM, all six variants: bitmap, gray and color, as text (P1 to P3) and binary (P4 to P6).
//!
//! Levels are scaled to 0..255 by the file's own maximum, rounded. Text variants are read number
//! by number and never trusted for sizes: a file too short for its header fails before its
//! pixels are allocated. Source: the netpbm man pages. Left out: PAM (P7), pictures after the
//! first one in the file.

use super::{Format, Found, Image, Limits, Space, admit, corrupt, truncated};
use crate::error::Kind;
use crate::image::Size;

const FORMAT: Format = Format::Pnm;

pub(super) fn decode(bytes: &[u8], limits: &Limits, out: &mut Image) -> Result<Found, Kind> {
    let variant = bytes[1];
    let mut text = Text { bytes, at: 2 };
    let width = text.number()?;
    let height = text.number()?;
    let bitmap = matches!(variant, b'1' | b'4');
    let top = if bitmap { 1 } else { text.number()? };
    if !(1..=65_535).contains(&top) {
        return Err(corrupt(FORMAT, format_args!("a maximum level of {top}")));
    }
    let size = admit(FORMAT, width.into(), height.into(), limits)?;
    let channels = if matches!(variant, b'3' | b'6') { 3 } else { 1 };
    // One white space byte ends a header; binary pixels begin right after it.
    let body = bytes.get(text.at + 1..).unwrap_or(&[]);
    let wide = top > 255;
    let samples = size.pixels() * channels;
    let shortest = match variant {
        b'4' => size.width.div_ceil(8) * size.height,
        b'5' | b'6' => samples * if wide { 2 } else { 1 },
        // A digit per sample; between numbers, but not between bits, a white space.
        b'1' => samples,
        _ => 2 * samples - 1,
    };
    if body.len() < shortest {
        return Err(truncated(FORMAT));
    }
    out.prepare(size, false)?;
    let scale = |v: u32| ((v.min(top) * 255 + top / 2) / top) as u8;
    match variant {
        b'1' => {
            let mut bits = Text { bytes, at: text.at };
            fill(out, 1, || Ok(if bits.bit()? { 0 } else { 255 }))?;
        }
        b'4' => unpack(body, size, out),
        b'2' | b'3' => fill(out, channels, || Ok(scale(text.number()?)))?,
        _ if wide => {
            let mut pairs = body.as_chunks::<2>().0.iter();
            let next = || pairs.next().map(|&p| scale(u16::from_be_bytes(p).into()));
            fill_some(out, channels, next)?;
        }
        _ if channels == 3 && top == 255 => out.rgb.copy_from_slice(&body[..samples]),
        _ => {
            let mut levels = body.iter();
            fill_some(out, channels, || levels.next().map(|&v| scale(v.into())))?;
        }
    }
    let space = if channels == 3 { Space::Rgb } else { Space::Gray };
    Ok(Found { space, orientation: 1 })
}

fn fill_some(
    out: &mut Image,
    channels: usize,
    mut next: impl FnMut() -> Option<u8>,
) -> Result<(), Kind> {
    fill(out, channels, || next().ok_or(truncated(FORMAT)))
}

/// Pixels from a source of levels.
fn fill(
    out: &mut Image,
    channels: usize,
    mut next: impl FnMut() -> Result<u8, Kind>,
) -> Result<(), Kind> {
    for pixel in out.rgb.as_chunks_mut::<3>().0 {
        *pixel = if channels == 3 { [next()?, next()?, next()?] } else { [next()?; 3] };
    }
    Ok(())
}

/// Packed bits, high bit first, rows padded to bytes; 1 is black.
fn unpack(body: &[u8], size: Size, out: &mut Image) {
    let rows = body.chunks_exact(size.width.div_ceil(8));
    for (target, row) in out.rgb.chunks_exact_mut(3 * size.width).zip(rows) {
        for (x, pixel) in target.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            let black = row[x / 8] << (x % 8) & 0x80 != 0;
            *pixel = if black { [0; 3] } else { [255; 3] };
        }
    }
}

/// The numbers of a header or a text variant: white space and `#` comments between them.
struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Text<'_> {
    fn skip_space(&mut self) -> Result<u8, Kind> {
        loop {
            match self.bytes.get(self.at) {
                None => return Err(truncated(FORMAT)),
                Some(b'#') => {
                    let rest = &self.bytes[self.at..];
                    self.at += rest
                        .iter()
                        .position(|&b| b == b'\n' || b == b'\r')
                        .ok_or(truncated(FORMAT))?;
                }
                Some(b) if b.is_ascii_whitespace() || *b == 0x0B => self.at += 1,
                Some(&b) => return Ok(b),
            }
        }
    }

    fn number(&mut self) -> Result<u32, Kind> {
        let first = self.skip_space()?;
        if !first.is_ascii_digit() {
            return Err(corrupt(FORMAT, "a number was expected"));
        }
        let mut value = 0u32;
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            value = value
                .checked_mul(10)
                .and_then(|v| v.checked_add(u32::from(digit - b'0')))
                .ok_or_else(|| corrupt(FORMAT, "a number is too large"))?;
            self.at += 1;
        }
        Ok(value)
    }

    /// P1's bits may stand without space between them.
    fn bit(&mut self) -> Result<bool, Kind> {
        let digit = self.skip_space()?;
        self.at += 1;
        match digit {
            b'0' => Ok(false),
            b'1' => Ok(true),
            _ => Err(corrupt(FORMAT, "a bit was expected")),
        }
    }
}
