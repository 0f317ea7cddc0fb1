//! Models by frame, beside a plain set of frames, on the simulated machine.

mod failures;
mod life;
mod machines;
mod random;

use std::collections::BTreeSet;

use sparsemem_by_frame::ByFrame;
use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootEvent, BootSummary, CompleteModel, Geometry, LookupError, MemoryModel, MemoryRange, Page, Pfn,
    PfnRange, Reclaim, SectionShape,
};
use sparsemem_fixture::{AnyModel, Backend, Fixture, NODE, any_model};
use sparsemem_machine::{HostRcu, Machine, MachineConfig};
use sparsemem_section::{Encoded, ExactRule, InRoots, InWords, RootedTable, SparseModel};

/// The domain of readers of most tests.
enum Readers {}
type Rcu = HostRcu<Readers>;

/// A model by frame over any backend, by Linux' rule.
type OverAny<G, const S: usize, const R: usize> = ByFrame<AnyModel<G, Page, Rcu, S, R>>;
/// The same, for the geometry of a PC.
type PcByFrame = ByFrame<any_model!(X86_64, Page, Rcu)>;
/// A model by frame over a table with the exact rule.
type OverExact<V> =
    ByFrame<SparseModel<RootedTable<X86_64, Page, { X86_64::NR_ROOTS_LEN }, V>, Encoded, Rcu>>;
type ExactWords = OverExact<InWords<ExactRule>>;
type ExactRoots = OverExact<InRoots<ExactRule>>;

/// A model with all that the tests need.
trait Tested: CompleteModel<Machine> {}
impl<M: CompleteModel<Machine>> Tested for M {}

/// A backend by frame on a machine.
fn over<G: Geometry, const S: usize, const R: usize>(
    backend: Backend,
    config: &MachineConfig,
) -> (OverAny<G, S, R>, Machine) {
    let Fixture { model, machine } = Fixture::<AnyModel<G, Page, Rcu, S, R>>::new(backend, config).unwrap();
    (ByFrame::new(model), machine)
}

/// Frames from `start` to before `end`.
fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

/// Memory of the one node.
fn memory(ranges: &[PfnRange]) -> Vec<MemoryRange> {
    ranges.iter().map(|frames| MemoryRange { frames: *frames, node: NODE }).collect()
}

/// Boots, and returns all events.
fn boot<M: Tested>(
    model: &M,
    machine: &mut Machine,
    memory: &[MemoryRange],
) -> (BootSummary, Vec<BootEvent>) {
    let mut events = Vec::new();
    let mut writer = model.write().unwrap();
    let summary = writer.boot(machine, memory.iter().copied(), &mut |event| events.push(event)).unwrap();
    (summary, events)
}

/// Asks a model in every way about frames, whose descriptors are initialised if they are valid.
fn are<M: MemoryModel>(
    model: &M,
    frames: impl IntoIterator<Item = u64>,
    is_valid: &dyn Fn(u64) -> bool,
    is_online: &dyn Fn(u64) -> bool,
) {
    let reader = model.read();
    let mut descriptors = BTreeSet::new();
    for frame in frames {
        let (pfn, valid, online) = (Pfn::new(frame), is_valid(frame), is_valid(frame) && is_online(frame));
        assert_eq!(model.is_valid(pfn), valid, "{pfn} is valid");
        assert_eq!(reader.page(pfn).is_some(), valid, "{pfn} has a page");
        assert_eq!(reader.online_page(pfn).is_some(), online, "{pfn} is online");
        let guard = M::Reclaim::enter();
        let found = model.lookup_with(pfn, &guard);
        assert_eq!(model.lookup(pfn), found);
        assert_eq!(model.lookup_online_with(pfn, &guard), found.filter(|_| online));
        let explained = model.explain(pfn, &guard);
        assert_eq!(explained.ok(), found, "{explained:?}");
        let Some(page) = found else { continue };
        assert!(descriptors.insert(page), "two frames have the descriptor of {pfn}");
        // SAFETY: the frame is valid, and this test is the only writer.
        assert_eq!(unsafe { model.lookup_unchecked(pfn) }, page);
        // SAFETY: as above, and its descriptor was initialised.
        assert_eq!(unsafe { model.pfn_of(page) }, pfn);
    }
}

/// The ranges joined where they touch, and cut at the ends of sections.
fn runs<G: Geometry>(ranges: &[PfnRange]) -> Vec<PfnRange> {
    let mut sorted: Vec<_> = ranges.iter().map(|range| (range.start(), range.end())).collect();
    sorted.sort_unstable();
    let mut joined: Vec<(Pfn, Pfn)> = Vec::new();
    for (start, end) in sorted {
        match joined.last_mut() {
            Some((_, last)) if *last >= start => *last = end.max(*last),
            _ => joined.push((start, end)),
        }
    }
    let whole = joined.into_iter().map(|(start, end)| PfnRange::new(start, end).unwrap());
    whole.flat_map(|run| run.by_section::<G>().map(|(_, part)| part)).collect()
}

/// The reason why a frame is not valid.
fn why<M: MemoryModel>(model: &M, frame: u64) -> LookupError {
    model.read().explain(Pfn::new(frame)).err().expect("it is not valid")
}
