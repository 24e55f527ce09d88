//! The memory that large pictures share: who decodes one takes its part first, and waits until
//! there is room; one that can never have room is refused.
//!
//! Pictures up to a size that every worker can hold at any time take no part: their memory is set
//! aside for good, so the usual picture never meets a lock. Parts are given in the order in which
//! they were asked for, so that a large picture isn't passed by small ones for ever. Nobody who
//! waits holds a part, so nobody waits for ever.
//! Must not know what the memory is for beyond its size per pixel, nor how a picture is decoded.

mod budget;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

mod sync {
    //! The primitives that a budget waits on; its models put their own in the place of them.

    pub(super) use std::sync::{Condvar, Mutex, MutexGuard};
}

pub use self::budget::{
    BYTES_PER_PIXEL, Budget, JPEG_BYTES_PER_PIXEL, LOSSY_WEBP_BYTES_PER_PIXEL, Share,
};
