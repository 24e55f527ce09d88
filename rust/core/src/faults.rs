//! Panics on purpose, for the long run (`scripts/endurance.py`). Only in builds with the feature
//! `faults`, which no wheel has. Must not know what the stages do.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::Stage;

/// Panics in every n-th stage that any worker has gone through, n being `QBG_PANIC_EVERY`; never
/// without it.
#[allow(clippy::panic)] // what it is for
pub(crate) fn panic_now_and_then(stage: Stage) {
    static EVERY: OnceLock<u64> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    let every = *EVERY.get_or_init(|| {
        let asked = std::env::var("QBG_PANIC_EVERY").ok();
        asked.and_then(|text| text.parse().ok()).unwrap_or(0)
    });
    if every > 0 && PASSED.fetch_add(1, Ordering::Relaxed) % every == every - 1 {
        panic!("on purpose, after {stage}");
    }
}
