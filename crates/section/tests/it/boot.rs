//! Boot with callers who unwind, and who change their minds: a model is up or down afterwards, and nothing between.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootError, BootEvent, BootSummary, MemoryRange, NodeId, Pfn, PfnRange, SectionFlags, SectionLoss,
    SectionNr, SectionShape, SectionStamp as _, SectionState, SubsectionBits,
};
use sparsemem_machine::place;

use crate::tables::{Flat, Model, ROOT, SECTION, frames, on_both_tables};
use sparsemem_fixture::Env;

const LAST: u64 = X86_64::NR_SECTIONS - 1;

fn range(start: u64, end: u64, node: u32) -> MemoryRange {
    MemoryRange { frames: frames(start, end), node: NodeId::new(node) }
}

/// Memory under three roots, of two nodes, with a section of both, one that is half empty, and some beyond the maximum.
fn memory() -> [MemoryRange; 5] {
    [
        range(0, 2 * SECTION + SECTION / 2, 0),
        range(2 * SECTION + SECTION / 2, 4 * SECTION, 1),
        range(ROOT * SECTION, (ROOT + 2) * SECTION, 0),
        range((ROOT + 3) * SECTION, (ROOT + 3) * SECTION + 512, 1),
        range(LAST * SECTION, X86_64::MAX_PFN + 512, 1),
    ]
}

/// The parts of sections that some memory consists of.
fn parts(memory: &[MemoryRange]) -> impl Iterator<Item = (SectionNr, PfnRange)> {
    let maximum = Pfn::new(X86_64::MAX_PFN);
    memory.iter().flat_map(move |range| range.frames.split_at(maximum).0.by_section::<X86_64>())
}

/// The states of all sections that have memory, or are beside one that has.
fn states<M: Model>(model: &M) -> Vec<(SectionNr, SectionState)> {
    let all = (0..6).chain(ROOT - 1..ROOT + 6).chain(LAST - 1..LAST + 1).map(SectionNr::new);
    all.map(|nr| (nr, model.section(nr))).collect()
}

/// The states that sections of some memory have when they are up; those that are `lost` are absent.
fn states_up(memory: &[MemoryRange], lost: &[SectionNr]) -> Vec<(SectionNr, SectionState)> {
    let mut states: Vec<_> = states(&*place::<Flat>());
    for (nr, part) in parts(memory).filter(|(nr, _)| !lost.contains(nr)) {
        let (_, state) = states.iter_mut().find(|(known, _)| *known == nr).unwrap();
        let bits = SubsectionBits::touched::<X86_64>(part).unwrap();
        let flags = SectionFlags::PRESENT | SectionFlags::HAS_MEM_MAP | SectionFlags::ONLINE;
        state.flags = flags | SectionFlags::EARLY;
        state.subsections = state.subsections.union(bits);
        state.online = state.online.union(bits);
    }
    states
}

/// Refuses the usage of section 1, and the memmaps of sections 2 and `ROOT`.
fn fail_some(env: &mut Env) {
    env.refuse(&[2], &[2, 4]);
}

/// The sections that are lost then.
fn failed() -> [SectionNr; 3] {
    [1, 2, ROOT].map(SectionNr::new)
}

/// Nothing is present, and nothing allocated but roots.
fn assert_down<M: Model>(model: &M, env: &Env) {
    assert!(model.write().is_some(), "the writer is gone");
    assert_eq!(model.next_present(SectionNr::new(0)), None);
    assert!(states(model).iter().all(|(_, state)| *state == SectionState::ABSENT));
    let (now, fresh) = (model.footprint(), place::<M>().footprint());
    assert_eq!((now.usage_bytes, now.memmap_bytes), (0, 0));
    assert_eq!(
        env.machine.balance().total().bytes,
        now.table_bytes - fresh.table_bytes,
        "empty roots, at most"
    );
}

/// All of the memory is up but for what is lost, is zero, and can go: one range at a time, or by teardown.
fn assert_up<M: Model>(model: &mut M, env: &mut Env, memory: &[MemoryRange], lost: &[SectionNr]) {
    assert_eq!(states(model), states_up(memory, lost));
    let there: Vec<_> = parts(memory).filter(|(nr, _)| !lost.contains(nr)).collect();
    let reader = model.read();
    for pfn in there.iter().flat_map(|(_, part)| part.start().get()..part.end().get()) {
        let page = reader.page(Pfn::new(pfn)).unwrap();
        assert_eq!((page.private.load(Ordering::Relaxed), page.section().get()), (0, 0), "{pfn:#x}");
    }
    drop(reader);
    let mut writer = model.write().unwrap();
    // Half of it.
    for (_, part) in there.iter().step_by(2) {
        writer.set_offline(*part).unwrap();
        assert!(writer.retire(env, *part).unwrap().lost.is_empty());
    }
    drop(writer);
    model.tear_down(env).unwrap();
    assert!(env.machine.balance().is_zero(), "{:?}", env.machine.balance());
    assert_eq!(model.footprint(), place::<M>().footprint());
}

/// A model that is down comes up as if nothing had been.
fn boots_again<M: Model>(model: &mut M, env: &mut Env) {
    env.machine.faults().heal();
    let mut writer = model.write().unwrap();
    let up = writer.boot(env, memory().into_iter(), &mut |_| {}).unwrap();
    assert_eq!((up.sections, up.lost), (8, 0));
    drop(writer);
    assert_up(model, env, &memory(), &[]);
}

/// A panic that was planned.
struct Planned;

fn unwinds<T>(act: impl FnOnce() -> T) -> bool {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(_) => false,
        Err(payload) if payload.is::<Planned>() => true,
        Err(other) => resume_unwind(other),
    }
}

/// Counts calls, and unwinds at one of them.
struct Fuse {
    left: Cell<Option<u32>>,
    calls: Cell<u32>,
}

impl Fuse {
    const fn new(left: Option<u32>) -> Self {
        Self { left: Cell::new(left), calls: Cell::new(0) }
    }

    fn burn(&self) {
        self.calls.set(self.calls.get() + 1);
        match self.left.get() {
            Some(0) => resume_unwind(Box::new(Planned)),
            left => self.left.set(left.map(|left| left - 1)),
        }
    }
}

/// Unwinds at every event in turn.
fn whoever_hears_of_events_may_unwind<M: Model>(_: &mut Env, _: &mut M) {
    let mut told = Vec::new();
    let (mut env, mut model) = (Env::new(), place::<M>());
    fail_some(&mut env);
    let up = model.write().unwrap().boot(&mut env, memory().into_iter(), &mut |event| told.push(event));
    assert_eq!(up.map(|up| (up.sections, up.lost)), Ok((5, 3)));
    env.machine.faults().heal();
    assert_up(&mut *model, &mut env, &memory(), &failed());
    let while_marking = |event: &BootEvent| {
        let memmap = matches!(event, BootEvent::SectionLost { why: SectionLoss::Memmap(_), .. });
        !memmap
    };
    assert_eq!((told.len(), told.iter().filter(|event| while_marking(event)).count()), (5, 3), "{told:?}");

    for (nth, event) in told.iter().enumerate() {
        let mut env = Env::new();
        fail_some(&mut env);
        let mut model = place::<M>();
        let fuse = Fuse::new(u32::try_from(nth).ok());
        let unwound = unwinds(|| {
            let mut writer = model.write().unwrap();
            writer.boot(&mut env, memory().into_iter(), &mut |_| fuse.burn())
        });
        assert!(unwound);
        assert_eq!(fuse.calls.get() as usize, nth + 1, "nobody is told anything after that");
        if while_marking(event) {
            assert_down(&*model, &env);
            boots_again(&mut *model, &mut env);
        } else {
            let again = model.write().unwrap().boot(&mut env, memory().into_iter(), &mut |_| {});
            assert_eq!(again, Err(BootError::AlreadyUp { present: SectionNr::new(0) }));
            env.machine.faults().heal();
            assert_up(&mut *model, &mut env, &memory(), &failed());
        }
    }
}

/// Memory that unwinds at one of the calls for it.
struct Fused<'f, I> {
    memory: I,
    fuse: &'f Fuse,
}

impl<I: Clone> Clone for Fused<'_, I> {
    fn clone(&self) -> Self {
        self.fuse.burn();
        Self { memory: self.memory.clone(), fuse: self.fuse }
    }
}

impl<I: Iterator> Iterator for Fused<'_, I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.fuse.burn();
        self.memory.next()
    }
}

/// Unwinds at every call of the memory in turn: all of them come before the first memmap is made.
fn the_memory_may_unwind<M: Model>(_: &mut Env, _: &mut M) {
    for nth in 0.. {
        let mut env = Env::new();
        fail_some(&mut env);
        let mut model = place::<M>();
        let fuse = Fuse::new(Some(nth));
        let unwound = unwinds(|| {
            let memory = Fused { memory: memory().into_iter(), fuse: &fuse };
            model.write().unwrap().boot(&mut env, memory, &mut |_| {}).unwrap();
        });
        if !unwound {
            // Asked for nodes, marked, and looked through for sections that could not be.
            assert!(nth > 3 * (5 + 2), "{nth} calls");
            env.machine.faults().heal();
            return assert_up(&mut *model, &mut env, &memory(), &failed());
        }
        assert_down(&*model, &env);
        boots_again(&mut *model, &mut env);
    }
}

/// Memory that is another list with every clone, up to the last one.
#[derive(Debug)]
struct Changing<'c> {
    lists: &'c [Vec<MemoryRange>],
    clones: &'c Cell<usize>,
    list: std::vec::IntoIter<MemoryRange>,
}

impl<'c> Changing<'c> {
    fn new(lists: &'c [Vec<MemoryRange>], clones: &'c Cell<usize>) -> Self {
        Self { lists, clones, list: Vec::new().into_iter() }
    }
}

impl Clone for Changing<'_> {
    fn clone(&self) -> Self {
        let nth = self.clones.replace(self.clones.get() + 1).min(self.lists.len() - 1);
        Self { list: self.lists[nth].clone().into_iter(), ..*self }
    }
}

impl Iterator for Changing<'_> {
    type Item = MemoryRange;

    fn next(&mut self) -> Option<MemoryRange> {
        self.list.next()
    }
}

/// The second reading of the memory counts; the first looks at nodes only, all of which fit on a host of 64 bits.
fn the_memory_may_change<M: Model>(_: &mut Env, _: &mut M) {
    let first = memory().to_vec();
    let then = vec![
        range(SECTION, 2 * SECTION, 3),
        range(2 * SECTION, 3 * SECTION, 0),
        range(3 * SECTION, 3 * SECTION + 512, 1),
    ];
    let boot = |lists: &[Vec<MemoryRange>], absent: &[u64]| {
        let (mut env, mut model, clones) = (Env::new(), place::<M>(), Cell::new(0));
        // The usage of section 2.
        env.refuse(&[2], &[]);
        let mut told = Vec::new();
        let memory = Changing::new(lists, &clones);
        let up = model.write().unwrap().boot(&mut env, memory, &mut |event| told.push(event)).unwrap();
        assert_eq!(up.sections, 3 - absent.len() as u64);
        let lost = |event: &BootEvent| match event {
            BootEvent::SectionLost { section, why: SectionLoss::Usage(_) } => section.get(),
            event => panic!("{event:?}"),
        };
        let told: Vec<_> = told.iter().map(lost).collect();
        assert_eq!(up.lost, told.len() as u64);
        let absent: Vec<_> = absent.iter().map(|nr| SectionNr::new(*nr)).collect();
        assert_up(&mut *model, &mut env, &then, &absent);
        told
    };
    assert_eq!(boot(&[first.clone(), then.clone()], &[2]), [2]);
    assert_eq!(boot(&[Vec::new(), then.clone()], &[2]), [2]);
    // After a loss the memory is asked what came before. Memory that then says less changes nothing.
    assert_eq!(boot(&[first.clone(), then.clone(), Vec::new()], &[2]), [2]);
    // Memory that then says more has boot take section 3 for one that was lost: it is absent as a whole, not half there.
    assert_eq!(boot(&[first.clone(), then.clone(), vec![range(0, 4 * SECTION, 0)]], &[2, 3]), [2]);
    // Nothing at all.
    let (mut env, model, clones) = (Env::new(), place::<M>(), Cell::new(0));
    let lists = [first, Vec::new()];
    let memory = Changing::new(&lists, &clones);
    let up = model.write().unwrap().boot(&mut env, memory, &mut |event| panic!("{event:?}"));
    assert_eq!(up, Ok(BootSummary::default()));
    assert_down(&*model, &env);
}

on_both_tables!(whoever_hears_of_events_may_unwind, the_memory_may_unwind, the_memory_may_change);
