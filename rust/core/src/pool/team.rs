//! A few threads that do one thing together, once: no jobs, no queue, no records.
//!
//! For what must be done on all cores at the same moment, such as measuring memory. Each thread is
//! pinned like the worker of its place. Must not know what is done.

use std::sync::Barrier;

use crate::topology::{Placement, pin_current_thread};

/// Calls `work` with each place's index, on a thread of its own there, and with a barrier that all
/// of them can meet at. Their results, by place. A panic in one is a panic here, after the others;
/// if one panics, none may wait at the barrier any more.
#[allow(clippy::disallowed_methods)] // threads are created here
pub fn together<T: Send>(
    places: &[Placement],
    work: impl Fn(usize, &Barrier) -> T + Sync,
) -> Vec<T> {
    let barrier = Barrier::new(places.len());
    let (work, barrier) = (&work, &barrier);
    std::thread::scope(|scope| {
        let threads: Vec<_> = places
            .iter()
            .enumerate()
            .map(|(index, place)| {
                scope.spawn(move || {
                    // Unpinned it measures less surely, but it measures.
                    let _ = pin_current_thread(&place.cpus);
                    work(index, barrier)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_works_once_and_all_meet() {
        let places = vec![Placement::default(); 5];
        let met = together(&places, |index, barrier| {
            let leader = barrier.wait().is_leader();
            (index, leader)
        });
        assert_eq!(met.iter().map(|&(index, _)| index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(met.iter().filter(|&&(_, leader)| leader).count(), 1);
    }

    #[test]
    fn nobody_is_fine() {
        assert!(together(&[], |index, _| index).is_empty());
    }
}
