//! Ring and gate under loom: every interleaving of two or three threads, under the memory model
//! of C11, so that a missing fence shows.

#[path = "../gate.rs"]
mod gate;
#[path = "../ring.rs"]
mod ring;

mod sync {
    //! crossbeam's ring as a queue of one, with orders no stronger than its: a state word and a
    //! value beside it that the state hands over.

    pub(super) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
    pub(super) use loom::sync::{Condvar, Mutex, MutexGuard};

    const EMPTY: usize = 0;
    const WRITING: usize = 1;
    const FULL: usize = 2;
    const READING: usize = 3;

    pub(super) struct ArrayQueue<T> {
        state: AtomicUsize,
        /// The standard library's mutex, which loom doesn't see: it orders nothing in the model.
        value: std::sync::Mutex<Option<T>>,
    }

    impl<T> ArrayQueue<T> {
        pub(super) fn new(capacity: usize) -> Self {
            assert_eq!(capacity, 1);
            ArrayQueue { state: AtomicUsize::new(EMPTY), value: std::sync::Mutex::new(None) }
        }

        fn step(&self, from: usize, to: usize) -> bool {
            self.state.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
        }

        pub(super) fn push(&self, value: T) -> Result<(), T> {
            if !self.step(EMPTY, WRITING) {
                return Err(value);
            }
            *self.value.lock().unwrap() = Some(value);
            self.state.store(FULL, Ordering::Release);
            Ok(())
        }

        pub(super) fn pop(&self) -> Option<T> {
            if !self.step(FULL, READING) {
                return None;
            }
            let value = self.value.lock().unwrap().take();
            self.state.store(EMPTY, Ordering::Release);
            value
        }

        pub(super) fn len(&self) -> usize {
            usize::from(self.state.load(Ordering::Acquire) == FULL)
        }

        pub(super) fn is_empty(&self) -> bool {
            self.len() == 0
        }

        pub(super) fn capacity(&self) -> usize {
            1
        }
    }

    /// No time passes in a model.
    pub(super) fn now_ns() -> u64 {
        0
    }
}

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use self::gate::{Gate, Next};
use self::ring::Ring;
use self::sync::{AtomicUsize, Ordering};

const LONG: Duration = Duration::from_secs(3600);

fn explore(preemptions: usize, body: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(body);
}

fn writer(ring: &Arc<Ring<usize>>, records: std::ops::Range<usize>) -> thread::JoinHandle<()> {
    let ring = Arc::clone(ring);
    thread::spawn(move || {
        records.for_each(|record| {
            ring.push(record);
        });
        ring.leave();
    })
}

#[test]
fn a_full_ring_loses_no_record_and_no_wake_up() {
    explore(3, || {
        let ring = Arc::new(Ring::new(1, 1));
        let writer = writer(&ring, 0..3);
        let mut records = Vec::new();
        while ring.drain(LONG, 1, &mut records) {}
        assert_eq!(records, [0, 1, 2]);
        writer.join().unwrap();
    });
}

#[test]
fn two_writers_share_a_ring() {
    explore(2, || {
        let ring = Arc::new(Ring::new(1, 2));
        let writers = [writer(&ring, 0..1), writer(&ring, 1..2)];
        let mut records = Vec::new();
        while ring.drain(LONG, 1, &mut records) {}
        records.sort_unstable();
        assert_eq!(records, [0, 1]);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
}

#[test]
fn closing_frees_a_writer() {
    explore(4, || {
        let ring = Arc::new(Ring::new(1, 1));
        let writer = writer(&ring, 0..3);
        ring.close();
        writer.join().unwrap();
    });
}

/// Workers that share one place for jobs; `jobs` are fed one at a time.
fn work(gate: &Gate, place: &AtomicUsize, jobs: &AtomicUsize) -> usize {
    let mut done = 0;
    loop {
        if place.swap(0, Ordering::AcqRel) == 1 {
            gate.begin(0);
            done += 1;
            continue;
        }
        match gate.next(0) {
            Next::Search => thread::yield_now(),
            Next::Feed => {
                // The gate alone keeps this load and store from racing with another feeder's.
                let left = jobs.load(Ordering::Relaxed);
                if left > 0 {
                    jobs.store(left - 1, Ordering::Relaxed);
                    gate.admit(0, || assert_eq!(place.swap(1, Ordering::AcqRel), 0));
                }
                gate.fed(left <= 1);
            }
            Next::End => return done,
        }
    }
}

#[test]
fn the_gate_ends_when_all_jobs_have_begun() {
    explore(3, || {
        let parts = Arc::new((Gate::new(1), AtomicUsize::new(0), AtomicUsize::new(2)));
        let other = {
            let parts = Arc::clone(&parts);
            thread::spawn(move || work(&parts.0, &parts.1, &parts.2))
        };
        let mine = work(&parts.0, &parts.1, &parts.2);
        assert_eq!(mine + other.join().unwrap(), 2);
    });
}

#[test]
fn a_stop_wakes_a_waiter() {
    explore(4, || {
        let gate = Arc::new(Gate::new(1));
        assert_eq!(gate.next(0), Next::Feed); // the feeder is stuck in its feed from here on
        let waiter = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.next(0))
        };
        gate.stop();
        assert_eq!(waiter.join().unwrap(), Next::End);
    });
}

/// The feeder sleeps until its job is due, which in a model is never; a stop ends it, and the
/// worker that waits for the feed.
#[test]
fn a_stop_wakes_a_feeder_that_sleeps() {
    explore(4, || {
        let gate = Arc::new(Gate::new(1));
        assert_eq!(gate.next(0), Next::Feed);
        let feeder = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.sleep_until(1))
        };
        let waiter = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.next(0))
        };
        gate.stop();
        assert!(!feeder.join().unwrap());
        assert_eq!(waiter.join().unwrap(), Next::End);
    });
}

#[test]
fn a_growing_list_loses_no_record_and_no_wake_up() {
    explore(3, || {
        let ring = Arc::new(Ring::growing(1, 1));
        let writer = writer(&ring, 0..3);
        let mut records = Vec::new();
        while ring.drain(LONG, 1, &mut records) {}
        assert_eq!(records, [0, 1, 2]);
        writer.join().unwrap();
    });
}

/// Two workers with a job each, which wakes the one that it is for.
#[test]
fn lanes_end_when_each_has_begun_its_own() {
    fn work(lane: usize, gate: &Gate, places: &[AtomicUsize; 2], jobs: &AtomicUsize) -> usize {
        let mut done = 0;
        loop {
            if places[lane].swap(0, Ordering::AcqRel) == 1 {
                gate.begin(lane);
                done += 1;
                continue;
            }
            match gate.next(lane) {
                Next::Search => thread::yield_now(),
                Next::Feed => {
                    let left = jobs.load(Ordering::Relaxed);
                    if left > 0 {
                        jobs.store(left - 1, Ordering::Relaxed);
                        let lane = left % 2;
                        gate.admit(lane, || {
                            assert_eq!(places[lane].swap(1, Ordering::AcqRel), 0);
                        });
                    }
                    gate.fed(left <= 1);
                }
                Next::End => return done,
            }
        }
    }
    explore(3, || {
        let places = [AtomicUsize::new(0), AtomicUsize::new(0)];
        let parts = Arc::new((Gate::new(2), places, AtomicUsize::new(2)));
        let other = {
            let parts = Arc::clone(&parts);
            thread::spawn(move || work(1, &parts.0, &parts.1, &parts.2))
        };
        assert_eq!(work(0, &parts.0, &parts.1, &parts.2), 1);
        assert_eq!(other.join().unwrap(), 1);
    });
}
