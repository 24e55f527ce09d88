//! Many jobs on many threads: a job is begun by one worker and finished by the same one, idle
//! workers steal, and nothing is lost at the end.
//!
//! Knows no image and no stage: the caller gives a [`Work`] (what a worker does) and a [`Feed`]
//! (where jobs come from) and reads records from the [`Run`]. Threads are created here only.
//! Left out: priorities, order between records, restarting a finished run.
//!
//! # Where a job can be
//!
//! ```text
//! feed --admit--> injector --batch--> a worker's deque <--batch--> other deques
//!  (lazy)            |                      |
//!                    +------- begin --------+--> in hand --> record --> ring --> front end
//! ```
//!
//! `pending` counts jobs admitted and not begun: in the injector, in a deque, on the way between
//! two, or popped and about to begin. It rises under the gate's mutex only and falls at `begin`.
//!
//! # What a worker does
//!
//! ```text
//! SEARCH  1. stop flag set: END
//!         2. pop the own deque; else steal a batch from the injector; else a batch from a worker
//!            of the same node, starting at the next number; else one from another node
//!         3. found: begin, do the job, push its record, SEARCH
//!         4. not found: lock the gate and
//!              stop flag set               -> END
//!              pending > 0                 -> back off (spin, then yield the CPU), SEARCH
//!              feed exhausted              -> END
//!              nobody feeds                -> FEED
//!              else                        -> WAIT
//! FEED    pull at most `batch` jobs, each not before it is due; admit each under the gate's
//!         mutex: pending + 1, push into the injector, wake one waiter. Then give the role back
//!         (and wake all if the feed is exhausted), SEARCH
//! WAIT    on the gate's condition; woken: look again as in 4.
//! ```
//!
//! # Why it ends, and why nobody sleeps beside work
//!
//! Let S be the workers in SEARCH (woken ones included), P the pending jobs.
//!
//! 1. *While anybody waits, P <= S.* A worker goes to WAIT or FEED only when P = 0, read under
//!    the mutex under which alone P rises. An admission raises P by one and wakes a waiter, if
//!    there is one, which raises S by one. To begin a job lowers both. So each job that has not
//!    begun has an awake worker looking for it, even while the feeder is stuck in a slow feed.
//! 2. *While anybody waits and the feed isn't exhausted, somebody feeds or will.* A worker waits
//!    only if somebody feeds. The feeder that comes back adds itself to S, so that then P < S:
//!    whichever jobs are begun, a searcher is left over, comes to 4. with P = 0 and feeds.
//! 3. *After exhaustion nobody waits*, as 4. doesn't lead there and all were woken. P only falls,
//!    so P = 0, once seen, stays: END is right. And P > 0 doesn't last: a job in the injector or a
//!    deque is found by the next search unless another worker took it; one in transit or about
//!    to begin is in the hands of a running worker, for microseconds (longer only if the system
//!    takes its CPU away; the others then yield theirs).
//! 4. *Jobs in hand need no counting*: they make no new jobs, and their worker ends by itself.
//!
//! A feeder that sleeps until its job is due waits on the gate's condition too. It takes nobody's
//! wake-up: an admission alone wakes one waiter, and nobody but the sleeper admits.
//!
//! A stop ends the same way, sooner: the flag is set, then all are woken under the mutex, so a
//! worker sees it before the next job. Two things can delay the end and are the caller's: a job
//! in hand (it is given the flag to look at) and a feed that doesn't return.
//!
//! # Fairness
//!
//! A batch takes at most half of the injector or deque it comes from, so hoarding is bounded, and
//! what a worker has hoarded stays open to all: the feed is asked only once nothing is pending, so
//! each batch is spread to the last job before the next is pulled. A worker that stalls loses its
//! whole deque. Hence also the bound on memory: at most `batch` jobs exist that nobody has begun.
//! Deques are first in, first out, so that jobs are begun roughly in the feed's order. Nothing is
//! allocated per job but the injector's blocks, one for every 63 jobs (crossbeam's doing).
//!
//! A feed whose next job may depend on an earlier record must be run with a batch of 1: then the
//! feeder comes back with each job, and no job waits for the one after it.
//!
//! # Parts switched off
//!
//! [`Parts`] puts simpler things in the place of deques and ring, to measure what those give.
//! With one line for all workers nothing above changes but where a job is found. With a line for
//! each worker, job i goes to worker i modulo their number, and `pending` is counted per line (the
//! gate calls it a lane): a worker goes to WAIT or FEED only when its own line is empty, so an
//! admission wakes all, the line's worker among them; and as the feeder that comes back may have a
//! job of its own while others wait for theirs, it wakes them, and one of them feeds. What a slow
//! worker has not begun then grows with the feed: this is no way to run a batch in earnest.
//!
//! # Records
//!
//! Go through a bounded ring (`ring.rs` has its own protocol): if it is full, workers wait. So the
//! front end must drain until the run ends; [`Run::join`] does, and dropping the [`Run`] stops it.

mod gate;
mod ring;
mod steal;
mod sync;
mod team;
mod worker;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::meter::{Count, Counters};
use crate::topology::{Placement, pin_current_thread};
use gate::Gate;
use ring::Ring;
use steal::Queues;
use sync::{Deque, Mutex};
pub use team::together;
pub use worker::message as panic_message;
use worker::{Board, Shared, Tally};

/// Where jobs come from; asked by one worker at a time, from changing threads.
pub trait Feed<J>: Send {
    /// The next job, or None when there are no more; isn't called again after that. May take its
    /// time: only the worker that asks is held up, and the end of a stopped run.
    fn next(&mut self) -> Option<J>;

    /// The moment, on [`crate::meter::now_ns`]'s clock, before which `next` shall not be called;
    /// None: now. The worker that feeds sleeps until then, and a stop wakes it. Jobs that arrive
    /// at times of their own want a batch of 1.
    fn due_ns(&mut self) -> Option<u64> {
        None
    }
}

impl<I: Iterator + Send> Feed<I::Item> for I {
    fn next(&mut self) -> Option<I::Item> {
        Iterator::next(self)
    }
}

/// What a worker does. One value is shared by all workers; what each has for itself is its seat.
pub trait Work: Send + Sync + 'static {
    /// One piece of work.
    type Job: Send + 'static;
    /// What is reported about a finished job.
    type Record: Send + 'static;
    /// A worker's own state (slots, scratch, callables). Stays on its thread.
    type Seat;
    /// Why a seat could not be made.
    type Error: Send + 'static;

    /// Called on the worker's thread, pinned by then, around its whole life; must call `body`
    /// once. For things that must live as long as the thread, such as an interpreter's thread
    /// state.
    fn enter(&self, place: &Placement, body: &mut dyn FnMut()) {
        let _ = place;
        body();
    }

    /// Makes a worker's state, on its own thread, so that memory is first touched on its node.
    /// Called again after each panic in [`Work::work`]. An error stops the run.
    fn seat(&self, place: &Placement) -> Result<Self::Seat, Self::Error>;

    /// Does the job. `stopped` says whether the run was asked to stop: a long job may look and
    /// give up. A panic fails this job alone.
    fn work(
        &self,
        seat: &mut Self::Seat,
        job: &mut Self::Job,
        stopped: &dyn Fn() -> bool,
    ) -> Self::Record;

    /// The record of a job that panicked, in whatever state the panic left it.
    fn panicked(&self, job: &Self::Job, message: String) -> Self::Record;
}

/// Why a run ended before its feed did.
#[derive(Debug, thiserror::Error)]
pub enum Fault<E> {
    /// A worker's state could not be made.
    #[error("worker {worker}: {error}")]
    Seat {
        /// The worker.
        worker: usize,
        /// The reason that [`Work::seat`] gave.
        error: E,
    },
    /// A thread could not be started.
    #[error("worker {worker} can't be started: {error}")]
    Thread {
        /// The worker.
        worker: usize,
        /// The system's reason.
        error: io::Error,
    },
    /// A panic outside of jobs.
    #[error("worker {worker} panicked: {message}")]
    Panic {
        /// The worker.
        worker: usize,
        /// What the panic said.
        message: String,
    },
    /// The feed panicked.
    #[error("the source of jobs panicked: {message}")]
    Feed {
        /// What the panic said.
        message: String,
    },
    /// [`Work::enter`] came back without having called its body.
    #[error("worker {worker} was never entered")]
    NotEntered {
        /// The worker.
        worker: usize,
    },
}

/// What a run is made of: all of it, unless it is measured what a part is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Idle workers take jobs from others. Without: each has a fixed share.
    pub stealing: bool,
    /// Jobs lie in lock-free queues. Without: in locked lists, one for all if there is stealing.
    pub lock_free: bool,
    /// Records go through a bounded lock-free ring. Without: through a locked list that grows.
    pub ring: bool,
}

impl Default for Parts {
    fn default() -> Parts {
        Parts { stealing: true, lock_free: true, ring: true }
    }
}

/// How a run is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// One worker for each; at least one is started.
    pub places: Vec<Placement>,
    /// Records that the ring holds; at least 1.
    pub ring: usize,
    /// Jobs pulled from the feed at a time; None: twice the workers, between 4 and 64. Must be 1
    /// if the feed may wait for records.
    pub batch: Option<usize>,
    /// For measuring.
    pub parts: Parts,
}

impl Options {
    /// For these places: a ring of 1,024 records and the usual batch.
    pub fn new(places: Vec<Placement>) -> Options {
        Options { places, ring: 1024, batch: None, parts: Parts::default() }
    }
}

/// Stops and watches a run from any thread; cheap to clone, and harmless after the end.
#[derive(Clone)]
pub struct Control(Arc<Board>);

impl Control {
    /// Asks the workers to stop after the job in hand. Returns at once.
    pub fn cancel(&self) {
        self.0.gate.stop();
    }

    /// Whether the run was asked to stop, by [`Control::cancel`] or by a fault.
    pub fn cancelled(&self) -> bool {
        self.0.gate.stopped()
    }

    /// What each worker has done so far.
    pub fn counters(&self) -> Vec<Counters> {
        self.0.tallies.iter().map(|tally| tally.counters()).collect()
    }
}

/// How a run went.
#[derive(Debug)]
pub struct Report<E> {
    /// What each worker did.
    pub workers: Vec<Counters>,
    /// Why the run ended early, if by itself.
    pub fault: Option<Fault<E>>,
    /// Whether it was asked to stop, by a fault too. (Perhaps too late to matter.)
    pub cancelled: bool,
    /// Jobs pulled from the feed and dropped unbegun; 0 unless cancelled.
    pub left: u64,
    /// Workers that the system wouldn't pin; they ran unpinned.
    pub unpinned: u64,
}

/// A run in progress. Dropping it cancels, waits for the jobs in hand, and loses their records.
pub struct Run<W: Work> {
    shared: Arc<Shared<W>>,
    threads: Vec<JoinHandle<()>>,
    unpinned: Arc<Count>,
}

/// Starts the workers. Never fails: what goes wrong becomes the report's fault.
pub fn start<W: Work>(work: W, feed: impl Feed<W::Job> + 'static, options: Options) -> Run<W> {
    let mut places = options.places;
    if places.is_empty() {
        places.push(Placement::default());
    }
    let workers = places.len();
    let deques: Vec<Deque<W::Job>> = places.iter().map(|_| Deque::new_fifo()).collect();
    let tallies = places.iter().map(|_| CachePadded::new(Tally::default())).collect();
    let queues = Queues::new(&deques, options.parts);
    let shared = Arc::new(Shared {
        work,
        board: Arc::new(Board { gate: Gate::new(queues.lanes()), tallies }),
        places,
        queues,
        ring: match options.parts.ring {
            true => Ring::new(options.ring, workers),
            false => Ring::growing(options.ring, workers),
        },
        feed: Mutex::new(Some(Box::new(feed))),
        batch: options.batch.unwrap_or((2 * workers).clamp(4, 64)).max(1),
        fault: Mutex::new(None),
    });
    let mut run = Run { shared, threads: Vec::with_capacity(workers), unpinned: Arc::default() };
    for (worker, deque) in deques.into_iter().enumerate() {
        match spawn(&run, worker, deque) {
            Ok(thread) => run.threads.push(thread),
            Err(error) => {
                run.shared.fail(Fault::Thread { worker, error });
                // This one and those that are now not even tried.
                (worker..workers).for_each(|_| run.shared.ring.leave());
                break;
            }
        }
    }
    run
}

#[allow(clippy::disallowed_methods)] // threads are created here
fn spawn<W: Work>(run: &Run<W>, worker: usize, deque: Deque<W::Job>) -> io::Result<JoinHandle<()>> {
    let (shared, unpinned) = (Arc::clone(&run.shared), Arc::clone(&run.unpinned));
    std::thread::Builder::new().name(format!("qbg-{worker}")).spawn(move || {
        if pin_current_thread(&shared.places[worker].cpus).is_err() {
            unpinned.add(1);
        }
        worker::run(&shared, worker, deque);
    })
}

impl<W: Work> Run<W> {
    /// Moves finished jobs' records to `out`, at most one ring full per call. Waits until
    /// `at_least` of them are there (1 to the ring's size; more than 1 spares wake-ups), the run
    /// ends, or `wait` is over. False once the run has ended and every record was given out.
    pub fn drain(&mut self, wait: Duration, at_least: usize, out: &mut Vec<W::Record>) -> bool {
        self.shared.ring.drain(wait, at_least, out)
    }

    /// A handle to stop and watch this run.
    pub fn control(&self) -> Control {
        Control(Arc::clone(&self.shared.board))
    }

    /// Waits for the end, moving the records that are left to `out`.
    pub fn join(mut self, out: &mut Vec<W::Record>) -> Report<W::Error> {
        // A minute at a time only because some number must be given.
        while self.drain(Duration::from_secs(60), usize::MAX, out) {}
        self.join_threads();
        let workers = self.control().counters();
        let (fed, jobs) =
            workers.iter().fold((0, 0), |(fed, jobs), c| (fed + c.fed, jobs + c.jobs));
        Report {
            workers,
            fault: self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner).take(),
            cancelled: self.shared.board.gate.stopped(),
            left: fed - jobs,
            unpinned: self.unpinned.get(),
        }
    }

    fn join_threads(&mut self) {
        for (worker, thread) in self.threads.drain(..).enumerate() {
            if thread.join().is_err() {
                // Past all that `worker::run` catches: thread-locals that panic while dropped.
                let message = "its thread died".to_owned();
                self.shared.fail(Fault::Panic { worker, message });
            }
        }
    }
}

impl<W: Work> Drop for Run<W> {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.shared.board.gate.stop();
            self.shared.ring.close();
            self.join_threads();
        }
    }
}
