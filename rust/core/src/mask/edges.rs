//! Moves alpha's edges to the photo's: a guided filter where the map is in doubt, and nowhere else.
//!
//! In each window of 5x5 cells of the network's map, alpha p is taken to be linear in the photo's
//! brightness I, whose value in a cell is the mean of the pixels that the cell covers:
//!
//! ```text
//! a = cov(I, p) / (var(I) + 0.001)        b = mean(p) - a mean(I)
//! q = mean(a) I + mean(b)                 means over 5x5 cells, interpolated to the pixel; its own I
//! alpha = 1.5 (q - 0.5) + 0.5             cut to 0..1: two means flatten an edge by about as much
//! ```
//!
//! Sources: He, Sun and Tang, "Guided image filtering", 2013; the coefficients at the small size are those
//! of He and Sun, "Fast guided filter", 2015. The last line and the constants were chosen on photos
//! that taught the built-in network. A pixel is changed if one of the four cells around it is in
//! doubt: levels of its window differ by more than 12 of 255.
//!
//! Plain loops that a compiler can vectorize: wider vectors than the baseline's save 8 %, measured,
//! so that there is one text and no `unsafe`. Must not know logits or recipes.

use crate::error::Kind;
use crate::image::{Alpha8, Rgb8, Size, resize_buffer};

/// Cells on each side of a window's middle.
const REACH: usize = 2;
const WINDOW: usize = 2 * REACH + 1;
/// One over the cells of a window.
const SHARE: f32 = 1.0 / (WINDOW * WINDOW) as f32;
/// Cells from one in doubt to the farthest whose brightness its pixels need: one for interpolation,
/// and a window for each of the two means.
const NEAR: usize = 1 + 2 * REACH;
const DOUBT: u8 = 12;
const EPSILON: f32 = 1e-3;
const CONTRAST: f32 = 1.5;
/// Of red, green and blue (ITU-R BT.601), from levels to 0..1.
const BRIGHTNESS: [f32; 3] = [0.299 / 255.0, 0.587 / 255.0, 0.114 / 255.0];

/// Scratch of the filter.
#[derive(Debug, Default)]
pub(super) struct Edges {
    doubt: Vec<u8>,
    near: Vec<u8>,
    line: Vec<u8>,
    light: Vec<f32>,
    cells: Cells,
    columns: Vec<Cover>,
    rows: Vec<Cover>,
    begins: Vec<usize>,
    parts: Vec<f32>,
}

/// Planes of the map, one value per cell.
#[derive(Debug, Default)]
struct Cells {
    size: Size,
    /// Columns per row that are worked on; empty where nothing is in doubt.
    spans: Vec<(usize, usize)>,
    level: Vec<f32>,
    guide: Vec<f32>,
    slope: Vec<f32>,
    offset: Vec<f32>,
    /// What a pixel's level is, before it is cut: `slopes` times its brightness plus `offsets`.
    slopes: Vec<f32>,
    offsets: Vec<f32>,
    sums: [Vec<f32>; 4],
}

/// The pixels that a cell covers along one axis, and how much of the first and the last.
#[derive(Clone, Copy, Debug, Default)]
struct Cover {
    start: usize,
    end: usize,
    first: f32,
    last: f32,
}

impl Cover {
    /// How much of pixel `at` lies in the cell.
    fn weight(&self, at: usize) -> f32 {
        if at == self.start {
            self.first
        } else if at + 1 == self.end {
            self.last
        } else {
            1.0
        }
    }
}

impl Edges {
    /// Changes `alpha`, which is `map` at the photo's size.
    pub(super) fn run(
        &mut self,
        map: Alpha8<'_>,
        photo: Rgb8<'_>,
        alpha: &mut [u8],
    ) -> Result<(), Kind> {
        if !self.prepare(map, photo)? {
            return Ok(());
        }
        self.cells.solve();
        self.write(photo, alpha)
    }

    /// Finds what is in doubt and what the cells around it need; false if nothing is.
    fn prepare(&mut self, map: Alpha8<'_>, photo: Rgb8<'_>) -> Result<bool, Kind> {
        let size = map.size();
        let Self { doubt, near, line, light, cells, columns, rows, .. } = self;
        for plane in [&mut *doubt, &mut *near] {
            resize_buffer(plane, size.pixels())?;
        }
        resize_buffer(line, size.width + 2 * NEAR)?;
        spread(map.data(), near, size, REACH, line, u8::min);
        spread(map.data(), doubt, size, REACH, line, u8::max);
        for (high, low) in doubt.iter_mut().zip(&*near) {
            *high = u8::from(*high - low > DOUBT);
        }
        if !doubt.contains(&1) {
            return Ok(false);
        }
        spread(doubt, near, size, NEAR, line, u8::max);
        cells.begin(size, near, map.data())?;
        covers(columns, size.width, photo.size().width)?;
        covers(rows, size.height, photo.size().height)?;
        resize_buffer(light, photo.size().width)?;
        let share = size.pixels() as f32 / photo.size().pixels() as f32;
        for (y, rows) in rows.iter().enumerate() {
            let near = &near[y * size.width..][..size.width];
            let guide = &mut cells.guide[y * size.width..][..size.width];
            let mut next = cells.spans[y].0;
            while let Some(from) = (next..size.width).find(|&x| near[x] != 0) {
                let to = (from..size.width).find(|&x| near[x] == 0).unwrap_or(size.width);
                lighten(photo, rows, &columns[from..to], light, &mut guide[from..to], share);
                next = to;
            }
        }
        Ok(true)
    }

    /// Writes the pixels that lie between cells in doubt. The coefficients have been solved.
    fn write(&mut self, photo: Rgb8<'_>, alpha: &mut [u8]) -> Result<(), Kind> {
        let Self { doubt, cells, begins, parts, .. } = self;
        let (map, image) = (cells.size, photo.size());
        segments(begins, parts, map.width, image.width)?;
        let rows = alpha.chunks_exact_mut(image.width);
        for (y, (row, colors)) in
            rows.zip(photo.data().as_chunks::<3>().0.chunks_exact(image.width)).enumerate()
        {
            let (top, part) = between(y, map.height, image.height);
            let bottom = (top + 1).min(map.height - 1);
            let (from, to) = union(cells.spans[top], cells.spans[bottom]);
            for left in from..to {
                let right = (left + 1).min(map.width - 1);
                let corners = [(top, left), (top, right), (bottom, left), (bottom, right)];
                let corners = corners.map(|(y, x)| y * map.width + x);
                if corners.iter().all(|&cell| doubt[cell] == 0) {
                    continue;
                }
                let side = |plane: &[f32], x: usize| {
                    let (above, below) = (plane[corners[x]], plane[corners[x + 2]]);
                    above + (below - above) * part
                };
                let (slope, offset) = (side(&cells.slopes, 0), side(&cells.offsets, 0));
                let (slopes, offsets) =
                    (side(&cells.slopes, 1) - slope, side(&cells.offsets, 1) - offset);
                let between = begins[left]..begins[left + 1];
                let pixels = row[between.clone()].iter_mut().zip(&colors[between.clone()]);
                for ((alpha, color), part) in pixels.zip(&parts[between]) {
                    let light = brightness(color);
                    let level = (slope + slopes * part) * light + (offset + offsets * part);
                    *alpha = level as u8; // cuts to 0..=255
                }
            }
        }
        Ok(())
    }
}

impl Cells {
    fn begin(&mut self, size: Size, near: &[u8], levels: &[u8]) -> Result<(), Kind> {
        let Self { spans, level, guide, slope, offset, slopes, offsets, sums, .. } = self;
        self.size = size;
        for plane in [&mut *level, guide, slope, offset, slopes, offsets] {
            resize_buffer(plane, size.pixels())?;
        }
        for line in sums {
            resize_buffer(line, size.width + 2 * REACH)?;
        }
        resize_buffer(spans, size.height)?;
        for (level, &found) in level.iter_mut().zip(levels) {
            *level = f32::from(found) / 255.0;
        }
        for (span, row) in spans.iter_mut().zip(near.chunks_exact(size.width)) {
            let first = row.iter().position(|&cell| cell != 0);
            let last = row.iter().rposition(|&cell| cell != 0);
            *span = first.zip(last).map_or((0, 0), |(first, last)| (first, last + 1));
        }
        Ok(())
    }

    /// From brightness and levels to what pixels are written by. What lies outside of the spans, or is not
    /// near a cell in doubt, comes out as any number and is never read.
    fn solve(&mut self) {
        let Self { size, spans, level, guide, slope, offset, slopes, offsets, sums } = self;
        let [light, alpha, both, square] = sums;
        let place =
            |y: usize, (from, to): (usize, usize)| y * size.width + from..y * size.width + to;
        for (y, &span) in spans.iter().enumerate().filter(|(_, span)| span.0 < span.1) {
            let around = Around::new(y, *size, span);
            around.sum(light, guide, guide, |light, _| light);
            around.sum(alpha, level, level, |alpha, _| alpha);
            around.sum(both, guide, level, |light, alpha| light * alpha);
            around.sum(square, guide, guide, |light, _| light * light);
            let (slope, offset) = (&mut slope[place(y, span)], &mut offset[place(y, span)]);
            around.means(light, slope);
            around.means(alpha, offset);
            let (light, alpha) = (slope, offset);
            let (both, square) = (around.window(both), around.window(square));
            for x in 0..light.len() {
                let (mean, level) = (light[x], alpha[x]);
                let (both, square) = (total(&both, x) * SHARE, total(&square, x) * SHARE);
                let a = (both - mean * level) / (square - mean * mean + EPSILON);
                light[x] = a;
                alpha[x] = level - a * mean;
            }
        }
        for (y, &span) in spans.iter().enumerate().filter(|(_, span)| span.0 < span.1) {
            let around = Around::new(y, *size, span);
            around.sum(light, slope, slope, |slope, _| slope);
            around.sum(alpha, offset, offset, |offset, _| offset);
            let (slopes, offsets) = (&mut slopes[place(y, span)], &mut offsets[place(y, span)]);
            around.means(light, slopes);
            around.means(alpha, offsets);
            for (slope, offset) in slopes.iter_mut().zip(offsets) {
                *slope *= 255.0 * CONTRAST;
                *offset = 255.0 * (CONTRAST * (*offset - 0.5) + 0.5) + 0.5;
            }
        }
    }
}

/// The windows of one row's span; beyond the map's edges its outermost cells repeat.
struct Around {
    rows: [usize; WINDOW],
    width: usize,
    span: (usize, usize),
    /// Columns that the windows reach.
    reached: (usize, usize),
}

impl Around {
    fn new(y: usize, size: Size, span: (usize, usize)) -> Self {
        let row = |step: usize| (y + step).saturating_sub(REACH).min(size.height - 1) * size.width;
        let reached = (span.0.saturating_sub(REACH), (span.1 + REACH).min(size.width));
        Self { rows: std::array::from_fn(row), width: size.width, span, reached }
    }

    /// Sums of `value`, of two planes, down the windows: one for each column, into a line with `REACH` places
    /// before it.
    fn sum(&self, line: &mut [f32], one: &[f32], other: &[f32], value: impl Fn(f32, f32) -> f32) {
        let (first, last) = self.reached;
        let out = &mut line[first + REACH..last + REACH];
        for (number, start) in self.rows.into_iter().enumerate() {
            let row = start + first..start + last;
            let pairs = one[row.clone()].iter().zip(&other[row]);
            if number == 0 {
                out.iter_mut().zip(pairs).for_each(|(out, (&a, &b))| *out = value(a, b));
            } else {
                out.iter_mut().zip(pairs).for_each(|(out, (&a, &b))| *out += value(a, b));
            }
        }
        if first == 0 {
            let edge = line[REACH];
            line[..REACH].fill(edge);
        }
        if last == self.width {
            let edge = line[self.width + REACH - 1];
            line[self.width + REACH..].fill(edge);
        }
    }

    /// The line's parts that hold the windows' columns, first to last.
    fn window<'a>(&self, line: &'a [f32]) -> [&'a [f32]; WINDOW] {
        let (from, to) = self.span;
        std::array::from_fn(|step| &line[from + step..to + step])
    }

    /// Means over the windows.
    fn means(&self, line: &[f32], out: &mut [f32]) {
        let window = self.window(line);
        for (x, mean) in out.iter_mut().enumerate() {
            *mean = total(&window, x) * SHARE;
        }
    }
}

fn total(window: &[&[f32]; WINDOW], x: usize) -> f32 {
    let mut sum = window[0][x];
    for column in &window[1..] {
        sum += column[x];
    }
    sum
}

/// Each cell's `pick` of all within `reach`. `line` has room for a row and `reach` on both sides.
fn spread(
    from: &[u8],
    to: &mut [u8],
    size: Size,
    reach: usize,
    line: &mut [u8],
    pick: impl Fn(u8, u8) -> u8,
) {
    let Size { width, height } = size;
    for (y, out) in to.chunks_exact_mut(width).enumerate() {
        let inner = &mut line[reach..reach + width];
        let (first, last) = (y.saturating_sub(reach), (y + reach).min(height - 1));
        inner.copy_from_slice(&from[first * width..][..width]);
        for row in from[(first + 1) * width..(last + 1) * width].chunks_exact(width) {
            inner.iter_mut().zip(row).for_each(|(a, &b)| *a = pick(*a, b));
        }
        // A cell that is looked at twice changes neither minimum nor maximum.
        let (left, right) = (inner[0], inner[width - 1]);
        line[..reach].fill(left);
        line[reach + width..2 * reach + width].fill(right);
        out.copy_from_slice(&line[..width]);
        for step in 1..=2 * reach {
            out.iter_mut().zip(&line[step..]).for_each(|(a, &b)| *a = pick(*a, b));
        }
    }
}

/// Which pixels each of `cells` covers, of `length`.
fn covers(found: &mut Vec<Cover>, cells: usize, length: usize) -> Result<(), Kind> {
    resize_buffer(found, cells)?;
    let scale = length as f64 / cells as f64;
    for (at, cover) in found.iter_mut().enumerate() {
        let (low, high) = (at as f64 * scale, ((at + 1) as f64 * scale).min(length as f64));
        let start = (low as usize).min(length - 1);
        let end = (high.ceil() as usize).clamp(start + 1, length);
        let first = high.min((start + 1) as f64) - low;
        *cover = Cover { start, end, first: first as f32, last: (high - (end - 1) as f64) as f32 };
    }
    Ok(())
}

fn brightness(color: &[u8; 3]) -> f32 {
    let [red, green, blue] = BRIGHTNESS;
    f32::from(color[0]) * red + f32::from(color[1]) * green + f32::from(color[2]) * blue
}

/// Mean brightness of neighboring cells in one row of the map; `share` is one over a cell's pixels.
fn lighten(
    photo: Rgb8<'_>,
    rows: &Cover,
    columns: &[Cover],
    light: &mut [f32],
    guide: &mut [f32],
    share: f32,
) {
    let (Some(first), Some(last)) = (columns.first(), columns.last()) else { return };
    let (start, width) = (first.start, photo.size().width);
    let light = &mut light[..last.end - start];
    light.fill(0.0);
    for y in rows.start..rows.end {
        let part = rows.weight(y) * share;
        let colors = &photo.data()[3 * (y * width + start)..3 * (y * width + last.end)];
        for (sum, color) in light.iter_mut().zip(colors.as_chunks::<3>().0) {
            *sum += part * brightness(color);
        }
    }
    for (mean, cover) in guide.iter_mut().zip(columns) {
        let pixels = &light[cover.start - start..cover.end - start];
        *mean = match pixels {
            [only] => cover.first * only,
            [first, middle @ .., last] => {
                cover.first * first + middle.iter().sum::<f32>() + cover.last * last
            }
            [] => 0.0,
        };
    }
}

/// The cell before the middle of pixel `at`, and how far it is on the way to the next.
fn between(at: usize, cells: usize, length: usize) -> (usize, f32) {
    let place = (at as f64 + 0.5) * cells as f64 / length as f64 - 0.5;
    let place = place.clamp(0.0, (cells - 1) as f64);
    (place as usize, place.fract() as f32)
}

/// For each cell the first pixel right of its middle, and for each pixel how far it is on its way.
fn segments(
    begins: &mut Vec<usize>,
    parts: &mut Vec<f32>,
    cells: usize,
    length: usize,
) -> Result<(), Kind> {
    resize_buffer(begins, cells + 1)?;
    resize_buffer(parts, length)?;
    let mut next = 0;
    for (x, part) in parts.iter_mut().enumerate() {
        let (left, found) = between(x, cells, length);
        *part = found;
        while next <= left {
            begins[next] = x;
            next += 1;
        }
    }
    begins[next..].fill(length);
    Ok(())
}

/// What covers both; an empty one covers nothing.
fn union(a: (usize, usize), b: (usize, usize)) -> (usize, usize) {
    match (a.0 < a.1, b.0 < b.1) {
        (true, true) => (a.0.min(b.0), a.1.max(b.1)),
        (true, false) => a,
        (false, _) => b,
    }
}
