//! DIMMs that the host plugs and wants back, again and again, while the other processors look frames up without pause.
//!
//! Most DIMMs are of a subsection, and one in some of a section, as in `several.rs`. While the host is asked for a DIMM, and
//! while it takes one back, readers look up and probe addresses at which there is no memory at all.

use sparsemem::{PfnRange, SectionShape};
use spin::Mutex;

use super::Ended;
use super::checks::{StoryError, holds, same, some};
use super::host::NewDimm;
use super::readers::{Meanwhile, look_without_pause};
use super::several::{Plugged, ROUNDS, judge, start_all};
use super::system::System;
use super::watch::{Phase, WATCH};
use crate::arch::Sizes;
use crate::dimm::Change;
use crate::processors::{others, together};

/// Three processors look frames up, and the first one takes DIMMs and gives them back, as often as the command line says, or
/// as the other stories of several processors have rounds.
///
/// A round takes some 0.3 s on two busy processors of the host. A sixth of that is the conversation with QEMU; for most of it
/// the kernel waits for readers whose processor does not run at the moment.
pub(super) fn come_and_go(system: &mut System<'_>) -> Result<Ended, StoryError> {
    let section = place(system)?;
    start_all(system)?;
    WATCH.begin(section);
    let count = system.rounds.unwrap_or(ROUNDS);
    let system = Mutex::new(system);
    let result = together(&|reader| look_without_pause(reader, Meanwhile::Wait), || {
        let mut rounds = (0..count).take_while(|_| WATCH.goes_on());
        let result = rounds.try_for_each(|nr| round(&mut system.lock(), section, nr));
        WATCH.stop();
        result
    });
    judge(result, &[])
}

/// Finds the frames at which the host puts a DIMM of a section: it is plugged once, and taken back.
fn place(system: &mut System<'_>) -> Result<PfnRange, StoryError> {
    let dimm = system.plug_online(&NewDimm::new("first", Sizes::SECTION_SIZE))?;
    system.give_up(&dimm)?;
    let section = some("a section", dimm.frames.start().section::<Sizes>().frames::<Sizes>())?;
    same("the frames of the DIMM are a section", &section, &dimm.frames)?;
    Ok(section)
}

/// A DIMM comes, is used by readers, and goes.
fn round(system: &mut System<'_>, section: PfnRange, nr: u64) -> Result<(), StoryError> {
    let new = NewDimm::new("d", 0);
    let memory = Plugged::of_round(section, new.node, nr);
    let dimm = system.plug(&NewDimm { bytes: memory.bytes()?.count().get(), ..new })?;
    holds("the DIMM is where the first one was", dimm.frames == memory.frames)?;
    WATCH.enter(Phase::Coming);
    memory.come(system)?;
    WATCH.enter(Phase::Present);
    WATCH.wait_for(others());
    system.want(&dimm)?;
    WATCH.enter(Phase::Going);
    memory.go(system, &|| WATCH.enter(Phase::Removed))?;
    WATCH.enter(Phase::Absent);
    WATCH.wait_for(others());
    system.slots.acknowledge(&Change::Wanted(dimm.dimm));
    system.let_go(&dimm)
}
