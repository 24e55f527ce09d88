//! ICC profiles to sRGB, 8 bits, with the transforms kept from picture to picture.
//!
//! A folder of photos has one or two profiles, so a small cache, searched by equality of the
//! profile's bytes, makes the cost of setting a transform up vanish. A profile that is sRGB
//! under any of its many names is recognized by what it does: if no probe color moves by more
//! than one level, it is taken as sRGB and nothing is converted.
//!
//! A profile never fails a picture. One that can't be parsed, is over moxcms's caps, or makes it
//! panic, is unusable and is remembered as such.
//! Perceptual intent, no black point compensation. Must not know file formats.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use moxcms::{ColorProfile, Layout, Transform8BitExecutor, TransformOptions};

/// Profiles kept. More than a folder usually has; each costs up to some 100 KB.
const CAPACITY: usize = 8;

/// Pixels converted per step: source and target of a step stay in the first-level cache.
const STEP: usize = 2048;

/// The color space that a profile's header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProfileSpace {
    Rgb,
    Gray,
    Cmyk,
}

/// The space of the pixels that `profile` is for, if it is one that we handle.
pub(super) fn space(profile: &[u8]) -> Option<ProfileSpace> {
    match profile.get(16..20)? {
        b"RGB " => Some(ProfileSpace::Rgb),
        b"GRAY" => Some(ProfileSpace::Gray),
        b"CMYK" => Some(ProfileSpace::Cmyk),
        _ => None,
    }
}

/// What became of the colors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They are sRGB already; nothing was touched.
    AlreadySrgb,
    /// They were converted.
    Converted,
    /// The profile can't be used; nothing was touched.
    Unusable,
}

/// Transforms to sRGB, by profile.
#[derive(Default)]
pub struct IccCache {
    entries: Vec<Entry>,
    /// The entry to be replaced next when all are taken.
    oldest: usize,
    step: Vec<u8>,
}

impl std::fmt::Debug for IccCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IccCache").field("profiles", &self.entries.len()).finish()
    }
}

struct Entry {
    profile: Vec<u8>,
    route: Route,
}

#[derive(Clone)]
enum Route {
    Unusable,
    AlreadySrgb,
    /// Of RGB or CMYK pixels.
    Through(Arc<Transform8BitExecutor>),
    /// The sRGB color of each gray level.
    Gray(Arc<[[u8; 3]; 256]>),
}

impl IccCache {
    /// Converts interleaved RGB in place from `profile` to sRGB. An empty profile means sRGB.
    pub fn to_srgb(&mut self, profile: &[u8], rgb: &mut [u8]) -> Outcome {
        match self.rgb_route(profile) {
            Route::AlreadySrgb => Outcome::AlreadySrgb,
            Route::Through(transform) => self.in_steps(&*transform, rgb),
            Route::Unusable | Route::Gray(_) => Outcome::Unusable,
        }
    }

    /// What [`IccCache::to_srgb`] would do: whether a copy of the pixels is worth making.
    pub fn outcome(&mut self, profile: &[u8]) -> Outcome {
        match self.rgb_route(profile) {
            Route::AlreadySrgb => Outcome::AlreadySrgb,
            Route::Through(_) => Outcome::Converted,
            Route::Unusable | Route::Gray(_) => Outcome::Unusable,
        }
    }

    /// Converts ink to sRGB; false, and nothing useful in `rgb`, if the profile is unusable.
    pub(super) fn cmyk_to_srgb(&mut self, profile: &[u8], ink: &[u8], rgb: &mut [u8]) -> bool {
        match self.route(profile, ProfileSpace::Cmyk) {
            Route::Through(transform) => ink
                .chunks(4 * STEP)
                .zip(rgb.chunks_mut(3 * STEP))
                .all(|(from, to)| transform.transform(from, to).is_ok()),
            _ => false,
        }
    }

    /// Converts gray levels, each there three times, in place; false if the profile is unusable.
    pub(super) fn gray_to_srgb(&mut self, profile: &[u8], rgb: &mut [u8]) -> bool {
        match self.route(profile, ProfileSpace::Gray) {
            Route::AlreadySrgb => true,
            Route::Gray(colors) => {
                for pixel in rgb.as_chunks_mut::<3>().0 {
                    *pixel = colors[usize::from(pixel[0])];
                }
                true
            }
            _ => false,
        }
    }

    fn rgb_route(&mut self, profile: &[u8]) -> Route {
        if profile.is_empty() {
            return Route::AlreadySrgb;
        }
        self.route(profile, ProfileSpace::Rgb)
    }

    /// The route of `profile` if it is for pixels of `wanted`, made on first sight.
    fn route(&mut self, profile: &[u8], wanted: ProfileSpace) -> Route {
        if space(profile) != Some(wanted) {
            return Route::Unusable;
        }
        if let Some(known) = self.entries.iter().find(|entry| entry.profile == profile) {
            return known.route.clone();
        }
        // A broken profile must cost its own conversion only, hence the guard around the parser.
        let route = catch_unwind(AssertUnwindSafe(|| compile(profile, wanted)))
            .ok()
            .flatten()
            .unwrap_or(Route::Unusable);
        let entry = Entry { profile: profile.to_vec(), route: route.clone() };
        if self.entries.len() < CAPACITY {
            self.entries.push(entry);
        } else {
            self.entries[self.oldest] = entry;
            self.oldest = (self.oldest + 1) % CAPACITY;
        }
        route
    }

    /// moxcms writes elsewhere than it reads, so the source of each step is set aside.
    fn in_steps(&mut self, transform: &Transform8BitExecutor, rgb: &mut [u8]) -> Outcome {
        self.step.resize(3 * STEP, 0);
        for part in rgb.chunks_mut(3 * STEP) {
            let source = &mut self.step[..part.len()];
            source.copy_from_slice(part);
            if transform.transform(source, part).is_err() {
                // Sizes are ours and right; a refusal would come with the first step or never.
                return Outcome::Unusable;
            }
        }
        Outcome::Converted
    }
}

fn compile(profile: &[u8], wanted: ProfileSpace) -> Option<Route> {
    let source = ColorProfile::new_from_slice(profile).ok()?;
    let target = ColorProfile::new_srgb();
    // CMYK travels as four bytes, which moxcms calls Rgba.
    let layout = match wanted {
        ProfileSpace::Rgb => Layout::Rgb,
        ProfileSpace::Gray => Layout::Gray,
        ProfileSpace::Cmyk => Layout::Rgba,
    };
    // In fixed point moxcms is up to three levels off in the shadows.
    let options = TransformOptions { prefer_fixed_point: false, ..TransformOptions::default() };
    let transform = source.create_transform_8bit(layout, &target, Layout::Rgb, options).ok()?;
    Some(match wanted {
        ProfileSpace::Cmyk => {
            // Tried once here, so that a failure is found before a picture depends on it.
            transform.transform(&[0; 4], &mut [0; 3]).ok()?;
            Route::Through(transform)
        }
        ProfileSpace::Rgb => {
            let probes = rgb_probes();
            let mut seen = vec![0; probes.len()];
            transform.transform(&probes, &mut seen).ok()?;
            if same(&probes, &seen) { Route::AlreadySrgb } else { Route::Through(transform) }
        }
        ProfileSpace::Gray => {
            let levels: Vec<u8> = (0..=255).collect();
            let mut seen = vec![0; 3 * 256];
            transform.transform(&levels, &mut seen).ok()?;
            let plain: Vec<u8> = levels.iter().flat_map(|&v| [v; 3]).collect();
            if same(&plain, &seen) {
                Route::AlreadySrgb
            } else {
                let mut colors = [[0; 3]; 256];
                colors.copy_from_slice(seen.as_chunks::<3>().0);
                Route::Gray(Arc::new(colors))
            }
        }
    })
}

/// A lattice of 9 levels per channel and the gray axis.
fn rgb_probes() -> Vec<u8> {
    let levels = || (0..=8u32).map(|i| (i * 255 / 8) as u8);
    let lattice = levels()
        .flat_map(move |r| levels().flat_map(move |g| levels().flat_map(move |b| [r, g, b])));
    lattice.chain((0..=255).flat_map(|v| [v; 3])).collect()
}

/// Equal within one level, the noise of an 8-bit transform.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.iter().zip(b).all(|(&x, &y)| x.abs_diff(y) <= 1)
}
