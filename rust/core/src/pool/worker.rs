//! A worker's life: take a job, do it, hand its record over, until there is none.
//!
//! Everything that can go wrong in the caller's code is caught here: a panic in a job becomes
//! that job's record and costs the worker its seat, which is built anew; a panic anywhere else
//! (building a seat, the feed, entering) stops the run and is its [`Fault`]. What a job is, this
//! file doesn't know; how jobs are found and when the run ends is the protocol's (`mod.rs`).

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use crossbeam_utils::CachePadded;

use super::gate::{Gate, Next};
use super::ring::Ring;
use super::steal::{Found, Queues, Source, Victims};
use super::sync::{Backoff, Deque, Mutex, now_ns};
use crate::meter::{Count, Counters};
use crate::pool::{Fault, Feed, Work};
use crate::topology::Placement;

/// What the workers of a run share with those who watch it; knows no job's type.
pub(super) struct Board {
    pub(super) gate: Gate,
    pub(super) tallies: Vec<CachePadded<Tally>>,
}

/// What the workers of a run share.
pub(super) struct Shared<W: Work> {
    pub(super) work: W,
    pub(super) board: Arc<Board>,
    pub(super) places: Vec<Placement>,
    pub(super) queues: Queues<W::Job>,
    pub(super) ring: Ring<W::Record>,
    /// Locked by whoever the gate made the feeder, so never contended; None once exhausted.
    pub(super) feed: Mutex<Option<Box<dyn Feed<W::Job>>>>,
    pub(super) batch: usize,
    /// The first fault.
    pub(super) fault: Mutex<Option<Fault<W::Error>>>,
}

/// One worker's [`Counters`] while it runs.
#[derive(Default)]
pub(super) struct Tally {
    own_pops: Count,
    injector_steals: Count,
    local_steals: Count,
    remote_steals: Count,
    stolen: Count,
    fed: Count,
    panics: Count,
    busy_ns: Count,
    feed_ns: Count,
    idle_ns: Count,
    blocked_ns: Count,
}

impl Tally {
    pub(super) fn counters(&self) -> Counters {
        let (own_pops, injector_steals) = (self.own_pops.get(), self.injector_steals.get());
        let (local_steals, remote_steals) = (self.local_steals.get(), self.remote_steals.get());
        Counters {
            jobs: own_pops + injector_steals + local_steals + remote_steals,
            own_pops,
            injector_steals,
            local_steals,
            remote_steals,
            stolen: self.stolen.get(),
            fed: self.fed.get(),
            panics: self.panics.get(),
            busy_ns: self.busy_ns.get(),
            feed_ns: self.feed_ns.get(),
            idle_ns: self.idle_ns.get(),
            blocked_ns: self.blocked_ns.get(),
        }
    }

    fn found<J>(&self, found: &Found<J>) {
        match found.source {
            Source::Own => self.own_pops.add(1),
            Source::Injector => self.injector_steals.add(1),
            Source::Local => self.local_steals.add(1),
            Source::Remote => self.remote_steals.add(1),
        }
        if matches!(found.source, Source::Local | Source::Remote) {
            self.stolen.add(found.taken as u64);
        }
    }
}

impl<W: Work> Shared<W> {
    /// Notes the fault unless there is one already, and stops the run.
    pub(super) fn fail(&self, fault: Fault<W::Error>) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
        self.board.gate.stop();
    }
}

/// The whole life of worker `index`, on its own thread, which is pinned already.
pub(super) fn run<W: Work>(shared: &Shared<W>, index: usize, deque: Deque<W::Job>) {
    /// Whatever happens, the ring learns that this worker has gone.
    struct Leave<'a, R>(&'a Ring<R>);
    impl<R> Drop for Leave<'_, R> {
        fn drop(&mut self) {
            self.0.leave();
        }
    }

    let _leave = Leave(&shared.ring);
    let mut entered = false;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        shared.work.enter(&shared.places[index], &mut || {
            if !std::mem::replace(&mut entered, true) {
                serve(shared, index, &deque);
            }
        });
    }));
    match outcome {
        Err(panic) => shared.fail(Fault::Panic { worker: index, message: message(&*panic) }),
        Ok(()) if !entered => shared.fail(Fault::NotEntered { worker: index }),
        Ok(()) => {}
    }
}

fn serve<W: Work>(shared: &Shared<W>, index: usize, deque: &Deque<W::Job>) {
    // A seat may be dear (a network's callable), and who was stopped already needs none.
    if shared.board.gate.stopped() {
        return;
    }
    let Some(mut seat) = build(shared, index) else { return };
    let nodes: Vec<_> = shared.places.iter().map(|place| place.node).collect();
    let victims = Victims::new(index, &nodes);
    let tally = &*shared.board.tallies[index];
    let stopped = || shared.board.gate.stopped();
    let mut mark_ns = now_ns();
    while let Some(mut job) = take(shared, index, deque, &victims, &mut mark_ns) {
        // AssertUnwindSafe: after a panic the seat is thrown away, and the job is only asked who
        // it is, by a caller who knows that it may be half done.
        let outcome =
            catch_unwind(AssertUnwindSafe(|| shared.work.work(&mut seat, &mut job, &stopped)));
        let (record, broken) = match outcome {
            Ok(record) => (record, false),
            Err(panic) => (shared.work.panicked(&job, message(&*panic)), true),
        };
        // The job goes before its record is seen: who has the record may rely on that.
        drop(job);
        lap(&mut mark_ns, &tally.busy_ns);
        if shared.ring.push(record) {
            lap(&mut mark_ns, &tally.blocked_ns);
        }
        if broken {
            tally.panics.add(1);
            // A second panic, while the broken seat is dropped, is the same failure.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(seat)));
            if stopped() {
                return;
            }
            match build(shared, index) {
                Some(fresh) => seat = fresh,
                None => return,
            }
        }
    }
}

/// The worker's state, built on its own thread; None if that failed and the run stops.
fn build<W: Work>(shared: &Shared<W>, index: usize) -> Option<W::Seat> {
    match catch_unwind(AssertUnwindSafe(|| shared.work.seat(&shared.places[index]))) {
        Ok(Ok(seat)) => return Some(seat),
        Ok(Err(error)) => shared.fail(Fault::Seat { worker: index, error }),
        Err(panic) => shared.fail(Fault::Panic { worker: index, message: message(&*panic) }),
    }
    None
}

/// The next job, begun; None when the run is over for this worker.
fn take<W: Work>(
    shared: &Shared<W>,
    index: usize,
    deque: &Deque<W::Job>,
    victims: &Victims,
    mark_ns: &mut u64,
) -> Option<W::Job> {
    let (gate, tally) = (&shared.board.gate, &*shared.board.tallies[index]);
    let lane = shared.queues.lane_of(index);
    let backoff = Backoff::new();
    let job = loop {
        if gate.stopped() {
            break None;
        }
        if let Some(found) = shared.queues.search(index, deque, victims) {
            gate.begin(lane);
            tally.found(&found);
            break Some(found.job);
        }
        match gate.next(lane) {
            Next::Search => backoff.snooze(), // spins a little, then yields the CPU
            Next::Feed => {
                lap(mark_ns, &tally.idle_ns);
                feed(shared, tally, mark_ns);
                lap(mark_ns, &tally.feed_ns);
                backoff.reset();
            }
            Next::End => break None,
        }
    };
    lap(mark_ns, &tally.idle_ns);
    job
}

/// Pulls one batch into the injector, as the gate's feeder.
fn feed<W: Work>(shared: &Shared<W>, tally: &Tally, mark_ns: &mut u64) {
    let gate = &shared.board.gate;
    let mut slot = shared.feed.lock().unwrap_or_else(PoisonError::into_inner);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let Some(feed) = slot.as_mut() else { return true };
        for _ in 0..shared.batch {
            if gate.stopped() {
                return false;
            }
            if let Some(due_ns) = feed.due_ns() {
                // Waiting for a job to arrive is no work of the feed's.
                lap(mark_ns, &tally.feed_ns);
                let due = gate.sleep_until(due_ns);
                lap(mark_ns, &tally.idle_ns);
                if !due {
                    return false;
                }
            }
            let Some(job) = feed.next() else {
                *slot = None; // its files and memory aren't needed while the last jobs run
                return true;
            };
            tally.fed.add(1);
            let lane = shared.queues.next_lane();
            gate.admit(lane, || shared.queues.push(lane, job));
        }
        false
    }));
    drop(slot);
    match outcome {
        Ok(exhausted) => gate.fed(exhausted),
        Err(panic) => {
            shared.fail(Fault::Feed { message: message(&*panic) });
            gate.fed(true);
        }
    }
}

/// Books the time since the mark.
fn lap(mark_ns: &mut u64, count: &Count) {
    let now = now_ns();
    count.add(now.saturating_sub(*mark_ns));
    *mark_ns = now;
}

/// What a panic said.
pub fn message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "panic without a message".to_owned()
    }
}
