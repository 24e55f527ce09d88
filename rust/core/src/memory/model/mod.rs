//! The budget compiled again over the primitives of two model checkers: loom goes through every
//! interleaving of small cases, shuttle through many random ones of larger. A picture that nobody
//! wakes is a deadlock, which both report.

#![allow(clippy::duplicate_mod)] // compiling the file again is the point
#![allow(dead_code)] // each model uses a part of what the file offers

/// A thread for each part: takes it, holds it for a step, and gives it back.
macro_rules! spawn_takers {
    ($checker:ident, $budget:expr, $held:expr, $parts:expr) => {
        $parts.map(|bytes| {
            let (budget, held) = (Arc::clone($budget), Arc::clone($held));
            $checker::thread::spawn(move || {
                let share = budget.take(bytes, 1, 1).unwrap();
                let before = held.fetch_add(bytes, Ordering::SeqCst);
                assert!(before + bytes <= ALL, "more is held than there is");
                held.fetch_sub(bytes, Ordering::SeqCst);
                drop(share);
            })
        })
    };
}

mod exhaustive;
mod random;
