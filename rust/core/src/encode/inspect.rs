//! Looks at a finished file: is it whole, and which tag does it carry?
//!
//! Reads the headers and the end, never the pixels, so a resumed run asks a thousand files in the
//! time of a few. Files come from anywhere: every length is checked, every walk has a limit.
//! What it can't see: bytes that rotted between the header and the end.
//! Must not know who asks, or the file's name.

use std::io::{Read, Seek, SeekFrom};

use super::webp::XMP_TAG;
use super::{Format, TAG_LIMIT, TAG_PREFIX, is_tag};

/// Parts of a file that are looked at before we give up. Ours have fewer than 300 (a JPEG with
/// the largest profile).
const PARTS: usize = 1024;

/// Entries of a TIFF's strip tables that are looked at. Ours hold a megabyte each, so 4 GB fit.
const STRIPS: u32 = 1 << 13;

/// The longest XMP packet that is searched.
const XMP_BYTES: usize = 4096;

/// What a file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its format, by its first bytes.
    pub format: Format,
    /// Whether it has the beginning and the end of a finished file.
    pub whole: bool,
    /// The tag, if it has one of ours.
    pub digest: Option<String>,
}

/// Looks at `file`. None if it can't be read or is of no format that we write.
pub fn inspect<R: Read + Seek>(file: &mut R) -> Option<Seen> {
    let len = file.seek(SeekFrom::End(0)).ok()?;
    let mut file = Bytes { file, len };
    let magic: [u8; 12] = file.at(0)?;
    let (format, seen) = if magic.starts_with(b"\x89PNG\r\n\x1a\n") {
        (Format::Png, png(&mut file))
    } else if magic.starts_with(&[0xFF, 0xD8, 0xFF]) {
        (Format::Jpeg, jpeg(&mut file))
    } else if magic.starts_with(b"RIFF") && magic.ends_with(b"WEBP") {
        (Format::Webp, webp(&mut file))
    } else if magic.starts_with(b"II*\0") || magic.starts_with(b"MM\0*") {
        (Format::Tiff, tiff(&mut file))
    } else {
        return None;
    };
    // A walk that runs off the end of the file is the mark of one that isn't whole.
    let (whole, digest) = seen.unwrap_or((false, None));
    Some(Seen { format, whole, digest })
}

type Found = Option<(bool, Option<String>)>;

/// A file that is read in small pieces.
struct Bytes<'a, R> {
    file: &'a mut R,
    len: u64,
}

impl<R: Read + Seek> Bytes<'_, R> {
    /// `N` bytes at `offset`.
    fn at<const N: usize>(&mut self, offset: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(offset, &mut bytes)?;
        Some(bytes)
    }

    fn fill(&mut self, offset: u64, bytes: &mut [u8]) -> Option<()> {
        if offset.checked_add(bytes.len() as u64)? > self.len {
            return None;
        }
        self.file.seek(SeekFrom::Start(offset)).ok()?;
        self.file.read_exact(bytes).ok()
    }

    /// Up to `limit` bytes at `offset`; less if `length` is shorter.
    fn text(&mut self, offset: u64, length: u64, limit: usize) -> Option<Vec<u8>> {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(limit);
        let mut bytes = vec![0; length];
        self.fill(offset, &mut bytes)?;
        Some(bytes)
    }
}

/// The tag that `text` is, if it is one of ours.
fn tag(text: &[u8]) -> Option<String> {
    is_tag(text).then(|| String::from_utf8_lossy(text).into_owned())
}

/// The tag is in a tEXt chunk before the pixels; the end is an IEND chunk.
fn png<R: Read + Seek>(file: &mut Bytes<'_, R>) -> Found {
    const END: [u8; 12] = *b"\0\0\0\0IEND\xae\x42\x60\x82";
    let mut digest = None;
    let mut offset = 8;
    let mut pixels = false;
    for part in 0..PARTS {
        let header: [u8; 8] = file.at(offset)?;
        let length = u64::from(u32::from_be_bytes([header[0], header[1], header[2], header[3]]));
        match &header[4..] {
            b"IHDR" if part == 0 => {}
            _ if part == 0 => return None,
            b"IDAT" => {
                pixels = offset.checked_add(12 + length)? < file.len;
                break;
            }
            b"tEXt" if digest.is_none() => {
                let text = file.text(offset + 8, length, TAG_PREFIX.len() + 1 + TAG_LIMIT + 1)?;
                let ours = text.strip_prefix(TAG_PREFIX.as_bytes());
                digest = ours.and_then(|text| text.strip_prefix(b"\0")).and_then(tag);
            }
            _ => {}
        }
        offset = offset.checked_add(12 + length)?;
    }
    Some((pixels && file.at(file.len.checked_sub(12)?)? == END, digest))
}

/// The tag is in a comment before the scan; the end is a marker.
fn jpeg<R: Read + Seek>(file: &mut Bytes<'_, R>) -> Found {
    let mut digest = None;
    let mut offset = 2;
    let mut scan = false;
    for _ in 0..PARTS {
        let [mark, kind, high, low]: [u8; 4] = file.at(offset)?;
        let length = u64::from(u16::from_be_bytes([high, low]));
        if mark != 0xFF || length < 2 {
            return None;
        }
        match kind {
            0xDA => {
                scan = true;
                break;
            }
            0xFE if digest.is_none() => {
                digest = tag(&file.text(offset + 4, length - 2, TAG_LIMIT + 1)?);
            }
            _ => {}
        }
        offset += 2 + length;
    }
    Some((scan && file.at(file.len.checked_sub(2)?)? == [0xFF, 0xD9], digest))
}

/// The tag is in the XMP chunk; the length of the whole is in the header.
fn webp<R: Read + Seek>(file: &mut Bytes<'_, R>) -> Found {
    let length: [u8; 4] = file.at(4)?;
    let end = u64::from(u32::from_le_bytes(length)) + 8;
    let mut digest = None;
    let mut pixels = false;
    let mut offset = 12;
    for _ in 0..PARTS {
        if offset >= end {
            break;
        }
        let header: [u8; 8] = file.at(offset)?;
        let length = u64::from(u32::from_le_bytes([header[4], header[5], header[6], header[7]]));
        match &header[..4] {
            b"VP8 " | b"VP8L" => pixels = true,
            b"XMP " if digest.is_none() => {
                digest = xmp(&file.text(offset + 8, length, XMP_BYTES)?);
            }
            _ => {}
        }
        offset += 8 + length + length % 2;
    }
    Some((pixels && offset == end && end == file.len, digest))
}

fn xmp(packet: &[u8]) -> Option<String> {
    let key = XMP_TAG.as_bytes();
    let start = packet.windows(key.len()).position(|window| window == key)? + key.len();
    let rest = packet.get(start..)?;
    tag(rest.get(..rest.iter().position(|&byte| byte == b'"')?)?)
}

/// The tag is Software; every strip must lie inside the file. The directory comes last in our
/// files, so one that was cut short has none.
fn tiff<R: Read + Seek>(file: &mut Bytes<'_, R>) -> Found {
    const SOFTWARE: u16 = 305;
    const STRIP_OFFSETS: u16 = 273;
    const STRIP_BYTE_COUNTS: u16 = 279;

    let head: [u8; 8] = file.at(0)?;
    let order = Order { big: head[0] == b'M' };
    let directory = u64::from(order.u32(&head[4..])?);
    let entries = u64::from(order.u16(&file.at::<2>(directory)?)?);
    // The link to the next directory is the last of a file that we wrote.
    let _: [u8; 4] = file.at(directory + 2 + entries * 12)?;
    let mut digest = None;
    let mut offsets = None;
    let mut counts = None;
    for index in 0..entries.min(PARTS as u64) {
        let at = directory + 2 + index * 12;
        let entry: [u8; 12] = file.at(at)?;
        let count = order.u32(&entry[4..])?;
        let table = Table { at, long: order.u16(&entry[2..])? == 4, count };
        match order.u16(&entry)? {
            SOFTWARE if count > 4 => {
                let text =
                    file.text(u64::from(order.u32(&entry[8..])?), u64::from(count), TAG_LIMIT + 2)?;
                digest = text.split(|&byte| byte == 0).next().and_then(tag);
            }
            STRIP_OFFSETS => offsets = Some(table),
            STRIP_BYTE_COUNTS => counts = Some(table),
            _ => {}
        }
    }
    let (Some(offsets), Some(counts)) = (offsets, counts) else { return Some((false, digest)) };
    let mut whole = offsets.count > 0 && offsets.count == counts.count && offsets.count <= STRIPS;
    for index in 0..if whole { offsets.count } else { 0 } {
        let end = offsets.get(file, order, index)?.checked_add(counts.get(file, order, index)?)?;
        whole &= end <= file.len;
    }
    Some((whole, digest))
}

/// A TIFF's byte order.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn u16(self, bytes: &[u8]) -> Option<u16> {
        let bytes = *bytes.first_chunk()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(self, bytes: &[u8]) -> Option<u32> {
        let bytes = *bytes.first_chunk()?;
        Some(if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

/// A TIFF entry that holds integers of 2 or 4 bytes.
#[derive(Clone, Copy)]
struct Table {
    /// Where its entry is.
    at: u64,
    long: bool,
    count: u32,
}

impl Table {
    fn get<R: Read + Seek>(self, file: &mut Bytes<'_, R>, order: Order, index: u32) -> Option<u64> {
        let width = if self.long { 4 } else { 2 };
        let bytes = u64::from(self.count) * width;
        // Values of up to 4 bytes stand in the entry itself.
        let start = if bytes <= 4 {
            self.at + 8
        } else {
            u64::from(order.u32(&file.at::<4>(self.at + 8)?)?)
        };
        let at = start.checked_add(u64::from(index) * width)?;
        Some(if self.long {
            u64::from(order.u32(&file.at::<4>(at)?)?)
        } else {
            u64::from(order.u16(&file.at::<2>(at)?)?)
        })
    }
}
