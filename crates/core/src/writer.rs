//! The writer of a model: a value that proves that no other code changes the model meanwhile.
//!
//! # Invariants
//!
//! 1. At most one owning [`Writer`] of a slot exists at a time. A projection borrows the writer, which cannot be used
//!    until the projection ends.

use core::fmt;

use crate::primitive::{AtomicBool, Ordering, relax};
use crate::{
    BootError, BootEvent, BootModel, BootSummary, DeferredModel, InstallError, InstallModel, JointWriter,
    MarkError, MarkModel, MemoryModel, MemoryRange, MetadataBlock, MetadataModel, NodeId, PfnRange,
    QuietDescriptors, ReadOnlyTails, RefoldError, Refolded, RetireError, RetireModel, Retired, SectionNr,
    const_fn,
};

/// The slot that a writer takes while it changes a model. [`MemoryModel::write`] and [`WriterSlot::hold`] take it; it
/// is free again when the [`Writer`] or the [`HeldSlot`] is dropped.
///
/// A model has a slot as a field, or shares one with other models ([`MemoryModel::writer_slot`]).
#[derive(Debug)]
pub struct WriterSlot {
    taken: AtomicBool,
    /// True while a processor has its turn; the writer is lent jointly then.
    turn: AtomicBool,
}

impl WriterSlot {
    const_fn! {
        /// A slot that is not taken; all zero bytes.
        #[must_use]
        pub const fn new() -> Self {
            Self { taken: AtomicBool::new(false), turn: AtomicBool::new(false) }
        }
    }

    /// Takes the slot if it is free, without a model: no model with this slot has a writer until the result is dropped.
    #[must_use]
    pub fn hold(&self) -> Option<HeldSlot<'_>> {
        // Acquire: pairs with the Release in `HeldSlot::drop`, so that this writer sees the changes of the last one.
        let free = self.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
        // Lazily: a `HeldSlot` that is made and dropped would give the other writer's slot back.
        free.then(|| HeldSlot { slot: self })
    }

    /// Waits until no other processor has a turn, and takes it. Models with one slot have one turn, because they may change
    /// the same page tables.
    pub(crate) fn take_turn(&self) -> Turn<'_> {
        // Acquire: pairs with the Release in `Turn::drop`, so that this processor sees the changes of the last turn.
        while self.turn.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            relax();
        }
        Turn { slot: self }
    }
}

impl Default for WriterSlot {
    fn default() -> Self {
        Self::new()
    }
}

/// A slot that was taken; it is free again when this is dropped.
#[derive(Debug)]
#[must_use = "the slot is free again as soon as this is dropped"]
pub struct HeldSlot<'m> {
    slot: &'m WriterSlot,
}

impl Drop for HeldSlot<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `WriterSlot::hold`.
        self.slot.taken.store(false, Ordering::Release);
    }
}

/// The turn of one of the processors that a writer is lent to ([`JointWriter::take_turn`]); it ends when this is dropped.
#[derive(Debug)]
#[must_use = "the turn ends as soon as this is dropped"]
pub struct Turn<'m> {
    slot: &'m WriterSlot,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `WriterSlot::take_turn`.
        self.slot.turn.store(false, Ordering::Release);
    }
}

/// The right to change a model. Code that shares a model with others can change it only with this right.
///
/// [`MemoryModel::write`] gives a writer if no other exists; dropping it ends writing. Operations of several steps hold
/// one writer for all of them, so no step, and no undo, can find the model busy.
///
/// ```
/// use sparsemem_core::{InstallError, InstallModel, MemoryModel, NodeId, PfnRange};
///
/// fn plug<M: InstallModel<E>, E>(model: &M, env: &mut E, frames: PfnRange) -> Result<(), InstallError> {
///     let mut writer = model.write().expect("this kernel's own lock keeps other writers out");
///     assert!(model.write().is_none(), "one writer at a time");
///     writer.install(env, frames, NodeId::new(0))
/// }
/// ```
///
/// All operations, one after the other:
///
/// ```
/// use sparsemem_core::{CompleteModel, MemoryModel, NodeId, PfnRange, Retired, initialise};
///
/// /// Adds a section, uses it, and removes it again.
/// fn for_a_while<M: CompleteModel<E>, E>(
///     model: &M,
///     env: &mut E,
///     section: PfnRange,
///     work: impl FnOnce(),
/// ) -> Result<Retired, Box<dyn core::error::Error>> {
///     let mut writer = model.write().ok_or("another processor changes the model")?;
///     writer.install(env, section, NodeId::new(0))?;
///     initialise(model, section);
///     writer.set_online(section)?;
///     work();
///     writer.set_offline(section)?;
///     let retired = writer.retire(env, section)?;
///     assert!(!model.is_valid(section.start()), "it waited for the readers");
///     Ok(retired)
/// }
/// ```
///
/// Without a writer a model that is shared cannot be changed:
///
/// ```compile_fail
/// use sparsemem_core::{InstallModel, NodeId, PfnRange};
///
/// fn plug<M: InstallModel<E>, E>(model: &M, env: &mut E, frames: PfnRange) {
///     let _ = M::install(model, env, frames, NodeId::new(0));
/// }
/// ```
///
/// A writer cannot be copied, so there are never two:
///
/// ```compile_fail
/// use sparsemem_core::{MemoryModel, Writer};
///
/// fn twice<'m, M: MemoryModel>(writer: Writer<'m, M>) -> (Writer<'m, M>, Writer<'m, M>) {
///     (writer.clone(), writer)
/// }
/// ```
#[must_use = "the model is free for the next writer as soon as this is dropped"]
pub struct Writer<'m, M: MemoryModel> {
    model: &'m M,
    /// `None` in a projection: the writer that it was made from holds the slot.
    owned: Option<HeldSlot<'m>>,
}

impl<'m, M: MemoryModel> Writer<'m, M> {
    /// Takes the model's slot, or returns `None` if another writer has it.
    pub(crate) fn new(model: &'m M) -> Option<Self> {
        let owned = Some(model.writer_slot().hold()?);
        Some(Self { model, owned })
    }

    /// The model.
    #[must_use]
    pub const fn model(&self) -> &'m M {
        self.model
    }

    /// The writer of a model that shares this one's slot, for as long as this writer is lent: of the model inside a
    /// wrapping such as `&M` or a run-time choice, or of a second model over the same page tables.
    ///
    /// # Panics
    ///
    /// If `inner` has another slot: this writer does not exclude other writers of `inner`.
    pub fn project<'w, N: MemoryModel>(&'w mut self, inner: &'w N) -> Writer<'w, N> {
        assert_same_slot(self.model, inner);
        Writer { model: inner, owned: None }
    }

    /// Lends the writer to several processors at once, for the operations that several may do.
    pub const fn jointly(&mut self) -> JointWriter<'_, M> {
        JointWriter::new(self.model)
    }

    /// [`MemoryModel::reserve`].
    pub fn reserve(&mut self, frames: PfnRange) {
        M::reserve(self, frames);
    }

    /// [`BootModel::boot`].
    ///
    /// # Errors
    ///
    /// [`BootError`]; nothing has changed then.
    pub fn boot<E, I>(
        &mut self,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        M: BootModel<E>,
        I: Iterator<Item = MemoryRange> + Clone,
    {
        M::boot(self, env, memory, on_event)
    }

    /// [`DeferredModel::boot_deferred`].
    ///
    /// # Errors
    ///
    /// [`BootError`]; nothing has changed then.
    pub fn boot_deferred<E, I>(
        &mut self,
        env: &mut E,
        memory: I,
        on_event: &mut dyn FnMut(BootEvent),
    ) -> Result<BootSummary, BootError>
    where
        M: DeferredModel<E>,
        I: Iterator<Item = MemoryRange> + Clone,
    {
        M::boot_deferred(self, env, memory, on_event)
    }

    /// [`InstallModel::install`].
    ///
    /// # Errors
    ///
    /// [`InstallError`], naming frames, section and cause; the model is as it was.
    #[inline]
    pub fn install<E>(&mut self, env: &mut E, frames: PfnRange, node: NodeId) -> Result<(), InstallError>
    where
        M: InstallModel<E>,
    {
        M::install(self, env, frames, node)
    }

    /// [`InstallModel::install_compounds`].
    ///
    /// # Errors
    ///
    /// [`InstallError`], naming frames, section and cause; the model is as it was.
    pub fn install_compounds<E>(
        &mut self,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        tails: ReadOnlyTails,
    ) -> Result<(), InstallError>
    where
        M: InstallModel<E>,
    {
        M::install_compounds(self, env, frames, node, tails)
    }

    /// [`RetireModel::retire`].
    ///
    /// # Errors
    ///
    /// [`RetireError`], naming frames, section and cause; the model is as it was.
    #[inline]
    pub fn retire<E>(&mut self, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError>
    where
        M: RetireModel<E>,
    {
        M::retire(self, env, frames)
    }

    /// [`RetireModel::check_retire`].
    ///
    /// # Errors
    ///
    /// [`RetireError`], naming frames and cause.
    pub fn check_retire<E>(&mut self, env: &E, frames: PfnRange) -> Result<(), RetireError>
    where
        M: RetireModel<E>,
    {
        M::check_retire(self, env, frames)
    }

    /// [`RetireModel::undo_install`].
    ///
    /// # Errors
    ///
    /// [`RetireError`], naming frames, section and cause; the model is as it was.
    pub fn undo_install<E>(&mut self, env: &mut E, frames: PfnRange) -> Result<Retired, RetireError>
    where
        M: RetireModel<E>,
    {
        M::undo_install(self, env, frames)
    }

    /// [`RetireModel::fold`].
    ///
    /// # Errors
    ///
    /// [`RefoldError`], naming frames and cause; the model is as it was.
    pub fn fold<E>(
        &mut self,
        env: &mut E,
        frames: PfnRange,
        node: NodeId,
        tails: ReadOnlyTails,
        quiet: QuietDescriptors,
    ) -> Result<Refolded, RefoldError>
    where
        M: RetireModel<E>,
    {
        M::fold(self, env, frames, node, tails, quiet)
    }

    /// [`RetireModel::unfold`].
    ///
    /// # Errors
    ///
    /// [`RefoldError`], naming frames and cause; the model is as it was.
    pub fn unfold<E>(&mut self, env: &mut E, frames: PfnRange, node: NodeId) -> Result<Refolded, RefoldError>
    where
        M: RetireModel<E>,
    {
        M::unfold(self, env, frames, node)
    }

    /// [`MetadataModel::each_metadata`].
    pub fn each_metadata<E>(&mut self, env: &E, section: SectionNr, visit: &mut dyn FnMut(MetadataBlock))
    where
        M: MetadataModel<E>,
    {
        M::each_metadata(self, env, section, visit);
    }

    /// [`MarkModel::set_online`].
    ///
    /// # Errors
    ///
    /// [`MarkError`], naming frames, section and cause; no mark has changed.
    pub fn set_online(&mut self, frames: PfnRange) -> Result<(), MarkError>
    where
        M: MarkModel,
    {
        M::set_online(self, frames)
    }

    /// [`MarkModel::set_offline`].
    ///
    /// # Errors
    ///
    /// [`MarkError`], naming frames, section and cause; no mark has changed.
    pub fn set_offline(&mut self, frames: PfnRange) -> Result<(), MarkError>
    where
        M: MarkModel,
    {
        M::set_offline(self, frames)
    }

    /// [`MarkModel::taint`].
    ///
    /// # Errors
    ///
    /// [`MarkError`], naming frames, section and cause; no mark has changed.
    pub fn taint(&mut self, frames: PfnRange) -> Result<(), MarkError>
    where
        M: MarkModel,
    {
        M::taint(self, frames)
    }
}

/// Panics unless two models have one writer slot.
pub(crate) fn assert_same_slot<M: MemoryModel, N: MemoryModel>(outer: &M, inner: &N) {
    let same = core::ptr::eq(inner.writer_slot(), outer.writer_slot());
    assert!(same, "the models {} and {} do not share a writer slot", outer.name(), inner.name());
}

impl<M: MemoryModel> fmt::Debug for Writer<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lent = self.owned.is_none();
        f.debug_struct("Writer").field("model", &self.model.name()).field("lent", &lent).finish()
    }
}

#[cfg(all(test, not(sparsemem_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_takes_nothing_and_gives_nothing_back() {
        let slot = WriterSlot::new();
        let first = slot.hold().unwrap();
        assert!(slot.hold().is_none());
        assert!(slot.hold().is_none(), "the refused call gave the slot back");
        drop(first);
        assert!(slot.hold().is_some());
    }
}
