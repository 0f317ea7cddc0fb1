//! Bring-up that waits: a boot marks sections, and several processors bring chosen ones up later.
//!
//! # Invariants
//!
//! 1. A [`JointWriter`] exists only while the model's [`Writer`] is borrowed for it. So no other operation changes the model,
//!    and the operations that take a `JointWriter` keep to themselves which of them does what.
//! 2. A section gets its memmap once, by one processor, and no lookup finds a descriptor of it before all of them are zero.

use core::fmt;

use crate::{
    BootError, BootEvent, BootModel, BootSummary, LostBlocks, MemoryModel, MemoryRange, PfnRange,
    SectionLoss, SectionNr, SectionPart, SectionState, Turn, Writer,
};

/// The result of a [`DeferredModel::bring_up`] that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BroughtUp {
    /// This call brought the section up.
    Now {
        /// Blocks that the call had allocated in vain and that the environment refused to take back.
        lost: LostBlocks,
    },
    /// The section was up before.
    Before,
    /// Another processor is bringing the section up, and may still fail to.
    Elsewhere,
}

/// The reason why a section could not be brought up. It is as it was, and may be brought up later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BringUpError {
    /// Boot did not mark the section.
    #[error("section {section} is absent, so it cannot be brought up; install its frames instead")]
    Absent {
        /// The section.
        section: SectionNr,
    },
    /// The memmap of the section cannot be made.
    #[error("section {section} is marked and cannot be brought up: {why}{lost}")]
    NoMetadata {
        /// The section.
        section: SectionNr,
        /// The reason.
        why: SectionLoss,
        /// Blocks that the environment refused while the model undid the failure.
        lost: LostBlocks,
    },
}

/// Boot marked a section, nobody has brought it up yet, and an operation was to change frames of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{frames} lies in section {section}, which has no memmap yet; bring the section up first")]
pub struct NoMemmap {
    /// The frames that were to be changed, as far as they lie in the section.
    pub frames: PfnRange,
    /// The first section without a memmap.
    pub section: SectionNr,
}

impl NoMemmap {
    /// Checks that the section of a part, which is in this state, does not wait for its memmap.
    ///
    /// # Errors
    ///
    /// [`NoMemmap`].
    pub const fn check(part: SectionPart, state: &SectionState) -> Result<(), Self> {
        let SectionPart { section, frames, .. } = part;
        if state.is_deferred() { Err(Self { frames, section }) } else { Ok(()) }
    }
}

/// The right of a model's [`Writer`], lent to several processors at once for the operations that several may do.
///
/// It can be copied and sent to other processors. While one exists, the writer that lent it cannot be used, and
/// [`MemoryModel::write`] returns `None`: so nothing is added, marked or removed meanwhile.
///
/// ```compile_fail
/// use sparsemem_core::{MarkModel, PfnRange, Writer};
///
/// fn both<M: MarkModel>(writer: &mut Writer<'_, M>, frames: PfnRange) {
///     let joint = writer.jointly();
///     let _ = writer.set_offline(frames);
///     let _ = joint.model();
/// }
/// ```
pub struct JointWriter<'w, M> {
    model: &'w M,
}

impl<M> Clone for JointWriter<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for JointWriter<'_, M> {}

impl<'w, M: MemoryModel> JointWriter<'w, M> {
    /// The right of a writer that is borrowed for `'w`.
    pub(crate) const fn new(model: &'w M) -> Self {
        Self { model }
    }

    /// The model.
    #[must_use]
    pub const fn model(self) -> &'w M {
        self.model
    }

    /// The same right for a model that shares the writer's slot: see [`Writer::project`].
    ///
    /// # Panics
    ///
    /// If `inner` has another slot: the writer does not exclude other writers of `inner`.
    #[must_use]
    pub fn project<N: MemoryModel>(self, inner: &'w N) -> JointWriter<'w, N> {
        crate::writer::assert_same_slot(self.model, inner);
        JointWriter { model: inner }
    }

    /// Waits until no other processor has a turn, and takes it: for models, which change in it what one processor at a time
    /// may change. Deadlocks if the caller has a turn.
    pub fn take_turn(self) -> Turn<'w> {
        self.model.writer_slot().take_turn()
    }

    /// [`DeferredModel::bring_up`].
    ///
    /// # Errors
    ///
    /// [`BringUpError`], naming section and cause; the section is as it was.
    pub fn bring_up<E>(self, env: &mut E, section: SectionNr) -> Result<BroughtUp, BringUpError>
    where
        M: DeferredModel<E>,
    {
        M::bring_up(self, env, section)
    }
}

impl<M: MemoryModel> fmt::Debug for JointWriter<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JointWriter").field("model", &self.model.name()).finish()
    }
}

/// Boot without memmaps, and the bring-up of chosen sections later, by several processors at once.
///
/// A large machine boots sooner if it first makes the memmaps of the memory that the boot itself needs, and the others when
/// all processors run. Only models that have a memmap for each section have this trait: one array for all of memory is
/// there or not.
///
/// Source: Linux keeps "present" and "has a memmap" apart in the section word (`SECTION_MARKED_PRESENT`,
/// `SECTION_HAS_MEM_MAP`). Differs from Linux: there both happen within `sparse_init`, and its deferred part of a boot
/// (`CONFIG_DEFERRED_STRUCT_PAGE_INIT`) initialises descriptors of memmaps that are there already.
///
/// ```
/// use sparsemem_core::{BringUpError, BroughtUp, DeferredModel, Geometry, JointWriter, PfnRange, SectionShape};
///
/// /// Brings up all marked sections of a range that no other processor brings up: for every processor the same call.
/// fn help<M: DeferredModel<E>, E>(
///     writer: JointWriter<'_, M>,
///     env: &mut E,
///     frames: PfnRange,
/// ) -> Result<u64, BringUpError> {
///     let mut own = 0;
///     for (section, _) in frames.by_section::<M::Geometry>() {
///         if !writer.model().section(section).is_deferred() {
///             continue;
///         }
///         if let BroughtUp::Now { .. } = writer.bring_up(env, section)? {
///             own += 1;
///         }
///     }
///     Ok(own)
/// }
///
/// /// Two processors bring a range up. Each has an environment of its own, over the same allocator.
/// fn together<M: DeferredModel<E>, E: Send>(model: &M, envs: &mut [E; 2], frames: PfnRange) {
///     let mut writer = model.write().expect("nobody else changes the model");
///     let joint = writer.jointly();
///     std::thread::scope(|threads| {
///         for env in envs {
///             threads.spawn(move || help(joint, env, frames).expect("there is memory for descriptors"));
///         }
///     });
/// }
/// ```
pub trait DeferredModel<E>: BootModel<E> {
    /// Marks every section that holds a frame of `memory`, as [`BootModel::boot`] does first, and makes no memmap. The
    /// summary counts the marked sections as if they were up.
    ///
    /// A section that is only marked is present, has its node ([`SectionState::early_node`](crate::SectionState)), and
    /// has no valid frame: [`MemoryModel::explain`] says [`LookupError::NoMemmap`](crate::LookupError::NoMemmap). All
    /// operations that add, mark or remove frames of it refuse with [`NoMemmap`], until
    /// [`DeferredModel::bring_up`] has brought it up; a teardown takes it as it is. If `memory` or `on_event` unwinds, all
    /// sections are unmarked.
    ///
    /// # Errors
    ///
    /// [`BootError`]; nothing has changed then. Boot reports later problems to `on_event` and counts them.
    ///
    /// # Cost
    ///
    /// A usage for each section, and the roots of the table; no memmap and no page table.
    fn boot_deferred<I>(
        writer: &mut Writer<'_, Self>,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        Self: Sized,
        I: Iterator<Item = MemoryRange> + Clone;

    /// Makes the memmap of a section that is marked, on the section's own node, and makes its frames valid.
    ///
    /// The section is then as [`BootModel::boot`] would have left it.
    ///
    /// # Concurrency
    ///
    /// Several processors may be in it at once, each with an environment of its own over the kernel's allocator; of those
    /// with the same section, one brings it up and the others return at once. Memory for descriptors is allocated, and
    /// therefore zeroed, by all processors at the same time; page tables and the section word are then changed by one
    /// after the other, and a processor spins for its turn. So no interrupt handler may call this, nor an environment
    /// from inside; and callers have interrupts enabled if the environment waits for other processors to flush. Lookups
    /// take no lock and see the section as a whole or not at all.
    ///
    /// # Errors
    ///
    /// [`BringUpError`], naming section and cause; the section is as it was.
    fn bring_up(
        writer: JointWriter<'_, Self>,
        env: &mut E,
        section: SectionNr,
    ) -> Result<BroughtUp, BringUpError>
    where
        Self: Sized;
}
