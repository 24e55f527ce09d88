//! The whole worker loop under shuttle: random schedules, and schedules with few, well-placed
//! preemptions (PCT: Burckhardt and others, 2010).

#[path = "../gate.rs"]
mod gate;
#[path = "../ring.rs"]
mod ring;
#[path = "../steal.rs"]
mod steal;
#[path = "../worker.rs"]
mod worker;

mod sync {
    //! crossbeam's deques and ring as plain lists behind shuttle's mutex: each operation is one
    //! step, but a batch is taken in one and laid down in another, and a steal may say `Retry`.

    pub(super) use shuttle::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
    pub(super) use shuttle::sync::{Condvar, Mutex, MutexGuard};

    pub(super) use crossbeam_deque::Steal;
    use shuttle::rand::Rng;
    use std::collections::VecDeque;
    use std::sync::Arc;

    type List<T> = Mutex<VecDeque<T>>;

    pub(super) struct ArrayQueue<T>(List<T>, usize);

    impl<T> ArrayQueue<T> {
        pub(super) fn new(capacity: usize) -> Self {
            ArrayQueue(Mutex::default(), capacity)
        }

        pub(super) fn push(&self, value: T) -> Result<(), T> {
            let mut list = self.0.lock().unwrap();
            if list.len() == self.1 {
                return Err(value);
            }
            list.push_back(value);
            Ok(())
        }

        pub(super) fn pop(&self) -> Option<T> {
            self.0.lock().unwrap().pop_front()
        }

        pub(super) fn len(&self) -> usize {
            self.0.lock().unwrap().len()
        }

        pub(super) fn is_empty(&self) -> bool {
            self.len() == 0
        }

        pub(super) fn capacity(&self) -> usize {
            self.1
        }
    }

    fn steal_half<T>(from: &List<T>, to: &Deque<T>) -> Steal<T> {
        if shuttle::rand::thread_rng().gen_range(0..8) == 0 {
            return Steal::Retry;
        }
        let mut batch: VecDeque<T> = {
            let mut list = from.lock().unwrap();
            let half = list.len().div_ceil(2);
            list.drain(..half).collect()
        };
        let Some(first) = batch.pop_front() else { return Steal::Empty };
        to.0.lock().unwrap().extend(batch);
        Steal::Success(first)
    }

    pub(super) struct Injector<T>(List<T>);

    impl<T> Injector<T> {
        pub(super) fn new() -> Self {
            Injector(Mutex::default())
        }

        pub(super) fn push(&self, value: T) {
            self.0.lock().unwrap().push_back(value);
        }

        pub(super) fn steal_batch_and_pop(&self, to: &Deque<T>) -> Steal<T> {
            steal_half(&self.0, to)
        }

        pub(super) fn steal(&self) -> Steal<T> {
            self.0.lock().unwrap().pop_front().map_or(Steal::Empty, Steal::Success)
        }
    }

    pub(super) struct Deque<T>(Arc<List<T>>);

    impl<T> Deque<T> {
        pub(super) fn new_fifo() -> Self {
            Deque(Arc::default())
        }

        pub(super) fn stealer(&self) -> Stealer<T> {
            Stealer(Arc::clone(&self.0))
        }

        pub(super) fn pop(&self) -> Option<T> {
            self.0.lock().unwrap().pop_front()
        }

        pub(super) fn len(&self) -> usize {
            self.0.lock().unwrap().len()
        }
    }

    pub(super) struct Stealer<T>(Arc<List<T>>);

    impl<T> Stealer<T> {
        pub(super) fn steal_batch_and_pop(&self, to: &Deque<T>) -> Steal<T> {
            steal_half(&self.0, to)
        }
    }

    pub(super) struct Backoff;

    impl Backoff {
        pub(super) fn new() -> Self {
            Backoff
        }

        pub(super) fn snooze(&self) {
            shuttle::thread::yield_now();
        }

        pub(super) fn reset(&self) {}
    }

    /// No time passes in a model.
    pub(super) fn now_ns() -> u64 {
        0
    }
}

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_utils::CachePadded;
use shuttle::sync::Barrier;
use shuttle::sync::mpsc;

use self::gate::Gate;
use self::ring::Ring;
use self::steal::Queues;
use self::sync::{Deque, Mutex};
use self::worker::{Board, Shared, Tally};
use crate::pool::{Fault, Feed, Parts, Work};
use crate::topology::Placement;

const LONG: Duration = Duration::from_secs(3600);
const WORKERS: usize = 3;

type Body = Box<dyn Fn(usize) + Send + Sync>;

/// Jobs are numbers and so are records.
struct Script {
    body: Body,
    broken_seat: Option<usize>,
}

impl Work for Script {
    type Job = usize;
    type Record = usize;
    type Seat = ();
    type Error = ();

    fn seat(&self, place: &Placement) -> Result<(), ()> {
        if self.broken_seat == Some(place.worker) { Err(()) } else { Ok(()) }
    }

    fn work(&self, (): &mut (), job: &mut usize, _stopped: &dyn Fn() -> bool) -> usize {
        (self.body)(*job);
        *job
    }

    fn panicked(&self, job: &usize, _message: String) -> usize {
        *job + 100
    }
}

struct Model {
    shared: Arc<Shared<Script>>,
    threads: Vec<shuttle::thread::JoinHandle<()>>,
}

impl Model {
    fn start(script: Script, feed: impl Feed<usize> + 'static, batch: usize, ring: usize) -> Model {
        Model::start_with(script, feed, batch, ring, Parts::default())
    }

    fn start_with(
        script: Script,
        feed: impl Feed<usize> + 'static,
        batch: usize,
        ring: usize,
        parts: Parts,
    ) -> Model {
        let deques: Vec<Deque<usize>> = (0..WORKERS).map(|_| Deque::new_fifo()).collect();
        let place = |worker| Placement { worker, node: Some(worker % 2), cpus: vec![] };
        let tallies = (0..WORKERS).map(|_| CachePadded::new(Tally::default())).collect();
        let queues = Queues::new(&deques, parts);
        let shared = Arc::new(Shared {
            work: script,
            board: Arc::new(Board { gate: Gate::new(queues.lanes()), tallies }),
            places: (0..WORKERS).map(place).collect(),
            queues,
            ring: match parts.ring {
                true => Ring::new(ring, WORKERS),
                false => Ring::growing(ring, WORKERS),
            },
            feed: Mutex::new(Some(Box::new(feed))),
            batch,
            fault: Mutex::new(None),
        });
        let threads = deques
            .into_iter()
            .enumerate()
            .map(|(worker, deque)| {
                let shared = Arc::clone(&shared);
                shuttle::thread::spawn(move || worker::run(&shared, worker, deque))
            })
            .collect();
        Model { shared, threads }
    }

    /// Drains to the end and joins; the records, sorted.
    fn finish(self, at_least: usize) -> Vec<usize> {
        let mut records = Vec::new();
        while self.shared.ring.drain(LONG, at_least, &mut records) {}
        for thread in self.threads {
            thread.join().unwrap();
        }
        records.sort_unstable();
        records
    }
}

fn script(body: impl Fn(usize) + Send + Sync + 'static) -> Script {
    Script { body: Box::new(body), broken_seat: None }
}

fn explore(body: impl Fn() + Send + Sync + Copy + 'static) {
    shuttle::check_random(body, 1000);
    shuttle::check_pct(body, 500, 3);
}

#[test]
fn every_job_once_and_everybody_ends() {
    explore(|| {
        let run = Model::start(script(|_| ()), 0..6, 4, 2);
        assert_eq!(run.finish(1), [0, 1, 2, 3, 4, 5]);
    });
    explore(|| {
        let run = Model::start(script(|_| ()), 0..5, 1, 1);
        assert_eq!(run.finish(usize::MAX), [0, 1, 2, 3, 4]);
    });
    explore(|| assert!(Model::start(script(|_| ()), 0..0, 4, 2).finish(1).is_empty()));
}

/// A deadlock here is a job that waited beside a sleeping worker.
#[test]
fn no_job_waits_beside_a_sleeper() {
    explore(|| {
        let barrier = Barrier::new(WORKERS);
        let body = move |_| {
            barrier.wait();
        };
        let run = Model::start(script(body), 0..2 * WORKERS, 4, 8);
        assert_eq!(run.finish(1).len(), 2 * WORKERS);
    });
}

/// The feed gives its last job only after the ones before are done, while it holds its worker.
#[test]
fn a_slow_feed_holds_nobody_else() {
    explore(|| {
        let (done, wait) = mpsc::channel();
        let done = Mutex::new(done);
        let body = move |_| done.lock().unwrap().send(()).unwrap_or(());
        let wait = Mutex::new(wait);
        let feed = (0..4).inspect(move |&id| {
            if id == 2 {
                let wait = wait.lock().unwrap();
                (0..2).for_each(|_| wait.recv().unwrap());
            }
        });
        assert_eq!(Model::start(script(body), feed, 8, 8).finish(1), [0, 1, 2, 3]);
    });
}

#[test]
fn panics_keep_their_job_and_the_run_goes_on() {
    explore(|| {
        let body = |id| {
            if id % 2 == 1 {
                resume_unwind(Box::new("bad"));
            }
        };
        assert_eq!(Model::start(script(body), 0..5, 2, 1).finish(1), [0, 2, 4, 101, 103]);
    });
}

#[test]
fn cancel_at_any_moment() {
    explore(|| {
        let run = Model::start(script(|_| ()), 0..8, 3, 1);
        let board = Arc::clone(&run.shared.board);
        let stop = shuttle::thread::spawn(move || board.gate.stop());
        let shared = Arc::clone(&run.shared);
        let records = run.finish(1);
        stop.join().unwrap();
        let jobs: u64 = shared.board.tallies.iter().map(|tally| tally.counters().jobs).sum();
        assert_eq!(records.len() as u64, jobs, "what was begun has its record");
        assert!(records.windows(2).all(|pair| pair[0] < pair[1]), "and only one");
    });
}

#[test]
fn a_fault_ends_everybody() {
    explore(|| {
        let script = Script { broken_seat: Some(1), ..script(|_| ()) };
        // A feed with an end: schedules of PCT aren't fair, so the broken worker may come last.
        let run = Model::start(script, 0..8, 2, 1);
        let shared = Arc::clone(&run.shared);
        run.finish(1);
        let fault = shared.fault.lock().unwrap().take();
        assert!(matches!(fault, Some(Fault::Seat { worker: 1, error: () })));
    });
}

#[test]
fn a_reader_that_goes_away_frees_the_workers() {
    explore(|| {
        let run = Model::start(script(|_| ()), 0.., 2, 1);
        run.shared.ring.drain(LONG, 1, &mut Vec::new());
        run.shared.board.gate.stop();
        run.shared.ring.close();
        for thread in run.threads {
            thread.join().unwrap();
        }
    });
}

const ALL: Parts = Parts { stealing: true, lock_free: true, ring: true };

/// Every part switched off, alone and together.
const SWITCHED: [Parts; 5] = [
    Parts { stealing: false, ..ALL },
    Parts { lock_free: false, ..ALL },
    Parts { stealing: false, lock_free: false, ..ALL },
    Parts { ring: false, ..ALL },
    Parts { stealing: false, lock_free: false, ring: false },
];

#[test]
fn simpler_parts_do_every_job_once_too() {
    for (number, parts) in SWITCHED.into_iter().enumerate() {
        let run = move |jobs, batch| {
            Model::start_with(script(|_| ()), 0..jobs, batch, 1, parts).finish(1)
        };
        explore(move || assert_eq!(run(5, 2), [0, 1, 2, 3, 4], "{number}"));
        explore(move || assert!(run(0, 2).is_empty()));
    }
}

/// With shares too: each job waits for the worker that it belongs to, which mustn't sleep.
#[test]
fn simpler_parts_leave_no_job_beside_a_sleeper() {
    for parts in SWITCHED {
        explore(move || {
            let barrier = Barrier::new(WORKERS);
            let body = move |_| {
                barrier.wait();
            };
            let run = Model::start_with(script(body), 0..2 * WORKERS, 2, 8, parts);
            assert_eq!(run.finish(1).len(), 2 * WORKERS);
        });
    }
}

#[test]
fn simpler_parts_can_be_stopped() {
    for parts in SWITCHED {
        explore(move || {
            let run = Model::start_with(script(|_| ()), 0..8, 3, 1, parts);
            let board = Arc::clone(&run.shared.board);
            let stop = shuttle::thread::spawn(move || board.gate.stop());
            let shared = Arc::clone(&run.shared);
            let records = run.finish(1);
            stop.join().unwrap();
            let jobs: u64 = shared.board.tallies.iter().map(|tally| tally.counters().jobs).sum();
            assert_eq!(records.len() as u64, jobs);
        });
    }
}

/// Jobs that are due at once, and then one that never is: in a model no time passes.
struct Late(usize);

impl Feed<usize> for Late {
    fn next(&mut self) -> Option<usize> {
        self.0 += 1;
        Some(self.0 - 1)
    }

    fn due_ns(&mut self) -> Option<u64> {
        (self.0 == 4).then_some(1)
    }
}

#[test]
fn a_stop_ends_the_wait_for_a_job_that_is_not_due() {
    for parts in [ALL, SWITCHED[0]] {
        explore(move || {
            let run = Model::start_with(script(|_| ()), Late(0), 1, 4, parts);
            let mut records = Vec::new();
            while records.len() < 4 {
                run.shared.ring.drain(LONG, 1, &mut records);
            }
            run.shared.board.gate.stop();
            assert!(run.finish(1).is_empty());
            records.sort_unstable();
            assert_eq!(records, [0, 1, 2, 3]);
        });
    }
}
