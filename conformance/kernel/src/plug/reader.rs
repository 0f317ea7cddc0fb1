//! A reader that is held while what it reads goes.

use sparsemem::{MemoryModel, SectionShape};
use sparsemem_suite::Complete;

use super::host::Wish;
use super::trouble::holds;
use super::{Kernel, Site, Told, Trouble};

/// Memory is removed under a reader: that ends the run, in words, before the reader's descriptor goes.
pub(super) fn removed_under_it<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let (dimm, frames) = site.plug_online(&Wish::new("a", M::Geometry::SECTION_SIZE))?;
    let reader = site.model.read();
    holds("the reader has a descriptor", reader.page(frames.start()).is_some())?;
    site.give_up("a", &dimm)?;
    drop(reader);
    Err(Trouble::new(format_args!("the DIMM went under a reader, and nobody was stopped")))
}
