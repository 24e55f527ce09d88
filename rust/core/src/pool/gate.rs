//! Who feeds, who waits, when the run is over: the part of the protocol that is ours to order.
//!
//! A monitor (one mutex, one condition) around three facts: whether somebody feeds, whether the
//! feed is exhausted, and how many wait; beside it `pending`, the jobs admitted but not yet begun,
//! raised only under the mutex and lowered without it, and the stop flag. The protocol and the
//! argument for its end are in the pool's head comment. Nothing here knows a deque or a job.
//!
//! Jobs that any worker may do are pending in one lane. Where each worker has jobs of its own,
//! each has a lane, and asks about that one alone.

use std::sync::PoisonError;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use super::sync::{AtomicBool, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, now_ns};

/// What a worker that found no job does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There are jobs that nobody has begun: search again.
    Search,
    /// Pull a batch from the feed, then call [`Gate::fed`].
    Feed,
    /// There will be no more jobs.
    End,
}

#[derive(Debug, Default)]
struct State {
    feeding: bool,
    exhausted: bool,
    waiting: usize,
}

pub(super) struct Gate {
    state: Mutex<State>,
    wake: Condvar,
    pending: Box<[CachePadded<AtomicUsize>]>,
    stopped: AtomicBool,
}

impl Gate {
    /// With this many lanes, at least one.
    pub(super) fn new(lanes: usize) -> Gate {
        Gate {
            state: Mutex::new(State::default()),
            wake: Condvar::new(),
            pending: (0..lanes.max(1)).map(|_| CachePadded::new(AtomicUsize::new(0))).collect(),
            stopped: AtomicBool::new(false),
        }
    }

    /// Admits one job of a lane: `push` makes it findable. The feeder alone calls this.
    pub(super) fn admit(&self, lane: usize, push: impl FnOnce()) {
        let state = self.lock();
        // Relaxed: who must see the rise (a worker about to wait) reads it under this mutex, and
        // who lowers it got the job through a deque, which orders the two.
        self.pending[lane].fetch_add(1, Ordering::Relaxed);
        push();
        if state.waiting > 0 {
            self.wake_for_a_job();
        }
    }

    fn wake_for_a_job(&self) {
        match self.pending.len() {
            1 => self.wake.notify_one(),
            // The lane's own worker must be among them.
            _ => self.wake.notify_all(),
        }
    }

    /// A job taken from a deque or line is about to begin.
    pub(super) fn begin(&self, lane: usize) {
        // Relaxed: a waiter that reads too high a number searches once more, and a number that
        // reads 0 says only that each admitted job is in somebody's hands; no data goes with it.
        self.pending[lane].fetch_sub(1, Ordering::Relaxed);
    }

    /// For a worker of this lane whose search found nothing: what next. Waits while another one
    /// feeds and every job admitted to the lane has begun.
    pub(super) fn next(&self, lane: usize) -> Next {
        let pending = &self.pending[lane];
        // Without the mutex: jobs in transit between deques would else have all thieves meet here.
        if pending.load(Ordering::Relaxed) > 0 && !self.stopped() {
            return Next::Search;
        }
        let mut state = self.lock();
        loop {
            if self.stopped() {
                return Next::End;
            }
            if pending.load(Ordering::Relaxed) > 0 {
                return Next::Search;
            }
            if state.exhausted {
                return Next::End;
            }
            if !state.feeding {
                state.feeding = true;
                return Next::Feed;
            }
            state.waiting += 1;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// Hands the feeder's role back.
    pub(super) fn fed(&self, exhausted: bool) {
        let mut state = self.lock();
        state.feeding = false;
        state.exhausted |= exhausted;
        if state.exhausted || self.pending.len() > 1 {
            self.wake.notify_all();
        }
        // Otherwise nobody needs waking: the feeder itself searches next (head comment, claim 2).
    }

    /// Sleeps until the clock says `due_ns`; false if the run was stopped. The feeder alone calls
    /// this, and only while it admits nothing: so no other waiter's wake-up ends here.
    pub(super) fn sleep_until(&self, due_ns: u64) -> bool {
        let mut state = self.lock();
        loop {
            if self.stopped() {
                return false;
            }
            let left_ns = due_ns.saturating_sub(now_ns());
            if left_ns == 0 {
                return true;
            }
            state = match self.wake.wait_timeout(state, Duration::from_nanos(left_ns)) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }

    /// Asks everybody to end after the job in hand.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        // Under the mutex, so that a worker has either not yet read the flag or already waits.
        let _state = self.lock();
        self.wake.notify_all();
    }

    pub(super) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held but `push` (memory), after which the counts still hold.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
