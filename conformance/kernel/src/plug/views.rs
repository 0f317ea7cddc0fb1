//! Three views of what is mapped, the virtual memmap or the direct map: a walk over the page tables as software, what the
//! processor does, and what QEMU finds when it walks them itself.

use alloc::vec::Vec;

use sparsemem::{LeafSize, MemoryModel, PagingDepth, SectionShape, VirtAddr, VirtRange};
use sparsemem_suite::{Complete, Leaf};

use super::host::{self, Wish};
use super::trouble::{holds, same};
use super::{Kernel, Site, Told, Trouble};
use crate::say;

/// All three agree at boot, while a DIMM is there, and after it went.
pub(super) fn three_views<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let Some(array) = site.kernel.array() else {
        return Ok(Told::NotApplicable("the model has no mappings of its own"));
    };
    let at_boot = agreed(site, array)?;
    let (dimm, _) = site.plug_online(&Wish::new("a", 2 * M::Geometry::SECTION_SIZE))?;
    let with_dimm = agreed(site, array)?;
    holds("a DIMM has mappings", with_dimm > at_boot)?;
    site.give_up("a", &dimm)?;
    same("mappings after the DIMM went", &at_boot, &agreed(site, array)?)?;
    Ok(Told::Well)
}

/// Compares the three views of the addresses in `array`, and tells how many bytes are mapped.
pub(super) fn agreed<M, K>(site: &Site<'_, M, K>, array: VirtRange) -> Result<u64, Trouble>
where
    K: Kernel,
    M: MemoryModel,
{
    let mut leaves: Vec<Leaf> = Vec::new();
    site.kernel.leaves(array, &mut |leaf| leaves.push(leaf));
    let walked: Vec<_> =
        leaves.iter().map(|leaf| (leaf.at.get(), leaf.to.get(), leaf.size != LeafSize::Size4KiB)).collect();
    same("the mappings, walked by this kernel and by QEMU", &host::mappings(array)?, &walked)?;
    let runs = runs(&leaves);
    // With five levels `info mem` of QEMU 7.2 takes 20 s and finds nothing; `info tlb` above has the same mappings.
    if site.kernel.depth() == PagingDepth::Four {
        same("what is mapped, by QEMU and by this kernel", &host::mapped(array)?, &runs)?;
    }
    for leaf in &leaves {
        let ends = [leaf.at.get(), leaf.end() - 1];
        holds("the processor reads both ends of a mapping", ends.iter().all(|at| reads(site, *at)))?;
    }
    for (start, end) in &runs {
        let outside = [*start - 1, *end].into_iter().filter(|at| array.contains(VirtAddr::new(*at)));
        holds("the processor faults beside a mapping", !outside.into_iter().any(|at| reads(site, at)))?;
    }
    let bytes = runs.iter().map(|(start, end)| end - start).sum();
    say!("  {} mappings of {bytes:#x} bytes, in {} runs: all views agree", leaves.len(), runs.len());
    Ok(bytes)
}

/// Whether the processor can read a byte.
fn reads<M: MemoryModel, K: Kernel>(site: &Site<'_, M, K>, at: u64) -> bool {
    site.kernel.is_readable(VirtAddr::new(at))
}

/// Mappings that touch, as one.
fn runs(leaves: &[Leaf]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for leaf in leaves {
        match runs.last_mut() {
            Some(last) if last.1 == leaf.at.get() => last.1 = leaf.end(),
            _ => runs.push((leaf.at.get(), leaf.end())),
        }
    }
    runs
}
