//! Records on their way to the front end: bounded, lock-free until somebody has to wait, lossless.
//!
//! ```text
//! push (worker)                              drain (front end)
//!   queue.push                                 lock; wanted = n
//!   fence                                      fence
//!   if wanted and len >= wanted:               if len < n and not ended: wait on `ready`
//!       lock; notify `ready`                   wanted = 0; unlock
//!                                              pop up to one ring full
//! push on a full ring                          fence
//!   lock; blocked += 1                         if blocked: lock; notify `space`
//!   loop: fence; try push; wait on `space`
//! ```
//!
//! No wake-up is lost. In both directions one side writes its own fact, fences, and reads the
//! other's (Dekker's pattern): of two SeqCst fences one is first, and what was written before it
//! is seen after the other. So either the front end sees the record and doesn't wait, or the
//! worker sees `wanted` and notifies; the mutex, held from the front end's look until its wait and
//! taken before the notice, keeps the notice from falling between. The same with `blocked` and
//! free space. A worker is never done with a record before it is in the queue; the one exception
//! is [`Ring::close`], called when the reader is gone for good.
//!
//! To measure the ring against it, the queue can also be a locked list that grows: then no push
//! finds it full, and the rest is the same.
//!
//! One reader at a time (`wanted` is one number); the pool's handle sees to it. Left out: order
//! between workers.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use super::sync::{
    ArrayQueue, AtomicBool, AtomicUsize, Condvar, Mutex, MutexGuard, Ordering, fence, now_ns,
};

#[allow(clippy::large_enum_variant)] // one per run, never moved
enum Buffer<R> {
    Bounded(ArrayQueue<R>),
    Growing(Mutex<VecDeque<R>>),
}

impl<R> Buffer<R> {
    fn push(&self, record: R) -> Result<(), R> {
        match self {
            Buffer::Bounded(queue) => queue.push(record),
            Buffer::Growing(list) => {
                locked(list).push_back(record);
                Ok(())
            }
        }
    }

    fn pop(&self) -> Option<R> {
        match self {
            Buffer::Bounded(queue) => queue.pop(),
            Buffer::Growing(list) => locked(list).pop_front(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Buffer::Bounded(queue) => queue.len(),
            Buffer::Growing(list) => locked(list).len(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Buffer::Bounded(queue) => queue.is_empty(),
            Buffer::Growing(list) => locked(list).is_empty(),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Ring<R> {
    queue: Buffer<R>,
    /// Records that the bounded queue holds, and that one drain gives out at most.
    capacity: usize,
    lock: Mutex<()>,
    ready: Condvar,
    space: Condvar,
    /// How many records the waiting reader wants; 0: nobody waits.
    wanted: AtomicUsize,
    /// Workers that wait for space.
    blocked: AtomicUsize,
    /// Workers that may still push.
    writers: AtomicUsize,
    closed: AtomicBool,
}

impl<R> Ring<R> {
    /// For `capacity` records (at least 1) of `writers` workers.
    pub(super) fn new(capacity: usize, writers: usize) -> Ring<R> {
        let capacity = capacity.max(1);
        Ring::over(Buffer::Bounded(ArrayQueue::new(capacity)), capacity, writers)
    }

    /// For any number of records; `capacity` only says how many a drain gives out at most.
    pub(super) fn growing(capacity: usize, writers: usize) -> Ring<R> {
        Ring::over(Buffer::Growing(Mutex::new(VecDeque::new())), capacity.max(1), writers)
    }

    fn over(queue: Buffer<R>, capacity: usize, writers: usize) -> Ring<R> {
        Ring {
            queue,
            capacity,
            lock: Mutex::new(()),
            ready: Condvar::new(),
            space: Condvar::new(),
            wanted: AtomicUsize::new(0),
            blocked: AtomicUsize::new(0),
            writers: AtomicUsize::new(writers),
            closed: AtomicBool::new(false),
        }
    }

    /// Hands a record over, waiting for space if need be; says whether it had to.
    pub(super) fn push(&self, record: R) -> bool {
        let Err(record) = self.queue.push(record) else {
            self.announce();
            return false;
        };
        self.push_slowly(record);
        true
    }

    #[cold]
    fn push_slowly(&self, mut record: R) {
        let mut guard = self.lock();
        self.blocked.fetch_add(1, Ordering::Relaxed);
        loop {
            if self.closed.load(Ordering::Relaxed) {
                break; // written under the mutex; nobody will ever read
            }
            fence(Ordering::SeqCst);
            match self.queue.push(record) {
                Ok(()) => break,
                Err(back) => record = back,
            }
            guard = self.space.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        self.blocked.fetch_sub(1, Ordering::Relaxed);
        drop(guard);
        self.announce();
    }

    fn announce(&self) {
        fence(Ordering::SeqCst);
        let wanted = self.wanted.load(Ordering::Relaxed);
        if wanted > 0 && self.queue.len() >= wanted {
            let _guard = self.lock();
            self.ready.notify_one();
        }
    }

    /// Moves records to `out`, at most one ring full, waiting until `at_least` of them are there,
    /// the last writer has left, or `wait` is over. False once nothing more can come.
    pub(super) fn drain(&self, wait: Duration, at_least: usize, out: &mut Vec<R>) -> bool {
        let at_least = at_least.clamp(1, self.capacity);
        if self.queue.len() < at_least {
            self.wait(wait, at_least);
        }
        // Before popping: what the last writer pushed is there when it has left.
        let ended = self.ended();
        // No more than a ring full, so that a call ends however fast the workers are.
        let room = self.capacity;
        let before = out.len();
        while out.len() - before < room {
            match self.queue.pop() {
                Some(record) => out.push(record),
                None => break,
            }
        }
        fence(Ordering::SeqCst);
        if self.blocked.load(Ordering::Relaxed) > 0 {
            let _guard = self.lock();
            self.space.notify_all();
        }
        !(ended && self.queue.is_empty())
    }

    fn wait(&self, wait: Duration, at_least: usize) {
        let deadline_ns = now_ns().saturating_add(wait.as_nanos().try_into().unwrap_or(u64::MAX));
        let mut guard = self.lock();
        self.wanted.store(at_least, Ordering::Relaxed);
        loop {
            fence(Ordering::SeqCst);
            if self.ended() || self.queue.len() >= at_least {
                break;
            }
            let left_ns = deadline_ns.saturating_sub(now_ns());
            if left_ns == 0 {
                break;
            }
            let left = Duration::from_nanos(left_ns);
            guard = match self.ready.wait_timeout(guard, left) {
                Ok((guard, _)) => guard,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        self.wanted.store(0, Ordering::Relaxed);
    }

    /// One writer will push no more.
    pub(super) fn leave(&self) {
        // AcqRel: the reader that sees 0 sees every writer's last push.
        if self.writers.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _guard = self.lock();
            self.ready.notify_one();
        }
    }

    fn ended(&self) -> bool {
        self.writers.load(Ordering::Acquire) == 0
    }

    /// The reader is gone: from now on a full ring drops what is pushed.
    pub(super) fn close(&self) {
        let _guard = self.lock();
        self.closed.store(true, Ordering::Relaxed);
        self.space.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, ()> {
        locked(&self.lock)
    }
}
