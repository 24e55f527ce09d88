//! The two system calls of placement: which CPUs this thread may use, and binding it to some.
//!
//! Linux only; elsewhere the mask is unknown and pinning says that it can't. The mask is built
//! here as an array of words, because libc's fixed `cpu_set_t` ends at 1,024 CPUs.

use std::io;

/// The CPUs that the calling thread may run on; None where the system doesn't tell.
pub fn affinity() -> Option<Vec<usize>> {
    system::affinity()
}

/// Binds the calling thread to `cpus`. An empty list leaves it as it is.
pub fn pin_current_thread(cpus: &[usize]) -> io::Result<()> {
    if cpus.is_empty() { Ok(()) } else { system::pin(cpus) }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::io;

    const WORD_BITS: usize = libc::c_ulong::BITS as usize;

    pub(super) fn affinity() -> Option<Vec<usize>> {
        let mut words = vec![0 as libc::c_ulong; 1024 / WORD_BITS];
        // The kernel refuses a mask shorter than its own with EINVAL.
        while words.len() * WORD_BITS <= super::super::MAX_ID {
            // SAFETY: the pointer and the length in bytes are those of `words`, which outlives the
            // call; the kernel writes at most that many bytes. 0 means the calling thread.
            let failed = unsafe {
                libc::sched_getaffinity(0, size_of_val(&words[..]), words.as_mut_ptr().cast())
            } != 0;
            if !failed {
                let bits = 0..words.len() * WORD_BITS;
                return Some(
                    bits.filter(|bit| words[bit / WORD_BITS] >> (bit % WORD_BITS) & 1 == 1)
                        .collect(),
                );
            }
            if io::Error::last_os_error().raw_os_error() != Some(libc::EINVAL) {
                return None;
            }
            words = vec![0; words.len() * 2];
        }
        None
    }

    pub(super) fn pin(cpus: &[usize]) -> io::Result<()> {
        let last = cpus.iter().copied().max().unwrap_or(0);
        if last >= super::super::MAX_ID {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        let mut words = vec![0 as libc::c_ulong; last / WORD_BITS + 1];
        for cpu in cpus {
            words[cpu / WORD_BITS] |= 1 << (cpu % WORD_BITS);
        }
        // SAFETY: the pointer and the length in bytes are those of `words`, which outlives the
        // call and is only read; the kernel takes masks of any length. 0 means the calling thread.
        let failed =
            unsafe { libc::sched_setaffinity(0, size_of_val(&words[..]), words.as_ptr().cast()) }
                != 0;
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use std::io;

    pub(super) fn affinity() -> Option<Vec<usize>> {
        None
    }

    pub(super) fn pin(_cpus: &[usize]) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }
}
