//! The budget under loom.

#[path = "../budget.rs"]
mod budget;

mod sync {
    pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};
}

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};

use self::budget::Budget;

const ALL: u64 = 3;

fn explore(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

#[test]
fn two_that_do_not_fit_together_take_turns() {
    explore(5, || {
        let budget = Arc::new(Budget::new(0, ALL));
        let held = Arc::new(AtomicU64::new(0));
        let takers = spawn_takers!(loom, &budget, &held, [2, 3]);
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        assert!(budget.take(ALL, 1, 1).is_ok(), "all of it came back");
    });
}

#[test]
fn three_of_all_sizes_each_get_a_turn() {
    explore(3, || {
        let budget = Arc::new(Budget::new(0, ALL));
        let held = Arc::new(AtomicU64::new(0));
        let takers = spawn_takers!(loom, &budget, &held, [1, 3, 2]);
        takers.into_iter().for_each(|taker| taker.join().unwrap());
    });
}
