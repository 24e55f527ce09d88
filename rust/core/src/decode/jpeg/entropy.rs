//! Huffman-coded coefficients: the bit reader, the tables, and the six ways a block is coded.
//!
//! The reader takes eight bytes at a time where none of them is 0xFF, else byte by byte; it never
//! passes a marker. Behind the last byte it gives zeros and remembers whether any was used, which
//! is how a cut file is told from a complete one. Codes of up to ten bits are found by one look
//! into a table; for AC coefficients the same look mostly gives run and value too.
//! Coefficients are stored in natural order, not dequantized. Damage in the data is answered as
//! libjpeg does, with zeros, since that is what other programs show of the same file.
//! Source: ITU-T T.81, annexes F and G. Left out: arithmetic coding.

/// Natural position of the k-th coefficient in zigzag order; overlong runs end at the last one.
#[rustfmt::skip]
pub(super) const ZIGZAG: [u8; 64 + 16] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
    63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
];

pub(super) type Block = [i16; 64];

const LOOK: u32 = 10;

/// Bits from entropy-coded data.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The next bit is the highest one; below `count` bits there are zeros.
    buffer: u64,
    count: u32,
    /// Zeros given in place of bits that the data doesn't have.
    padded: u32,
}

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8], at: usize) -> Self {
        Bits { bytes, at, buffer: 0, count: 0, padded: 0 }
    }

    /// Makes at least 48 bits available.
    #[inline(always)]
    fn fill(&mut self) {
        if self.count >= 48 {
            return;
        }
        if let Some(next) = self.bytes.get(self.at..self.at + 8).and_then(<[u8]>::first_chunk::<8>)
        {
            let word = u64::from_be_bytes(*next);
            // A byte of 0xFF is one whose complement is zero: the usual zero-byte test.
            let inverse = !word;
            let has_ff = inverse.wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080;
            if has_ff == 0 {
                self.buffer |= word >> self.count;
                let taken = (63 - self.count) / 8;
                self.at += taken as usize;
                self.count += taken * 8;
                // Bits of a byte that wasn't taken whole must not stay: they come again.
                self.buffer &= !(u64::MAX >> self.count);
                return;
            }
        }
        self.fill_slowly();
    }

    #[cold]
    #[inline(never)]
    fn fill_slowly(&mut self) {
        while self.count <= 56 {
            let byte = match self.bytes.get(self.at..) {
                Some([0xFF, 0x00, ..]) => {
                    self.at += 2;
                    0xFF
                }
                Some([0xFF, ..]) | Some([]) | None => {
                    self.padded += 8;
                    0
                }
                Some([byte, ..]) => {
                    self.at += 1;
                    *byte
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    #[inline(always)]
    fn drop(&mut self, n: u32) {
        self.buffer <<= n;
        self.count -= n;
    }

    /// The next `n` bits, 1 to 16.
    #[inline(always)]
    fn take(&mut self, n: u32) -> u32 {
        let value = (self.buffer >> (64 - n)) as u32;
        self.drop(n);
        value
    }

    /// A value of `n` bits, 1 to 15, of which the lower half stands for the negative ones.
    #[inline(always)]
    fn signed(&mut self, n: u32) -> i32 {
        let value = self.take(n) as i32;
        if value < 1 << (n - 1) { value - (1 << n) + 1 } else { value }
    }

    /// Whether bits were used that the data doesn't have.
    pub fn overrun(&self) -> bool {
        self.padded > self.count
    }

    /// Whether the data ended, rather than coming to a marker.
    pub fn at_end(&self) -> bool {
        self.at >= self.bytes.len() || self.bytes[self.at..] == [0xFF]
    }

    /// Goes behind the next restart marker, if that is the next marker.
    pub fn restart(&mut self) {
        (self.buffer, self.count, self.padded) = (0, 0, 0);
        let mut at = self.at;
        while let Some(found) = self.bytes.get(at..).and_then(|r| r.iter().position(|&b| b == 0xFF))
        {
            at += found + 1;
            match self.bytes.get(at) {
                Some(0xD0..=0xD7) => {
                    self.at = at + 1;
                    return;
                }
                Some(0x00 | 0xFF) => {}
                // Another marker: what follows isn't ours, so all further bits are missing.
                _ => {
                    self.at = at - 1;
                    return;
                }
            }
        }
        self.at = self.bytes.len();
    }

    /// Where the reader stands: at a marker or before it.
    pub fn position(&self) -> usize {
        self.at
    }
}

/// A Huffman table, ready for looking up.
#[derive(Clone)]
pub(super) struct Table {
    /// For the next ten bits: symbol and length of the code; length 0 if it is longer.
    look: [(u8, u8); 1 << LOOK],
    /// For the next ten bits: value, run of zeros, and length of code and value together;
    /// length 0 if they don't fit.
    fast: [(i16, u8, u8); 1 << LOOK],
    /// By length: the first 16-bit prefix behind the codes of this length.
    behind: [u32; 18],
    /// By length: index of the code's symbol minus the code.
    delta: [i32; 17],
    symbols: [u8; 256],
}

impl Table {
    /// From a DHT segment's counts and symbols; None if they are no prefix code.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Option<Table> {
        let mut table = Table {
            look: [(0, 0); 1 << LOOK],
            fast: [(0, 0, 0); 1 << LOOK],
            behind: [0; 18],
            delta: [0; 17],
            symbols: [0; 256],
        };
        table.symbols.get_mut(..symbols.len())?.copy_from_slice(symbols);
        let (mut code, mut index) = (0u32, 0usize);
        for length in 1..=16u32 {
            table.delta[length as usize] = index as i32 - code as i32;
            for _ in 0..counts[length as usize - 1] {
                if code >= 1 << length {
                    return None;
                }
                if length <= LOOK {
                    let first = (code << (LOOK - length)) as usize;
                    table.look[first..first + (1 << (LOOK - length))]
                        .fill((table.symbols[index], length as u8));
                }
                code += 1;
                index += 1;
            }
            table.behind[length as usize] = code << (16 - length);
            code <<= 1;
        }
        table.behind[17] = u32::MAX;
        table.look_ahead();
        Some(table)
    }

    /// Fills `fast` from `look`.
    fn look_ahead(&mut self) {
        for (bits, (fast, &(symbol, length))) in self.fast.iter_mut().zip(&self.look).enumerate() {
            let (run, size) = (symbol >> 4, u32::from(symbol & 15));
            let total = u32::from(length) + size;
            if length == 0 || size == 0 || total > LOOK {
                continue;
            }
            let value = (bits as i32 >> (LOOK - total)) & ((1 << size) - 1);
            let value = if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value };
            *fast = (value as i16, run, total as u8);
        }
    }

    /// The next symbol; 0 where the bits are no code. Needs 16 bits in the buffer.
    #[inline(always)]
    fn symbol(&self, bits: &mut Bits) -> u8 {
        let (symbol, length) = self.look[(bits.buffer >> (64 - LOOK)) as usize];
        if length != 0 {
            bits.drop(length.into());
            return symbol;
        }
        self.long_symbol(bits)
    }

    #[inline(never)]
    fn long_symbol(&self, bits: &mut Bits) -> u8 {
        let prefix = (bits.buffer >> 48) as u32;
        let length = (LOOK as usize + 1..17).find(|&l| prefix < self.behind[l]).unwrap_or(17);
        if length == 17 {
            bits.drop(16);
            return 0;
        }
        bits.drop(length as u32);
        let index = (prefix >> (16 - length)) as i32 + self.delta[length];
        self.symbols.get(index as usize).copied().unwrap_or(0)
    }
}

/// A difference to the last DC value.
#[inline(always)]
fn dc_difference(bits: &mut Bits, table: &Table) -> i32 {
    bits.fill();
    match table.symbol(bits) {
        size @ 1..=15 => bits.signed(size.into()),
        _ => 0,
    }
}

/// A whole block of a sequential scan; `block` is zero before. Says whether it is flat: no AC.
#[inline(always)]
pub(super) fn sequential(
    bits: &mut Bits,
    dc: &Table,
    ac: &Table,
    last: &mut i32,
    block: &mut Block,
) -> bool {
    *last = last.wrapping_add(dc_difference(bits, dc));
    block[0] = *last as i16;
    let mut flat = true;
    let mut k = 1;
    while k < 64 {
        bits.fill();
        let (value, run, length) = ac.fast[(bits.buffer >> (64 - LOOK)) as usize];
        if length != 0 {
            bits.drop(length.into());
            flat = false;
            k += usize::from(run);
            block[usize::from(ZIGZAG[k])] = value;
            k += 1;
            continue;
        }
        let symbol = ac.symbol(bits);
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run != 15 {
                break;
            }
            k += 16;
            continue;
        }
        flat = false;
        k += run;
        block[usize::from(ZIGZAG[k])] = bits.signed(size) as i16;
        k += 1;
    }
    flat
}

/// The part of the coefficients that a progressive scan carries.
#[derive(Clone, Copy)]
pub(super) struct Band {
    pub first: usize,
    pub last: usize,
    /// Bits below this one come in later scans.
    pub low: u32,
}

pub(super) fn dc_first(bits: &mut Bits, dc: &Table, low: u32, last: &mut i32, block: &mut Block) {
    *last = last.wrapping_add(dc_difference(bits, dc));
    block[0] = (*last << low) as i16;
}

pub(super) fn dc_refine(bits: &mut Bits, low: u32, block: &mut Block) {
    bits.fill();
    if bits.take(1) != 0 {
        block[0] |= 1 << low;
    }
}

/// `skip` counts the blocks that have no more coefficients in this band.
pub(super) fn ac_first(bits: &mut Bits, ac: &Table, band: Band, skip: &mut u32, block: &mut Block) {
    if *skip > 0 {
        *skip -= 1;
        return;
    }
    let mut k = band.first;
    while k <= band.last {
        bits.fill();
        let symbol = ac.symbol(bits);
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size != 0 {
            k += run as usize;
            block[usize::from(ZIGZAG[k])] = (bits.signed(size) << band.low) as i16;
            k += 1;
        } else if run == 15 {
            k += 16;
        } else {
            *skip = (1 << run) - 1;
            if run > 0 {
                *skip += bits.take(run);
            }
            return;
        }
    }
}

pub(super) fn ac_refine(
    bits: &mut Bits,
    ac: &Table,
    band: Band,
    skip: &mut u32,
    block: &mut Block,
) {
    let (plus, minus) = (1i16 << band.low, -1i16 << band.low);
    // One more bit for a coefficient that is not zero yet.
    let refine = |bits: &mut Bits, value: &mut i16| {
        bits.fill();
        if bits.take(1) != 0 && *value & plus == 0 {
            *value = value.wrapping_add(if *value >= 0 { plus } else { minus });
        }
    };
    let mut k = band.first;
    while *skip == 0 && k <= band.last {
        bits.fill();
        let symbol = ac.symbol(bits);
        let (mut run, size) = (u32::from(symbol >> 4), symbol & 15);
        let mut new = 0;
        if size != 0 {
            new = if bits.take(1) != 0 { plus } else { minus };
        } else if run != 15 {
            *skip = 1 << run;
            if run > 0 {
                *skip += bits.take(run);
            }
            break;
        }
        while k <= band.last {
            let value = &mut block[usize::from(ZIGZAG[k])];
            if *value != 0 {
                refine(bits, value);
            } else if run == 0 {
                *value = new;
                break;
            } else {
                run -= 1;
            }
            k += 1;
        }
        k += 1;
    }
    if *skip > 0 {
        for value in (k..=band.last).map(|k| usize::from(ZIGZAG[k])) {
            if block[value] != 0 {
                refine(bits, &mut block[value]);
            }
        }
        *skip -= 1;
    }
}
