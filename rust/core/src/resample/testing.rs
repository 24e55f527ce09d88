//! Which levels a test runs at: those of this CPU, with a loud word on each that is absent.
//!
//! With `QBG_REQUIRE_LEVEL` naming a level, its absence is a failure instead of a skip, so that a
//! machine that is meant to prove a level can't pass by not running it.

use crate::simd::Level;

/// All levels that this CPU can run; prints what is missing for the others.
pub fn levels() -> Vec<Level> {
    let required = std::env::var("QBG_REQUIRE_LEVEL").unwrap_or_default();
    let mut levels = Vec::new();
    for name in ["scalar", "avx2", "avx512"] {
        match Level::named(name) {
            Ok(level) => levels.push(level),
            Err(why) if name == required => panic!("QBG_REQUIRE_LEVEL={required}: {why}"),
            Err(why) => eprintln!("SKIPPED level {name}: {why}"),
        }
    }
    levels
}
