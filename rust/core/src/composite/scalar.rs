//! The definition of every step that works pixel by pixel, and of the 16-pixel [`Lanes`].
//!
//! Each SIMD level must give these bytes exactly. A quotient by 255 is always to the nearest
//! whole number; 255 is odd, so a tie can't occur and no rule for ties is needed.
//! Must not know levels, pictures or options: rows of equal length come in, rows go out.

/// `n / 255` to the nearest, for `n` up to 255 * 255.
#[inline(always)]
fn by_255(n: u32) -> u8 {
    ((n + 127) / 255) as u8
}

/// `alpha = alpha * by / 255`, to the nearest.
pub fn multiply(alpha: &mut [u8], by: &[u8]) {
    for (a, &b) in alpha.iter_mut().zip(by) {
        *a = by_255(u32::from(*a) * u32::from(b));
    }
}

/// Colors times alpha, to the nearest. This option is rare and has no SIMD level.
pub fn premultiply(rgb: &[u8], alpha: &[u8], out: &mut [u8]) {
    for ((c, &a), o) in rgb.chunks_exact(3).zip(alpha).zip(out.chunks_exact_mut(3)) {
        for (o, &c) in o.iter_mut().zip(c) {
            *o = by_255(u32::from(c) * u32::from(a));
        }
    }
}

/// Straight RGBA: the colors as they are beside their alpha, black where alpha is 0 unless `keep`.
pub fn cutout(rgb: &[u8], alpha: &[u8], out: &mut [u8], keep: bool) {
    for ((c, &a), o) in rgb.chunks_exact(3).zip(alpha).zip(out.chunks_exact_mut(4)) {
        let pixel = if a == 0 && !keep { [0; 4] } else { [c[0], c[1], c[2], a] };
        o.copy_from_slice(&pixel);
    }
}

/// RGB over an opaque background: `(color * alpha + back * (255 - alpha)) / 255`, to the nearest.
pub fn over(rgb: &[u8], alpha: &[u8], back: &[u8], out: &mut [u8]) {
    let pixels = rgb.chunks_exact(3).zip(back.chunks_exact(3)).zip(alpha);
    for (((f, b), &a), o) in pixels.zip(out.chunks_exact_mut(3)) {
        let a = u32::from(a);
        for c in 0..3 {
            o[c] = by_255(u32::from(f[c]) * a + u32::from(b[c]) * (255 - a));
        }
    }
}

/// Straight RGBA over a translucent color, itself straight. The source is Porter and Duff's "over"
/// (1984) with the division by the resulting alpha: alpha to the nearest, colors to the nearest
/// (half up). This option is rare and has no SIMD level.
pub fn over_translucent(rgb: &[u8], alpha: &[u8], back: [u8; 4], out: &mut [u8]) {
    let back_alpha = u32::from(back[3]);
    for ((f, &a), o) in rgb.chunks_exact(3).zip(alpha).zip(out.chunks_exact_mut(4)) {
        // Both weights and their sum are in units of 1/255 of a level of alpha.
        let front = u32::from(a) * 255;
        let behind = back_alpha * (255 - u32::from(a));
        let sum = front + behind;
        if sum == 0 {
            o.fill(0);
            continue;
        }
        for c in 0..3 {
            let color = u32::from(f[c]) * front + u32::from(back[c]) * behind;
            o[c] = ((color + sum / 2) / sum) as u8;
        }
        o[3] = by_255(sum);
    }
}

/// What the foreground estimation does with 16 pixels, or with eight numbers, at a time. Each
/// operation on numbers is one IEEE operation per lane, so every level gives the same bits.
///
/// The methods of a SIMD level may be called only in functions that enable that level's features:
/// that is why the trait is private to `composite` and why its users are marked `inline(always)`.
pub trait Lanes {
    /// Eight numbers.
    type F: Copy;
    /// Interleaved to planes.
    fn split(rgb: &[u8; 48]) -> [[u8; 16]; 3];
    /// Planes to interleaved.
    fn join(planes: &[[u8; 16]; 3]) -> [u8; 48];
    /// Bit `k` is set where pixel `k` is soft, that is neither 0 nor 255.
    fn soft(alpha: &[u8; 16]) -> u16;
    /// Adds one row of two neighboring cells of 8 pixels. Per cell: the sum of alpha, three of color times
    /// alpha, three of color; the last place is not touched.
    fn count(sums: &mut [[u32; 8]; 2], rgb: &[u8; 48], alpha: &[u8; 16]);
    /// Where alpha is soft, `made`; elsewhere `image`.
    fn choose(alpha: &[u8; 16], image: &[u8; 16], made: &[u8; 16]) -> [u8; 16];
    /// Bytes to numbers.
    fn widen(bytes: &[u8; 16]) -> [Self::F; 2];
    /// Numbers of 0 to 255 to bytes, to the nearest, half to even.
    fn levels(values: [Self::F; 2]) -> [u8; 16];
    /// The same number eight times.
    fn splat(value: f32) -> Self::F;
    /// From memory.
    fn load(values: &[f32; 8]) -> Self::F;
    /// To memory.
    fn store(vector: Self::F, values: &mut [f32; 8]);
    /// a + b.
    fn add(a: Self::F, b: Self::F) -> Self::F;
    /// a - b.
    fn sub(a: Self::F, b: Self::F) -> Self::F;
    /// a * b.
    fn mul(a: Self::F, b: Self::F) -> Self::F;
    /// a / b.
    fn div(a: Self::F, b: Self::F) -> Self::F;
    /// Into 0 to 255; what is not a number becomes 0.
    fn clip(a: Self::F) -> Self::F;
}

/// The definition of [`Lanes`].
pub struct Scalar;

impl Lanes for Scalar {
    type F = [f32; 8];

    #[inline(always)]
    fn split(rgb: &[u8; 48]) -> [[u8; 16]; 3] {
        let mut planes = [[0; 16]; 3];
        for k in 0..16 {
            for c in 0..3 {
                planes[c][k] = rgb[3 * k + c];
            }
        }
        planes
    }

    #[inline(always)]
    fn join(planes: &[[u8; 16]; 3]) -> [u8; 48] {
        let mut rgb = [0; 48];
        for k in 0..16 {
            for c in 0..3 {
                rgb[3 * k + c] = planes[c][k];
            }
        }
        rgb
    }

    #[inline(always)]
    fn soft(alpha: &[u8; 16]) -> u16 {
        let mut bits = 0;
        for (k, &a) in alpha.iter().enumerate() {
            bits |= u16::from(a != 0 && a != 255) << k;
        }
        bits
    }

    #[inline(always)]
    fn count(sums: &mut [[u32; 8]; 2], rgb: &[u8; 48], alpha: &[u8; 16]) {
        for k in 0..16 {
            let sum = &mut sums[k / 8];
            let a = u32::from(alpha[k]);
            sum[0] += a;
            for c in 0..3 {
                let color = u32::from(rgb[3 * k + c]);
                sum[1 + c] += color * a;
                sum[4 + c] += color;
            }
        }
    }

    #[inline(always)]
    fn choose(alpha: &[u8; 16], image: &[u8; 16], made: &[u8; 16]) -> [u8; 16] {
        let mut chosen = *image;
        for k in 0..16 {
            if alpha[k] != 0 && alpha[k] != 255 {
                chosen[k] = made[k];
            }
        }
        chosen
    }

    #[inline(always)]
    fn widen(bytes: &[u8; 16]) -> [[f32; 8]; 2] {
        let mut wide = [[0.0; 8]; 2];
        for k in 0..16 {
            wide[k / 8][k % 8] = f32::from(bytes[k]);
        }
        wide
    }

    #[inline(always)]
    fn levels(values: [[f32; 8]; 2]) -> [u8; 16] {
        let mut bytes = [0; 16];
        for k in 0..16 {
            // Adding 2^23 leaves the whole number, rounded half to even, in the lowest bits.
            bytes[k] = (values[k / 8][k % 8] + 8_388_608.0).to_bits() as u8;
        }
        bytes
    }

    #[inline(always)]
    fn splat(value: f32) -> [f32; 8] {
        [value; 8]
    }

    #[inline(always)]
    fn load(values: &[f32; 8]) -> [f32; 8] {
        *values
    }

    #[inline(always)]
    fn store(vector: [f32; 8], values: &mut [f32; 8]) {
        *values = vector;
    }

    #[inline(always)]
    fn add(mut a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        for k in 0..8 {
            a[k] += b[k];
        }
        a
    }

    #[inline(always)]
    fn sub(mut a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        for k in 0..8 {
            a[k] -= b[k];
        }
        a
    }

    #[inline(always)]
    fn mul(mut a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        for k in 0..8 {
            a[k] *= b[k];
        }
        a
    }

    #[inline(always)]
    fn div(mut a: [f32; 8], b: [f32; 8]) -> [f32; 8] {
        for k in 0..8 {
            a[k] /= b[k];
        }
        a
    }

    #[inline(always)]
    fn clip(mut a: [f32; 8]) -> [f32; 8] {
        for value in &mut a {
            // Plain comparisons are one instruction each; `clamp` would keep what is not a number.
            *value = if *value > 0.0 { *value } else { 0.0 };
            *value = if *value < 255.0 { *value } else { 255.0 };
        }
        a
    }
}
