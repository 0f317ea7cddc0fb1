//! The work of Linux' driver with a device of 1 GiB, done again by this one: the same memory blocks, in the same order.
//!
//! The recording is `conformance/linux/virtio-mem-1g.json`. It has the memory blocks that Linux added and removed while the
//! host requested 256 MiB, 1 GiB, 322 MiB and nothing. Differences:
//!
//! - For 322 MiB, Linux has four memory blocks. It took the last of them away first, and added it again. This driver has
//!   three, because it unplugs the highest memory first and plugs no more than is missing. The test requests 384 MiB,
//!   and then 2 MiB more, which leads to Linux' blocks in Linux' order.
//! - In Linux, the section of a block that is plugged in part is populated as a whole. Here only what is plugged is.
//! - Linux calls adding and bringing online two operations. Here they are one.

use serde_json::Value;
use sparsemem_core::presets::X86_64;
use sparsemem_core::{ByteLen, MemoryModel, MemoryRange, NodeId, PhysAddr, PhysRange, SectionNr};
use sparsemem_fixture::{Backend, NODE, PcModel, Recorder, boot, bytes, on_every_backend, sections, storage};
use sparsemem_hotplug::{BlockSize, Direction, Hotplug, Limits, MemoryChange};
use sparsemem_machine::{HostRcu, MachineConfig, VirtioMemDevice};
use sparsemem_virtio_mem::{Device, Kernel, VirtioMem};

use crate::common::MIB;
use crate::common::doubles::{Pages, Wire};

on_every_backend!(linux_blocks_in_linux_order);

/// Frames of a memory block.
const BLOCK: u64 = 0x8000;
/// The requests of the host that lead to the recorded steps after boot, in MiB.
const REQUESTS: [u64; 5] = [256, 1024, 384, 386, 0];

/// A memory block, and whether it is made or removed.
type Change = (Direction, u64);

/// The changes of each recorded step, and the sections at its end.
fn recording() -> Vec<(Vec<Change>, Vec<u64>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conformance/linux/virtio-mem-1g.json");
    let recording: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let steps = recording["steps"].as_array().unwrap().iter().skip(1);
    steps.map(|step| (changes(&step["ops"]), present(&step["sections"]))).collect()
}

fn changes(ops: &Value) -> Vec<Change> {
    let change = |op: &Value| {
        let direction = match op["op"].as_str().unwrap() {
            "online" => Direction::Online,
            "offline" => Direction::Offline,
            _ => return None,
        };
        assert_eq!(op["size"].as_u64(), Some(128 * MIB), "a memory block");
        Some((direction, op["start"].as_u64().unwrap() / (128 * MIB)))
    };
    ops.as_array().unwrap().iter().filter_map(change).collect()
}

fn present(sections: &Value) -> Vec<u64> {
    sections.as_array().unwrap().iter().map(|section| section[0].as_u64().unwrap()).collect()
}

fn linux_blocks_in_linux_order(backend: Backend) {
    let range = |start, end| PhysRange::new(PhysAddr::new(start * MIB), PhysAddr::new(end * MIB)).unwrap();
    let region = range(4096, 5120);
    // All of it is memory, so that an array with a bound has room for the region.
    let config = MachineConfig::new().memory(range(0, 6144), NODE).vmemmap_bytes(1 << 30);
    let fixture = sparsemem_fixture::Fixture::<PcModel<HostRcu<()>>>::new(backend, &config).unwrap();
    let (model, mut machine) = (fixture.model, fixture.machine);
    let ram = sections::<X86_64>(0, 8);
    boot(&model, &mut machine, &[MemoryRange { frames: ram, node: NODE }]);
    let mut hotplug = Hotplug::new(&model, Limits::new(BlockSize::SECTION), storage(16, 1, 16));
    hotplug.adopt_boot(bytes::<X86_64>(ram), NODE).unwrap();
    let recorder = Recorder::leaked("recorder");
    hotplug.register_notifier(0, recorder).unwrap();

    let device = VirtioMemDevice::new(region, ByteLen::new(2 * MIB), 0);
    let mut wire = Wire::new(&device);
    let mut driver = VirtioMem::new(&wire.config().unwrap(), hotplug.limits(), NodeId::new(0)).unwrap();
    driver.start(&hotplug, &mut wire).unwrap();
    let mut pages = Pages::new(ram, &device);
    let recording = recording();
    assert_eq!(recording.len(), REQUESTS.len());
    for ((linux, sections), mib) in recording.into_iter().zip(REQUESTS) {
        device.request(ByteLen::new(mib * MIB));
        let (hotplug, env, allocator) = (&mut hotplug, &mut machine, &mut pages);
        let _ = driver.resize(&mut Kernel { hotplug, env, allocator, device: &mut wire }).unwrap();
        let block = |change: MemoryChange| {
            let start = change.frames.start().get();
            assert_eq!(start % BLOCK, 0, "the parts of a block are one operation");
            (change.direction, start / BLOCK)
        };
        let ours: Vec<_> = recorder.take().into_iter().map(block).collect();
        assert_eq!(ours, linux, "{mib} MiB");
        let present: Vec<_> = model.present_sections().map(SectionNr::get).collect();
        assert_eq!(present, sections, "{mib} MiB");
        assert_eq!(device.plugged(), ByteLen::new(mib * MIB));
    }
}
