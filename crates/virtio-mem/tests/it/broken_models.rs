//! Models that refuse what they said they would do. No model of this workspace does; the device then has done already what
//! it was asked for, and is asked to undo it.

use crate::common::{FIRST, MIB, Model, System};
use sparsemem_core::presets::X86_64;
use sparsemem_core::{ByteLen, MemoryModel};
use sparsemem_fixture::{Call, Fixture, on_every_backend, subsections};
use sparsemem_machine::Misbehaviour;
use sparsemem_virtio_mem::Error;

on_every_backend!([X86_64] a_device_that_plugged_in_vain_unplugs, a_device_that_unplugged_in_vain_plugs);
on_every_backend!([X86_64] what_was_plugged_again_is_not_unsure, what_a_model_keeps_is_stranded);

fn a_device_that_plugged_in_vain_unplugs<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    system.device.request(ByteLen::new(8 * MIB));
    let (run, before) = (subsections::<X86_64>(FIRST, 3, 2), system.snapshot());
    system.model.difference.refuse_marks(true);
    assert!(matches!(system.plug(run).unwrap_err(), Error::Kernel(_)));
    assert_eq!(system.snapshot(), before);
    system.agrees("unplugged at once");
    // If the device does not unplug now, it does before it is used again.
    system.device.misbehave([None, Some(Misbehaviour::Busy)]);
    assert!(matches!(system.plug(run).unwrap_err(), Error::Kernel(_)));
    assert_eq!((system.device.heal(), system.device.plugged()), (0, ByteLen::new(4 * MIB)));
    system.model.difference.refuse_marks(false);
    let _ = system.resize(8).unwrap();
    system.agrees("8 MiB");
}

fn a_device_that_unplugged_in_vain_plugs<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let _ = system.resize(8).unwrap();
    let (run, last, before) =
        (subsections::<X86_64>(FIRST, 3, 1), subsections::<X86_64>(FIRST, 2, 1), system.snapshot());
    system.model.difference.refuse_marks(true);
    assert!(matches!(system.unplug(run).unwrap_err(), Error::Kernel(_)));
    assert_eq!(system.snapshot(), before);
    system.agrees("plugged again");
    // A refusal of the allocator comes before the device is asked.
    system.pages.inner.refuse = Some(Call::Evacuate);
    let _ = system.device.take_log();
    assert!(matches!(system.unplug(run).unwrap_err(), Error::Kernel(_)));
    assert!(system.device.take_log().is_empty());
    system.pages.inner.refuse = None;
    // The device has less to give back: nobody has the memory, and the error says so.
    system.device.request(ByteLen::new(2 * MIB));
    assert_eq!(system.unplug(last).unwrap_err(), Error::Stranded { frames: last });
    assert!(!system.pages.inner.frames().iter().any(|(start, _)| *start == last.start().get()));
    assert!(system.driver.verify(&system.hotplug, &mut system.wire).is_err(), "the model still has it");
    assert!(system.model.is_valid(last.start()));
}

/// The device does not say whether it unplugged, then plugs again, so the allocator uses the frames. Asking the device later
/// what became of the first request would take them away.
fn what_was_plugged_again_is_not_unsure<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let _ = system.resize(8).unwrap();
    let run = subsections::<X86_64>(FIRST, 3, 1);
    system.model.difference.refuse_marks(true);
    system.device.misbehave([Some(Misbehaviour::GarbledAfter), Some(Misbehaviour::Garbled)]);
    assert!(matches!(system.unplug(run).unwrap_err(), Error::Kernel(_)));
    assert_eq!(system.device.heal(), 0);
    system.model.difference.refuse_marks(false);
    system.agrees("plugged again");
    let _ = system.resize(10).unwrap();
    system.agrees("10 MiB");
}

/// The frames are gone for the device and for the allocator, so "nothing has changed" would be wrong.
fn what_a_model_keeps_is_stranded<M: Model>(fixture: Fixture<M>) {
    let mut system = System::usual(fixture);
    let _ = system.resize(8).unwrap();
    let run = subsections::<X86_64>(FIRST, 3, 1);
    system.model.difference.keep_frames(true);
    assert_eq!(system.unplug(run).unwrap_err(), Error::Stranded { frames: run });
    assert!(!system.pages.inner.frames().iter().any(|(start, _)| *start == run.start().get()));
    assert_eq!(system.device.plugged(), ByteLen::new(6 * MIB));
}
