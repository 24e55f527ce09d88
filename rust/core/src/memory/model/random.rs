//! The budget under shuttle.

#[path = "../budget.rs"]
mod budget;

mod sync {
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};
}

use std::sync::Arc;

use shuttle::sync::Barrier;
use shuttle::sync::atomic::{AtomicU64, Ordering};

use self::budget::Budget;

const ALL: u64 = 100;

fn explore(body: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(body, 1000);
    shuttle::check_pct(body, 500, 3);
}

#[test]
fn six_pictures_of_all_sizes_each_get_a_turn() {
    explore(|| {
        let budget = Arc::new(Budget::new(0, ALL));
        let held = Arc::new(AtomicU64::new(0));
        let takers = spawn_takers!(shuttle, &budget, &held, [100, 40, 70, 1, 30, 99]);
        takers.into_iter().for_each(|taker| taker.join().unwrap());
        assert_eq!(budget.waiting(), 0);
    });
}

/// A small picture fits at once beside the one that holds its part, and waits all the same:
/// a large one asked before it.
#[test]
fn a_large_picture_is_not_passed_by_a_small_one() {
    explore(|| {
        let budget = Arc::new(Budget::new(0, ALL));
        let first = budget.take(50, 1, 1).unwrap();
        let served = Arc::new(AtomicU64::new(0));
        let taker = |bytes: u64, turn: u64| {
            let (budget, served) = (Arc::clone(&budget), Arc::clone(&served));
            shuttle::thread::spawn(move || {
                let share = budget.take(bytes, 1, 1).unwrap();
                assert_eq!(served.fetch_add(1, Ordering::SeqCst), turn);
                drop(share);
            })
        };
        let wait_for = |count: u64| {
            while budget.waiting() < count {
                shuttle::thread::yield_now();
            }
        };
        let large = taker(ALL, 0);
        wait_for(1);
        let small = taker(10, 1);
        wait_for(2);
        drop(first);
        large.join().unwrap();
        small.join().unwrap();
    });
}

/// Two that fit together hold their parts at the same time, whoever of them is woken first.
#[test]
fn nobody_waits_beside_room() {
    explore(|| {
        let budget = Arc::new(Budget::new(0, ALL));
        let first = budget.take(ALL, 1, 1).unwrap();
        let together = Arc::new(Barrier::new(2));
        let takers = [ALL / 2; 2].map(|bytes| {
            let (budget, together) = (Arc::clone(&budget), Arc::clone(&together));
            shuttle::thread::spawn(move || {
                let share = budget.take(bytes, 1, 1).unwrap();
                together.wait();
                drop(share);
            })
        });
        drop(first);
        takers.into_iter().for_each(|taker| taker.join().unwrap());
    });
}
