//! The memory that large pictures share: who decodes one takes its part first, and waits until
//! there is room; one that can never have room is refused.
//!
//! Pictures up to a size that every worker can hold at any time take no part: their memory is set
//! aside for good, so the usual picture never meets a lock. Parts are given in the order in which
//! they were asked for, so that a large picture isn't passed by small ones for ever. Nobody who
//! waits holds a part, so nobody waits for ever.
//! Must not know what the memory is for beyond its size per pixel, nor how a picture is decoded.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn small_ones_are_free_and_what_never_fits_is_refused() {
        let budget = Arc::new(Budget::new(5000, 1000));
        assert!(budget.take(10, 10, 50).unwrap().is_none());
        assert!(budget.take(30, 4, 50).unwrap().is_some(), "20 pixels more than is free");
        let refused = budget.take(11, 11, 50).unwrap_err();
        assert!(
            matches!(refused, Kind::OverBudget { bytes: 6050, budget_bytes: 6000, .. }),
            "{refused}"
        );
        assert!(budget.take(u64::MAX, u64::MAX, u64::MAX).is_err());
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // a test of threads makes threads
    fn no_more_is_held_than_there_is_and_everybody_gets_a_turn() {
        let budget = Arc::new(Budget::new(0, 100));
        let (held, turns) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..6u64 {
                let (budget, held, turns) = (&budget, &held, &turns);
                scope.spawn(move || {
                    for round in 0..500u64 {
                        // From 1 to 100: now and then somebody needs all of it.
                        let px = 1 + (round * 37 + thread * 61) % 100;
                        let share = budget.take(px, 1, 1).unwrap();
                        assert!(held.fetch_add(px, Ordering::SeqCst) + px <= 100);
                        std::thread::yield_now();
                        held.fetch_sub(px, Ordering::SeqCst);
                        drop(share);
                        turns.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(turns.load(Ordering::Relaxed), 3000);
        assert_eq!(budget.lock().free, 100);
    }
}
