//! Environments that do what they may and nobody expects: they refuse to take blocks back, and call the model from
//! inside.

mod common;

use std::alloc::Layout;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    Block, BootError, BootEvent, BootModel, ForeignBlock, InstallError, InstallModel, MarkError, MarkModel,
    MemoryModel, MemoryRange, MetadataMemory, NodeId, OutOfMemory, Page, Rejected, RetireError, RetireModel,
    SectionNr, forward_to_field,
};
use sparsemem_machine::{Machine, Which};

use common::{Bench, NODE, frames};

/// What an environment does with blocks that come back.
#[derive(Clone, Copy, PartialEq)]
enum Back {
    Takes,
    Refuses,
}

/// A machine that may refuse blocks, and that calls a model whenever it is asked for memory.
struct Stubborn<'m, M> {
    machine: Machine,
    back: Back,
    refused: Vec<Block>,
    model: Option<&'m M>,
    /// How often the model was called from inside.
    calls: u32,
}

/// The environment of the tests that call nothing from inside.
type Quiet<M> = Stubborn<'static, M>;

impl<M> Stubborn<'_, M> {
    fn new(machine: Machine) -> Self {
        Self { machine, back: Back::Takes, refused: Vec::new(), model: None, calls: 0 }
    }

    /// Takes what it refused after all.
    fn relent(&mut self) -> usize {
        self.back = Back::Takes;
        let refused = std::mem::take(&mut self.refused);
        let count = refused.len();
        for block in refused {
            self.machine.free(block).map_err(|refused| refused.error).unwrap();
        }
        count
    }

    fn first_refused(&self) -> Option<ForeignBlock> {
        self.refused.first().map(Block::foreign)
    }
}

// SAFETY: the machine stays in its place.
forward_to_field!(unsafe impl ['m, M] PhysMap for Stubborn<'m, M> => machine);

/// Calls a model from inside of one of its own operations.
trait CallBack<M> {
    fn call_back(&mut self);
}

impl<M: Everything> CallBack<M> for Stubborn<'_, M> {
    fn call_back(&mut self) {
        let Some(model) = self.model else { return };
        self.calls += 1;
        let (there, absent) = (frames(0, 0, 1), frames(3, 0, 1));
        let machine = &mut self.machine;
        assert_eq!(model.install(machine, absent, NODE), Err(InstallError::Busy));
        assert_eq!(model.retire(machine, there).unwrap_err(), RetireError::Busy);
        assert_eq!(model.set_online(there), Err(MarkError::Busy));
        assert_eq!(model.set_offline(there), Err(MarkError::Busy));
        assert_eq!(model.taint(there), Err(MarkError::Busy));
        assert_eq!(model.footprint(machine), None);
        let range = MemoryRange { frames: absent, node: NODE };
        let booted = model.boot(machine, core::iter::once(range), &mut |event| panic!("{event:?}"));
        assert_eq!(booted, Err(BootError::Busy));
        // Readers are not writers.
        assert!(model.read().page(absent.start()).is_none());
    }
}

// SAFETY: the machine's own blocks; what is refused is kept.
unsafe impl<M: Everything> MetadataMemory for Stubborn<'_, M> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.call_back();
        self.machine.alloc_zeroed(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        if self.back == Back::Takes {
            return self.machine.free(block);
        }
        // The caller's copy says what was lost; this one is given back later.
        let (start, phys, layout, origin) = (block.start(), block.phys(), block.layout(), block.origin());
        // SAFETY: the caller loses the block that is returned.
        self.refused.push(unsafe { Block::from_parts(start, phys, layout, origin) });
        Err(Rejected { error: block.foreign(), returned: block })
    }
}

// SAFETY: the machine stays in its place.
forward_to_field!(unsafe impl ['m, M: Everything] AddressSpace for Stubborn<'m, M> => machine);

/// What can be done to a model with the machine itself.
trait Everything:
    BootModel<Machine>
    + InstallModel<Machine>
    + MarkModel
    + MemoryModel<Geometry = X86_64, Page = Page>
    + RetireModel<Machine>
    + 'static
{
}

impl<M> Everything for M where
    M: BootModel<Machine>
        + InstallModel<Machine>
        + MarkModel
        + MemoryModel<Geometry = X86_64, Page = Page>
        + RetireModel<Machine>
        + 'static
{
}

/// And with a stubborn one.
trait Model:
    Everything
    + Sized
    + for<'m> BootModel<Stubborn<'m, Self>>
    + for<'m> InstallModel<Stubborn<'m, Self>>
    + for<'m> RetireModel<Stubborn<'m, Self>>
{
}

impl<M> Model for M where
    M: Everything
        + for<'m> BootModel<Stubborn<'m, M>>
        + for<'m> InstallModel<Stubborn<'m, M>>
        + for<'m> RetireModel<Stubborn<'m, M>>
{
}

on_every_model!(
    an_installation_names_the_block_that_did_not_go_back,
    a_removal_counts_the_blocks_that_did_not_go_back,
    a_boot_tells_of_every_block_that_did_not_go_back,
    a_teardown_counts_the_blocks_that_did_not_go_back,
    a_model_that_is_called_from_inside_is_busy,
);

/// Two sections at the beginning: something to fail beside.
fn booted<M: Model>(bench: Bench<M>) -> (Box<M>, Quiet<M>) {
    let Bench { model, machine } = bench;
    let mut env = Stubborn::new(machine);
    let range = MemoryRange { frames: frames(0, 0, 128), node: NODE };
    model.boot(&mut env, core::iter::once(range), &mut |event| panic!("{event:?}")).unwrap();
    env.machine.finish_boot();
    (model, env)
}

/// Refuses the first, second, .. request of an installation, and everything that comes back.
fn an_installation_names_the_block_that_did_not_go_back<M: Model>(bench: Bench<M>) {
    let (model, mut env) = booted(bench);
    let digest = env.machine.state_digest();
    let mut named = 0;
    // A section in a root of its own: root, usage, memmap, and for an array, tables.
    for wanted in [frames(300, 0, 64), frames(300, 4, 2)] {
        for k in 0.. {
            env.back = Back::Refuses;
            let refusals = env.machine.faults().refused();
            env.machine.faults().fail_nth(Which::All, k);
            let installed = model.install(&mut env, wanted, NODE);
            let met = env.machine.faults().refused() > refusals;
            env.machine.faults().heal();
            let offered: Vec<_> = env.refused.iter().map(Block::foreign).collect();
            env.relent();
            match installed {
                // Nothing failed, or base pages did where a large one was refused.
                Ok(()) => assert_eq!(model.retire(&mut env, wanted).unwrap().refused, 0),
                Err(InstallError::NoMetadata { refused, section, .. }) => {
                    assert_eq!(section, SectionNr::new(300));
                    assert_eq!(refused.is_some(), !offered.is_empty());
                    assert!(refused.is_none_or(|block| offered.contains(&block)), "{refused:?}");
                    named += u32::from(refused.is_some());
                }
                Err(other) => panic!("{other}"),
            }
            assert!(!model.is_valid(wanted.start()));
            assert_eq!(env.machine.state_digest(), digest, "request {k}");
            if !met {
                break;
            }
        }
    }
    assert!(named > 0, "no failure had anything to give back");
}

fn a_removal_counts_the_blocks_that_did_not_go_back<M: Model>(bench: Bench<M>) {
    let (model, mut env) = booted(bench);
    let digest = env.machine.state_digest();
    model.install(&mut env, frames(300, 0, 64), NODE).unwrap();
    env.back = Back::Refuses;
    let retired = model.retire(&mut env, frames(300, 0, 64)).unwrap();
    assert_eq!((retired.refused, retired.first_refused), (env.refused.len() as u64, env.first_refused()));
    assert!(retired.refused >= 2, "a memmap and a usage at least");
    assert!(model.section(SectionNr::new(300)).flags.is_empty());
    env.relent();
    assert_eq!(env.machine.state_digest(), digest);
}

fn a_boot_tells_of_every_block_that_did_not_go_back<M: Model>(bench: Bench<M>) {
    let Bench { mut model, machine } = bench;
    let mut env: Quiet<M> = Stubborn::new(machine);
    let range = MemoryRange { frames: frames(0, 0, 128), node: NODE };
    let mut told = 0;
    for k in 0.. {
        env.back = Back::Refuses;
        let refusals = env.machine.faults().refused();
        env.machine.faults().fail_nth(Which::All, k);
        let (mut lost, mut refused) = (0, 0);
        let summary = model.boot(&mut env, core::iter::once(range), &mut |event| match event {
            BootEvent::SectionLost { .. } => lost += 1,
            BootEvent::BlockRefused { section, .. } => {
                assert!(section.get() < 2);
                refused += 1;
            }
            other => panic!("{other:?}"),
        });
        let met = env.machine.faults().refused() > refusals;
        env.machine.faults().heal();
        assert_eq!((summary.unwrap().lost, refused), (lost, env.refused.len()), "request {k}");
        told += refused;
        env.relent();
        model.tear_down(&mut env).unwrap();
        assert!(env.machine.balance().is_zero());
        if !met {
            break;
        }
    }
    assert!(told > 0, "no failure had anything to give back");
}

fn a_teardown_counts_the_blocks_that_did_not_go_back<M: Model>(bench: Bench<M>) {
    let (mut model, mut env) = booted(bench);
    let blocks = env.machine.outstanding().count();
    env.back = Back::Refuses;
    let error = model.tear_down(&mut env).unwrap_err();
    assert_eq!((error.first, env.relent()), (SectionNr::new(0), blocks), "each was offered once");
    assert_eq!(error.blocks, blocks as u64);
    assert!(env.machine.balance().is_zero());
    assert_eq!(model.present_sections().count(), 0);
}

/// A provider that calls the model back finds it busy, whatever it asks for.
fn a_model_that_is_called_from_inside_is_busy<M: Model>(bench: Bench<M>) {
    let Bench { model, machine } = bench;
    let model = &*model;
    let mut env = Stubborn { model: Some(model), ..Stubborn::new(machine) };
    let range = MemoryRange { frames: frames(0, 0, 64), node: NODE };
    model.boot(&mut env, core::iter::once(range), &mut |event| panic!("{event:?}")).unwrap();
    env.machine.finish_boot();
    let in_boot = std::mem::take(&mut env.calls);
    model.install(&mut env, frames(300, 0, 64), NODE).unwrap();
    assert!(in_boot > 0 && env.calls > 0, "the model asked for no memory");
    env.model = None;
    // And is free afterwards.
    model.set_offline(frames(0, 0, 64)).unwrap();
    assert_eq!(model.retire(&mut env, frames(0, 0, 64)).unwrap().refused, 0);
    assert_eq!(model.retire(&mut env, frames(300, 0, 64)).unwrap().refused, 0);
    assert!(env.machine.balance().is_zero());
}
