//! Memory of a second node: its metadata comes from there, and whoever is told hears which node it is.

use std::sync::{Arc, Mutex};

use crate::common::{Model, Op, SECTIONS, System};
use sparsemem_core::presets::Tiny;
use sparsemem_core::{NodeId, Page, PfnRange, PhysAddr, PhysRange, SectionShape};
use sparsemem_fixture::{Backend, Fixture, NODE, any_model, on_every_backend, sections, subsections};
use sparsemem_hotplug::{BlockNr, BlockSize, BlockState, Limits, NodeChange, Ram};
use sparsemem_machine::{Count, Demand, HostRcu, Machine, MachineConfig, Verdict};

on_every_backend!(sparse metadata_comes_from_the_node_that_was_asked_for);

/// The node that everything is plugged into; boot memory is on the other one.
const OTHER: NodeId = NodeId::new(1);

/// A machine whose upper half is the other node's.
fn two_nodes() -> MachineConfig {
    let half =
        |from: u64, to: u64| PhysRange::new(PhysAddr::new(from << 20), PhysAddr::new(to << 20)).unwrap();
    let config = MachineConfig::new().memory(half(0, 512), NODE).memory(half(512, 1024), OTHER);
    config.vmemmap_bytes(1 << 30)
}

/// The nodes that blocks are asked for from now on.
fn record(machine: &mut Machine) -> Arc<Mutex<Vec<NodeId>>> {
    let nodes = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&nodes);
    machine.faults().fail_if(move |request| {
        if let Demand::Block { node, .. } = request.demand {
            noted.lock().unwrap().push(node);
        }
        Verdict::Grant
    });
    nodes
}

fn metadata_comes_from_the_node_that_was_asked_for(backend: Backend) {
    type Model = any_model!(Tiny, Page, HostRcu<()>);
    let fixture = Fixture::<Model>::new(backend, &two_nodes()).unwrap();
    let early = sections::<Tiny>(0, 1);
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[early]);
    let before = system.machine.balance().on(NODE);
    let asked = record(&mut system.machine);
    let ram = sections::<Tiny>(4, 2);
    system.hotplug.add_memory(&mut system.machine, ram, OTHER, Ram::default()).unwrap();
    came_from(&system, &asked, before);
    goes_online(&mut system, ram);
    let device = subsections::<Tiny>(6, 1, u64::from(Tiny::SUBSECTIONS_PER_SECTION));
    system.hotplug.add_device(&mut system.machine, device, OTHER, "device").unwrap();
    came_from(&system, &asked, before);
    system.apply(Op::RemoveDevice(device)).unwrap();
    system.apply(Op::RemoveMemory(ram)).unwrap();
    assert_eq!(system.machine.balance().on(OTHER), Count::default(), "what the other node gave");
}

/// Blocks were asked for, all of them from the other node, which gave them.
fn came_from<M: Model>(system: &System<M>, asked: &Mutex<Vec<NodeId>>, before: Count) {
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    assert!(!asked.is_empty() && asked.iter().all(|node| *node == OTHER), "asked for: {asked:?}");
    assert_eq!(system.machine.balance().on(NODE), before, "what the node of boot gave");
}

/// The blocks know their node, and so does everybody who is told.
fn goes_online<M: Model>(system: &mut System<M>, ram: PfnRange) {
    let System { hotplug, allocator, notifiers, .. } = system;
    hotplug.online(allocator, ram).unwrap();
    for nr in 0..SECTIONS {
        let block = hotplug.blocks().get(BlockNr::new(nr)).filter(|block| block.state == BlockState::Online);
        let node = [(0, NODE), (4, OTHER), (5, OTHER)].into_iter().find(|it| it.0 == nr).map(|it| it.1);
        assert_eq!(block.and_then(|block| block.node), node, "node of block {nr}");
    }
    let heard = |change| {
        notifiers.iter().all(|it| it.last().is_some_and(|it| (it.node, it.node_change) == (OTHER, change)))
    };
    assert!(heard(NodeChange::First));
    hotplug.offline(allocator, ram).unwrap();
    assert!(heard(NodeChange::Last));
}
