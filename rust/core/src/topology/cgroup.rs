//! CPU quota and memory limit of the control groups that this process lives in.
//!
//! `/proc/self/cgroup` names the group in each hierarchy, `/proc/self/mountinfo` says where the
//! hierarchy is mounted and which part of it is visible. A limit of any group from ours up to the
//! mount binds us, so the tightest counts; versions 1 and 2 may both be mounted, so both are
//! asked. A group above the mounted part can't be seen from inside a container.

use std::path::{Component, Path, PathBuf};

use super::read_text;

/// CPUs' worth of time granted, as in 2.5.
pub(super) fn quota_cpus(root: &Path) -> Option<f64> {
    let v2 = folders(root, None).into_iter().filter_map(|folder| {
        let text = read_text(&folder.join("cpu.max"))?;
        let mut words = text.split_whitespace();
        ratio(words.next()?, words.next()?)
    });
    let v1 = folders(root, Some("cpu")).into_iter().filter_map(|folder| {
        let quota = read_text(&folder.join("cpu.cfs_quota_us"))?;
        ratio(quota.trim(), read_text(&folder.join("cpu.cfs_period_us"))?.trim())
    });
    v2.chain(v1).min_by(f64::total_cmp)
}

/// The tightest memory limit; None where nobody set one. Version 1 writes a number near 2^63 for
/// "none": the caller compares with the machine's memory.
pub(super) fn memory_limit_bytes(root: &Path) -> Option<u64> {
    let v2 = folders(root, None).into_iter().map(|folder| folder.join("memory.max"));
    let v1 = folders(root, Some("memory"))
        .into_iter()
        .map(|folder| folder.join("memory.limit_in_bytes"));
    v2.chain(v1).filter_map(|path| read_text(&path)?.trim().parse().ok()).min()
}

/// Quota over period. "max" (version 2) and -1 (version 1) are no numbers above 0: no quota.
fn ratio(quota_us: &str, period_us: &str) -> Option<f64> {
    let quota: u64 = quota_us.parse().ok()?;
    let period: u64 = period_us.parse().ok()?;
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

/// The folder of our group and those above it, up to the mount: of version 2 for None, else of
/// version 1's hierarchy with that controller.
fn folders(root: &Path, controller: Option<&str>) -> Vec<PathBuf> {
    let group =
        read_text(&root.join("proc/self/cgroup")).and_then(|text| own_group(&text, controller));
    let mount =
        read_text(&root.join("proc/self/mountinfo")).and_then(|text| mount(&text, controller));
    let (visible, point) = mount.unwrap_or_else(|| {
        // Without mountinfo (a sparse container): the customary place, seen from the top.
        ("/".into(), Path::new("sys/fs/cgroup").join(controller.unwrap_or("")))
    });
    let group = group.unwrap_or_default();
    // A group outside the visible part, or one that climbs with `..` (both occur in cgroup
    // namespaces): what is visible is then our own group.
    let inside = group.strip_prefix(&visible).unwrap_or(Path::new(""));
    let plain = inside.components().all(|part| matches!(part, Component::Normal(_)));
    let inside = if plain { inside } else { Path::new("") };
    inside.ancestors().map(|part| root.join(&point).join(part)).collect()
}

/// Our group in `/proc/self/cgroup`, whose lines read `id:controllers:path`.
fn own_group(text: &str, controller: Option<&str>) -> Option<PathBuf> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let ours = match controller {
            None => id == "0" && controllers.is_empty(),
            Some(name) => controllers.split(',').any(|other| other == name),
        };
        ours.then(|| PathBuf::from(path))
    })
}

/// The visible part and the mount point (relative to the root) in `/proc/self/mountinfo`, whose
/// lines read `id parent major:minor part point options tags* - type source options`.
fn mount(text: &str, controller: Option<&str>) -> Option<(PathBuf, PathBuf)> {
    text.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (part, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let ours = match controller {
            None => kind == "cgroup2",
            Some(name) => kind == "cgroup" && options.split(',').any(|option| option == name),
        };
        let point = unescape(point);
        ours.then(|| (PathBuf::from(unescape(part)), PathBuf::from(point.trim_start_matches('/'))))
    })
}

/// Undoes mountinfo's octal escapes (space, tab, newline, backslash).
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}
