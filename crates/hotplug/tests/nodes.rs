//! Memory of a second node: its metadata comes from there, and whoever is told hears which node it is.

mod common;

use std::sync::{Arc, Mutex};

use common::{Bench, Model, NODE, Op, Rcu, SECTIONS, Scenario, Start, sections, subsections};
use sparsemem_classic_sparse::ClassicSparse;
use sparsemem_core::presets::Tiny;
use sparsemem_core::{NodeId, Page, PfnRange, PhysAddr, PhysRange, SectionShape};
use sparsemem_hotplug::{BlockNr, BlockSize, BlockState, Limits, NodeChange, Ram};
use sparsemem_machine::{Count, Demand, Machine, MachineConfig, Verdict, place};
use sparsemem_sparse_extreme::SparseExtreme;
use sparsemem_vmemmap::{DynamicBase, Vmemmap};

/// The node that everything is plugged into; boot memory is on the other one.
const OTHER: NodeId = NodeId::new(1);

/// A machine whose upper half is the other node's.
fn two_nodes() -> Machine {
    let half =
        |from: u64, to: u64| PhysRange::new(PhysAddr::new(from << 20), PhysAddr::new(to << 20)).unwrap();
    let config = MachineConfig::new().memory(half(0, 512), NODE).memory(half(512, 1024), OTHER);
    Machine::new(&config.vmemmap_bytes(1 << 30)).unwrap()
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

/// Runs a scenario on the three models, each on two nodes.
fn on_two_nodes(scenario: &impl Scenario) {
    let model = place::<ClassicSparse<Tiny, Page, Rcu, { Tiny::NR_SECTIONS_LEN }>>();
    scenario.run(Start { model, machine: two_nodes() });
    let model = place::<SparseExtreme<Tiny, Page, Rcu, { Tiny::NR_ROOTS_LEN }>>();
    scenario.run(Start { model, machine: two_nodes() });
    let machine = two_nodes();
    let model = place::<Vmemmap<Tiny, Page, Rcu, DynamicBase, { Tiny::NR_ROOTS_LEN }>>();
    let bytes = machine.window().count().get();
    // SAFETY: the window is set aside for a memmap, and this model is the only one on the machine.
    unsafe { model.placement().base().reserve(machine.window_ptr(), bytes) };
    scenario.run(Start { model, machine });
}

struct OtherNode;

impl Scenario for OtherNode {
    fn run<M: Model>(&self, start: Start<M>) {
        let early = sections::<M::Geometry>(0, 1);
        let mut bench = Bench::boot(start, Limits::new(BlockSize::SECTION), &[early]);
        let before = bench.machine.balance().on(NODE);
        let asked = record(&mut bench.machine);
        let ram = sections::<M::Geometry>(4, 2);
        bench.hotplug.add_memory(&mut bench.machine, ram, OTHER, Ram::default()).unwrap();
        came_from(&bench, &asked, before);
        goes_online(&mut bench, ram);
        let device = subsections::<M::Geometry>(6, 1, u64::from(M::Geometry::SUBSECTIONS_PER_SECTION));
        bench.hotplug.add_device(&mut bench.machine, device, OTHER, "device").unwrap();
        came_from(&bench, &asked, before);
        bench.apply(Op::RemoveDevice(device)).unwrap();
        bench.apply(Op::RemoveMemory(ram)).unwrap();
        assert_eq!(bench.machine.balance().on(OTHER), Count::default(), "what the other node gave");
    }
}

/// Blocks were asked for, all of them from the other node, which gave them.
fn came_from<M: Model>(bench: &Bench<M>, asked: &Mutex<Vec<NodeId>>, before: Count) {
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    assert!(!asked.is_empty() && asked.iter().all(|node| *node == OTHER), "asked for: {asked:?}");
    assert_eq!(bench.machine.balance().on(NODE), before, "what the node of boot gave");
}

/// The blocks know their node, and so does everybody who is told.
fn goes_online<M: Model>(bench: &mut Bench<M>, ram: PfnRange) {
    let Bench { hotplug, allocator, notifiers, .. } = bench;
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

#[test]
fn metadata_comes_from_the_node_that_was_asked_for() {
    on_two_nodes(&OtherNode);
}
