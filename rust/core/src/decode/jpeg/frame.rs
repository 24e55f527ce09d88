//! From scans to samples: the frame's geometry, the order of blocks, and when rows are finished.
//!
//! A sequential picture in one scan is finished row of MCUs by row of MCUs while its samples are
//! in the cache. Every other picture (progressive, or one scan per component) gathers all
//! coefficients first.
//!
//! A block costs at least one bit, so a file too short for the blocks in its header is refused
//! before they are allocated. Data that ends in the middle of a scan is an error; a missing end
//! mark after complete scans is none.
//! Left out: block smoothing of unfinished progressive pictures, DNL.

use super::entropy::{self, Band, Bits, Block, Table};
use super::idct::{self, Quantizers};
use super::rows::{Factors, Plane};
use super::{FORMAT, Segments};
use crate::decode::{corrupt, truncated, unsupported};
use crate::error::Kind;
use crate::image::{Size, resize_buffer};
use crate::simd::Level;

/// More scans than any encoder writes; each may pass over the whole picture.
const MAX_SCANS: usize = 200;

/// In place of a number of bits: no scan has had this coefficient.
const NOT_BEGUN: u8 = u8::MAX;

/// Memory kept from picture to picture.
#[derive(Debug, Default)]
pub(in crate::decode) struct Planes {
    samples: [Vec<u8>; 4],
    blocks: [Vec<[[i16; 8]; 8]>; 4],
}

/// A component as the frame header has it, and where its blocks lie.
#[derive(Clone, Copy)]
struct Component {
    id: u8,
    /// Blocks per MCU.
    h: usize,
    v: usize,
    quantizer: usize,
    /// Blocks that show something of the picture.
    wide: usize,
    high: usize,
    /// Blocks including the padding to whole MCUs.
    padded_wide: usize,
    padded_high: usize,
    /// Samples without padding.
    width: usize,
    height: usize,
    factors: Factors,
}

pub(super) struct Frame<'a> {
    bytes: &'a [u8],
    level: Level,
    size: Size,
    progressive: bool,
    components: Vec<Component>,
    mcu_width: usize,
    mcu_height: usize,
    mcus_wide: usize,
    mcus_high: usize,
    tables: Tables,
}

/// What segments between scans define.
struct Tables {
    quantizers: [Option<Quantizers>; 4],
    dc: [Option<Box<Table>>; 4],
    ac: [Option<Box<Table>>; 4],
    restart: usize,
    /// Per component: its quantizers when its first scan began.
    latched: [Option<Quantizers>; 4],
    /// Per component and coefficient: how many low bits are still to come.
    pending: [[u8; 64]; 4],
}

/// Part of a scan header for one component.
#[derive(Clone, Copy)]
struct Member {
    component: usize,
    dc: usize,
    ac: usize,
}

/// DC and AC table of a member, where there are any.
type TablePair<'t> = (Option<&'t Table>, Option<&'t Table>);

struct Scan {
    members: Vec<Member>,
    band: Band,
    refines: bool,
}

/// Is given the picture's planes and a range of finished rows.
pub(super) trait Sink {
    fn rows(&mut self, planes: &[Plane<'_>], rows: std::ops::Range<usize>);
}

impl<'a> Frame<'a> {
    /// `frame` is the data of the frame header, after its marker and length.
    pub fn new(
        bytes: &'a [u8],
        level: Level,
        frame: &[u8],
        progressive: bool,
        size: Size,
    ) -> Result<Self, Kind> {
        let specs: Vec<[usize; 4]> = frame[6..]
            .chunks_exact(3)
            .take(frame[5].into())
            .map(|c| [c[0].into(), usize::from(c[1] >> 4), usize::from(c[1] & 15), c[2].into()])
            .collect();
        if specs.iter().any(|&[_, h, v, q]| !(1..=4).contains(&h) || !(1..=4).contains(&v) || q > 3)
        {
            return Err(corrupt(FORMAT, "a component's sampling is out of range"));
        }
        let most = |i: usize| specs.iter().map(|spec| spec[i]).max().unwrap_or(1);
        let (most_h, most_v) = (most(1), most(2));
        let (mcu_width, mcu_height) = (8 * most_h, 8 * most_v);
        let mcus_wide = size.width.div_ceil(mcu_width);
        let mcus_high = size.height.div_ceil(mcu_height);
        let mut components = Vec::with_capacity(4);
        for [id, h, v, quantizer] in specs {
            if most_h % h != 0 || most_v % v != 0 {
                return Err(unsupported(FORMAT, "a fractional ratio of chroma subsampling"));
            }
            let width = (size.width * h).div_ceil(most_h);
            let height = (size.height * v).div_ceil(most_v);
            let (x, y) = (most_h / h, most_v / v);
            // libjpeg's choice: the filter across needs three samples, the one down is for
            // planes that are full in width, or filtered in both directions.
            let smooth_x = x == 2 && y <= 2 && width > 2;
            let smooth_y = y == 2 && (x == 1 || smooth_x);
            components.push(Component {
                id: id as u8,
                h,
                v,
                quantizer,
                wide: width.div_ceil(8),
                high: height.div_ceil(8),
                padded_wide: mcus_wide * h,
                padded_high: mcus_high * v,
                width,
                height,
                factors: Factors { x, y, smooth_x, smooth_y },
            });
        }
        let blocks: usize = components.iter().map(|c| c.wide * c.high).sum();
        if blocks / 8 > bytes.len() {
            return Err(truncated(FORMAT));
        }
        Ok(Frame {
            bytes,
            level,
            size,
            progressive,
            components,
            mcu_width,
            mcu_height,
            mcus_wide,
            mcus_high,
            tables: Tables {
                quantizers: [None; 4],
                dc: [const { None }; 4],
                ac: [const { None }; 4],
                restart: 0,
                latched: [None; 4],
                pending: [[NOT_BEGUN; 64]; 4],
            },
        })
    }

    /// Decodes all scans and gives the rows to `sink`, from the top.
    pub fn decode(&mut self, memory: &mut Planes, sink: &mut dyn Sink) -> Result<(), Kind> {
        for (component, samples) in self.components.iter().zip(&mut memory.samples) {
            resize_buffer(samples, 64 * component.padded_wide * component.padded_high)?;
        }
        let mut segments = Segments { bytes: self.bytes, at: 2 };
        let mut scans = 0;
        let mut ended = false;
        while let Some(segment) = segments.next() {
            let (marker, data) = match segment {
                Ok(segment) => segment,
                Err(_) if scans > 0 => break,
                Err(error) => return Err(error),
            };
            match marker {
                0xD9 => {
                    ended = true;
                    break;
                }
                0xDA => {
                    scans += 1;
                    if scans > MAX_SCANS {
                        return Err(corrupt(FORMAT, "there are too many scans"));
                    }
                    let scan = self.scan(data)?;
                    let all = scan.members.len() == self.components.len();
                    if scans == 1 && all && !self.progressive {
                        return self.direct(&scan, segments.at, memory, sink);
                    }
                    if scans == 1 {
                        self.clear_blocks(memory)?;
                    }
                    segments.at = self.gather(&scan, segments.at, memory)?;
                }
                _ => self.tables.read(marker, data)?,
            }
        }
        if scans == 0 {
            return Err(truncated(FORMAT));
        }
        let pending = &self.tables.pending[..self.components.len()];
        let complete = pending.iter().flatten().all(|&bits| bits == 0);
        if !ended && !complete {
            return Err(truncated(FORMAT));
        }
        self.finish(memory, sink)
    }

    fn scan(&mut self, data: &[u8]) -> Result<Scan, Kind> {
        let bad = || corrupt(FORMAT, "a scan header is damaged");
        let count = usize::from(*data.first().ok_or_else(bad)?);
        let (specs, rest) = data[1..].split_at_checked(2 * count).ok_or_else(bad)?;
        let &[first, last, bits, ..] = rest else { return Err(bad()) };
        let (high, low) = (bits >> 4, bits & 15);
        let mut members = Vec::with_capacity(4);
        for spec in specs.chunks_exact(2) {
            let component = self.components.iter().position(|c| c.id == spec[0]).ok_or_else(bad)?;
            let (dc, ac) = (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
            let twice = members.iter().any(|m: &Member| m.component == component);
            if dc > 3 || ac > 3 || twice {
                return Err(bad());
            }
            members.push(Member { component, dc, ac });
        }
        let whole = !self.progressive;
        let (first, last) = if whole { (0, 63) } else { (usize::from(first), usize::from(last)) };
        let (high, low) = if whole { (0, 0) } else { (high, low) };
        let dc_only = first == 0 && last == 0;
        let ac_only = first > 0 && first <= last && last < 64 && count == 1;
        if count == 0 || low > 13 || !(whole || dc_only || ac_only) {
            return Err(bad());
        }
        for member in &members {
            let c = member.component;
            let quantizers = self.tables.quantizers[self.components[c].quantizer];
            self.tables.latched[c] = self.tables.latched[c].or(quantizers);
            if self.tables.latched[c].is_none() {
                return Err(corrupt(FORMAT, "a quantization table is missing"));
            }
            self.tables.pending[c][first..=last].fill(low);
        }
        Ok(Scan { members, band: Band { first, last, low: low.into() }, refines: high != 0 })
    }

    /// A sequential picture in one scan.
    fn direct(
        &self,
        scan: &Scan,
        at: usize,
        memory: &mut Planes,
        sink: &mut dyn Sink,
    ) -> Result<(), Kind> {
        let mut bits = Bits::new(self.bytes, at);
        let mut last = [0i32; 4];
        let mut until_restart = self.tables.restart;
        let tables = self.tables_of(scan, true, true)?;
        let single = self.components.len() == 1;
        let (mcus_wide, mcus_high) = match self.components[..] {
            [only] if single => (only.wide, only.high),
            _ => (self.mcus_wide, self.mcus_high),
        };
        let mcu_height = if single { 8 } else { self.mcu_height };
        // The lowest row of an MCU row needs the row below it if chroma is smoothed downwards.
        let lag = usize::from(self.components.iter().any(|c| c.factors.smooth_y));
        let mut shown = 0;
        for mcu_y in 0..mcus_high {
            for mcu_x in 0..mcus_wide {
                if self.tables.restart != 0 {
                    if until_restart == 0 {
                        bits.restart();
                        last = [0; 4];
                        until_restart = self.tables.restart;
                    }
                    until_restart -= 1;
                }
                let spoiled = bits.overrun();
                for (member, &(dc, ac)) in scan.members.iter().zip(&tables) {
                    let c = &self.components[member.component];
                    let (h, v) = if single { (1, 1) } else { (c.h, c.v) };
                    let stride = 8 * c.padded_wide;
                    let samples = &mut memory.samples[member.component];
                    let Some(by) = &self.tables.latched[member.component] else { continue };
                    for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                        let mut block: Block = [0; 64];
                        let mut flat = true;
                        if let (Some(dc), Some(ac), false) = (dc, ac, spoiled) {
                            let last = &mut last[member.component];
                            flat = entropy::sequential(&mut bits, dc, ac, last, &mut block);
                        }
                        let to = 8 * ((mcu_y * v + y) * stride + mcu_x * h + x);
                        idct::inverse(self.level, &block, flat, by, &mut samples[to..], stride);
                    }
                }
            }
            if bits.overrun() && bits.at_end() {
                return Err(truncated(FORMAT));
            }
            let last_row = mcu_y + 1 == mcus_high;
            let ready = if last_row { self.size.height } else { (mcu_y + 1) * mcu_height - lag };
            let ready = ready.min(self.size.height);
            self.show(memory, shown..ready, sink);
            shown = ready;
        }
        Ok(())
    }

    fn show(&self, memory: &Planes, rows: std::ops::Range<usize>, sink: &mut dyn Sink) {
        let none = Factors { x: 1, y: 1, smooth_x: false, smooth_y: false };
        let planes: [Plane<'_>; 4] = std::array::from_fn(|i| match self.components.get(i) {
            Some(c) => Plane {
                samples: &memory.samples[i],
                stride: 8 * c.padded_wide,
                width: c.width,
                height: c.height,
                factors: c.factors,
            },
            None => Plane { samples: &[], stride: 0, width: 0, height: 0, factors: none },
        });
        sink.rows(&planes[..self.components.len()], rows);
    }

    /// The tables of each member; those that the scan uses must be there.
    fn tables_of(
        &self,
        scan: &Scan,
        needs_dc: bool,
        needs_ac: bool,
    ) -> Result<Vec<TablePair<'_>>, Kind> {
        let of = |member: &Member| {
            let dc = self.tables.dc[member.dc].as_deref();
            let ac = self.tables.ac[member.ac].as_deref();
            if (needs_dc && dc.is_none()) || (needs_ac && ac.is_none()) {
                return Err(corrupt(FORMAT, "a Huffman table is missing"));
            }
            Ok((dc, ac))
        };
        scan.members.iter().map(of).collect()
    }

    fn clear_blocks(&self, memory: &mut Planes) -> Result<(), Kind> {
        for (component, blocks) in self.components.iter().zip(&mut memory.blocks) {
            resize_buffer(blocks, component.padded_wide * component.padded_high)?;
            blocks.fill([[0; 8]; 8]);
        }
        Ok(())
    }

    /// Adds a scan to the coefficients; gives the place behind it.
    fn gather(&self, scan: &Scan, at: usize, memory: &mut Planes) -> Result<usize, Kind> {
        let mut bits = Bits::new(self.bytes, at);
        let Band { first, low, .. } = scan.band;
        let (needs_dc, needs_ac) = match self.progressive {
            true => (first == 0 && !scan.refines, first > 0),
            false => (true, true),
        };
        let tables = self.tables_of(scan, needs_dc, needs_ac)?;
        let (mut last, mut skip) = ([0i32; 4], 0u32);
        let mut until_restart = self.tables.restart;
        let single = scan.members.len() == 1;
        let (mcus_wide, mcus_high) = match scan.members[..] {
            [only] => (self.components[only.component].wide, self.components[only.component].high),
            _ => (self.mcus_wide, self.mcus_high),
        };
        for mcu in 0..mcus_wide * mcus_high {
            if self.tables.restart != 0 {
                if until_restart == 0 {
                    bits.restart();
                    (last, skip) = ([0; 4], 0);
                    until_restart = self.tables.restart;
                }
                until_restart -= 1;
            }
            if bits.overrun() {
                if self.tables.restart == 0 {
                    break;
                }
                continue;
            }
            let (mcu_y, mcu_x) = (mcu / mcus_wide, mcu % mcus_wide);
            for (member, &(dc, ac)) in scan.members.iter().zip(&tables) {
                let c = &self.components[member.component];
                let (h, v) = if single { (1, 1) } else { (c.h, c.v) };
                for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                    let index = (mcu_y * v + y) * c.padded_wide + mcu_x * h + x;
                    let block = memory.blocks[member.component][index].as_flattened_mut();
                    let Ok(block) = <&mut Block>::try_from(block) else { continue };
                    let last = &mut last[member.component];
                    match (dc, ac) {
                        (Some(dc), Some(ac)) if !self.progressive => {
                            entropy::sequential(&mut bits, dc, ac, last, block);
                        }
                        (Some(dc), _) if needs_dc => {
                            entropy::dc_first(&mut bits, dc, low, last, block);
                        }
                        (_, Some(ac)) if needs_ac && scan.refines => {
                            entropy::ac_refine(&mut bits, ac, scan.band, &mut skip, block);
                        }
                        (_, Some(ac)) if needs_ac => {
                            entropy::ac_first(&mut bits, ac, scan.band, &mut skip, block);
                        }
                        _ => entropy::dc_refine(&mut bits, low, block),
                    }
                }
            }
        }
        if bits.overrun() && bits.at_end() {
            return Err(truncated(FORMAT));
        }
        Ok(bits.position())
    }

    /// From all coefficients to all rows.
    fn finish(&self, memory: &mut Planes, sink: &mut dyn Sink) -> Result<(), Kind> {
        let lag = usize::from(self.components.iter().any(|c| c.factors.smooth_y));
        let mut shown = 0;
        for mcu_y in 0..self.mcus_high {
            for (i, c) in self.components.iter().enumerate() {
                let Some(by) = &self.tables.latched[i] else {
                    return Err(corrupt(FORMAT, "a component has no scan"));
                };
                let stride = 8 * c.padded_wide;
                let rows = mcu_y * c.v..(mcu_y + 1) * c.v;
                for (y, x) in rows.flat_map(|y| (0..c.padded_wide).map(move |x| (y, x))) {
                    let block = memory.blocks[i][y * c.padded_wide + x].as_flattened();
                    let Ok(block) = <&Block>::try_from(block) else { continue };
                    let to = &mut memory.samples[i][8 * (y * stride + x)..];
                    let flat = block[1..].iter().all(|&c| c == 0);
                    idct::inverse(self.level, block, flat, by, to, stride);
                }
            }
            let last_row = mcu_y + 1 == self.mcus_high;
            let ready =
                if last_row { self.size.height } else { (mcu_y + 1) * self.mcu_height - lag };
            self.show(memory, shown..ready.min(self.size.height), sink);
            shown = ready.min(self.size.height);
        }
        Ok(())
    }

    /// Samples per MCU, horizontally: what a row's buffer must be a multiple of.
    pub fn padded_width(&self) -> usize {
        self.mcus_wide * self.mcu_width
    }
}

impl Tables {
    /// Takes over a segment of tables; all others are left alone.
    fn read(&mut self, marker: u8, data: &[u8]) -> Result<(), Kind> {
        match marker {
            0xDB => self
                .quantizers(data)
                .ok_or_else(|| corrupt(FORMAT, "a quantization table is damaged")),
            0xC4 => self.huffman(data).ok_or_else(|| corrupt(FORMAT, "a Huffman table is damaged")),
            0xDD => {
                if let [a, b, ..] = *data {
                    self.restart = u16::from_be_bytes([a, b]).into();
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn quantizers(&mut self, mut data: &[u8]) -> Option<()> {
        while let [head, rest @ ..] = data {
            let wide = head >> 4 != 0;
            let (values, rest) = rest.split_at_checked(if wide { 128 } else { 64 })?;
            let mut table = [0; 64];
            for (k, &at) in entropy::ZIGZAG[..64].iter().enumerate() {
                table[usize::from(at)] = match wide {
                    true => u16::from_be_bytes([values[2 * k], values[2 * k + 1]]),
                    false => values[k].into(),
                };
            }
            *self.quantizers.get_mut(usize::from(head & 15))? = Some(table);
            data = rest;
        }
        Some(())
    }

    fn huffman(&mut self, mut data: &[u8]) -> Option<()> {
        while let Some((&[head, ref counts @ ..], rest)) = data.split_first_chunk::<17>() {
            let total: usize = counts.iter().map(|&n| usize::from(n)).sum();
            let (symbols, rest) = rest.split_at_checked(total)?;
            let class = if head & 0x10 == 0 { &mut self.dc } else { &mut self.ac };
            let place = class.get_mut(usize::from(head & 15))?;
            *place = Some(Box::new(Table::new(counts, symbols)?));
            data = rest;
        }
        Some(())
    }
}
