//! A kernel's mapper in an environment that is wrapped with an altmap.
//!
//! # Invariants
//!
//! 1. Mappings are the wrapped kernel's; only the origin of the altmap's frames is known here.

use sparsemem_altmap::WithAltmap;
use sparsemem_core::{Geometry, LeafSize, LinkRefused, MetadataMemory, Origin, PhysAddr, VirtAddr};

use crate::mapper::{Mapped, Mapper};

// SAFETY: mappings are as the wrapped environment promises, and the altmap's frames are memory as any other (`WithAltmap::new`).
// Their origin is an altmap; that of other memory the wrapped environment knows. Nothing here unwinds.
unsafe impl<G: Geometry, E: MetadataMemory + Mapper> Mapper for WithAltmap<'_, '_, G, E> {
    fn page(&self) -> LeafSize {
        self.inner().page()
    }

    fn large(&self) -> Option<LeafSize> {
        self.inner().large()
    }

    fn walk(&self, at: VirtAddr) -> Mapped {
        self.inner().walk(at)
    }

    fn map(&mut self, at: VirtAddr, to: PhysAddr, size: LeafSize) -> Result<(), LinkRefused> {
        // SAFETY: a mapping in the array's place does not change the direct map.
        unsafe { self.inner_mut() }.map(at, to, size)
    }

    fn unmap(&mut self, at: VirtAddr, size: LeafSize) {
        // SAFETY: as above.
        unsafe { self.inner_mut() }.unmap(at, size);
    }

    fn origin_of(&self, to: PhysAddr) -> Origin {
        if self.altmap().spec().free_frames().contains(to.pfn::<G>()) {
            return Origin::Altmap;
        }
        self.inner().origin_of(to)
    }
}
