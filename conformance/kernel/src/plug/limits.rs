//! DIMMs that are too much.

use sparsemem::{MemoryModel, Pfn, SectionShape};
use sparsemem_hotplug::{AddMemoryError, PlanError, Ram};
use sparsemem_scenarios::Complete;

use super::host::Wish;
use super::trouble::refusal;
use super::{Kernel, Site, Told, Trouble};
use crate::say;

/// A DIMM behind the last frame that the geometry has is refused in words that name it, and goes again.
pub(super) fn too_high<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let Some(end) = Pfn::new(M::Geometry::MAX_PFN).phys::<M::Geometry>() else {
        return Ok(Told::Unsuited("the geometry ends where addresses end"));
    };
    let dimm = site.plug(&Wish::new("high", M::Geometry::SECTION_SIZE).at(end))?;
    let frames = Site::<M, K>::frames(&dimm)?;
    let added = site.hotplug.add_memory(site.kernel.env_mut(), frames, dimm.node, Ram::default());
    let beyond =
        |error: &AddMemoryError| matches!(error, AddMemoryError::Plan(PlanError::BeyondMaximum { .. }));
    let error = refusal("a DIMM beyond the geometry", added, beyond)?;
    say!("  refused: {error}");
    let change = site.want("high", &dimm)?;
    site.slots.acknowledge(&change);
    site.eject("high", &dimm, frames)?;
    Ok(Told::Well)
}
