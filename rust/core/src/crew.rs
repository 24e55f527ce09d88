//! The workers' pipelines: made when first needed, kept warm, lent to one thread at a time.
//!
//! A batch's threads borrow the pipeline of their own number, so that its memory stays where it
//! was first touched; a caller with a single image borrows whichever is idle. A borrower that
//! panics does not give its pipeline back: the next borrower gets a new one.
//! This file must not know what a pipeline does, nor how threads are made or placed.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Makes the pipeline of worker `index`; called on the thread that will use it first.
pub type Make<P> = dyn Fn(usize) -> Result<P, String> + Send + Sync;

enum Seat<P> {
    Empty,
    Idle(Box<P>),
    Lent,
}

/// `workers` seats.
pub struct Crew<P> {
    make: Box<Make<P>>,
    seats: Mutex<Vec<Seat<P>>>,
    returned: Condvar,
}

/// A borrowed pipeline; dropping it gives it back.
pub struct Loan<P> {
    crew: Arc<Crew<P>>,
    index: usize,
    /// None while it is being made, and after a use of it has panicked.
    pipeline: Option<Box<P>>,
}

impl<P> Crew<P> {
    /// No pipeline is made yet.
    pub fn new(workers: usize, make: Box<Make<P>>) -> Self {
        let seats = (0..workers.max(1)).map(|_| Seat::Empty).collect();
        Self { make, seats: Mutex::new(seats), returned: Condvar::new() }
    }

    /// How many pipelines there can be.
    pub fn workers(&self) -> usize {
        self.lock().len()
    }

    /// The pipeline of worker `index`; waits while another thread has it.
    pub fn lend(self: &Arc<Self>, index: usize) -> Result<Loan<P>, String> {
        self.take(|seats| (!matches!(seats[index], Seat::Lent)).then_some(index))
    }

    /// Any pipeline: an idle one, else a new one, else the first to come back.
    pub fn lend_any(self: &Arc<Self>) -> Result<Loan<P>, String> {
        self.take(|seats| {
            let idle = seats.iter().position(|seat| matches!(seat, Seat::Idle(_)));
            idle.or_else(|| seats.iter().position(|seat| matches!(seat, Seat::Empty)))
        })
    }

    fn take(
        self: &Arc<Self>,
        choose: impl Fn(&[Seat<P>]) -> Option<usize>,
    ) -> Result<Loan<P>, String> {
        let mut seats = self.lock();
        let index = loop {
            match choose(&seats) {
                Some(index) => break index,
                None => {
                    seats = self.returned.wait(seats).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        let seat = std::mem::replace(&mut seats[index], Seat::Lent);
        drop(seats);
        let mut loan = Loan { crew: Arc::clone(self), index, pipeline: None };
        loan.pipeline = Some(match seat {
            Seat::Idle(pipeline) => pipeline,
            // Made without the lock: it may take long, and calls foreign code.
            Seat::Empty | Seat::Lent => Box::new((self.make)(index)?),
        });
        Ok(loan)
    }

    /// Drops the idle pipelines. Lent ones are kept until they come back.
    pub fn clear(&self) {
        let mut idle = Vec::new();
        for seat in self.lock().iter_mut() {
            if matches!(seat, Seat::Idle(_)) {
                idle.push(std::mem::replace(seat, Seat::Empty));
            }
        }
        // Dropped after the lock is free: dropping may call foreign code.
        drop(idle);
    }

    // A panic elsewhere can't leave seats half changed: every change is one assignment.
    fn lock(&self) -> MutexGuard<'_, Vec<Seat<P>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P> Loan<P> {
    /// Uses the pipeline. If `work` panics, the pipeline is dropped, and so is the loan's use:
    /// another call panics too.
    pub fn run<R>(&mut self, work: impl FnOnce(&mut P) -> R) -> R {
        let Some(mut pipeline) = self.pipeline.take() else {
            panic!("the pipeline was lost to an earlier panic");
        };
        let result = work(&mut pipeline);
        self.pipeline = Some(pipeline);
        result
    }
}

impl<P> Drop for Loan<P> {
    fn drop(&mut self) {
        let seat = self.pipeline.take().map_or(Seat::Empty, Seat::Idle);
        self.crew.lock()[self.index] = seat;
        self.crew.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn counting(workers: usize) -> (Arc<Crew<usize>>, Arc<AtomicUsize>) {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let make = move |index: usize| {
            counter.fetch_add(1, Ordering::Relaxed);
            if index == 9 { Err("no ninth".to_owned()) } else { Ok(index) }
        };
        (Arc::new(Crew::new(workers, Box::new(make))), made)
    }

    #[test]
    fn idle_pipelines_are_reused_before_new_ones_are_made() {
        let (crew, made) = counting(3);
        drop(crew.lend(2).unwrap());
        assert_eq!(crew.lend_any().unwrap().run(|p| *p), 2);
        let first = crew.lend_any().unwrap();
        assert_eq!(crew.lend_any().unwrap().run(|p| *p), 0);
        drop(first);
        assert_eq!(made.load(Ordering::Relaxed), 2);
        crew.clear();
        drop(crew.lend_any().unwrap());
        assert_eq!(made.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn a_borrower_waits_for_its_seat() {
        let (crew, _) = counting(1);
        let total = AtomicUsize::new(0);
        #[allow(clippy::disallowed_methods)] // a test may make threads
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let loan = crew.lend_any().unwrap();
                        total.fetch_add(1, Ordering::Relaxed);
                        drop(loan);
                    }
                });
            }
        });
        assert_eq!(total.load(Ordering::Relaxed), 400);
    }

    #[test]
    fn a_panic_costs_the_pipeline_and_a_failed_make_frees_the_seat() {
        let (crew, made) = counting(10);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            crew.lend(1).unwrap().run(|_| panic!("on purpose"));
        }));
        assert!(panicked.is_err());
        drop(crew.lend(1).unwrap());
        assert_eq!(made.load(Ordering::Relaxed), 2);
        assert!(crew.lend(9).is_err());
        assert!(crew.lend(9).is_err());
    }
}
