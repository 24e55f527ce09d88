//! Which CPUs this process may use, how they share cores, nodes and a quota, and which worker
//! goes where.
//!
//! Facts are read once, under a root folder that tests point at fake trees, into plain data;
//! [`place`] is a pure function of that data. The two system calls (affinity mask, pinning) take
//! and give lists of CPU numbers. Nothing here knows the pool, a job or a clock.
//!
//! Sources: the kernel's documents `ABI/stable/sysfs-devices-system-cpu`,
//! `ABI/stable/sysfs-devices-node`, `admin-guide/cgroup-v1`, `admin-guide/cgroup-v2`, `proc(5)`.
//!
//! Left out on purpose: distances between nodes, free memory per node, caches shared by a few
//! cores, big and little cores (all allowed CPUs count alike). The cgroup's cpuset is not read:
//! the kernel has already applied it to the affinity mask. Facts are those of the start; CPUs
//! that go offline later are the kernel's to handle.

mod affinity;
mod cgroup;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use affinity::{affinity, pin_current_thread};

/// CPU and node numbers from here on are taken for garbage: the kernel's own limit is 8,192, and
/// a list such as `0-4000000000` must not become four billion entries.
const MAX_ID: usize = 1 << 16;

/// One CPU that this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The kernel's number.
    pub id: usize,
    /// The NUMA node it belongs to; 0 where the system names none.
    pub node: usize,
    /// The physical core, named by the smallest CPU number on it.
    pub core: usize,
}

/// What the machine and the container give to this process.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    /// The CPUs that are online and in the affinity mask, by number; never empty.
    pub cpus: Vec<Cpu>,
    /// CPUs online in all, allowed or not.
    pub online: usize,
    /// Whether the system described NUMA nodes.
    pub numa: bool,
    /// CPU time per wall time granted by the cgroup, as in 2.5; None without a quota.
    pub quota_cpus: Option<f64>,
    /// The machine's memory; None where it isn't known.
    pub memory_bytes: Option<u64>,
    /// The cgroup's memory limit; None where there is none below the machine's memory.
    pub memory_limit_bytes: Option<u64>,
}

impl Topology {
    /// This process on this machine.
    pub fn here() -> Topology {
        let cpus = affinity().or_else(|| {
            // Systems without an affinity call still know a number.
            let count = std::thread::available_parallelism().ok()?.get();
            Some((0..count).collect())
        });
        Topology::read(Path::new("/"), cpus.as_deref())
    }

    /// The facts under `root`, as far as they are there and make sense; `affinity` is the list of
    /// CPUs that the kernel lets this thread run on. Never fails: an unreadable or garbled file
    /// counts as absent, and with nothing at all the answer is one CPU on one node.
    pub fn read(root: &Path, affinity: Option<&[usize]>) -> Topology {
        let cpu_dir = root.join("sys/devices/system/cpu");
        let online = read_list(&cpu_dir.join("online"));
        let allowed = match (&online, affinity) {
            (Some(online), Some(mask)) => {
                let both: BTreeSet<usize> =
                    mask.iter().copied().filter(|cpu| online.contains(cpu)).collect();
                // With nothing in common, the mask is what the scheduler obeys.
                if both.is_empty() { mask.iter().copied().collect() } else { both }
            }
            (Some(online), None) => online.clone(),
            (None, Some(mask)) => mask.iter().copied().collect(),
            (None, None) => BTreeSet::new(),
        };
        let allowed = if allowed.is_empty() { BTreeSet::from([0]) } else { allowed };

        let nodes = read_nodes(root);
        let cpus = allowed
            .iter()
            .map(|&id| Cpu {
                id,
                node: nodes.get(&id).copied().unwrap_or(0),
                core: read_core(&cpu_dir, id),
            })
            .collect();
        let memory_bytes = read_memory(root);
        Topology {
            online: online.map_or(allowed.len(), |list| list.len()),
            cpus,
            numa: !nodes.is_empty(),
            quota_cpus: cgroup::quota_cpus(root),
            memory_bytes,
            // A limit above the machine's memory limits nothing (cgroup v1 writes 2^63 or so).
            memory_limit_bytes: cgroup::memory_limit_bytes(root)
                .filter(|&limit| memory_bytes.is_none_or(|all| limit < all)),
        }
    }

    /// How many workers to start when nobody says: one per allowed CPU, but no more than the
    /// quota rounded down, and at least one. Down, because the third worker under a quota of 2.5
    /// would spend its time throttled in the middle of images: the same rate with longer and
    /// uneven latency.
    pub fn workers(&self) -> usize {
        let by_quota = match self.quota_cpus {
            // Saturates; a quota below 1 still gets its one worker.
            Some(quota) => (quota.floor() as usize).max(1),
            None => usize::MAX,
        };
        self.cpus.len().clamp(1, by_quota)
    }

    /// Physical cores with at least one allowed CPU.
    pub fn cores(&self) -> usize {
        self.cpus.iter().map(|cpu| cpu.core).collect::<BTreeSet<_>>().len()
    }

    /// The nodes that have allowed CPUs, by number.
    pub fn nodes(&self) -> Vec<usize> {
        self.cpus.iter().map(|cpu| cpu.node).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The allowed CPUs in the order in which workers take them: the first thread of each
    /// physical core before any second one, and within such a round one CPU of each node in turn.
    fn order(&self) -> Vec<Cpu> {
        let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
        // (rank among the core's allowed threads) -> node -> CPUs
        let mut rounds: BTreeMap<usize, BTreeMap<usize, VecDeque<Cpu>>> = BTreeMap::new();
        for cpu in &self.cpus {
            let rank = seen.entry(cpu.core).or_default();
            rounds.entry(*rank).or_default().entry(cpu.node).or_default().push_back(*cpu);
            *rank += 1;
        }
        let mut order = Vec::with_capacity(self.cpus.len());
        for nodes in rounds.values_mut() {
            while nodes.values().any(|queue| !queue.is_empty()) {
                order.extend(nodes.values_mut().filter_map(VecDeque::pop_front));
            }
        }
        order
    }
}

/// How tightly workers are bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// To CPUs if the process uses every allowed CPU; else to nodes if it uses each of several
    /// nodes to the same share; else not at all.
    #[default]
    Auto,
    /// Each worker to one CPU.
    Cpu,
    /// Each worker to the CPUs of one node.
    Node,
    /// Not at all.
    Off,
}

impl Pin {
    /// The mode called `name`; the error lists the valid ones.
    pub fn named(name: &str) -> Result<Pin, String> {
        match name {
            "auto" => Ok(Pin::Auto),
            "cpu" => Ok(Pin::Cpu),
            "node" => Ok(Pin::Node),
            "off" => Ok(Pin::Off),
            _ => Err(format!("unknown pinning `{name}`: use auto, cpu, node or off")),
        }
    }
}

/// Where one worker runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// The worker's number, from 0.
    pub worker: usize,
    /// The node it surely runs on; None if it may wander between nodes.
    pub node: Option<usize>,
    /// The CPUs to pin it to; empty: leave it to the kernel.
    pub cpus: Vec<usize>,
}

/// Places `workers` workers: physical cores first, then their second threads, spread evenly over
/// the nodes, numbered node by node. More workers than allowed CPUs start over from the first.
///
/// [`Pin::Auto`] leaves a process that uses only part of the machine to the kernel: two processes
/// of one worker each would otherwise both choose the first CPU. It binds such a process to nodes
/// only if every node is used to the same share, as then any number of like processes fill the
/// nodes evenly; without that, all the small ones would crowd on the first node.
pub fn place(topology: &Topology, workers: usize, pin: Pin) -> Vec<Placement> {
    let mut seats: Vec<Cpu> = topology.order().into_iter().cycle().take(workers).collect();
    seats.sort_by_key(|cpu| (cpu.node, cpu.id));
    let nodes = topology.nodes();
    let pin = match pin {
        Pin::Auto if workers >= topology.cpus.len() => Pin::Cpu,
        Pin::Auto if nodes.len() > 1 && same_share(topology, &seats, &nodes) => Pin::Node,
        Pin::Auto => Pin::Off,
        chosen => chosen,
    };
    let on_node = |node| topology.cpus.iter().filter(move |cpu| cpu.node == node);
    seats
        .iter()
        .enumerate()
        .map(|(worker, seat)| {
            let (node, cpus) = match pin {
                Pin::Cpu => (Some(seat.node), vec![seat.id]),
                Pin::Node => (Some(seat.node), on_node(seat.node).map(|cpu| cpu.id).collect()),
                Pin::Off | Pin::Auto => {
                    (nodes.first().copied().filter(|_| nodes.len() == 1), vec![])
                }
            };
            Placement { worker, node, cpus }
        })
        .collect()
}

/// Whether workers per allowed CPU is the same fraction on every node.
fn same_share(topology: &Topology, seats: &[Cpu], nodes: &[usize]) -> bool {
    let count = |cpus: &[Cpu], node| cpus.iter().filter(|cpu| cpu.node == node).count();
    nodes.iter().all(|&node| {
        count(seats, node) * topology.cpus.len() == count(&topology.cpus, node) * seats.len()
    })
}

/// CPU number to node number, empty without a NUMA folder.
fn read_nodes(root: &Path) -> BTreeMap<usize, usize> {
    let mut nodes = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir(root.join("sys/devices/system/node")) else {
        return nodes;
    };
    for entry in entries.flatten().take(MAX_ID) {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("node")).and_then(parse_id);
        // Nodes without CPUs (memory alone) have an empty list.
        if let (Some(node), Some(cpus)) = (number, read_list(&entry.path().join("cpulist"))) {
            for cpu in cpus {
                // Two nodes that claim one CPU are garbage; the smaller number makes it the same
                // garbage in any order of the folder.
                let owner = nodes.entry(cpu).or_insert(node);
                *owner = node.min(*owner);
            }
        }
    }
    nodes
}

/// The smallest CPU number on `id`'s core; `id` itself where siblings aren't told.
fn read_core(cpu_dir: &Path, id: usize) -> usize {
    let folder = cpu_dir.join(format!("cpu{id}/topology"));
    ["core_cpus_list", "thread_siblings_list"] // the second is the older name
        .iter()
        .find_map(|name| read_list(&folder.join(name)))
        .filter(|siblings| siblings.contains(&id))
        .and_then(|siblings| siblings.first().copied())
        .unwrap_or(id)
}

/// `MemTotal` of /proc/meminfo.
fn read_memory(root: &Path) -> Option<u64> {
    let text = read_text(&root.join("proc/meminfo"))?;
    let rest = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A small system file; None if it can't be read as text.
fn read_text(path: &Path) -> Option<String> {
    // mountinfo is the longest, a few hundred bytes per mount; a fake tree may hold anything.
    const MOST: u64 = 4 << 20;
    let mut text = String::new();
    File::open(path).ok()?.take(MOST).read_to_string(&mut text).ok()?;
    Some(text)
}

/// A list in the kernel's form, `0-3,8,10-11`; None if absent, garbled or without entries.
fn read_list(path: &Path) -> Option<BTreeSet<usize>> {
    parse_list(&read_text(path)?).filter(|list| !list.is_empty())
}

fn parse_list(text: &str) -> Option<BTreeSet<usize>> {
    let mut list = BTreeSet::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (parse_id(first)?, parse_id(last)?);
        if first > last {
            return None;
        }
        list.extend(first..=last);
    }
    Some(list)
}

fn parse_id(text: &str) -> Option<usize> {
    // `usize::from_str` takes a plus sign; the kernel never writes one.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|&id| id < MAX_ID)
}
