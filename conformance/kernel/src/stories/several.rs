//! Stories of several processors: some look frames up without pause while another adds memory, brings it online, takes it
//! offline and removes it, again and again.
//!
//! The memory is RAM that the command line withheld from boot; `plugged_dimms.rs` has the story with DIMMs. Most rounds are about a
//! subsection, because an emulated processor needs a tenth of a second for the frames of a section, in which the model
//! does not change either; every [`WHOLE`]th is about a section, with the memory block and the resource of it.
//!
//! # Invariants
//!
//! 1. Whoever changes memory, or the direct map, holds the lock around the [`System`]; it holds no reader then.

use alloc::format;

use sparsemem::{NodeId, PageCount, PfnRange, PhysRange, SectionNr, SectionShape};
use sparsemem_hotplug::{MemoryKind, Ram, Request};
use sparsemem_suite::WorldWithEnvironment;
use spin::Mutex;

use super::Ended;
use super::checks::{StoryError, holds, same, some};
use super::readers::{Meanwhile, look_in_handler, look_without_pause};
use super::system::System;
use super::watch::{Count, Phase, WATCH};
use crate::arch::{Sizes, processors as own};
use crate::frames::{FRAMES, Pages, take_zeroed};
use crate::processors::{self, MOST, Processor, flush, on_interruption, together};
use crate::{model, paging, say};

/// Rounds of a story; in each, memory is added and removed. Four stories on three models with a memmap for each section make
/// more than a thousand rounds in all. A model of one array neither allocates nor frees descriptors in a round, so it has
/// fewer: one of them adds and removes a whole section.
pub(super) const ROUNDS: u64 = if model::IS_SPARSE { 120 } else { WHOLE };
/// One round in so many is about a whole section.
const WHOLE: u64 = if model::IS_SPARSE { 30 } else { 10 };
/// One round in so many is printed, so that the host sees that the kernel goes on.
const SHOWN: u64 = 20;

/// Three processors look frames up, and the first one changes memory.
pub(super) fn readers(system: &mut System<'_>) -> Result<Ended, StoryError> {
    one_plugs(system, &|reader| look_without_pause(reader, Meanwhile::Wait), &[])
}

/// The same, and the timer interrupts one of the readers all the time: its handler looks up, too.
pub(super) fn interrupted(system: &mut System<'_>) -> Result<Ended, StoryError> {
    on_interruption(look_in_handler);
    let work = |reader: Processor| {
        let is_interrupted = reader.index() == MOST - 1;
        if is_interrupted {
            own::start_timer();
        }
        look_without_pause(reader, Meanwhile::Wait);
        if is_interrupted {
            own::stop_timer();
        }
    };
    one_plugs(system, &work, &[Count::InTimer])
}

/// The same without the timer: readers take page faults while they hold a descriptor, and the handler looks up.
pub(super) fn page_faults(system: &mut System<'_>) -> Result<Ended, StoryError> {
    on_interruption(look_in_handler);
    one_plugs(system, &|reader| look_without_pause(reader, Meanwhile::Fault), &[Count::InFault])
}

/// Two processors change memory, a section each, and the others look up. The one that has to wait for the lock around
/// hotplug takes interrupts, and so acknowledges the flushes of the other.
pub(super) fn two_that_plug(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let setting = match Setting::begin(system)? {
        Ok(setting) => setting,
        Err(ended) => return Ok(ended),
    };
    let (mine, theirs) = (setting.section(0)?, setting.section(1)?);
    WATCH.begin(PfnRange::new(mine.start(), theirs.end())?);
    let second = Processor::new(1);
    let readers = processors::others() & !second.bit();
    let (hotplug, node) = (Mutex::new(system), setting.node);
    let second_result = Mutex::new(Ok(()));
    let work = |processor: Processor| {
        if processor == second {
            *second_result.lock() = rounds(ROUNDS / 2, (theirs, node), &hotplug, &|_| {}, &|| {});
        } else {
            look_without_pause(processor, Meanwhile::Wait);
        }
    };
    let result = together(&work, || {
        let rest = || WATCH.wait_for(readers);
        let enter = |phase| WATCH.enter(phase);
        let result = rounds(ROUNDS / 2, (mine, node), &hotplug, &enter, &rest);
        WATCH.stop();
        result
    });
    judge(result.and(second_result.into_inner()), &[])
}

/// One processor changes memory, and the others do some work meanwhile, which has to count these things.
fn one_plugs(
    system: &mut System<'_>,
    work: &(dyn Fn(Processor) + Sync),
    has_to_count: &[Count],
) -> Result<Ended, StoryError> {
    let setting = match Setting::begin(system)? {
        Ok(setting) => setting,
        Err(ended) => return Ok(ended),
    };
    let frames = setting.section(0)?;
    WATCH.begin(frames);
    let readers = processors::others();
    let (hotplug, node) = (Mutex::new(system), setting.node);
    let result = together(work, || {
        let rest = || WATCH.wait_for(readers);
        let result = rounds(ROUNDS, (frames, node), &hotplug, &|phase| WATCH.enter(phase), &rest);
        WATCH.stop();
        result
    });
    judge(result, has_to_count)
}

/// Frames of a subsection.
const SUBSECTION: PageCount = PageCount::new(Sizes::PAGES_PER_SUBSECTION);

/// Memory that comes and goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plugged {
    pub(super) frames: PfnRange,
    node: NodeId,
    unit: Unit,
}

/// The unit in which memory is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// A section, as a memory block with its resource.
    Section,
    /// A subsection, to the model alone.
    Subsection,
}

impl Plugged {
    /// The memory of a round: a section, or its first subsection.
    pub(super) fn of_round(section: PfnRange, node: NodeId, round: u64) -> Self {
        let unit = if round % WHOLE == WHOLE - 1 { Unit::Section } else { Unit::Subsection };
        let frames = match unit {
            Unit::Section => section,
            Unit::Subsection => section.split_at(section.start().saturating_add(SUBSECTION)).0,
        };
        Self { frames, node, unit }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> Result<PhysRange, StoryError> {
        some("the bytes of frames", self.frames.bytes::<Sizes>())
    }

    /// Makes it reachable, adds it, and brings it online.
    pub(super) fn come(&self, system: &mut System<'_>) -> Result<(), StoryError> {
        let Self { frames, node, unit } = *self;
        paging::map(self.bytes()?, &mut take_zeroed)?;
        match unit {
            Unit::Section => {
                system.hotplug.add_memory(system.world.env_mut(), frames, node, Ram::default())?;
                Ok(system.hotplug.online(&mut Pages, frames)?)
            }
            Unit::Subsection => {
                let limits = system.hotplug.limits();
                system.add_parts(&Request::new(frames, node, MemoryKind::RamPart, limits)?)
            }
        }
    }

    /// Takes it offline, removes it, calls `on_removed`, and makes it unreachable.
    pub(super) fn go(&self, system: &mut System<'_>, on_removed: &dyn Fn()) -> Result<(), StoryError> {
        match self.unit {
            Unit::Section => {
                system.hotplug.offline(&mut Pages, self.frames)?;
                system.remove(self.frames)?;
            }
            Unit::Subsection => system.remove_parts(self.frames)?,
        }
        on_removed();
        paging::unmap(self.bytes()?);
        Ok(())
    }
}

/// Does so many rounds with the memory of a section, until something is wrong: it comes and goes. `enter` is told of each
/// phase, and `rest` is called when all is there, and when all is gone.
fn rounds(
    count: u64,
    (section, node): (PfnRange, NodeId),
    hotplug: &Mutex<&mut System<'_>>,
    enter: &dyn Fn(Phase),
    rest: &dyn Fn(),
) -> Result<(), StoryError> {
    for round in (0..count).take_while(|_| WATCH.goes_on()) {
        if round % SHOWN == 0 {
            say!("  round {round}");
        }
        let plugged = Plugged::of_round(section, node, round);
        FRAMES.lock().set_node(plugged.frames, node)?;
        enter(Phase::Coming);
        plugged.come(&mut hotplug.lock())?;
        enter(Phase::Present);
        rest();
        enter(Phase::Going);
        plugged.go(&mut hotplug.lock(), &|| enter(Phase::Removed))?;
        enter(Phase::Absent);
        FRAMES.lock().forget_node(plugged.frames);
        rest();
    }
    Ok(())
}

/// The setting that the stories have in common: memory that is added and removed.
struct Setting {
    withheld: PfnRange,
    node: NodeId,
}

impl Setting {
    /// Starts the other processors, or returns why the story cannot be told.
    fn begin(system: &System<'_>) -> Result<Result<Self, Ended>, StoryError> {
        let Some((withheld, node)) = system.withheld else {
            return Ok(Err(Ended::NotApplicable("the command line withholds no memory")));
        };
        start_all(system)?;
        Ok(Ok(Self { withheld: withheld.whole_frames::<Sizes>(), node }))
    }

    /// One of the sections that come and go.
    fn section(&self, nr: u64) -> Result<PfnRange, StoryError> {
        let first = self.withheld.start().section::<Sizes>().get();
        let frames = some("a section", SectionNr::new(first + nr).frames::<Sizes>())?;
        holds("the section was withheld from boot", self.withheld.contains_range(frames))?;
        Ok(frames)
    }
}

/// Starts all other processors.
pub(super) fn start_all(system: &System<'_>) -> Result<(), StoryError> {
    let there = processors::start_others(&system.processors)?;
    same("processors that run", &MOST, &usize::try_from(there)?)
}

/// Judges what the processors have seen, and says what they have counted.
pub(super) fn judge(result: Result<(), StoryError>, has_to_count: &[Count]) -> Result<Ended, StoryError> {
    if let Some((wrong, frame)) = WATCH.wrong() {
        return Err(StoryError::new(format_args!("{wrong}: frame {frame}, in round {}", WATCH.round())));
    }
    result?;
    let flushes = flush::counts();
    for (nr, (asked, done)) in flushes.iter().enumerate() {
        same(&format!("flushes that processor {nr} has acknowledged"), asked, done)?;
    }
    let asked: u64 = flushes.iter().map(|(asked, _)| asked).sum();
    holds("processors were asked to flush", asked > 0 || !own::FLUSHES_BY_INTERRUPTS)?;
    let always = [Count::Lookups, Count::Online, Count::Held, Count::Walks, Count::Probes];
    for what in always.iter().chain(has_to_count) {
        holds(&format!("{what:?} were counted"), WATCH.counted(*what) > 0)?;
    }
    let [lookups, online, held, walks, probes] = always.map(|what| WATCH.counted(what));
    let handlers = WATCH.counted(Count::InTimer) + WATCH.counted(Count::InFault);
    let counts = format!(
        "{} rounds: {lookups} lookups, {online} of them online, {held} held for a while, {handlers} in handlers; \
         {walks} walks; {probes} looks for stale translations; {asked} flushes acknowledged",
        WATCH.round()
    );
    say!("  {counts}");
    Ok(Ended::Counted(counts))
}
