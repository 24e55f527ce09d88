//! The ladder: Pillow's own outputs (tests/vectors), then the scalar definition, then each level.
//!
//! A naive `f64` picture stands beside them as a second witness that shares no code with the
//! plan. One body per kernel takes the level; a level that this CPU lacks is skipped loudly, and
//! with `QBG_REQUIRE_LEVEL` naming it, the skip is a failure.

use super::plan::Plans;
use super::*;
use crate::resample::testing::levels;

const CASES: &str = include_str!("../../../../tests/vectors/resample.txt");
const OUTPUTS: &[u8] = include_bytes!("../../../../tests/vectors/resample.bin");
const GUARD: u8 = 0xA5;

/// The same formulas as in scripts/make_resample_vectors.py.
fn pixels(kind: &str, seed: u32, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    };
    match kind {
        "steps" => (0..count).map(|i| ((seed as usize + i) % 251) as u8).collect(),
        "noise" => (0..count).map(|_| (next() >> 24) as u8).collect(),
        "extremes" => (0..count).map(|_| 255 * (next() >> 31) as u8).collect(),
        other => panic!("unknown kind {other}"),
    }
}

fn digest(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |value, byte| {
        (value ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Resizes with guard bytes around the output and checks them.
fn resized(resampler: &mut Resampler, channels: usize, case: &Case, data: &[u8]) -> Vec<u8> {
    let length = case.to.pixels() * channels;
    let mut guarded = vec![GUARD; length + 128];
    let out = &mut guarded[64..64 + length];
    match channels {
        1 => {
            resampler.resize(Pixels::<1>::new(case.from, data).unwrap(), case.to, case.filter, out)
        }
        3 => {
            resampler.resize(Pixels::<3>::new(case.from, data).unwrap(), case.to, case.filter, out)
        }
        _ => {
            resampler.resize(Pixels::<4>::new(case.from, data).unwrap(), case.to, case.filter, out)
        }
    }
    .unwrap();
    assert!(guarded[..64].iter().chain(&guarded[64 + length..]).all(|&byte| byte == GUARD));
    guarded[64..64 + length].to_vec()
}

struct Case {
    from: Size,
    to: Size,
    filter: Filter,
}

/// Runs all of Pillow's cases at one level.
fn equals_pillow(level: Level) {
    let mut resampler = Resampler::new(level);
    let mut outputs = OUTPUTS;
    let mut count = 0;
    for line in CASES.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |index: usize| words[index].parse::<usize>().unwrap();
        let channels = number(0);
        let filter = if words[1] == "lanczos" { Filter::Lanczos } else { Filter::Bilinear };
        let from = Size { width: number(4), height: number(5) };
        let to = Size { width: number(6), height: number(7) };
        let case = Case { from, to, filter };
        let data = pixels(words[2], number(3) as u32, from.pixels() * channels);
        let ours = resized(&mut resampler, channels, &case, &data);
        if words[8].len() == 16 {
            assert_eq!(digest(&ours), u64::from_str_radix(words[8], 16).unwrap(), "{line}");
        } else {
            let (theirs, rest) = outputs.split_at(number(8));
            assert_eq!(ours, theirs, "{line}");
            outputs = rest;
        }
        count += 1;
    }
    assert!(outputs.is_empty() && count > 100);
}

#[test]
fn every_level_equals_pillow() {
    for level in levels() {
        equals_pillow(level);
    }
}

/// The scalar definition of a whole resize, for comparison with a level.
fn equals_scalar(level: Level) {
    let mut scalar = Resampler::new(Level::SCALAR);
    let mut other = Resampler::new(level);
    let rows = strip_rows(level);
    // Row lengths and heights around a 128-bit lane, a vector and two of them, and primes there.
    let mut lengths: Vec<usize> = (1..=20).chain([23, 29, 37, 53, 59, 67, 71, 113, 131]).collect();
    lengths.extend([rows - 1, rows, rows + 1, 2 * rows - 1, 2 * rows, 2 * rows + 1]);
    for (turn, &length) in lengths.iter().enumerate() {
        for (from, to) in [
            (Size { width: length, height: 3 }, Size { width: 2 * length + 1, height: 5 }),
            (Size { width: 3 * length, height: 7 }, Size { width: length, height: 3 }),
            (Size { width: 5, height: length }, Size { width: 9, height: length / 2 + 1 }),
            (Size { width: length, height: length }, Size { width: 17, height: length + 2 }),
        ] {
            let filter = if turn % 2 == 0 { Filter::Lanczos } else { Filter::Bilinear };
            let case = Case { from, to, filter };
            for (channels, kind) in [(1, "steps"), (3, "extremes"), (4, "noise")] {
                let data = pixels(kind, turn as u32, from.pixels() * channels);
                let wanted = resized(&mut scalar, channels, &case, &data);
                let got = resized(&mut other, channels, &case, &data);
                assert_eq!(got, wanted, "{level:?} {from:?} {to:?} {channels} {filter:?}");
            }
        }
    }
}

#[test]
fn every_level_equals_scalar_at_all_lengths() {
    for level in levels() {
        equals_scalar(level);
    }
}

/// The vertical kernel by itself: every start offset in a cache line, every row length up to two
/// vectors and one, with guards.
fn blends_at_all_offsets(level: Level) {
    let mut plans = Plans::default();
    let place = plans.prepare(9, 4, Filter::Lanczos).unwrap();
    let taps = plans.at(place).taps(1);
    let count = taps.weights.len();
    assert_eq!(count % 2, 1, "an odd count tests the partner of the last row");
    let data = pixels("extremes", 5, 200 * count + 64);
    for length in (1..=2 * strip_rows(level) + 1).chain([193, 199]) {
        for offset in [0, 1, 7, 31, 32, 63].into_iter().chain(length % 64..length % 64 + 1) {
            let window = &data[offset..offset + length * count];
            let mut guarded = vec![GUARD; length + 128];
            blend(level, window, taps, &mut guarded[64..64 + length]);
            let mut wanted = vec![GUARD; length + 128];
            scalar::blend(window, taps, &mut wanted[64..64 + length]);
            assert_eq!(guarded, wanted, "{level:?} length {length} offset {offset}");
        }
    }
}

#[test]
fn every_level_blends_at_all_offsets() {
    for level in levels() {
        blends_at_all_offsets(level);
    }
}

/// The horizontal kernel by itself: every number of rows in a strip, narrow and wide.
fn turns_every_number_of_rows(level: Level) {
    let mut plans = Plans::default();
    for (input, output) in [(3, 5), (16, 7), (21, 43), (90, 31)] {
        let place = plans.prepare(input, output, Filter::Lanczos).unwrap();
        let plan = plans.at(place);
        for channels in [1, 3] {
            for rows in 1..=strip_rows(level) {
                let stride = input * channels;
                let data = pixels("noise", rows as u32, rows * stride);
                let block = Block { pixels: &data, stride, channels };
                let length = rows * output * channels;
                let mut turned = Turned::default();
                turned.fit(strip_rows(level), stride, output * channels).unwrap();
                let mut guarded = vec![GUARD; length + 128];
                across(level, block, plan, &mut turned, &mut guarded[64..64 + length]);
                let mut wanted = vec![GUARD; length + 128];
                scalar::across(block, plan, &mut turned, &mut wanted[64..64 + length]);
                assert_eq!(guarded, wanted, "{level:?} {input} to {output}, {rows} rows");
            }
        }
    }
}

#[test]
fn every_level_turns_every_number_of_rows() {
    for level in levels() {
        turns_every_number_of_rows(level);
    }
}

/// Two float passes straight from the definition of the filter, rounded to 8 bits in between.
fn naive(data: &[u8], from: Size, to: Size) -> Vec<f64> {
    let pass = |row: &[f64], output: usize| -> Vec<f64> {
        let scale = row.len() as f64 / output as f64;
        let stretch = scale.max(1.0);
        let weight = |x: f64| (1.0 - x.abs()).max(0.0);
        (0..output)
            .map(|i| {
                let center = (i as f64 + 0.5) * scale - 0.5;
                let weights: Vec<f64> =
                    (0..row.len()).map(|j| weight((j as f64 - center) / stretch)).collect();
                let sum: f64 = weights.iter().sum();
                row.iter().zip(&weights).map(|(p, w)| p * w / sum).sum()
            })
            .collect()
    };
    let mut middle: Vec<Vec<f64>> = Vec::new();
    for row in data.chunks(from.width) {
        let row: Vec<f64> = row.iter().map(|&p| f64::from(p)).collect();
        middle.push(pass(&row, to.width).iter().map(|p| (p + 0.5).floor()).collect());
    }
    let mut out = vec![0.0; to.pixels()];
    for x in 0..to.width {
        let column: Vec<f64> = middle.iter().map(|row| row[x]).collect();
        for (y, value) in pass(&column, to.height).into_iter().enumerate() {
            out[y * to.width + x] = value;
        }
    }
    out
}

#[test]
fn the_definition_is_the_filter_within_a_level() {
    let mut resampler = Resampler::new(Level::SCALAR);
    for (from, to) in [((30, 20), (11, 9)), ((11, 9), (30, 20)), ((40, 5), (7, 13))] {
        let from = Size { width: from.0, height: from.1 };
        let to = Size { width: to.0, height: to.1 };
        let data = pixels("noise", 77, from.pixels());
        let case = Case { from, to, filter: Filter::Bilinear };
        let ours = resized(&mut resampler, 1, &case, &data);
        for (ours, naive) in ours.iter().zip(naive(&data, from, to)) {
            // Half a level for the last rounding, and one for a tie that falls otherwise in the
            // first pass.
            assert!((f64::from(*ours) - naive).abs() <= 1.5, "{ours} {naive}");
        }
    }
}

#[test]
fn rows_are_the_picture_in_order() {
    for level in levels() {
        let mut resampler = Resampler::new(level);
        for (from, to) in
            [((50, 40), (20, 90)), ((50, 40), (50, 9)), ((50, 40), (9, 40)), ((50, 40), (50, 40))]
        {
            let from = Size { width: from.0, height: from.1 };
            let to = Size { width: to.0, height: to.1 };
            let data = pixels("noise", 3, from.pixels() * 3);
            let src = Pixels::<3>::new(from, &data).unwrap();
            let mut picture = vec![0; to.pixels() * 3];
            resampler.resize(src, to, Filter::Lanczos, &mut picture).unwrap();
            let mut stacked = Vec::new();
            resampler
                .rows(src, to, Filter::Lanczos, |y, row| {
                    assert_eq!(y * to.width * 3, stacked.len());
                    stacked.extend_from_slice(row);
                })
                .unwrap();
            assert!(stacked == picture, "{from:?} {to:?}");
        }
    }
}

#[test]
fn a_dimension_that_stays_is_not_passed() {
    let data = pixels("noise", 9, 40 * 30);
    let src = Pixels::<1>::new(Size { width: 40, height: 30 }, &data).unwrap();
    let mut resampler = Resampler::new(Level::SCALAR);
    let mut out = vec![0; 40 * 30];
    resampler.resize(src, src.size(), Filter::Lanczos, &mut out).unwrap();
    assert_eq!((resampler.plans_made(), &out), (0, &data));
    let size = Size { width: 40, height: 10 };
    resampler.resize(src, size, Filter::Lanczos, &mut out[..400]).unwrap();
    assert_eq!(resampler.plans_made(), 1);
    let size = Size { width: 20, height: 10 };
    resampler.resize(src, size, Filter::Lanczos, &mut out[..200]).unwrap();
    assert_eq!(resampler.plans_made(), 2);
}

#[test]
fn sizes_that_are_none_are_refused() {
    let data = [1u8; 12];
    let src = Pixels::<3>::new(Size { width: 2, height: 2 }, &data).unwrap();
    let mut resampler = Resampler::new(Level::detect());
    let mut out = [0u8; 12];
    for (width, height) in [(0, 4), (4, 0), (1, 3), (usize::MAX, 1), (usize::MAX / 3, usize::MAX)] {
        let size = Size { width, height };
        assert!(resampler.resize(src, size, Filter::Bilinear, &mut out).is_err(), "{size:?}");
    }
    let size = Size { width: usize::MAX / 2, height: 1 };
    assert!(resampler.rows(src, size, Filter::Bilinear, |_, _| ()).is_err());
    resampler.resize(src, Size { width: 4, height: 1 }, Filter::Bilinear, &mut out).unwrap();
}
