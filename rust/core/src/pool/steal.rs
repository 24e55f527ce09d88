//! Where jobs lie and in which order an idle worker looks for one: its own deque, the injector,
//! the workers of its node from the next number on, the others likewise.
//!
//! Two simpler orders stand beside that one, to measure it against: a line for all workers, and a
//! line for each, from which nobody else takes. A line is lock-free or locked.
//!
//! `Retry` means that another thread won a race just then; it isn't "empty", so the same place is
//! asked again (each retry is somebody's success, so this ends). Nothing here waits, counts
//! pending jobs or knows what a job is.

use std::collections::VecDeque;
use std::sync::PoisonError;

use super::sync::{AtomicUsize, Deque, Injector, Mutex, Ordering, Steal, Stealer};
use crate::pool::Parts;

/// Where a job was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Own,
    Injector,
    /// The deque of a worker on the same node.
    Local,
    /// The deque of a worker on another node.
    Remote,
}

/// A job, where it came from, and how many jobs were taken there together with it.
pub(super) struct Found<J> {
    pub(super) job: J,
    pub(super) source: Source,
    pub(super) taken: usize,
}

#[allow(clippy::large_enum_variant)] // one per run, never moved
pub(super) enum Queues<J> {
    Stealing {
        injector: Injector<J>,
        stealers: Vec<Stealer<J>>,
    },
    /// One for all, or one for each worker.
    Lines {
        lines: Vec<Line<J>>,
        /// Lines that jobs were sent to, by the feeder alone.
        sent: AtomicUsize,
    },
}

/// First in, first out, one at a time.
#[allow(clippy::large_enum_variant)] // a few per run, never moved
pub(super) enum Line<J> {
    Free(Injector<J>),
    Locked(Mutex<VecDeque<J>>),
}

impl<J> Line<J> {
    fn new(lock_free: bool) -> Line<J> {
        match lock_free {
            true => Line::Free(Injector::new()),
            false => Line::Locked(Mutex::new(VecDeque::new())),
        }
    }

    fn push(&self, job: J) {
        match self {
            Line::Free(queue) => queue.push(job),
            Line::Locked(queue) => {
                queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
            }
        }
    }

    fn pop(&self) -> Option<J> {
        match self {
            Line::Free(queue) => insist(|| queue.steal()),
            Line::Locked(queue) => queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front(),
        }
    }
}

/// The other workers in the order in which one of them robs them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Victims {
    local: Vec<usize>,
    remote: Vec<usize>,
}

impl Victims {
    /// For worker `me`, where `nodes` has each worker's node. Starting at the next number spreads
    /// the thieves: if all began with worker 0, they would all meet there. An unknown node counts
    /// as one node of its own.
    pub(super) fn new(me: usize, nodes: &[Option<usize>]) -> Victims {
        let others = (1..nodes.len()).map(|step| (me + step) % nodes.len());
        let (local, remote) = others.partition(|&other| nodes[other] == nodes[me]);
        Victims { local, remote }
    }
}

impl<J> Queues<J> {
    /// The shared side of `deques`, which only stealing workers use.
    pub(super) fn new(deques: &[Deque<J>], parts: Parts) -> Queues<J> {
        let Parts { stealing, lock_free, .. } = parts;
        if stealing && lock_free {
            let stealers = deques.iter().map(Deque::stealer).collect();
            return Queues::Stealing { injector: Injector::new(), stealers };
        }
        let lines = if stealing { 1 } else { deques.len() };
        let lines = (0..lines).map(|_| Line::new(lock_free)).collect();
        Queues::Lines { lines, sent: AtomicUsize::new(0) }
    }

    /// Kinds of jobs, by who may do them: all one kind, or one for each worker.
    pub(super) fn lanes(&self) -> usize {
        match self {
            Queues::Stealing { .. } => 1,
            Queues::Lines { lines, .. } => lines.len(),
        }
    }

    /// The lane that worker `me` takes jobs from.
    pub(super) fn lane_of(&self, me: usize) -> usize {
        if self.lanes() == 1 { 0 } else { me }
    }

    /// The lane of the next job from the feed: each in turn. For the feeder.
    pub(super) fn next_lane(&self) -> usize {
        match self {
            Queues::Stealing { .. } => 0,
            // Relaxed: feeders follow each other under the feed's lock.
            Queues::Lines { lines, sent } => sent.fetch_add(1, Ordering::Relaxed) % lines.len(),
        }
    }

    /// Makes a job findable.
    pub(super) fn push(&self, lane: usize, job: J) {
        match self {
            Queues::Stealing { injector, .. } => injector.push(job),
            Queues::Lines { lines, .. } => lines[lane].push(job),
        }
    }

    /// Looks everywhere once. None: every place was seen empty, though not all at one moment, and
    /// a batch on its way from one deque to another is in neither.
    pub(super) fn search(&self, me: usize, own: &Deque<J>, victims: &Victims) -> Option<Found<J>> {
        match self {
            Queues::Stealing { injector, stealers } => steal(injector, stealers, own, victims),
            Queues::Lines { lines, .. } => {
                let source = if lines.len() == 1 { Source::Injector } else { Source::Own };
                lines[self.lane_of(me)].pop().map(|job| Found { job, source, taken: 1 })
            }
        }
    }
}

fn steal<J>(
    injector: &Injector<J>,
    stealers: &[Stealer<J>],
    own: &Deque<J>,
    victims: &Victims,
) -> Option<Found<J>> {
    if let Some(job) = own.pop() {
        return Some(Found { job, source: Source::Own, taken: 1 });
    }
    if let Some(job) = insist(|| injector.steal_batch_and_pop(own)) {
        return Some(Found { job, source: Source::Injector, taken: 1 });
    }
    let rob = |victim: &usize| insist(|| stealers[*victim].steal_batch_and_pop(own));
    let found = |job, source| {
        // The own deque was empty, so what lies there now came with the job, less what a
        // third worker has taken on already (which then counts as its theft).
        Found { job, source, taken: 1 + own.len() }
    };
    victims
        .local
        .iter()
        .find_map(rob)
        .map(|job| found(job, Source::Local))
        .or_else(|| victims.remote.iter().find_map(rob).map(|job| found(job, Source::Remote)))
}

fn insist<J>(mut steal: impl FnMut() -> Steal<J>) -> Option<J> {
    loop {
        match steal() {
            Steal::Success(job) => return Some(job),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}
