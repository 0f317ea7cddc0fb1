//! Environments that do what they may and nobody expects: they refuse to take blocks back, and call the model from
//! inside.

use std::alloc::Layout;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    Block, BootEvent, BootModel, ForeignBlock, GracePeriod, InstallError, LostBlocks, MemoryModel,
    MemoryRange, MetadataMemory, NodeId, OutOfMemory, Page, Rejected, SectionNr, SectionShape, TearDownError,
    forward_to_field,
};
use sparsemem_fixture::{Env, Fixture, NODE, Pc, PcModel, Refusals, frames, on_every_backend};
use sparsemem_machine::Machine;

/// Bytes of a section's descriptors.
const MEMMAP: u64 = X86_64::PAGES_PER_SECTION * size_of::<Page>() as u64;

/// Takes what was refused after all.
fn relent(env: &mut Env) -> usize {
    // SAFETY: models give blocks up that were refused.
    unsafe { env.relent() }
}

/// A machine that calls a model whenever it is asked for memory.
struct Calling<'m, R: GracePeriod> {
    machine: Machine,
    model: &'m PcModel<R>,
    /// True once section 0 is up.
    booted: bool,
    /// The number of calls of the model from inside.
    calls: u32,
}

// SAFETY: the machine stays in its place.
forward_to_field!(unsafe impl ['m, R: GracePeriod] PhysMap for Calling<'m, R> => machine);

impl<R: GracePeriod> Calling<'_, R> {
    /// Calls the model from inside of one of its own operations.
    fn call_back(&mut self) {
        let model = self.model;
        self.calls += 1;
        assert!(model.write().is_none(), "whatever would change the model needs a second writer");
        // Readers are not writers, and neither is who asks for the size of the metadata.
        let reader = model.read();
        assert_eq!(reader.page(frames(0, 0, 1).start()).is_some(), self.booted);
        assert!(reader.page(frames(3, 0, 1).start()).is_none());
        // What is half there may be counted or not.
        let counted = model.footprint().memmap_bytes / MEMMAP;
        assert!(
            (u64::from(self.booted)..=1 + u64::from(self.booted)).contains(&counted),
            "{counted} memmaps"
        );
    }
}

// SAFETY: the machine's own blocks.
unsafe impl<R: GracePeriod> MetadataMemory for Calling<'_, R> {
    fn alloc_zeroed(&mut self, layout: Layout, node: NodeId) -> Result<Block, OutOfMemory> {
        self.call_back();
        self.machine.alloc_zeroed(layout, node)
    }

    fn free(&mut self, block: Block) -> Result<(), Rejected<ForeignBlock, Block>> {
        self.machine.free(block)
    }
}

// SAFETY: the machine stays in its place.
forward_to_field!(unsafe impl ['m, R: GracePeriod] AddressSpace for Calling<'m, R> => machine);

on_every_backend!(
    sparse [X86_64]
    an_installation_counts_the_blocks_that_did_not_go_back,
    a_removal_counts_the_blocks_that_did_not_go_back,
    a_boot_tells_of_every_block_that_did_not_go_back,
    a_model_that_is_called_from_inside_is_busy,
);
on_every_backend!([X86_64] a_teardown_counts_the_blocks_that_did_not_go_back);

/// Two sections at the beginning: something to fail beside.
fn booted<R: GracePeriod>(fixture: Pc<R>) -> (PcModel<R>, Env) {
    let Fixture { model, machine } = fixture;
    let mut env = Env::on(machine);
    let range = MemoryRange { frames: frames(0, 0, 128), node: NODE };
    let mut writer = model.write().unwrap();
    writer.boot(&mut env, core::iter::once(range), &mut |event| panic!("{event:?}")).unwrap();
    drop(writer);
    env.machine.finish_boot();
    (model, env)
}

/// Refuses the first, second, .. request of an installation, and everything that comes back.
fn an_installation_counts_the_blocks_that_did_not_go_back<R: GracePeriod>(fixture: Pc<R>) {
    let (model, mut env) = booted(fixture);
    let digest = env.machine.state_digest();
    let mut named = 0;
    // A section in a root of its own: root, usage, memmap, and for an array, tables.
    for wanted in [frames(300, 0, 64), frames(300, 4, 2)] {
        let mut refusals = Refusals::default();
        while refusals.arm(&mut env.machine) {
            env.takes_back = 0;
            let mut writer = model.write().unwrap();
            let installed = writer.install(&mut env, wanted, NODE);
            refusals.heal(&mut env.machine);
            let offered = env.refused.clone();
            relent(&mut env);
            match installed {
                // Nothing failed, or base pages did where a large one was refused.
                Ok(()) => assert!(writer.retire(&mut env, wanted).unwrap().lost.is_empty()),
                Err(InstallError::NoMetadata { lost, section, .. }) => {
                    assert_eq!(section, SectionNr::new(300));
                    assert_eq!(
                        (lost.count(), lost.first()),
                        (offered.len() as u64, offered.first().copied())
                    );
                    named += u32::from(!lost.is_empty());
                }
                Err(other) => panic!("{other}"),
            }
            assert!(!model.is_valid(wanted.start()));
            assert_eq!(env.machine.state_digest(), digest, "{refusals:?}");
        }
    }
    assert!(named > 0, "no failure had anything to give back");
}

fn a_removal_counts_the_blocks_that_did_not_go_back<R: GracePeriod>(fixture: Pc<R>) {
    let (model, mut env) = booted(fixture);
    let digest = env.machine.state_digest();
    let mut writer = model.write().unwrap();
    writer.install(&mut env, frames(300, 0, 64), NODE).unwrap();
    env.takes_back = 0;
    let lost = writer.retire(&mut env, frames(300, 0, 64)).unwrap().lost;
    assert_eq!((lost.count(), lost.first()), (env.refused.len() as u64, env.refused.first().copied()));
    assert!(lost.count() >= 2, "a memmap and a usage at least");
    assert!(model.section(SectionNr::new(300)).flags.is_empty());
    relent(&mut env);
    assert_eq!(env.machine.state_digest(), digest);
}

fn a_boot_tells_of_every_block_that_did_not_go_back<R: GracePeriod>(fixture: Pc<R>) {
    let Fixture { mut model, machine } = fixture;
    let mut env = Env::on(machine);
    let range = MemoryRange { frames: frames(0, 0, 128), node: NODE };
    let (mut told, mut refusals) = (0, Refusals::default());
    while refusals.arm(&mut env.machine) {
        env.takes_back = 0;
        let (mut sections, mut blocks) = (0, LostBlocks::default());
        let mut writer = model.write().unwrap();
        let summary = writer.boot(&mut env, core::iter::once(range), &mut |event| match event {
            BootEvent::SectionLost { .. } => sections += 1,
            BootEvent::BlocksLost { section, lost } => {
                assert!(section.get() < 2 && !lost.is_empty());
                blocks.add(lost);
            }
            other => panic!("{other:?}"),
        });
        drop(writer);
        refusals.heal(&mut env.machine);
        assert_eq!(summary.unwrap().lost, sections, "{refusals:?}");
        let offered = (env.refused.len() as u64, env.refused.first().copied());
        assert_eq!((blocks.count(), blocks.first()), offered, "{refusals:?}");
        told += blocks.count();
        relent(&mut env);
        model.tear_down(&mut env).unwrap();
        assert!(env.machine.balance().is_zero());
    }
    assert!(told > 0, "no failure had anything to give back");
}

fn a_teardown_counts_the_blocks_that_did_not_go_back<R: GracePeriod>(fixture: Pc<R>) {
    let (mut model, mut env) = booted(fixture);
    let blocks = env.machine.outstanding().count();
    env.takes_back = 0;
    let error = model.tear_down(&mut env).unwrap_err();
    let TearDownError::Lost { lost, section } = error else { panic!("{error}") };
    assert_eq!((lost.first(), section), (env.refused.first().copied(), SectionNr::new(0)));
    assert_eq!((lost.count(), relent(&mut env)), (blocks as u64, blocks), "each was offered once");
    assert!(env.machine.balance().is_zero());
    assert_eq!(model.present_sections().count(), 0);
}

/// A provider that calls the model back can read it and not write it.
fn a_model_that_is_called_from_inside_is_busy<R: GracePeriod>(fixture: Pc<R>) {
    let Fixture { model, machine } = fixture;
    let model = &model;
    let mut env = Calling { machine, model, booted: false, calls: 0 };
    let range = MemoryRange { frames: frames(0, 0, 64), node: NODE };
    let mut writer = model.write().unwrap();
    writer.boot(&mut env, core::iter::once(range), &mut |event| panic!("{event:?}")).unwrap();
    env.machine.finish_boot();
    env.booted = true;
    let in_boot = std::mem::take(&mut env.calls);
    writer.install(&mut env, frames(300, 0, 64), NODE).unwrap();
    drop(writer);
    assert!(in_boot > 0 && env.calls > 0, "the model asked for no memory");
    let mut machine = env.machine;
    // And is free afterwards.
    let mut writer = model.write().unwrap();
    writer.set_offline(frames(0, 0, 64)).unwrap();
    for nr in [0, 300] {
        assert!(writer.retire(&mut machine, frames(nr, 0, 64)).unwrap().lost.is_empty());
    }
    assert!(machine.balance().is_zero());
}
