//! The budget on real threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Budget;
use crate::error::Kind;

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
    assert_eq!(budget.waiting(), 0);
    assert!(budget.take(100, 1, 1).is_ok(), "all of it came back");
}
