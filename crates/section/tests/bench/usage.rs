//! A usage that knows whether it was given back.

use sparsemem_core::presets::Minute;
use sparsemem_core::{Origin, SubsectionBits, SubsectionIdx, Usage};
use sparsemem_usage_map::SectionUsage;

use super::ledger;

/// A usage that knows whether it was given back.
pub(crate) struct CheckedUsage(SectionUsage<Minute>);

impl CheckedUsage {
    fn checked(&self) -> &SectionUsage<Minute> {
        ledger::assert_live(core::ptr::from_ref(self).addr());
        &self.0
    }
}

// SAFETY: it passes everything on to a usage that keeps the promise.
unsafe impl Usage for CheckedUsage {
    type Geometry = Minute;

    fn new(origin: Origin) -> Self {
        Self(SectionUsage::new(origin))
    }

    fn origin(&self) -> Origin {
        self.0.origin()
    }

    fn memmap_origin(&self) -> Origin {
        self.0.memmap_origin()
    }

    fn set_memmap_origin(&self, origin: Origin) {
        self.0.set_memmap_origin(origin);
    }

    fn contains(&self, index: SubsectionIdx) -> bool {
        self.checked().contains(index)
    }

    fn insert(&self, bits: SubsectionBits) {
        self.0.insert(bits);
    }

    fn remove(&self, bits: SubsectionBits) {
        self.0.remove(bits);
    }

    fn is_online(&self, index: SubsectionIdx) -> bool {
        self.checked().is_online(index)
    }

    fn insert_online(&self, bits: SubsectionBits) {
        self.0.insert_online(bits);
    }

    fn remove_online(&self, bits: SubsectionBits) {
        self.0.remove_online(bits);
    }

    fn online(&self) -> SubsectionBits {
        self.checked().online()
    }

    fn snapshot(&self) -> SubsectionBits {
        self.checked().snapshot()
    }
}
