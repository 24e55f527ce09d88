//! Weights and windows of one resize of one dimension, and the small cache that keeps them.
//!
//! Source: the coefficient code of Pillow's `Resample.c` (checked against Pillow 13.0), written
//! anew. All of it is `f64` until the last step, which rounds each weight to a multiple of 2^-22.
//! `sin` comes from the system's libm as Pillow's does; another libm could differ in the last bit
//! of an `f64`, which moves a rounded weight with a chance of about one in 10^9.
//!
//! Everything is flat: a weight lies at `output * longest + tap`. Buffers are kept when a plan is
//! replaced, so equal sizes allocate nothing and new sizes only grow the buffers.
//! This file must not know pixels, channels or SIMD levels.

use crate::error::Kind;
use crate::image::resize_buffer;
use crate::recipe::Filter;

/// Fraction bits of a weight: 32 less 8 for the pixel, less 2 for sums that overshoot (Lanczos
/// has negative weights, so the positive ones sum to more than 1).
pub const PRECISION_BITS: u32 = 32 - 8 - 2;

/// A weight is `high * 2^SPLIT_BITS + low` with `0 <= low < 2^15`, so that both halves are `i16`.
pub const SPLIT_BITS: u32 = 15;

/// How many plans are kept. A worker needs two per image (width and height), and folders often
/// alternate between landscape and portrait.
const KEPT: usize = 6;

/// The weights of one output row or column.
#[derive(Clone, Copy, Debug)]
pub struct Taps<'a> {
    /// The first source row or column.
    pub start: usize,
    /// One weight of 22 fraction bits per source row or column from `start` on; never empty.
    pub weights: &'a [i32],
    /// The same weights, two by two, as `[low, low'], [high, high']` in two `i32`: what
    /// `pmaddwd` wants. An odd last weight has 0 for its partner.
    pub pairs: &'a [[i32; 2]],
}

impl Taps<'_> {
    /// The rows of `stride` bytes that the weights are for, out of all rows.
    pub fn window(self, rows: &[u8], stride: usize) -> &[u8] {
        &rows[self.start * stride..][..self.weights.len() * stride]
    }
}

/// The weights for one (input length, output length, filter).
#[derive(Debug, Default)]
pub struct Plan {
    key: Option<(usize, usize, Filter)>,
    last_use: u64,
    longest: usize,
    starts: Vec<usize>,
    lengths: Vec<usize>,
    weights: Vec<i32>,
    pairs: Vec<[i32; 2]>,
    exact: Vec<f64>,
}

impl Plan {
    /// The weights of output row or column `index`.
    pub fn taps(&self, index: usize) -> Taps<'_> {
        let length = self.lengths[index];
        let pairs_each = self.longest.div_ceil(2);
        Taps {
            start: self.starts[index],
            weights: &self.weights[index * self.longest..][..length],
            pairs: &self.pairs[index * pairs_each..][..length.div_ceil(2)],
        }
    }

    /// The number of outputs.
    pub fn outputs(&self) -> usize {
        self.starts.len()
    }

    /// The most weights that any output has.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// The inputs that are read at all: the first one, and the one after the last.
    pub fn reach(&self) -> (usize, usize) {
        match (self.starts.first(), self.starts.last(), self.lengths.last()) {
            (Some(&first), Some(&start), Some(&length)) => (first, start + length),
            _ => (0, 0),
        }
    }

    /// Fills the plan anew. Both lengths are at least 1.
    fn fill(&mut self, input: usize, output: usize, filter: Filter) -> Result<(), Kind> {
        self.key = None; // not valid until the end
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let reach = support(filter) * stretch;
        // Twice the reach and one more can't be exceeded by the rounded ends of a window.
        let room = (2 * reach.ceil() as usize + 1).min(input);

        resize_buffer(&mut self.starts, output)?;
        resize_buffer(&mut self.lengths, output)?;
        resize_buffer(&mut self.exact, room)?;
        let mut longest = 1;
        for index in 0..output {
            let center = (index as f64 + 0.5) * scale;
            // `as` truncates towards zero and saturates at zero, as the C original does by hand.
            let start = (center - reach + 0.5) as usize;
            let end = ((center + reach + 0.5) as usize).min(input);
            self.starts[index] = start;
            self.lengths[index] = end.saturating_sub(start).min(room);
            longest = longest.max(self.lengths[index]);
        }

        self.longest = longest;
        let pairs_each = longest.div_ceil(2);
        let too_many = Kind::OutOfMemory { bytes: u64::MAX };
        let cells = output.checked_mul(longest).ok_or(too_many)?;
        resize_buffer(&mut self.weights, cells)?;
        resize_buffer(&mut self.pairs, output * pairs_each)?;
        for index in 0..output {
            let (start, length) = (self.starts[index], self.lengths[index]);
            let center = (index as f64 + 0.5) * scale;
            let exact = &mut self.exact[..length];
            let mut sum = 0.0;
            for (tap, weight) in exact.iter_mut().enumerate() {
                *weight = value(filter, ((tap + start) as f64 - center + 0.5) * (1.0 / stretch));
                sum += *weight;
            }
            let weights = &mut self.weights[index * longest..][..length];
            for (weight, exact) in weights.iter_mut().zip(exact.iter()) {
                *weight = fixed(if sum == 0.0 { *exact } else { *exact / sum });
            }
            let pairs = &mut self.pairs[index * pairs_each..][..length.div_ceil(2)];
            for (pair, weights) in pairs.iter_mut().zip(weights.chunks(2)) {
                *pair = split(weights[0], weights.get(1).copied().unwrap_or(0));
            }
        }
        self.key = Some((input, output, filter));
        Ok(())
    }
}

/// The plans of the last few sizes.
#[derive(Debug, Default)]
pub struct Plans {
    plans: Vec<Plan>,
    uses: u64,
    fills: u64,
}

impl Plans {
    /// Makes sure that the plan is there; returns its place for [`Plans::at`], which stays valid
    /// until `KEPT - 1` other plans were asked for.
    pub fn prepare(&mut self, input: usize, output: usize, filter: Filter) -> Result<usize, Kind> {
        self.uses += 1;
        let key = Some((input, output, filter));
        let found = self.plans.iter().position(|plan| plan.key == key);
        let place = match found {
            Some(place) => place,
            None if self.plans.len() < KEPT => {
                self.plans
                    .try_reserve_exact(KEPT - self.plans.len())
                    .map_err(|_| Kind::OutOfMemory { bytes: (KEPT * size_of::<Plan>()) as u64 })?;
                self.plans.push(Plan::default());
                self.plans.len() - 1
            }
            None => {
                let oldest = self.plans.iter().enumerate().min_by_key(|(_, plan)| plan.last_use);
                oldest.map_or(0, |(place, _)| place)
            }
        };
        self.plans[place].last_use = self.uses;
        if found.is_none() {
            self.fills += 1;
            self.plans[place].fill(input, output, filter)?;
        }
        Ok(place)
    }

    /// The plan at a place that [`Plans::prepare`] gave.
    pub fn at(&self, place: usize) -> &Plan {
        &self.plans[place]
    }

    /// How often weights were calculated.
    pub fn fills(&self) -> u64 {
        self.fills
    }
}

/// Half the width of the filter, in output pixels.
fn support(filter: Filter) -> f64 {
    match filter {
        Filter::Bilinear => 1.0,
        Filter::Lanczos => 3.0,
    }
}

/// The filter at distance `x` from its center.
fn value(filter: Filter, x: f64) -> f64 {
    match filter {
        Filter::Bilinear => (1.0 - x.abs()).max(0.0),
        Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
        Filter::Lanczos => 0.0,
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let angle = x * std::f64::consts::PI;
    angle.sin() / angle
}

/// To 22 fraction bits, halves away from zero.
fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1u32 << PRECISION_BITS);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

/// Two weights as a pair of low halves and a pair of high halves.
fn split(first: i32, second: i32) -> [i32; 2] {
    let low_mask = (1 << SPLIT_BITS) - 1;
    let low = (first & low_mask) | ((second & low_mask) << 16);
    let high = ((first >> SPLIT_BITS) & 0xffff) | ((second >> SPLIT_BITS) << 16);
    [low, high]
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 14] = [1, 2, 3, 5, 7, 16, 31, 97, 256, 320, 641, 1024, 4032, 9001];

    fn each_plan(mut check: impl FnMut(usize, usize, &Plan)) {
        let mut plans = Plans::default();
        for input in LENGTHS {
            for output in LENGTHS {
                for filter in [Filter::Bilinear, Filter::Lanczos] {
                    let place = plans.prepare(input, output, filter).unwrap();
                    check(input, output, plans.at(place));
                }
            }
        }
    }

    #[test]
    fn windows_lie_inside_and_never_step_back() {
        each_plan(|input, output, plan| {
            assert_eq!(plan.outputs(), output);
            let mut before = 0;
            for index in 0..output {
                let taps = plan.taps(index);
                assert!(!taps.weights.is_empty() && taps.weights.len() <= plan.longest());
                assert!(taps.start >= before && taps.start + taps.weights.len() <= input);
                before = taps.start;
            }
        });
    }

    #[test]
    fn sums_stay_inside_32_bits_and_near_1() {
        each_plan(|input, output, plan| {
            for index in 0..output {
                let weights = plan.taps(index).weights;
                let size: i64 = weights.iter().map(|w| i64::from(w.abs())).sum();
                assert!(size * 255 + (1 << 21) < 1 << 31, "{input} to {output} at {index}");
                let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
                let error = (sum - (1 << PRECISION_BITS)).unsigned_abs() as usize;
                assert!(error <= weights.len(), "{input} to {output} at {index}: {error}");
            }
        });
    }

    #[test]
    fn pairs_are_the_weights() {
        each_plan(|_, output, plan| {
            for index in 0..output {
                let taps = plan.taps(index);
                for (tap, &weight) in taps.weights.iter().enumerate() {
                    let [low, high] = taps.pairs[tap / 2].map(|pair| {
                        i32::from((if tap % 2 == 0 { pair } else { pair >> 16 }) as i16)
                    });
                    assert_eq!((high << SPLIT_BITS) + low, weight);
                    assert!(low >= 0);
                }
            }
        });
    }

    #[test]
    fn equal_sizes_are_calculated_once_and_the_oldest_goes_first() {
        let mut plans = Plans::default();
        for _ in 0..3 {
            plans.prepare(640, 320, Filter::Lanczos).unwrap();
            plans.prepare(480, 320, Filter::Lanczos).unwrap();
        }
        assert_eq!(plans.fills(), 2);
        for output in 0..KEPT - 1 {
            plans.prepare(100, output + 1, Filter::Bilinear).unwrap();
        }
        plans.prepare(480, 320, Filter::Lanczos).unwrap();
        assert_eq!(plans.fills(), 2 + KEPT as u64 - 1);
        plans.prepare(640, 320, Filter::Lanczos).unwrap();
        assert_eq!(plans.fills(), 2 + KEPT as u64);
        assert_eq!(plans.plans.len(), KEPT);
    }
}
