//! Registers what a model reports of its sections.

use sparsemem_core::{
    Geometry, MemoryModel, MetadataBlock, MetadataModel, MetadataUse, NodeId, Origin, SectionNr, Writer,
};

use crate::{Piece, RegisterError, Registry, SectionMetadata, TagStore};

/// A block as a piece of a section, if boot allocated it.
fn piece(section: SectionNr, block: MetadataBlock) -> Option<Piece> {
    let make = match block.of {
        MetadataUse::Memmap => Piece::memmap,
        MetadataUse::Usage => Piece::usage,
        _ => Piece::table,
    };
    (block.origin == Origin::Boot).then(|| make(section, block.bytes))
}

impl<G: Geometry, S: TagStore> Registry<'_, G, S> {
    /// Registers a section that becomes present with the metadata that its model reports, as far as boot allocated it:
    /// memmap, usage, root and page tables.
    ///
    /// After a boot a kernel calls it for every present section. Source: as [`Registry::register_section`].
    ///
    /// ```
    /// use sparsemem_bootmem_registration::{RegisterError, Registry, TagStore};
    /// use sparsemem_core::{MemoryModel, MetadataModel, NodeId};
    ///
    /// fn register_all<M: MetadataModel<E>, E, S: TagStore>(
    ///     registry: &mut Registry<'_, M::Geometry, S>,
    ///     model: &M,
    ///     env: &E,
    ///     node: NodeId,
    /// ) -> Result<(), RegisterError> {
    ///     let mut writer = model.write().expect("nobody else changes the model");
    ///     model.present_sections().try_for_each(|nr| registry.register_from(&mut writer, env, nr, node))
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RegisterError`], with the section or piece that was refused; nothing has changed then.
    pub fn register_from<M, E>(
        &mut self,
        writer: &mut Writer<'_, M>,
        env: &E,
        nr: SectionNr,
        node: NodeId,
    ) -> Result<(), RegisterError>
    where
        M: MetadataModel<E> + MemoryModel<Geometry = G>,
    {
        self.register_section(nr, node, SectionMetadata::default())?;
        let (mut done, mut refused) = (0, None);
        writer.each_metadata(env, nr, &mut |block| {
            if let Some(piece) = piece(nr, block).filter(|_| refused.is_none()) {
                refused = self.get(piece).err();
                done += usize::from(refused.is_none());
            }
        });
        let Some(error) = refused else { return Ok(()) };
        // The model reports the same blocks again: the writer is still the same.
        writer.each_metadata(env, nr, &mut |block| {
            if let Some(piece) = piece(nr, block).filter(|_| done > 0) {
                done -= 1;
                // It was registered a moment ago, so `put` finds it.
                let _ = self.put(piece.user(), piece.bytes(), &mut |_| {});
            }
        });
        self.forget_section(nr);
        Err(error)
    }
}
