//! From image bytes to cut-out bytes, one image per core, start to finish.
//!
//! ```text
//! discover -> map -> decode -> preprocess -> infer -> mask -> composite -> encode -> write
//!  source    mapped  decode    preprocess   (caller)  mask    composite    encode    sink
//! ```
//!
//! The way of one image is [`pipeline`]; [`pool`] runs many of them. Stages take and give the
//! types of [`image`] and never name each other or the pool. Nothing here knows Python, prints,
//! or holds global state.

pub mod backdrop;
pub mod batch;
pub mod composite;
pub mod crew;
pub mod decode;
pub mod encode;
pub mod error;
pub mod image;
pub mod mapped;
pub mod mask;
pub mod meter;
pub mod pipeline;
pub mod pool;
pub mod preprocess;
pub mod recipe;
pub mod resample;
pub mod simd;
pub mod sink;
pub mod slot;
pub mod source;
pub mod topology;
