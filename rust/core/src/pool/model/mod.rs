//! Models of the pool: its own source files, compiled a second and third time over the primitives
//! of a model checker. [`random`] runs the whole worker loop through many random interleavings
//! (sequentially consistent); [`exhaustive`] runs ring and gate through every interleaving of
//! small cases, with the memory orders as written.
//!
//! In both, a timed wait never times out, so a lost wake-up is a deadlock, which both report.

#![allow(clippy::duplicate_mod)] // compiling the files again is the point
#![allow(dead_code)] // each model uses a part of what the files offer

mod exhaustive;
mod random;
