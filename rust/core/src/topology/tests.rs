//! Fake trees in, placements out. Trees are built in a temporary folder that each test owns.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A fake root, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Tree {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("qbg-tree-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Tree(path)
    }

    fn file(self, path: &str, text: impl AsRef<[u8]>) -> Tree {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    fn online(self, list: &str) -> Tree {
        self.file("sys/devices/system/cpu/online", format!("{list}\n"))
    }

    fn node(self, node: usize, list: &str) -> Tree {
        self.file(&format!("sys/devices/system/node/node{node}/cpulist"), format!("{list}\n"))
    }

    fn siblings(self, cpu: usize, list: &str) -> Tree {
        let path = format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        self.file(&path, format!("{list}\n"))
    }

    fn read(&self, affinity: Option<&[usize]>) -> Topology {
        Topology::read(&self.0, affinity)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// 8 nodes of 48 CPUs: 24 cores each, the second threads numbered from 192.
fn eight_nodes() -> Tree {
    let mut tree = Tree::new().online("0-383");
    for node in 0..8 {
        let (first, second) = (node * 24, 192 + node * 24);
        tree = tree.node(node, &format!("{first}-{},{second}-{}", first + 23, second + 23));
    }
    for core in 0..192 {
        let list = format!("{core},{}", core + 192);
        tree = tree.siblings(core, &list).siblings(core + 192, &list);
    }
    tree
}

fn count<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    items.for_each(|item| *counts.entry(item).or_default() += 1);
    counts
}

#[test]
fn eight_nodes_of_48() {
    let topology = eight_nodes().read(None);
    assert_eq!(topology.cpus.len(), 384);
    assert_eq!((topology.cores(), topology.workers(), topology.numa), (192, 384, true));
    assert_eq!(topology.nodes(), (0..8).collect::<Vec<_>>());
    assert_eq!(topology.cpus[200], Cpu { id: 200, node: 0, core: 8 });

    // Every CPU once, workers numbered node by node.
    let all = place(&topology, 384, Pin::Auto);
    assert!(all.iter().all(|place| place.cpus.len() == 1));
    assert_eq!(all.iter().map(|place| place.cpus[0]).collect::<BTreeSet<_>>().len(), 384);
    assert!(all.windows(2).all(|pair| pair[0].node <= pair[1].node));
    assert!(all.iter().enumerate().all(|(index, place)| place.worker == index));

    // Half of them: one per physical core, 24 on each node; auto binds to nodes only.
    let half = place(&topology, 192, Pin::Cpu);
    assert!(half.iter().all(|place| place.cpus[0] < 192));
    assert!(count(half.iter().map(|place| place.node)).values().all(|&n| n == 24));
    let half = place(&topology, 192, Pin::Auto);
    assert!(half.iter().all(|place| place.cpus.len() == 48));
    assert!(count(half.iter().map(|place| place.node)).values().all(|&n| n == 24));

    // 193: one second thread.
    let more = place(&topology, 193, Pin::Cpu);
    assert_eq!(more.iter().filter(|place| place.cpus[0] >= 192).count(), 1);

    // 9 workers can't be spread evenly over 8 nodes: auto leaves them free, node doesn't.
    assert!(place(&topology, 9, Pin::Auto).iter().all(|p| p.cpus.is_empty() && p.node.is_none()));
    assert_eq!(count(place(&topology, 9, Pin::Node).iter().map(|place| place.node)).len(), 8);
}

#[test]
fn one_node_and_two_small_processes() {
    let topology = Tree::new().online("0-3").node(0, "0-3").read(Some(&[0, 1, 2, 3]));
    assert_eq!((topology.workers(), topology.cores(), topology.numa), (4, 4, true));
    // Two processes with one worker each: neither claims a CPU, so the kernel gives them two.
    assert_eq!(
        place(&topology, 1, Pin::Auto),
        [Placement { worker: 0, node: Some(0), cpus: vec![] }]
    );
    let all = place(&topology, 4, Pin::Auto);
    assert_eq!(
        all.iter().map(|place| place.cpus.clone()).collect::<Vec<_>>(),
        [[0], [1], [2], [3]]
    );
    // More workers than CPUs: each CPU gets its share.
    let twice = place(&topology, 8, Pin::Auto);
    assert!(count(twice.iter().map(|place| place.cpus[0])).values().all(|&n| n == 2));
    assert!(place(&topology, 8, Pin::Off).iter().all(|place| place.cpus.is_empty()));
    assert!(place(&topology, 0, Pin::Cpu).is_empty());
}

#[test]
fn siblings_come_last_within_the_mask() {
    // Neighbors are siblings: (0,1) (2,3) (4,5) (6,7); the mask allows both threads of core 0 only.
    let mut tree = Tree::new().online("0-7").node(0, "0-7");
    for cpu in 0..8 {
        tree = tree.siblings(cpu, &format!("{}-{}", cpu & !1, cpu | 1));
    }
    let topology = tree.read(Some(&[0, 1, 3, 5]));
    assert_eq!((topology.cpus.len(), topology.cores(), topology.online), (4, 3, 8));
    let three: Vec<usize> = place(&topology, 3, Pin::Cpu).iter().map(|p| p.cpus[0]).collect();
    assert_eq!(three, [0, 3, 5]);
}

#[test]
fn nodes_of_unequal_size_share_evenly_until_one_is_full() {
    let topology = Tree::new().online("0-5").node(0, "0-3").node(1, "4-5").read(None);
    let nodes = |workers| count(place(&topology, workers, Pin::Cpu).iter().map(|p| p.node));
    assert_eq!(nodes(4), BTreeMap::from([(Some(0), 2), (Some(1), 2)]));
    assert_eq!(nodes(6), BTreeMap::from([(Some(0), 4), (Some(1), 2)]));
    // 2 of 4 and 2 of 2 aren't the same share: auto keeps out.
    assert!(place(&topology, 4, Pin::Auto).iter().all(|place| place.cpus.is_empty()));
}

#[test]
fn quota_of_two_and_a_half_in_version_2() {
    let tree = Tree::new()
        .online("0-47")
        .file("proc/self/cgroup", "0::/kubepods/pod7/box\n")
        .file(
            "proc/self/mountinfo",
            "30 23 0:26 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n",
        )
        .file("sys/fs/cgroup/kubepods/pod7/box/cpu.max", "250000 100000\n")
        .file("sys/fs/cgroup/kubepods/pod7/box/memory.max", "max\n")
        .file("sys/fs/cgroup/kubepods/pod7/memory.max", "1073741824\n")
        .file("sys/fs/cgroup/kubepods/cpu.max", "max 100000\n")
        .file("proc/meminfo", "MemTotal:       32768000 kB\nMemFree: 1 kB\n");
    let topology = tree.read(None);
    assert_eq!(topology.quota_cpus, Some(2.5));
    assert_eq!(topology.workers(), 2);
    assert_eq!(topology.memory_bytes, Some(32_768_000 * 1024));
    assert_eq!(
        topology.memory_limit_bytes,
        Some(1 << 30),
        "the tightest of the groups above counts"
    );
    assert!(place(&topology, 2, Pin::Auto).iter().all(|place| place.cpus.is_empty()));

    let tree = tree.file("sys/fs/cgroup/kubepods/cpu.max", "50000 100000\n");
    let topology = tree.read(None);
    assert_eq!((topology.quota_cpus, topology.workers()), (Some(0.5), 1));
}

#[test]
fn quota_in_version_1_behind_a_bind_mount() {
    let topology = Tree::new()
        .online("0-7")
        .file(
            "proc/self/cgroup",
            "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n",
        )
        .file(
            "proc/self/mountinfo",
            "30 23 0:26 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
             31 23 0:27 /docker/abc /sys/fs/cgroup/memory\\040here ro - cgroup cgroup rw,memory\n",
        )
        .file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n")
        .file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
        .file("sys/fs/cgroup/memory here/memory.limit_in_bytes", "9223372036854771712\n")
        .file("proc/meminfo", "MemTotal: 1000 kB\n")
        .read(None);
    assert_eq!((topology.quota_cpus, topology.workers()), (Some(3.0), 3));
    assert_eq!(topology.memory_limit_bytes, None, "more than the machine has is no limit");

    let unlimited = Tree::new()
        .online("0-7")
        .file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
        .file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
        .read(None);
    assert_eq!((unlimited.quota_cpus, unlimited.workers()), (None, 8));
}

#[test]
fn cgroup_namespace_that_climbs() {
    let topology = Tree::new()
        .online("0-7")
        .file("proc/self/cgroup", "0::/../../other\n")
        .file("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
        .file("sys/fs/cgroup/cpu.max", "400000 100000\n")
        .file("other/cpu.max", "100000 100000\n")
        .read(None);
    assert_eq!(topology.quota_cpus, Some(4.0));
}

#[test]
fn offline_cpus_and_the_mask() {
    let tree = Tree::new().online("0-1,4,6-7").node(0, "0-3").node(1, "4-7");
    assert_eq!(
        tree.read(Some(&[0, 2, 4, 5, 6])).cpus,
        [
            Cpu { id: 0, node: 0, core: 0 },
            Cpu { id: 4, node: 1, core: 4 },
            Cpu { id: 6, node: 1, core: 6 }
        ]
    );
    // Nothing in common: the scheduler's mask wins over the list.
    assert_eq!(tree.read(Some(&[2, 3])).cpus.iter().map(|cpu| cpu.id).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn no_numa_folder_and_nothing_at_all() {
    let topology = Tree::new().online("0-3").read(None);
    assert_eq!((topology.numa, topology.nodes()), (false, vec![0]));
    assert_eq!(place(&topology, 4, Pin::Node)[3].cpus, [0, 1, 2, 3]);

    let nothing = Tree::new().read(None);
    assert_eq!(nothing.cpus, [Cpu { id: 0, node: 0, core: 0 }]);
    assert_eq!((nothing.workers(), nothing.memory_bytes, nothing.quota_cpus), (1, None, None));
    assert_eq!(Tree::new().read(Some(&[3, 1])).workers(), 2);
}

#[test]
fn garbage_counts_as_absent() {
    let garbage: &[&[u8]] = &[
        b"",
        b"\n",
        b"zero",
        b"3-1",
        b"0-",
        b"-4",
        b"0-99999999999999999999",
        b"+1",
        b"0-70000",
        b"\xff\xfe",
        b"1,,x",
    ];
    for bytes in garbage {
        let topology = Tree::new()
            .online("0-3")
            .file("sys/devices/system/node/node0/cpulist", bytes)
            .file("sys/devices/system/node/nodex/cpulist", "0-3")
            .file("sys/devices/system/cpu/cpu1/topology/core_cpus_list", bytes)
            .file("proc/self/cgroup", bytes)
            .file("proc/self/mountinfo", bytes)
            .file("proc/meminfo", bytes)
            .file("sys/fs/cgroup/cpu.max", bytes)
            .file("sys/fs/cgroup/memory.max", "-1")
            .read(None);
        assert_eq!(topology.workers(), 4, "{bytes:?}");
        assert_eq!((topology.cores(), topology.numa, topology.quota_cpus), (4, false, None));
        assert_eq!((topology.memory_bytes, topology.memory_limit_bytes), (None, None));
        let lost = Tree::new().file("sys/devices/system/cpu/online", bytes).read(Some(&[0, 1]));
        assert_eq!((lost.workers(), lost.online), (2, 2), "{bytes:?}");
    }
    // Siblings that don't include the CPU itself are garbage too.
    assert_eq!(Tree::new().online("0-1").siblings(1, "0").read(None).cores(), 2);
}

#[test]
fn placement_is_deterministic_and_complete() {
    let topology =
        eight_nodes().read(Some(&(0..384).filter(|cpu| cpu % 5 != 0).collect::<Vec<_>>()));
    for workers in [1, 2, 7, 8, 100, 307, 308, 400] {
        for pin in [Pin::Auto, Pin::Cpu, Pin::Node, Pin::Off] {
            let places = place(&topology, workers, pin);
            assert_eq!(places, place(&topology, workers, pin));
            assert_eq!(places.len(), workers);
            let allowed = |id: &usize| topology.cpus.iter().any(|cpu| cpu.id == *id);
            assert!(places.iter().all(|place| place.cpus.iter().all(allowed)));
        }
    }
}

#[test]
fn names_of_pinning() {
    assert_eq!(Pin::named("node"), Ok(Pin::Node));
    assert_eq!(
        Pin::named("core"),
        Err("unknown pinning `core`: use auto, cpu, node or off".into())
    );
}

#[test]
#[cfg(target_os = "linux")]
fn the_real_machine_and_its_threads() {
    let topology = Topology::here();
    assert!(topology.workers() >= 1 && topology.workers() <= topology.cpus.len());
    assert!(topology.memory_bytes.is_some_and(|bytes| bytes > 1 << 20));
    let mask = affinity().unwrap();
    assert_eq!(mask, topology.cpus.iter().map(|cpu| cpu.id).collect::<Vec<_>>());

    // In a thread of its own, so that the test runner's isn't pinned.
    let last = *mask.last().unwrap();
    #[allow(clippy::disallowed_methods)] // the test pins a thread, so it needs one
    let pinned = std::thread::spawn(move || {
        pin_current_thread(&[last]).unwrap();
        let one = affinity();
        // Beyond any machine: refused, and the mask stays.
        assert!(pin_current_thread(&[MAX_ID - 1]).is_err());
        assert!(pin_current_thread(&[MAX_ID]).is_err());
        pin_current_thread(&[]).unwrap();
        (one, affinity())
    })
    .join()
    .unwrap();
    assert_eq!(pinned, (Some(vec![last]), Some(vec![last])));
}
