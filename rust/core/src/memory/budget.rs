//! The budget itself. Must not know which threads it runs on: its models compile it again.

use std::sync::{Arc, PoisonError};

use super::sync::{Condvar, Mutex, MutexGuard};
use crate::error::Kind;

/// What a picture takes at most from decoding to the written file, per pixel of it, all buffers
/// together: 16 bits a sample in, an output that doesn't shrink.
pub const BYTES_PER_PIXEL: u64 = 24;

/// The same for a JPEG, which has 8 bits a sample and no alpha.
pub const JPEG_BYTES_PER_PIXEL: u64 = 16;

/// What lossy WebP takes beyond that: its encoder holds planes and a hash chain of its own.
pub const LOSSY_WEBP_BYTES_PER_PIXEL: u64 = 12;

/// What there is for large pictures.
#[derive(Debug)]
pub struct Budget {
    small_bytes: u64,
    bytes: u64,
    state: Mutex<State>,
    turn: Condvar,
}

#[derive(Debug)]
struct State {
    free: u64,
    /// The next number to hand out, and the one whose turn it is.
    next: u64,
    serving: u64,
}

/// A part of a budget; dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    /// Pictures that take at most `small_bytes` are free; what larger ones take beyond that comes
    /// out of `bytes`.
    pub fn new(small_bytes: u64, bytes: u64) -> Budget {
        let state = Mutex::new(State { free: bytes, next: 0, serving: 0 });
        Budget { small_bytes, bytes, state, turn: Condvar::new() }
    }

    /// Pictures of so many pixels are free, whatever they are.
    pub fn small_px(&self) -> u64 {
        self.small_bytes / (BYTES_PER_PIXEL + LOSSY_WEBP_BYTES_PER_PIXEL)
    }

    /// Waits for the part of a picture of this size at so many bytes a pixel; None if it is free.
    ///
    /// Fails with [`Kind::OverBudget`] if there would not be room if it were alone.
    pub fn take(
        self: &Arc<Budget>,
        width: u64,
        height: u64,
        bytes_per_pixel: u64,
    ) -> Result<Option<Share>, Kind> {
        let all = width.saturating_mul(height).saturating_mul(bytes_per_pixel);
        let bytes = all.saturating_sub(self.small_bytes);
        if bytes == 0 {
            return Ok(None);
        }
        if bytes > self.bytes {
            let budget_bytes = self.bytes.saturating_add(self.small_bytes);
            return Err(Kind::OverBudget { width, height, bytes: all, budget_bytes });
        }
        let mut state = self.lock();
        let mine = state.next;
        state.next += 1;
        while state.serving != mine || state.free < bytes {
            state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.serving += 1;
        state.free -= bytes;
        drop(state);
        // Whoever is next may have room, too.
        self.turn.notify_all();
        Ok(Some(Share { budget: Arc::clone(self), bytes }))
    }

    /// How many wait, and the one who is looked at now.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u64 {
        let state = self.lock();
        state.next - state.serving
    }

    // No code between lock and unlock can panic halfway through a change.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.lock().free += self.bytes;
        self.budget.turn.notify_all();
    }
}
