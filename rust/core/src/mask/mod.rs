//! The mask stage. (Its rooms are written apart; this file only names them.)

pub mod refine;
