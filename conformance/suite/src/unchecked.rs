//! The unchecked methods of a model, called only where their conditions were just checked.
//!
//! # Invariants
//!
//! 1. A frame is looked up with checks before anything unchecked is done with it, and no other code changes a model under
//!    test meanwhile: scenarios run on one thread, and boot and teardown need `&mut`.

#![allow(unsafe_code, reason = "the methods under test are unsafe")]

use sparsemem_core::{MemoryModel, PageCount, Pfn, PfnRange, initialise};

use crate::{ByAddress, Scratch};

/// The address of a valid frame's descriptor, found without checks; `None` if the frame is not valid.
pub(crate) fn lookup<M: MemoryModel>(model: &M, pfn: Pfn) -> Option<usize> {
    model.lookup(pfn)?;
    // SAFETY: the frame was found valid just now, and stays so (invariant 1).
    let page = unsafe { model.lookup_unchecked(pfn) };
    Some(page.addr().get())
}

/// The frame that the model finds from a valid frame's descriptor, after initialising the descriptor.
pub(crate) fn frame_of<M: MemoryModel>(model: &M, pfn: Pfn) -> Option<Pfn> {
    initialise(model, PfnRange::from_start_count(pfn, PageCount::new(1))?);
    let page = model.lookup(pfn)?;
    // SAFETY: this is the descriptor of a frame that is valid, and stays so (invariant 1); it was initialised two
    // lines above.
    Some(unsafe { model.pfn_of(page) })
}

/// The same without initialising it.
pub(crate) fn frame_by_address<M: MemoryModel>(model: &M, pfn: Pfn, _: ByAddress) -> Option<Pfn> {
    let page = model.lookup(pfn)?;
    // SAFETY: this is the descriptor of a frame that is valid, and stays so (invariant 1); the model does not read it
    // (`ByAddress::promise`).
    Some(unsafe { model.pfn_of(page) })
}

/// The same for a descriptor that must be initialised already; `None` if it is not.
pub(crate) fn frame_of_initialised<M: MemoryModel<Page: Scratch>>(model: &M, pfn: Pfn) -> Option<Pfn> {
    let stamp = model.read().page(pfn)?.stamp();
    let page = model.lookup(pfn).filter(|_| stamp == Some(pfn.section::<M::Geometry>()))?;
    // SAFETY: this is the descriptor of a frame that is valid, and stays so (invariant 1), and it has the stamp of
    // its own section.
    Some(unsafe { model.pfn_of(page) })
}
