//! Rows of bits, one per block of pixels: which blocks the foreground estimation has to visit.
//!
//! A row is a whole number of 64-bit words, lowest bit first. Bits beyond the last block may be set
//! by [`widen`]; whoever reads stops at the last block. Everything is `inline(always)`, because it
//! runs inside functions that enable a level's features. Must not know pixels.

/// `out` = the union of the rows of bits from `at - reach` to `at + reach`.
#[inline(always)]
pub fn gather(out: &mut [u64], rows: &[u64], words: usize, at: usize, reach: usize) {
    out.fill(0);
    let last = (at + reach + 1) * words;
    let rows = &rows[at.saturating_sub(reach) * words..last.min(rows.len())];
    for row in rows.chunks_exact(words) {
        for (out, word) in out.iter_mut().zip(row) {
            *out |= word;
        }
    }
}

/// Sets the bits beside every set bit. Bits beyond the last block may be set; readers stop before.
#[inline(always)]
pub fn widen(bits: &mut [u64]) {
    let mut carry = 0;
    for i in 0..bits.len() {
        let word = bits[i];
        let next = bits.get(i + 1).map_or(0, |next| next << 63);
        bits[i] = word | word << 1 | carry | word >> 1 | next;
        carry = word >> 63;
    }
}

/// Whether bit `at` is set.
#[inline(always)]
pub fn bit(bits: &[u64], at: usize) -> bool {
    bits[at / 64] >> (at % 64) & 1 != 0
}

/// The places of the set bits below `end`, in order. A closure for each bit would not do here: it
/// would be compiled for the plain CPU and never be inlined.
pub struct Places<'a> {
    bits: &'a [u64],
    end: usize,
    /// Words taken so far; the last of them is `word`, less the bits given.
    taken: usize,
    word: u64,
}

/// See [`Places`].
#[inline(always)]
pub fn places(bits: &[u64], end: usize) -> Places<'_> {
    Places { bits, end, taken: 0, word: 0 }
}

impl Iterator for Places<'_> {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.word == 0 {
            self.word = *self.bits.get(self.taken)?;
            self.taken += 1;
        }
        let at = 64 * (self.taken - 1) + self.word.trailing_zeros() as usize;
        self.word &= self.word - 1;
        (at < self.end).then_some(at)
    }
}

/// The next run of set bits at or after `from`: its start and its end.
#[inline(always)]
pub fn next_run(bits: &[u64], from: usize, end: usize) -> Option<(usize, usize)> {
    let start = (from..end).find(|&b| bit(bits, b))?;
    let stop = (start..end).find(|&b| !bit(bits, b)).unwrap_or(end);
    Some((start, stop))
}
