//! The two things we want from an EXIF block: orientation and density.
//!
//! An EXIF block is a TIFF file without pixels; both values stand in its first directory. This
//! reader looks at that directory only, follows no chain, allocates nothing, and takes anything
//! that it can't read as absent: bad metadata never fails a picture.
//! Source: Exif 2.32, section 4.6; TIFF 6.0.

use super::density;
use crate::image::Density;

const ORIENTATION: u16 = 274;
const X_RESOLUTION: u16 = 282;
const Y_RESOLUTION: u16 = 283;
const RESOLUTION_UNIT: u16 = 296;

const SHORT: u16 = 3;
const LONG: u16 = 4;
const RATIONAL: u16 = 5;

/// What was found; an orientation of 1 means "as it is".
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exif {
    pub orientation: u8,
    pub density: Option<Density>,
}

/// Reads a block that begins with the TIFF header, or with `Exif\0\0` before it.
pub(super) fn read(block: &[u8]) -> Exif {
    let tiff = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
    let mut exif = Exif { orientation: 1, density: None };
    let Some(directory) = Directory::first(tiff) else { return exif };
    let (mut x, mut y, mut unit) = (None, None, 2);
    for entry in directory.entries() {
        match entry.tag {
            ORIENTATION => {
                if let Some(value @ 1..=8) = entry.unsigned(tiff, directory.little) {
                    exif.orientation = value as u8;
                }
            }
            X_RESOLUTION => x = entry.rational(tiff, directory.little),
            Y_RESOLUTION => y = entry.rational(tiff, directory.little),
            RESOLUTION_UNIT => unit = entry.unsigned(tiff, directory.little).unwrap_or(2),
            _ => {}
        }
    }
    if let (Some(x), Some(y)) = (x, y.or(x)) {
        exif.density = in_dpi(x, y, unit);
    }
    exif
}

/// Density from TIFF's numbers: unit 2 is per inch, 3 per centimeter, 1 says nothing physical.
pub(super) fn in_dpi(x: f64, y: f64, unit: u32) -> Option<Density> {
    match unit {
        2 => density(x, y),
        3 => density(x * 2.54, y * 2.54),
        _ => None,
    }
}

/// An unsigned value of the first directory of a classic TIFF.
pub(super) fn unsigned(tiff: &[u8], tag: u16) -> Option<u32> {
    let directory = Directory::first(tiff)?;
    let entry = directory.entries().find(|entry| entry.tag == tag)?;
    entry.unsigned(tiff, directory.little)
}

/// Where the value of `tag` stands in a classic TIFF, and whether the file is little-endian,
/// if the value is a single SHORT.
pub(super) fn short_at(tiff: &[u8], tag: u16) -> Option<(usize, bool)> {
    let directory = Directory::first(tiff)?;
    let entry = directory.entries().find(|entry| entry.tag == tag)?;
    (entry.kind == SHORT && entry.count == 1).then_some((entry.value_at, directory.little))
}

struct Directory<'a> {
    tiff: &'a [u8],
    little: bool,
    at: usize,
    count: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u32,
    /// Where the four value bytes stand.
    value_at: usize,
}

impl<'a> Directory<'a> {
    fn first(tiff: &'a [u8]) -> Option<Self> {
        let little = match tiff.get(..4)? {
            b"II*\0" => true,
            b"MM\0*" => false,
            _ => return None,
        };
        let at = u32_at(tiff, 4, little)? as usize;
        let count = usize::from(u16_at(tiff, at, little)?);
        Some(Directory { tiff, little, at: at + 2, count })
    }

    /// Its entries, as far as the block reaches.
    fn entries(&self) -> impl Iterator<Item = Entry> + use<'a> {
        let (tiff, little, at) = (self.tiff, self.little, self.at);
        (0..self.count).map_while(move |i| {
            let at = at + 12 * i;
            Some(Entry {
                tag: u16_at(tiff, at, little)?,
                kind: u16_at(tiff, at + 2, little)?,
                count: u32_at(tiff, at + 4, little)?,
                value_at: at + 8,
            })
        })
    }
}

impl Entry {
    fn unsigned(self, tiff: &[u8], little: bool) -> Option<u32> {
        match self.kind {
            SHORT => u16_at(tiff, self.value_at, little).map(u32::from),
            LONG => u32_at(tiff, self.value_at, little),
            _ => None,
        }
    }

    fn rational(self, tiff: &[u8], little: bool) -> Option<f64> {
        if self.kind != RATIONAL {
            return None;
        }
        let at = u32_at(tiff, self.value_at, little)? as usize;
        let (over, under) = (u32_at(tiff, at, little)?, u32_at(tiff, at.checked_add(4)?, little)?);
        Some(f64::from(over) / f64::from(under))
    }
}

fn u16_at(bytes: &[u8], at: usize, little: bool) -> Option<u16> {
    let pair: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) })
}

fn u32_at(bytes: &[u8], at: usize, little: bool) -> Option<u32> {
    let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) })
}
