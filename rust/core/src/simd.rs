//! The SIMD level as a value: detected once, forced by hand, named, listed.
//!
//! Kernels never detect: they are given a level. A level exists only where the CPU has all the
//! features that its kernels enable, so holding a `Level` is the proof that they may run.

/// A level that this CPU can run. Made by [`Level::detect`] or [`Level::named`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Level(Inner);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Inner {
    Scalar,
    Avx2,
    Avx512,
}

/// What a kernel matches on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// The definition.
    Scalar,
    /// `avx2` and `fma`.
    Avx2,
    /// `avx512f`, `avx512bw`, `avx512vl`, `avx512dq`, and all of AVX2's.
    Avx512,
}

impl Level {
    /// The definition, present everywhere.
    pub const SCALAR: Level = Level(Inner::Scalar);

    /// The best level of this CPU.
    pub fn detect() -> Level {
        Level::available().last().copied().unwrap_or(Level::SCALAR)
    }

    /// The levels of this CPU, from the plainest.
    pub fn available() -> Vec<Level> {
        let mut levels = vec![Level::SCALAR];
        if missing(Inner::Avx2).is_empty() {
            levels.push(Level(Inner::Avx2));
        }
        if missing(Inner::Avx512).is_empty() {
            levels.push(Level(Inner::Avx512));
        }
        levels
    }

    /// The level called `name` (`scalar`, `avx2`, `avx512`; `auto` or empty for the best one).
    /// The error says what the CPU lacks, or lists the valid names.
    pub fn named(name: &str) -> Result<Level, String> {
        let inner = match name {
            "" | "auto" => return Ok(Level::detect()),
            "scalar" => Inner::Scalar,
            "avx2" => Inner::Avx2,
            "avx512" => Inner::Avx512,
            _ => {
                return Err(format!(
                    "unknown SIMD level `{name}`: use auto, scalar, avx2 or avx512"
                ));
            }
        };
        let missing = missing(inner);
        if missing.is_empty() {
            Ok(Level(inner))
        } else {
            Err(format!("this CPU can't run SIMD level `{name}`: it lacks {}", missing.join(", ")))
        }
    }

    /// The level that `QBG_SIMD` names; the best one if it is unset. An error as for
    /// [`Level::named`].
    pub fn from_env() -> Result<Level, String> {
        let chosen = std::env::var("QBG_SIMD").unwrap_or_default();
        Level::named(&chosen).map_err(|error| format!("QBG_SIMD: {error}"))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0 {
            Inner::Scalar => "scalar",
            Inner::Avx2 => "avx2",
            Inner::Avx512 => "avx512",
        }
    }

    /// What to run.
    pub fn dispatch(self) -> Dispatch {
        match self.0 {
            Inner::Scalar => Dispatch::Scalar,
            Inner::Avx2 => Dispatch::Avx2,
            Inner::Avx512 => Dispatch::Avx512,
        }
    }
}

/// The features a level's kernels enable and this CPU lacks.
#[cfg(target_arch = "x86_64")]
fn missing(level: Inner) -> Vec<&'static str> {
    let mut lacks = Vec::new();
    macro_rules! need {
        ($($feature:tt),*) => {
            $(if !std::arch::is_x86_feature_detected!($feature) { lacks.push($feature); })*
        };
    }
    if level >= Inner::Avx2 {
        need!("avx2", "fma");
    }
    if level >= Inner::Avx512 {
        need!("avx512f", "avx512bw", "avx512vl", "avx512dq");
    }
    lacks
}

#[cfg(not(target_arch = "x86_64"))]
fn missing(level: Inner) -> Vec<&'static str> {
    match level {
        Inner::Scalar => Vec::new(),
        Inner::Avx2 => vec!["avx2"],
        Inner::Avx512 => vec!["avx512f"],
    }
}
