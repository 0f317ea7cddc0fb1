//! A model as scenarios inspect it, without its types.
//!
//! [`View`] repeats those methods of the model's traits that inspect a model, with numbers in the place of types. So
//! a scenario is compiled once, not once per backend, geometry and descriptor, and a test can give a scenario a
//! broken model without unsafe code.
//!
//! # Invariants
//!
//! 1. Every method of the model's traits is called by the method of the same name.

use alloc::vec::Vec;

use sparsemem_core::{
    BootModel, EarlyFrames, Footprint, LookupError, MemoryModel, Pfn, PfnRange, Reader, Reclaim, SectionNr,
    SectionState,
};

use crate::{ByAddress, Scratch, Shape, World, WorldWithEnvironment, unchecked};

/// Descriptors, as seen through one reader.
pub trait Pages {
    /// The descriptor of a frame.
    fn page(&self, pfn: Pfn) -> Option<&dyn Scratch>;

    /// The descriptor of a frame that is online.
    fn online_page(&self, pfn: Pfn) -> Option<&dyn Scratch>;

    /// The head of the folded compound of a frame; the frame itself if it is in none.
    fn head(&self, pfn: Pfn) -> Option<Pfn>;

    /// The descriptor of a frame, or the reason why it has none.
    ///
    /// # Errors
    ///
    /// The reader's error.
    fn explain(&self, pfn: Pfn) -> Result<&dyn Scratch, LookupError>;
}

/// A model and the world around it, for inspection.
pub trait View {
    /// The model's name.
    fn name(&self) -> &'static str;

    /// The geometry's raw numbers.
    fn shape(&self) -> Shape;

    /// Bytes of a descriptor.
    fn descriptor_bytes(&self) -> u64;

    /// The memory that the model takes.
    fn footprint(&self) -> Footprint;

    /// The frames of a section of boot that are valid, as the model says ([`MemoryModel::early_frames`]).
    fn early_frames(&self) -> EarlyFrames;

    /// The state of a section.
    fn section(&self, nr: SectionNr) -> SectionState;

    /// The first present section at or after `from`.
    fn next_present(&self, from: SectionNr) -> Option<SectionNr>;

    /// The first run of valid frames in a range.
    fn next_valid(&self, within: PfnRange) -> Option<PfnRange>;

    /// All present sections.
    fn present_sections(&self) -> Vec<SectionNr>;

    /// All runs of valid frames in a range.
    fn valid_ranges(&self, within: PfnRange) -> Vec<PfnRange>;

    /// True if a frame is valid.
    fn is_valid(&self, pfn: Pfn) -> bool;

    /// Address of a frame's descriptor.
    fn lookup(&self, pfn: Pfn) -> Option<usize>;

    /// The same without checks; `None` if the frame is not valid.
    fn lookup_unchecked(&self, pfn: Pfn) -> Option<usize>;

    /// The frame that the model finds from the descriptor of `pfn`; initialises the descriptor first.
    fn pfn_of(&self, pfn: Pfn) -> Option<Pfn>;

    /// The same without initialising it, for models that get there by the descriptor's address.
    fn pfn_by_address(&self, pfn: Pfn, promise: ByAddress) -> Option<Pfn>;

    /// The address of a frame's descriptor, or the reason why there is none.
    ///
    /// # Errors
    ///
    /// The model's error.
    fn explain(&self, pfn: Pfn) -> Result<usize, LookupError>;

    /// Lends a reader.
    fn read(&self, visit: &mut dyn FnMut(&dyn Pages));

    /// Initialises the descriptors of a range and counts them.
    fn initialise(&self, frames: PfnRange) -> u64;

    /// The world around the model.
    fn world(&self) -> &dyn World;
}

/// A model and a world with its environment, by reference: every type that has both can be viewed.
pub(crate) trait Parts {
    /// The model.
    type Model: BootModel<<Self::World as WorldWithEnvironment>::Env, Page: Scratch>;
    /// The world with its environment.
    type World: WorldWithEnvironment;

    /// The model.
    fn model(&self) -> &Self::Model;

    /// The world with its environment.
    fn world_with_environment(&self) -> &Self::World;
}

impl<M: MemoryModel> Pages for Reader<'_, M>
where
    M::Page: Scratch,
{
    fn page(&self, pfn: Pfn) -> Option<&dyn Scratch> {
        Reader::page(self, pfn).map(|page| page as &dyn Scratch)
    }

    fn online_page(&self, pfn: Pfn) -> Option<&dyn Scratch> {
        Reader::online_page(self, pfn).map(|page| page as &dyn Scratch)
    }

    fn head(&self, pfn: Pfn) -> Option<Pfn> {
        Reader::head(self, pfn).map(|(head, _)| head)
    }

    fn explain(&self, pfn: Pfn) -> Result<&dyn Scratch, LookupError> {
        Reader::explain(self, pfn).map(|page| page as &dyn Scratch)
    }
}

impl<T: Parts> View for T {
    fn name(&self) -> &'static str {
        self.model().name()
    }

    fn shape(&self) -> Shape {
        Shape::of::<<T::Model as MemoryModel>::Geometry>()
    }

    fn descriptor_bytes(&self) -> u64 {
        size_of::<<T::Model as MemoryModel>::Page>() as u64
    }

    fn footprint(&self) -> Footprint {
        self.model().footprint()
    }

    fn early_frames(&self) -> EarlyFrames {
        self.model().early_frames()
    }

    fn section(&self, nr: SectionNr) -> SectionState {
        self.model().section(nr)
    }

    fn next_present(&self, from: SectionNr) -> Option<SectionNr> {
        self.model().next_present(from)
    }

    fn next_valid(&self, within: PfnRange) -> Option<PfnRange> {
        self.model().next_valid(within)
    }

    fn present_sections(&self) -> Vec<SectionNr> {
        self.model().present_sections().collect()
    }

    fn valid_ranges(&self, within: PfnRange) -> Vec<PfnRange> {
        self.model().valid_ranges(within).collect()
    }

    fn is_valid(&self, pfn: Pfn) -> bool {
        self.model().is_valid(pfn)
    }

    fn lookup(&self, pfn: Pfn) -> Option<usize> {
        self.model().lookup(pfn).map(|page| page.addr().get())
    }

    fn lookup_unchecked(&self, pfn: Pfn) -> Option<usize> {
        unchecked::lookup(self.model(), pfn)
    }

    fn pfn_of(&self, pfn: Pfn) -> Option<Pfn> {
        unchecked::frame_of(self.model(), pfn)
    }

    fn pfn_by_address(&self, pfn: Pfn, promise: ByAddress) -> Option<Pfn> {
        unchecked::frame_by_address(self.model(), pfn, promise)
    }

    fn explain(&self, pfn: Pfn) -> Result<usize, LookupError> {
        let guard = <T::Model as MemoryModel>::Reclaim::enter();
        self.model().explain(pfn, &guard).map(|page| page.addr().get())
    }

    fn read(&self, visit: &mut dyn FnMut(&dyn Pages)) {
        visit(&self.model().read());
    }

    fn initialise(&self, frames: PfnRange) -> u64 {
        sparsemem_core::initialise(self.model(), frames).get()
    }

    fn world(&self) -> &dyn World {
        self.world_with_environment()
    }
}
