//! A worker's tensors: memory that Rust owns and an engine views while it runs the network.
//!
//! The engine is told the addresses once, before the first image, and may touch the memory only
//! between the start and the end of an `infer` call. So the memory never moves and never shrinks
//! while anybody holds it. A tensor for a dynamic recipe has room for the largest picture that can
//! happen; untouched pages of it cost nothing.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::error::Kind;

/// Alignment that suits every vector unit and the cache line.
const ALIGN_BYTES: usize = 64;

/// Zeroed float32 memory at a fixed address. Shared with the engine by [`Arc`].
#[derive(Debug)]
pub struct TensorMemory {
    start: NonNull<f32>,
    capacity: usize,
    layout: Layout,
}

// SAFETY: the memory is plain floats and `TensorMemory` itself offers no access to them: Rust
// reads and writes them through `Tensor` (one owner, `&mut`), an engine by address during `infer`.
unsafe impl Send for TensorMemory {}
// SAFETY: as above; shared references give out nothing but the address and the capacity.
unsafe impl Sync for TensorMemory {}

impl TensorMemory {
    fn new(capacity: usize) -> Result<Arc<Self>, Kind> {
        let bytes = capacity.checked_mul(size_of::<f32>()).filter(|&bytes| bytes > 0);
        let layout = bytes.and_then(|bytes| Layout::from_size_align(bytes, ALIGN_BYTES).ok());
        let too_large = || Kind::OutOfMemory { bytes: (capacity as u64).saturating_mul(4) };
        let layout = layout.ok_or_else(too_large)?;
        // SAFETY: the layout's size is not zero (filtered above).
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }.cast::<f32>());
        Ok(Arc::new(Self { start: start.ok_or_else(too_large)?, capacity, layout }))
    }

    /// Address of the first element.
    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// Elements.
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}

impl Drop for TensorMemory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this very layout, freed only here.
        unsafe { dealloc(self.start.as_ptr().cast::<u8>(), self.layout) }
    }
}

/// The Rust side of a tensor: the only way by which Rust reads or writes it.
#[derive(Debug)]
pub struct Tensor {
    memory: Arc<TensorMemory>,
}

impl Tensor {
    /// Room for `capacity` floats, zeroed.
    pub fn new(capacity: usize) -> Result<Self, Kind> {
        Ok(Self { memory: TensorMemory::new(capacity)? })
    }

    /// What the engine keeps.
    pub fn memory(&self) -> &Arc<TensorMemory> {
        &self.memory
    }

    /// The first `len` floats, for reading.
    pub fn get(&self, len: usize) -> Option<&[f32]> {
        // SAFETY: within the allocation (checked), aligned, initialized (zeroed, then floats).
        // No `&mut` lives beside it, since `get_mut` needs `&mut self`; the engine writes only
        // during `infer`, which the worker calls while it holds no borrow of the tensor.
        (len <= self.memory.capacity)
            .then(|| unsafe { std::slice::from_raw_parts(self.memory.start.as_ptr(), len) })
    }

    /// The first `len` floats, for writing.
    pub fn get_mut(&mut self, len: usize) -> Option<&mut [f32]> {
        // SAFETY: as in `get`; `&mut self` makes it the only Rust borrow.
        (len <= self.memory.capacity)
            .then(|| unsafe { std::slice::from_raw_parts_mut(self.memory.start.as_ptr(), len) })
    }
}

/// A worker's input and output tensors.
#[derive(Debug)]
pub struct Slot {
    /// (1, 3, H, W).
    pub input: Tensor,
    /// (1, C, h, w).
    pub output: Tensor,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_zeroed_and_keeps_its_address() {
        let mut tensor = Tensor::new(1000).unwrap();
        assert_eq!(tensor.memory().address() % ALIGN_BYTES, 0);
        assert!(tensor.get(1000).unwrap().iter().all(|&x| x == 0.0));
        let keep = Arc::clone(tensor.memory());
        tensor.get_mut(1000).unwrap()[999] = 2.5;
        assert_eq!(tensor.get(1000).unwrap()[999], 2.5);
        assert!(tensor.get(1001).is_none() && tensor.get_mut(1001).is_none());
        drop(tensor);
        assert_eq!(keep.capacity(), 1000);
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert!(matches!(Tensor::new(0), Err(Kind::OutOfMemory { .. })));
        assert!(matches!(Tensor::new(usize::MAX / 2), Err(Kind::OutOfMemory { .. })));
    }
}
