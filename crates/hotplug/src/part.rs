//! RAM that is added and removed in parts of memory blocks, and is online all the time that it exists.
//!
//! A memory block is switched as a whole, but some RAM is smaller: the blocks of a `virtio-mem` device have 2 MiB. Such
//! a part is added and brought online in one operation, and taken offline and removed in one. Its memory block exists
//! while any of its memory does.
//!
//! # Invariants
//!
//! 1. As everywhere in this crate, every step that can fail comes before those that cannot. Of the steps that can fail
//!    and that call somebody else, the allocator is called last: `give` and `evacuate` may therefore do what only
//!    another operation could undo, such as asking a device for the memory.
//! 2. Descriptors exist as long as somebody may ask for them: before the notifiers are asked, and until notifiers and
//!    allocator know that the memory is gone.

use core::iter::once;

use sparsemem_core::{
    InstallModel, Mark, MarkError, MarkModel, NodeId, Pfn, PfnRange, RetireError, RetireModel, Retired,
    Writer,
};

use crate::add::Adding;
use crate::hooks::{Given, Isolated};
use crate::hotplug::bytes_or_empty;
use crate::reserved::Without;
use crate::switch::renew;
use crate::{
    AddMemoryError, AllocatorHooks, BlockNr, BlockSpan, Direction, Hotplug, MemoryChange, MemoryKind,
    NodeChange, OfflineError, OnlineError, Ram, RemoveError, Request, ResourceKind,
};

/// The reason why a part of RAM was not added and brought online, or not taken offline and removed. Nothing has
/// changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// It cannot be added.
    #[error(transparent)]
    Add(#[from] AddMemoryError),
    /// It cannot come online.
    #[error(transparent)]
    Online(#[from] OnlineError),
    /// It cannot go offline.
    #[error(transparent)]
    Offline(#[from] OfflineError),
    /// It cannot be removed.
    #[error(transparent)]
    Remove(#[from] RemoveError),
}

impl PartError {
    /// True if another operation has the model, so that the same call may succeed later.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        matches!(self, Self::Add(AddMemoryError::Busy { .. }) | Self::Offline(OfflineError::Busy { .. }))
    }
}

impl<M: MarkModel> Hotplug<'_, M> {
    /// Adds RAM in whole subsections and brings it online, in one operation. Its memory blocks are made if they do not
    /// exist; those that exist must be online and of the same node.
    ///
    /// In this order: the model installs the frames; notifiers are asked; descriptors are reset; the allocator gets the
    /// frames ([`AllocatorHooks::give`]), in one call; they are marked online; the allocator may hand them out;
    /// notifiers are called with the end of the change. Source: Linux' `virtio_mem` does the same with memory blocks
    /// of which it hides the unplugged parts from the allocator. Differs from Linux: parts that are not there have no
    /// valid frames.
    ///
    /// # Errors
    ///
    /// [`PartError`]; nothing has changed then.
    pub fn plug<E, H>(
        &mut self,
        env: &mut E,
        hooks: &mut H,
        frames: PfnRange,
        node: NodeId,
        ram: Ram,
    ) -> Result<(), PartError>
    where
        M: InstallModel<E> + RetireModel<E>,
        H: AllocatorHooks,
    {
        let mut writer = self.model.write().ok_or(AddMemoryError::Busy { frames })?;
        let request =
            Request::new(frames, node, MemoryKind::RamPart, &self.limits).map_err(AddMemoryError::from)?;
        let span = request.blocks(self.limits.block);
        let change = self.plugging(frames, node);
        let resource = self.resources.vacancy(ram.resource(request.bytes())).map_err(AddMemoryError::from)?;
        let blocks = self.blocks.joining(span, node).map_err(AddMemoryError::from)?;
        let install = |why| AddMemoryError::Install { frames, why };
        let adding = Adding::new(&mut writer, env, &request).map_err(install)?;
        let announced = self.chain.announce(change);
        announced.verdict().map_err(|why| OnlineError::Notifier { frames, why })?;
        renew(self.model, frames, Without::new(frames, |rest| hooks.next_withheld(rest)));
        let given = Given::new(hooks, once(frames)).map_err(|why| OnlineError::Allocator { frames, why })?;
        adding.writer.set_online(frames).map_err(|why| OnlineError::Mark { frames, why })?;
        let announced = announced.happened();
        adding.keep();
        blocks.commit();
        resource.commit();
        self.resources.merge(request.bytes());
        given.release();
        drop(announced);
        Ok(())
    }

    /// Takes RAM in whole subsections offline and removes it, in one operation. The memory blocks that have no memory
    /// left are removed, too.
    ///
    /// In this order: the allocator isolates the frames; notifiers are asked; the allocator moves the users of the
    /// frames elsewhere ([`AllocatorHooks::evacuate`]), in one call; the frames are marked offline; the allocator loses
    /// them; notifiers are called with the end of the change; the model retires the frames. Source and difference: as
    /// [`plug`](Self::plug).
    ///
    /// # Errors
    ///
    /// [`PartError`]; nothing has changed then.
    pub fn unplug<E, H>(&mut self, env: &mut E, hooks: &mut H, frames: PfnRange) -> Result<Retired, PartError>
    where
        M: RetireModel<E>,
        H: AllocatorHooks,
    {
        let mut writer = self.model.write().ok_or(OfflineError::Busy { frames })?;
        let node = NodeId::default();
        let request =
            Request::new(frames, node, MemoryKind::RamPart, &self.limits).map_err(RemoveError::from)?;
        let mark = |why| OfflineError::Mark { frames, why };
        MarkError::check(self.model, frames, Mark::Offline).map_err(mark)?;
        writer.check_retire(env, frames).map_err(|why| RemoveError::Retire { frames, why })?;
        let span = request.blocks(self.limits.block);
        let others = |node| self.blocks.node_is_online(node, span);
        let rest = self.rest_of_blocks(frames);
        let node_goes = self.blocks.get(span.first()).and_then(|it| it.node).map(|node| !others(node));
        let (blocks, node) =
            self.blocks.leaving(span, |nr| rest.contains(&Some(nr))).map_err(RemoveError::from)?;
        let last = node_goes == Some(true) && !blocks.any_stays();
        let node_change = if last { NodeChange::Last } else { NodeChange::None };
        let change = MemoryChange { direction: Direction::Offline, frames, node, node_change };
        let resource =
            self.resources.releasing(request.bytes(), ResourceKind::SystemRam).map_err(RemoveError::from)?;
        let allocator = |why| OfflineError::Allocator { frames, why };
        let isolated = Isolated::new(hooks, once(frames)).map_err(allocator)?;
        // They are dropped in this order, as those of `offline`.
        let mut under_way = (isolated, self.chain.announce(change));
        under_way.1.verdict().map_err(|why| OfflineError::Notifier { frames, why })?;
        under_way.0.evacuate().map_err(allocator)?;
        writer.set_offline(frames).map_err(mark)?;
        let (isolated, announced) = under_way;
        let announced = announced.happened();
        blocks.commit();
        resource.commit();
        let mut leaving = Leaving { writer: &mut writer, env, frames, retired: None };
        isolated.take();
        drop(announced);
        leaving.retire().map_err(|why| RemoveError::Retire { frames, why }.into())
    }

    /// The change to announce when a part is added.
    fn plugging(&self, frames: PfnRange, node: NodeId) -> MemoryChange {
        let known = self.blocks.node_is_online(node, BlockSpan::default());
        let node_change = if known { NodeChange::None } else { NodeChange::First };
        MemoryChange { direction: Direction::Online, frames, node, node_change }
    }

    /// The blocks at the two ends of a range that have RAM outside it.
    fn rest_of_blocks(&self, frames: PfnRange) -> [Option<BlockNr>; 2] {
        let block = self.limits.block.frames().get();
        let (start, end) = (frames.start().get(), frames.end().get());
        let before = (start / block * block, start);
        let after = (end, end.div_ceil(block).saturating_mul(block));
        [(before, start / block), (after, end / block)].map(|((from, to), nr)| {
            let rest = PfnRange::new(Pfn::new(from), Pfn::new(to)).unwrap_or_default();
            self.has_ram(rest).then_some(BlockNr::new(nr))
        })
    }

    /// True if any of the frames is RAM.
    fn has_ram(&self, frames: PfnRange) -> bool {
        let bytes = bytes_or_empty::<M::Geometry>(frames);
        self.resources.iter().any(|it| it.kind == ResourceKind::SystemRam && it.range.overlaps(bytes))
    }
}

/// Memory that is gone for everybody but the model. Dropping this retires it, also when a callback unwinds.
struct Leaving<'a, 'w, M: RetireModel<E>, E> {
    writer: &'a mut Writer<'w, M>,
    env: &'a mut E,
    frames: PfnRange,
    retired: Option<Result<Retired, RetireError>>,
}

impl<M: RetireModel<E>, E> Leaving<'_, '_, M, E> {
    /// Retires the frames.
    fn retire(&mut self) -> Result<Retired, RetireError> {
        let Self { writer, env, frames, retired } = self;
        *retired.insert(writer.retire(env, *frames))
    }
}

impl<M: RetireModel<E>, E> Drop for Leaving<'_, '_, M, E> {
    fn drop(&mut self) {
        if self.retired.is_none() {
            let retired = self.retire();
            debug_assert!(retired.is_ok(), "frames that were checked under this writer: {retired:?}");
        }
    }
}
