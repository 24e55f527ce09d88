//! Foreground estimation: the subject's own color in soft pixels, so that no background bleeds.
//!
//! Source: M. Forte and F. Pitié, "Approximate Fast Foreground Colour Estimation", ICIP 2021
//! ("blur-fusion", two passes). With I the picture, a its alpha in 0..1 and `blur` a box mean:
//!
//! ```text
//! F^ = blur(F a) / blur(a)     B^ = blur(B (1 - a)) / blur(1 - a)
//! F  = clip(F^ + a (I - a F^ - (1 - a) B^))
//! ```
//!
//! first with F = B = I and a box of 90 pixels, then with F and B = B^ of the first pass and a box
//! of 6. The sizes are in pixels whatever the picture's size, as published. Departures:
//! 1. Boxes have an odd number of cells or pixels (88 pixels of whole cells; 7), so that they are centered, and end at the
//!    picture's edge instead of mirroring it.
//! 2. The first pass runs on cells of 8 x 8 pixels: boxes of 11 x 11 cells, whose quotients are
//!    interpolated bilinearly. Only cells near soft pixels are summed.
//! 3. The second pass takes B^ of the first as it is: a box of 7 moves the mean of a box of 88 by
//!    less than a level.
//! 4. Only soft pixels (alpha 1 to 254) change; the others are the input's, exactly.
//!
//! `tests.rs` holds the slow definition in f64: over soft pixels of drawn scenes the mean difference is
//! at most 1 level, the largest 6. The algorithm's own limit: constant colors on a constant background
//! come back within 1 level on average for edges 2 pixels wide, 2 for 4, 4 for 8 (64 before).
//! Results don't depend on the SIMD level, on the crop, or on neighbors in memory: cell sums are
//! whole numbers, and every f32 sum has one fixed order, without running sums.
//! Must not know where its colors go.

// Several arrays are walked side by side, by channel and by half of a block: places say it best.
#![allow(clippy::needless_range_loop)]

use super::bits::{bit, gather, next_run, places, widen};
use super::scalar::Lanes;
use crate::error::Kind;
use crate::image::{Alpha8, Rgb8, Size, resize_buffer};

/// Pixels of a block, the unit in which rows are worked on: two cells.
const BLOCK: usize = 16;
/// Side of a cell.
const CELL: usize = 8;
/// The first box reaches so many cells to each side: 11 x 8 = 88 pixels.
const REACH: usize = 5;
/// The second box reaches so many pixels to each side: 7.
const NEAR: usize = 3;
/// Rows kept of the first pass: 2 * NEAR + 1, and one so that the place of a row is `y % 8`.
const RING: usize = 8;
/// Planes kept per row: red, green, blue times alpha; alpha; red, green, blue of the background.
const PLANES: usize = 7;
/// What stands before and after each plane, so that boxes may reach over the edge; always 0.
const PAD: usize = BLOCK;

/// 16 numbers, one for each pixel of a block.
type Pair<L> = [<L as Lanes>::F; 2];

/// Sums of a cell or a box: alpha, then color times alpha, then color; the last is the number of
/// pixels. The largest, 88 * 88 * 255 * 255, is below 2^29.
type Sums = [u32; 8];

/// Scratch that grows to the largest picture seen, and the state of the row-by-row pass.
#[derive(Default)]
pub struct Foreground {
    /// Bit `b` of a row's words is set where block `b` has a soft pixel.
    soft: Vec<u64>,
    /// The same for each row of cells (8 rows of pixels).
    bands: Vec<u64>,
    /// One row of bits, for dilations.
    bits: Vec<u64>,
    cells: Vec<Sums>,
    /// Per column of cells: the sums over the box's rows.
    columns: Vec<Sums>,
    /// Per cell near soft pixels: F^ (0, 1, 2) and B^ (4, 5, 6) of the first pass, in levels.
    colors: Vec<[f32; 8]>,
    /// Rows of the first pass's planes, at `y % RING`.
    ring: Vec<f32>,
    /// Zeros: the plane of a row above or below the picture.
    blank: Vec<f32>,
    /// Sums over the rows of the second box, for one run of blocks.
    sums: Vec<f32>,
    /// The finished row.
    row: Vec<u8>,
    /// The next row that the first pass must make; None before the first.
    next: Option<usize>,
}

impl Foreground {
    /// The colors of the row that [`row`] made last.
    pub fn colors(&self) -> &[u8] {
        &self.row
    }
}

/// The picture's measures in blocks, words of bits and cells.
#[derive(Clone, Copy)]
struct Grid {
    size: Size,
    blocks: usize,
    /// Words of 64 bits that hold a bit per block.
    words: usize,
    /// Cells per row: two per block, also where the last is empty.
    across: usize,
    /// Rows of cells.
    down: usize,
    /// Floats from one plane of the ring to the next.
    plane: usize,
}

impl Grid {
    #[inline(always)]
    fn new(size: Size) -> Self {
        let blocks = size.width.div_ceil(BLOCK);
        Grid {
            size,
            blocks,
            words: blocks.div_ceil(64),
            across: 2 * blocks,
            down: size.height.div_ceil(CELL),
            plane: blocks * BLOCK + 2 * PAD,
        }
    }
}

/// Gets ready for the rows of a picture; false if no pixel is soft, and then there is nothing to do.
#[inline(always)]
pub fn prepare<L: Lanes>(
    state: &mut Foreground,
    rgb: Rgb8<'_>,
    alpha: Alpha8<'_>,
) -> Result<bool, Kind> {
    let grid = Grid::new(rgb.size());
    resize_buffer(&mut state.soft, grid.words * grid.size.height)?;
    resize_buffer(&mut state.bands, grid.words * grid.down)?;
    resize_buffer(&mut state.bits, grid.words)?;
    if !find_soft::<L>(state, grid, alpha) {
        return Ok(false);
    }
    resize_buffer(&mut state.cells, grid.across * grid.down)?;
    resize_buffer(&mut state.columns, grid.across)?;
    resize_buffer(&mut state.colors, grid.across * grid.down)?;
    resize_buffer(&mut state.sums, 4 * grid.plane)?;
    resize_buffer(&mut state.blank, grid.plane)?;
    resize_buffer(&mut state.row, 3 * grid.size.width)?;
    resize_buffer(&mut state.ring, RING * PLANES * grid.plane)?;
    // A ring of another width has left numbers where this one has its pads.
    for plane in state.ring.chunks_exact_mut(grid.plane) {
        plane[..PAD].fill(0.0);
        plane[grid.plane - PAD..].fill(0.0);
    }
    state.next = None;
    sum_cells::<L>(state, grid, rgb, alpha);
    sum_boxes(state, grid);
    Ok(true)
}

/// Fills `soft` and `bands`; false if all is clear.
#[inline(always)]
fn find_soft<L: Lanes>(state: &mut Foreground, grid: Grid, alpha: Alpha8<'_>) -> bool {
    let mut any = 0;
    state.bands.fill(0);
    for (y, words) in state.soft.chunks_exact_mut(grid.words).enumerate() {
        let row = alpha.row(y);
        let band = &mut state.bands[y / CELL * grid.words..][..grid.words];
        for ((word, band), part) in words.iter_mut().zip(band).zip(row.chunks(64 * BLOCK)) {
            let (blocks, rest) = part.as_chunks::<BLOCK>();
            let mut bits = 0;
            for (b, block) in blocks.iter().enumerate() {
                bits |= u64::from(L::soft(block) != 0) << b;
            }
            if !rest.is_empty() {
                bits |= u64::from(L::soft(&padded(rest)) != 0) << blocks.len();
            }
            *word = bits;
            *band |= bits;
            any |= bits;
        }
    }
    any != 0
}

/// The sums of each cell that a box around a soft pixel's cells can reach; 0 in all others.
#[inline(always)]
fn sum_cells<L: Lanes>(state: &mut Foreground, grid: Grid, rgb: Rgb8<'_>, alpha: Alpha8<'_>) {
    state.cells.fill([0; 8]);
    for band in 0..grid.down {
        // One cell more than the box, for the neighbors of the interpolation; 6 cells are 3 blocks.
        gather(&mut state.bits, &state.bands, grid.words, band, REACH + 1);
        for _ in 0..REACH.div_ceil(2) {
            widen(&mut state.bits);
        }
        let cells = &mut state.cells[band * grid.across..][..grid.across];
        let rows = band * CELL..((band + 1) * CELL).min(grid.size.height);
        for b in places(&state.bits, grid.blocks) {
            let width = BLOCK.min(grid.size.width - b * BLOCK);
            let mut sums = [[0; 8]; 2];
            for y in rows.clone() {
                let (colors, alphas) = block(rgb.row(y), alpha.row(y), b);
                L::count(&mut sums, &colors, &alphas);
            }
            sums[0][7] = (width.min(CELL) * rows.len()) as u32;
            sums[1][7] = (width.saturating_sub(CELL) * rows.len()) as u32;
            cells[2 * b..2 * b + 2].copy_from_slice(&sums);
        }
    }
}

/// The first pass's F^ and B^ in every cell that the interpolation can ask for.
#[inline(always)]
fn sum_boxes(state: &mut Foreground, grid: Grid) {
    state.columns.fill([0; 8]);
    for band in 0..REACH.min(grid.down) {
        for (sum, cell) in state.columns.iter_mut().zip(&state.cells[band * grid.across..]) {
            plus(sum, cell);
        }
    }
    for band in 0..grid.down {
        if band + REACH < grid.down {
            let entering = &state.cells[(band + REACH) * grid.across..];
            for (sum, cell) in state.columns.iter_mut().zip(entering) {
                plus(sum, cell);
            }
        }
        if band > REACH {
            let leaving = &state.cells[(band - REACH - 1) * grid.across..];
            for (sum, cell) in state.columns.iter_mut().zip(leaving) {
                minus(sum, cell);
            }
        }
        gather(&mut state.bits, &state.bands, grid.words, band, 1);
        if state.bits.iter().all(|&word| word == 0) {
            continue;
        }
        widen(&mut state.bits);
        let columns = &state.columns;
        let colors = &mut state.colors[band * grid.across..][..grid.across];
        let mut sum = [0; 8];
        for column in &columns[..REACH.min(grid.across)] {
            plus(&mut sum, column);
        }
        for c in 0..grid.across {
            if let Some(column) = columns.get(c + REACH) {
                plus(&mut sum, column);
            }
            if c > REACH {
                minus(&mut sum, &columns[c - REACH - 1]);
            }
            if bit(&state.bits, c / 2) {
                colors[c] = quotients(&sum);
            }
        }
    }
}

#[inline(always)]
fn plus(sum: &mut Sums, more: &Sums) {
    // Wrapping only so that the eight additions become one: the bounds are in `Sums`.
    for i in 0..8 {
        sum[i] = sum[i].wrapping_add(more[i]);
    }
}

#[inline(always)]
fn minus(sum: &mut Sums, less: &Sums) {
    for i in 0..8 {
        sum[i] = sum[i].wrapping_sub(less[i]);
    }
}

/// F^ and B^ of a box. A box without any subject (or background) gives 0; no soft pixel asks for it,
/// since each of the four cells around a pixel has that pixel in its box.
#[inline(always)]
fn quotients(sum: &Sums) -> [f32; 8] {
    let front = 1.0 / sum[0].max(1) as f32;
    let behind = 1.0 / (255 * sum[7] - sum[0]).max(1) as f32;
    let mut colors = [0.0; 8];
    for c in 0..3 {
        colors[c] = sum[1 + c] as f32 * front;
        colors[4 + c] = (255 * sum[4 + c] - sum[1 + c]) as f32 * behind;
    }
    colors
}

/// Makes row `y` in `state.row`; false if the row has no soft pixel, and then nothing is made.
/// After [`prepare`] with the same picture, rows must be asked for in ascending order.
#[inline(always)]
pub fn row<L: Lanes>(state: &mut Foreground, rgb: Rgb8<'_>, alpha: Alpha8<'_>, y: usize) -> bool {
    let grid = Grid::new(rgb.size());
    let last = (y + NEAR).min(grid.size.height - 1);
    let first = state.next.unwrap_or(0).max(y.saturating_sub(NEAR));
    for y in first..=last {
        first_pass::<L>(state, grid, rgb, alpha, y);
    }
    state.next = Some(last + 1);
    let words = y * grid.words..(y + 1) * grid.words;
    if state.soft[words.clone()].iter().all(|&word| word == 0) {
        return false;
    }
    state.row.copy_from_slice(rgb.row(y));
    let mut at = 0;
    while let Some((start, end)) = next_run(&state.soft[words.clone()], at, grid.blocks) {
        sum_rows(state, grid, y, start, end);
        for b in start..end {
            second_pass::<L>(state, grid, rgb, alpha, y, b, start);
        }
        at = end;
    }
    true
}

/// The planes of row `y` in every block that the second box of a soft pixel can reach.
#[inline(always)]
fn first_pass<L: Lanes>(
    state: &mut Foreground,
    grid: Grid,
    rgb: Rgb8<'_>,
    alpha: Alpha8<'_>,
    y: usize,
) {
    gather(&mut state.bits, &state.soft, grid.words, y, NEAR);
    if state.bits.iter().all(|&word| word == 0) {
        return;
    }
    widen(&mut state.bits);
    let slot = PLANES * grid.plane;
    let planes = &mut state.ring[y % RING * slot..][..slot];
    let colors = &state.colors;
    let (above, below, t) = between(y, grid.down);
    let (colors_row, alpha_row) = (rgb.row(y), alpha.row(y));
    for b in places(&state.bits, grid.blocks) {
        let (pixels, alphas) = block(colors_row, alpha_row, b);
        if alphas == [0; BLOCK] {
            for plane in 0..4 {
                *place(planes, grid, plane, b) = [0.0; BLOCK];
            }
            continue;
        }
        let image = L::split(&pixels);
        let a = fractions::<L>(&alphas);
        put::<L>(place(planes, grid, 3, b), a);
        if L::soft(&alphas) == 0 {
            // F is I where a is 1; B^ is asked for in soft pixels only, and there may be no cells.
            for c in 0..3 {
                let color = L::widen(&image[c]);
                let weighted = [L::mul(color[0], a[0]), L::mul(color[1], a[1])];
                put::<L>(place(planes, grid, c, b), weighted);
            }
            continue;
        }
        let mut around = [[0.0; 8]; 4];
        for (j, mixed) in around.iter_mut().enumerate() {
            let across = (2 * b + j).saturating_sub(1).min(grid.across - 1);
            let p = L::load(&colors[above * grid.across + across]);
            let q = L::load(&colors[below * grid.across + across]);
            let (p, q) = (L::mul(p, L::splat(1.0 - t)), L::mul(q, L::splat(t)));
            L::store(L::add(p, q), mixed);
        }
        for c in 0..3 {
            let front = interpolate::<L>(&around, c);
            let behind = interpolate::<L>(&around, 4 + c);
            let fused = fuse::<L>(L::widen(&image[c]), a, front, behind);
            put::<L>(place(planes, grid, 4 + c, b), behind);
            let weighted = [L::mul(fused[0], a[0]), L::mul(fused[1], a[1])];
            put::<L>(place(planes, grid, c, b), weighted);
        }
    }
}

/// Sums of the planes over the rows of the second box around `y`, for the blocks from `start` to
/// `end` with half a block more on each side.
#[inline(always)]
fn sum_rows(state: &mut Foreground, grid: Grid, y: usize, start: usize, end: usize) {
    let len = (end - start) * BLOCK + BLOCK;
    let from = PAD + start * BLOCK - BLOCK / 2;
    for plane in 0..4 {
        let sums = &mut state.sums[plane * grid.plane..][..len];
        let mut rows = [&state.blank[..len]; 2 * NEAR + 1];
        for (i, row) in rows.iter_mut().enumerate() {
            let y = y + i;
            if y >= NEAR && y - NEAR < grid.size.height {
                let plane = (y - NEAR) % RING * PLANES + plane;
                *row = &state.ring[plane * grid.plane + from..][..len];
            }
        }
        for (x, sum) in sums.iter_mut().enumerate() {
            *sum = ((rows[0][x] + rows[1][x]) + (rows[2][x] + rows[3][x]))
                + ((rows[4][x] + rows[5][x]) + rows[6][x]);
        }
    }
}

/// The soft pixels of block `b` in the finished row; `sums` begin half a block before `start`.
#[inline(always)]
fn second_pass<L: Lanes>(
    state: &mut Foreground,
    grid: Grid,
    rgb: Rgb8<'_>,
    alpha: Alpha8<'_>,
    y: usize,
    b: usize,
    start: usize,
) {
    let (pixels, alphas) = block(rgb.row(y), alpha.row(y), b);
    let image = L::split(&pixels);
    let a = fractions::<L>(&alphas);
    // Not 0 where a pixel is soft: the box has the pixel in it.
    let weight = box_sum::<L>(&state.sums[3 * grid.plane + (b - start) * BLOCK..]);
    let slot = PLANES * grid.plane;
    let ring = &mut state.ring[y % RING * slot..][..slot];
    let mut planes = image;
    for c in 0..3 {
        let sums = box_sum::<L>(&state.sums[c * grid.plane + (b - start) * BLOCK..]);
        let front = [L::div(sums[0], weight[0]), L::div(sums[1], weight[1])];
        let behind = get::<L>(place(ring, grid, 4 + c, b));
        let fused = fuse::<L>(L::widen(&image[c]), a, front, behind);
        planes[c] = L::choose(&alphas, &image[c], &L::levels(fused));
    }
    let done = L::join(&planes);
    let row = &mut state.row[3 * BLOCK * b..];
    let len = row.len().min(3 * BLOCK);
    row[..len].copy_from_slice(&done[..len]);
}

/// `clip(F^ + a (I - a F^ - (1 - a) B^))`, in levels. What is not a number (a box without any
/// subject) becomes 0.
#[inline(always)]
fn fuse<L: Lanes>(image: Pair<L>, a: Pair<L>, front: Pair<L>, behind: Pair<L>) -> Pair<L> {
    let mut fused = image;
    for h in 0..2 {
        let seen = L::mul(a[h], front[h]);
        let through = L::mul(L::sub(L::splat(1.0), a[h]), behind[h]);
        let rest = L::sub(L::sub(image[h], seen), through);
        fused[h] = L::clip(L::add(front[h], L::mul(a[h], rest)));
    }
    fused
}

/// Alpha in 0..1.
#[inline(always)]
fn fractions<L: Lanes>(alpha: &[u8; BLOCK]) -> Pair<L> {
    let [low, high] = L::widen(alpha);
    let unit = L::splat(1.0 / 255.0);
    [L::mul(low, unit), L::mul(high, unit)]
}

#[inline(always)]
fn get<L: Lanes>(values: &[f32; BLOCK]) -> Pair<L> {
    let (halves, _) = values.as_chunks::<8>();
    [L::load(&halves[0]), L::load(&halves[1])]
}

#[inline(always)]
fn put<L: Lanes>(values: &mut [f32; BLOCK], pair: Pair<L>) {
    let (halves, _) = values.as_chunks_mut::<8>();
    L::store(pair[0], &mut halves[0]);
    L::store(pair[1], &mut halves[1]);
}

/// Block `b` of a plane of one row of the ring.
#[inline(always)]
fn place(planes: &mut [f32], grid: Grid, plane: usize, b: usize) -> &mut [f32; BLOCK] {
    let (blocks, _) = planes[plane * grid.plane..].as_chunks_mut::<BLOCK>();
    &mut blocks[PAD / BLOCK + b]
}

/// The sums along the row of the second box around the 16 pixels that begin half a block on.
#[inline(always)]
fn box_sum<L: Lanes>(sums: &[f32]) -> Pair<L> {
    let sums = &sums[BLOCK / 2 - NEAR..][..BLOCK + 2 * NEAR];
    let s = |from: usize| -> L::F {
        let (vector, _) = sums[from..].as_chunks::<8>();
        L::load(&vector[0])
    };
    let mut boxes = [L::splat(0.0); 2];
    for h in 0..2 {
        let k = 8 * h;
        let first = L::add(L::add(s(k), s(k + 1)), L::add(s(k + 2), s(k + 3)));
        boxes[h] = L::add(first, L::add(L::add(s(k + 4), s(k + 5)), s(k + 6)));
    }
    boxes
}

/// The rows of cells around pixel row `y`, and the share of the second.
#[inline(always)]
fn between(y: usize, down: usize) -> (usize, usize, f32) {
    // Centers of cells lie at 8 c + 3.5.
    let at = y + CELL / 2;
    let below = at / CELL;
    let t = ((2 * at + 1) % (2 * CELL)) as f32 / (2 * CELL) as f32;
    (below.saturating_sub(1), below.min(down - 1), t)
}

/// The shares of the four cells around a block in its pixels: pixel `k` lies between cells `i` and
/// `i + 1`, where `i` is 0 for the first 4 pixels, 1 for the next 8, 2 for the last 4.
const SHARES: [[f32; BLOCK]; 4] = {
    let mut shares = [[0.0; BLOCK]; 4];
    let mut k = 0;
    while k < BLOCK {
        let at = k + CELL / 2;
        let t = ((2 * at + 1) % (2 * CELL)) as f32 / (2 * CELL) as f32;
        shares[at / CELL][k] = 1.0 - t;
        shares[at / CELL + 1][k] = t;
        k += 1;
    }
    shares
};

/// Channel `c` of the four cells around a block, interpolated to its pixels.
#[inline(always)]
fn interpolate<L: Lanes>(around: &[[f32; 8]; 4], c: usize) -> Pair<L> {
    let mut values = [L::splat(0.0); 2];
    for h in 0..2 {
        let mut terms = shares::<L>(h);
        for (term, cell) in terms.iter_mut().zip(around) {
            *term = L::mul(L::splat(cell[c]), *term);
        }
        values[h] = L::add(L::add(terms[0], terms[1]), L::add(terms[2], terms[3]));
    }
    values
}

/// The shares of the four cells in half `h` of a block.
#[inline(always)]
fn shares<L: Lanes>(h: usize) -> [L::F; 4] {
    let mut shares = [L::splat(0.0); 4];
    for (share, row) in shares.iter_mut().zip(&SHARES) {
        let (halves, _) = row.as_chunks::<8>();
        *share = L::load(&halves[h]);
    }
    shares
}

/// Colors and alpha of block `b` of a row; what lies beyond the row is 0.
#[inline(always)]
fn block(rgb: &[u8], alpha: &[u8], b: usize) -> ([u8; 3 * BLOCK], [u8; BLOCK]) {
    (padded(&rgb[3 * BLOCK * b..]), padded(&alpha[BLOCK * b..]))
}

/// The first `N` bytes, followed by zeros where there are fewer.
#[inline(always)]
fn padded<const N: usize>(bytes: &[u8]) -> [u8; N] {
    match bytes.first_chunk() {
        Some(whole) => *whole,
        None => {
            let mut copy = [0; N];
            copy[..bytes.len()].copy_from_slice(bytes);
            copy
        }
    }
}
