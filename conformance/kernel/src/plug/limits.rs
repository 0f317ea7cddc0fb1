//! What is too much: a DIMM, memory of boot, and what is on the stack.

use core::hint::black_box;

use sparsemem::{MemoryModel, Pfn, PfnRange, SectionNr, SectionShape};
use sparsemem_hotplug::{AddMemoryError, PlanError, Ram};
use sparsemem_suite::Complete;

use super::host::Wish;
use super::trouble::{holds, refusal};
use super::{Kernel, Site, Told, Trouble};
use crate::say;

/// A DIMM behind the last frame that the geometry has is refused in words that name it, and goes again.
pub(super) fn too_high<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let Some(end) = Pfn::new(M::Geometry::MAX_PFN).phys::<M::Geometry>() else {
        return Ok(Told::NotApplicable("the geometry ends where addresses end"));
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

/// Memory behind the last frame of the page allocator has descriptors, and nobody is given it; the kernel has said so when
/// it came up, which the host looks at.
pub(super) fn beyond_the_allocator<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let Some(last) = site.model.present_sections().last().and_then(SectionNr::frames::<M::Geometry>) else {
        return Err(Trouble::new(format_args!("no section is present")));
    };
    let first_valid = site.model.next_valid(last).unwrap_or_default();
    holds("it has descriptors", site.model.read().page(first_valid.start()).is_some())?;
    holds("nobody is given any of it", site.kernel.take_frame(last).is_none())?;
    let below = PfnRange::new(Pfn::new(0), last.start()).unwrap_or_default();
    let given = site.kernel.take_frame(below);
    holds("others are given", given.is_some())?;
    given.into_iter().for_each(|frame| site.kernel.put_frame(frame));
    Ok(Told::Well)
}

/// A stack that is full ends the run, in words, before anything below it is written to.
pub(super) fn full_stack<M: MemoryModel, K>(_: &mut Site<'_, M, K>) -> Result<Told, Trouble> {
    let depth = deeper(0);
    Err(Trouble::new(format_args!("the stack has room for {depth} calls, and nobody was stopped")))
}

/// Calls itself more often than any stack allows.
fn deeper(calls: u64) -> u64 {
    let on_the_stack = black_box([calls; 32]);
    let below = if calls < 1 << 20 { deeper(calls + 1) } else { 0 };
    below.max(on_the_stack[0])
}
