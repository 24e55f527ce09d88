//! Where jobs lie and in which order an idle worker looks for one: its own deque, the injector,
//! the workers of its node from the next number on, the others likewise.
//!
//! `Retry` means that another thread won a race just then; it isn't "empty", so the same place is
//! asked again (each retry is somebody's success, so this ends). Nothing here waits, counts
//! pending jobs or knows what a job is.

use super::sync::{Deque, Injector, Steal, Stealer};

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

pub(super) struct Queues<J> {
    pub(super) injector: Injector<J>,
    stealers: Vec<Stealer<J>>,
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
    /// The shared side of `deques`.
    pub(super) fn new(deques: &[Deque<J>]) -> Queues<J> {
        Queues { injector: Injector::new(), stealers: deques.iter().map(Deque::stealer).collect() }
    }

    /// Looks everywhere once. None: every place was seen empty, though not all at one moment, and
    /// a batch on its way from one deque to another is in neither.
    pub(super) fn search(&self, own: &Deque<J>, victims: &Victims) -> Option<Found<J>> {
        if let Some(job) = own.pop() {
            return Some(Found { job, source: Source::Own, taken: 1 });
        }
        if let Some(job) = insist(|| self.injector.steal_batch_and_pop(own)) {
            return Some(Found { job, source: Source::Injector, taken: 1 });
        }
        let rob = |victim: &usize| insist(|| self.stealers[*victim].steal_batch_and_pop(own));
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
