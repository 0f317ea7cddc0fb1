//! The life of a DIMM, and a refusal to end it.

use sparsemem::{MemoryModel, SectionShape};
use sparsemem_hotplug::{OfflineError, Reason};
use sparsemem_suite::Complete;

use super::host::{self, Wish};
use super::trouble::{holds, refusal, same};
use super::{Kernel, Site, Told, Trouble};
use crate::say;

/// Frames that are used of a DIMM.
const USED: usize = 64;

/// A DIMM comes while the kernel runs, is added, brought online, used, taken offline, and ejected; then another comes into
/// the same slot.
pub(super) fn comes_and_goes<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let wish = Wish::new("a", 2 * M::Geometry::SECTION_SIZE);
    let (dimm, frames) = site.plug_online(&wish)?;
    let used = site.use_frames(frames, USED)?;
    site.put_frames(used);
    site.give_up("a", &dimm)?;
    let reader = site.model.read();
    holds("a frame that went has no descriptor", reader.page(frames.start()).is_none())?;
    Ok(Told::Well)
}

/// ACPI's number for an eject that was asked for, and for "in use".
const REFUSED_IN_USE: (u32, u32) = (3, 0x82);

/// A DIMM in use is not given up: the host hears why, and everything goes on. When it is free, it goes.
pub(super) fn refused<M, K>(site: &mut Site<'_, M, K>) -> Result<Told, Trouble>
where
    K: Kernel,
    M: Complete<K::Env> + MemoryModel,
{
    let (dimm, frames) = site.plug_online(&Wish::new("a", M::Geometry::SECTION_SIZE))?;
    let used = site.use_frames(frames, 1)?;
    let change = site.want("a", &dimm)?;
    let in_use = |error: &OfflineError| {
        matches!(error, OfflineError::Allocator { why, .. }
            if why.reason == Reason::InUse && used.iter().any(|frame| why.frames.contains(*frame)))
    };
    let error =
        refusal("offlining a DIMM in use", site.hotplug.offline(site.kernel.allocator(), frames), in_use)?;
    say!("  refused: {error}");
    site.slots.refuse(&dimm);
    site.slots.acknowledge(&change);
    same("what the host heard", &REFUSED_IN_USE, &host::heard_of(dimm.slot)?)?;
    holds("the host does not take it for gone", !host::knows_gone("a"))?;
    // The refusal has changed nothing: the rest can be used as before.
    let more = site.use_frames(frames, 1)?;
    site.put_frames(more);
    site.put_frames(used);
    site.give_up("a", &dimm)?;
    Ok(Told::Well)
}
