//! From image bytes to cut-out bytes, one image per core, start to finish.
//!
//! ```text
//! discover -> map -> decode -> preprocess -> infer -> mask -> composite -> encode -> write
//!  source    mapped  decode    preprocess   (caller)  mask    composite    encode    sink
//! ```
//!
//! [`pipeline`] is the way of one image: the only file that names all stages, in this order.
//! [`batch`] puts many of them on the workers of [`pool`]; [`crew`] keeps the workers' pipelines
//! warm between batches and lends them for single images; [`slot`] is the memory that a worker
//! shares with the engine, which is the caller's and is called through [`pipeline::Infer`].
//! [`journal`] notes what a batch has finished, for a run that goes on where others stopped.
//! [`memory`] is what large pictures share. [`topology`] says where workers run, [`meter`] reads the clock, [`trial`] says how a batch is
//! run when it is measured.
//!
//! Below the stages lie rooms that several of them use: [`image`] (views of pixels), [`recipe`]
//! (what a network wants, as data), [`resample`] (Pillow's resize), [`backdrop`], [`simd`]
//! (levels as values) and [`error`]. Stages never name each other or the pool, but for one
//! edge: [`sink`] and [`source`] ask [`encode::inspect`] whether a file is an output of ours.
//! [`bandwidth`] measures memory. Nothing here knows Python or prints; the one global thing is the
//! guard of mapped files, which a signal handler needs.

pub mod backdrop;
pub mod bandwidth;
pub mod batch;
pub mod composite;
pub mod crew;
pub mod decode;
pub mod encode;
pub mod error;
#[cfg(feature = "faults")]
mod faults;
pub mod image;
pub mod journal;
pub mod mapped;
pub mod mask;
pub mod memory;
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
pub mod trial;
