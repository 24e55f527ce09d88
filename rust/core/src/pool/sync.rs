//! The primitives that the pool orders itself by. `gate`, `ring`, `steal` and `worker` name them
//! through `super::sync` only, so that the model tests compile those same files over the
//! primitives of a model checker (`model/`). Nothing else belongs here.

pub(super) use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
pub(super) use std::sync::{Condvar, Mutex, MutexGuard};

pub(super) use crossbeam_deque::{Injector, Steal, Stealer, Worker as Deque};
pub(super) use crossbeam_queue::ArrayQueue;
pub(super) use crossbeam_utils::Backoff;

pub(super) use crate::meter::now_ns;
