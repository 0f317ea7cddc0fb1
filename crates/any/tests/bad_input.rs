//! Input that cannot be, for every operation of a model: each is refused by name, and everything stays as it was.

use sparsemem_core::presets::X86_64;
use sparsemem_core::{
    BootError, BootEvent, BootModel, FramesError, GracePeriod, InstallError, Mark, MarkError, MemoryModel,
    MemoryRange, PageCount, Pfn, PfnRange, RetireError, SectionFlags, SectionNr, SectionShape, SectionState,
    SubsectionBits, Writer,
};
use sparsemem_fixture::{Fixture, NODE, Pc, PcModel, boot, frames, on_every_backend};
use sparsemem_machine::{Machine, StateDigest};

on_every_backend!(
    [X86_64]
    ranges_that_no_operation_takes,
    ranges_over_a_border_of_sections,
    installing_what_is_there,
    retiring_what_is_not_there_or_in_use,
    marking_what_is_not_there_or_is_so_already,
    booting_what_is_up_or_cannot_be,
);

/// Everything that can be seen.
type State = (StateDigest, Vec<SectionState>, usize);

/// A model whose refusals are checked.
struct Checked<R: GracePeriod> {
    model: PcModel<R>,
    machine: Machine,
}

impl<R: GracePeriod> Checked<R> {
    fn new(fixture: Pc<R>) -> Self {
        let Fixture { model, machine } = fixture;
        Self { model, machine }
    }

    /// Section 0 of boot, online; of section 2, subsections 4 to 7, of which 6 and 7 are online.
    fn ready(fixture: Pc<R>) -> Self {
        let range = MemoryRange { frames: frames(0, 0, 64), node: NODE };
        let mut checked = Self::new(fixture);
        let Self { model, machine } = &mut checked;
        boot(model, machine, &[range]);
        let mut writer = model.write().unwrap();
        writer.install(machine, frames(2, 4, 4), NODE).unwrap();
        writer.set_online(frames(2, 6, 2)).unwrap();
        drop(writer);
        checked
    }

    fn state(&self) -> State {
        let last = SectionNr::new(X86_64::NR_SECTIONS - 1);
        let sections = (0..4).map(SectionNr::new).chain([last]);
        let states = sections.map(|nr| self.model.section(nr)).collect();
        (self.machine.state_digest(), states, self.machine.mirrored().count())
    }

    /// Runs an operation that has to fail, and to change nothing.
    fn refuses<T: core::fmt::Debug, E: core::fmt::Debug + PartialEq + Copy>(
        &mut self,
        operation: impl FnOnce(&mut Writer<'_, PcModel<R>>, &mut Machine) -> Result<T, E>,
        why: E,
    ) {
        let before = self.state();
        let Self { model, machine } = self;
        assert_eq!(operation(&mut model.write().unwrap(), machine).unwrap_err(), why);
        assert_eq!(self.state(), before, "{why:?} changed something");
    }

    /// Runs every operation that takes whole subsections.
    fn all_refuse(&mut self, frames: PfnRange, why: FramesError) {
        self.refuses(|writer, machine| writer.install(machine, frames, NODE), why.into());
        self.refuses(|writer, machine| writer.retire(machine, frames), RetireError::from(why));
        self.refuses(|writer, _| writer.set_online(frames), MarkError::from(why));
        self.refuses(|writer, _| writer.set_offline(frames), MarkError::from(why));
        self.refuses(|writer, _| writer.taint(frames), MarkError::from(why));
    }
}

fn range(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

fn bits(first: u64, count: u64) -> SubsectionBits {
    SubsectionBits::touched::<X86_64>(frames(0, first, count)).unwrap()
}

/// Empty, unaligned, beyond the maximum, at the end of all numbers.
fn ranges_that_no_operation_takes<R: GracePeriod>(fixture: Pc<R>) {
    let mut checked = Checked::ready(fixture);
    let (section, granule) = (X86_64::PAGES_PER_SECTION, X86_64::PAGES_PER_SUBSECTION);
    let last = Pfn::new(X86_64::MAX_PFN - 1);
    let (max, top) = (X86_64::MAX_PFN, u64::MAX);
    for start in [0, 512, section, max, top] {
        let frames = PfnRange::empty_at(Pfn::new(start));
        checked.all_refuse(frames, FramesError::Empty { frames });
    }
    for (start, end) in [(1, 512), (0, 511), (0, 1), (511, 513), (section - 1, section), (max - 1, max)] {
        let frames = range(start, end);
        checked.all_refuse(frames, FramesError::Unaligned { frames, granule });
    }
    for (start, end) in [(max, max + 512), (max - 512, max + 512), (top - 511 - 512, top - 511)] {
        let frames = range(start, end);
        checked.all_refuse(frames, FramesError::BeyondMaximum { frames, last });
    }
    // The last frame number of all belongs to no range; what ends at it is not aligned.
    let frames = range(top - 511, top);
    checked.all_refuse(frames, FramesError::Unaligned { frames, granule });
    assert!(PfnRange::from_start_count(Pfn::new(top), PageCount::new(2)).is_none(), "no range wraps");
    assert!(PfnRange::new(Pfn::new(512), Pfn::new(0)).is_err(), "no range runs backwards");
}

/// Installing takes one section. The others take any number: all of it, or nothing for the sake of one subsection.
fn ranges_over_a_border_of_sections<R: GracePeriod>(fixture: Pc<R>) {
    let mut checked = Checked::ready(fixture);
    let (section, max) = (X86_64::PAGES_PER_SECTION, X86_64::MAX_PFN);
    for (start, end) in [(0, section + 512), (section - 512, section + 512), (512, max)] {
        let frames = range(start, end);
        let section = SectionNr::new(start / section);
        let why = FramesError::CrossesSection { frames, section };
        checked.refuses(|writer, machine| writer.install(machine, frames, NODE), why.into());
    }
    // The last subsection of section 0 is there and online, the first one of section 1 is not there.
    let (both, first, second) = (frames(0, 63, 2), frames(0, 63, 1), frames(1, 0, 1));
    let (section, bit) = (SectionNr::new(1), bits(0, 1));
    let absent = MarkError::Absent { frames: second, section, absent: bit };
    checked.refuses(|writer, _| writer.set_offline(both), absent);
    checked.refuses(|writer, _| writer.taint(both), absent);
    checked.model.write().unwrap().set_offline(first).unwrap();
    checked.refuses(|writer, _| writer.set_online(both), absent);
    let why = RetireError::Absent { frames: second, section, absent: bit };
    checked.refuses(|writer, machine| writer.retire(machine, both), why);
    // Now it is there and online.
    let mut writer = checked.model.write().unwrap();
    writer.install(&mut checked.machine, second, NODE).unwrap();
    writer.set_online(second).unwrap();
    drop(writer);
    let already = MarkError::Already { frames: second, section, already: bit };
    checked.refuses(|writer, _| writer.set_online(both), already);
    let why = RetireError::Online { frames: second, section, online: bit };
    checked.refuses(|writer, machine| writer.retire(machine, both), why);
    // And is like the other one.
    let mut writer = checked.model.write().unwrap();
    writer.set_offline(second).unwrap();
    for mark in [Mark::Online, Mark::Shared, Mark::Offline] {
        match mark {
            Mark::Online => writer.set_online(both).unwrap(),
            Mark::Offline => writer.set_offline(both).unwrap(),
            Mark::Shared => writer.taint(both).unwrap(),
        }
        let marked = [0, 1].map(|nr| checked.model.section(SectionNr::new(nr)));
        assert_eq!(marked[0].online, bits(0, if mark == Mark::Offline { 63 } else { 64 }));
        assert_eq!(marked[1].online, if mark == Mark::Offline { SubsectionBits::EMPTY } else { bit });
        let shared = marked.map(|state| state.flags.contains(SectionFlags::TAINT_ZONE_DEVICE));
        assert_eq!(shared, [mark != Mark::Online; 2]);
    }
    let retired = writer.retire(&mut checked.machine, both).unwrap();
    assert_eq!((retired.sections, retired.gone, retired.lost.count()), (2, 1, 0));
    assert_eq!(checked.model.section(SectionNr::new(0)).subsections, bits(0, 63));
    assert_eq!(checked.model.section(section), SectionState::ABSENT);
}

fn installing_what_is_there<R: GracePeriod>(fixture: Pc<R>) {
    let mut checked = Checked::ready(fixture);
    for (wanted, populated) in [
        (frames(0, 0, 64), bits(0, 64)),
        (frames(0, 63, 1), bits(63, 1)),
        (frames(2, 4, 4), bits(4, 4)),
        (frames(2, 0, 5), bits(4, 1)),
        (frames(2, 7, 57), bits(7, 1)),
        (frames(2, 0, 64), bits(4, 4)),
    ] {
        let section = wanted.start().section::<X86_64>();
        let why = InstallError::Populated { frames: wanted, section, populated };
        checked.refuses(|writer, machine| writer.install(machine, wanted, NODE), why);
    }
    // The last section of all has no memory behind its place in a window that is too small; a table has.
    let last = frames(X86_64::NR_SECTIONS - 1, 0, 1);
    let before = checked.state();
    let Checked { model, machine } = &mut checked;
    let mut writer = model.write().unwrap();
    if writer.install(machine, last, NODE).is_ok() {
        assert!(writer.retire(machine, last).unwrap().lost.is_empty());
    }
    drop(writer);
    assert_eq!(checked.state(), before);
}

fn retiring_what_is_not_there_or_in_use<R: GracePeriod>(fixture: Pc<R>) {
    let mut checked = Checked::ready(fixture);
    for (wanted, absent) in [
        (frames(1, 0, 64), bits(0, 64)),
        (frames(300, 5, 1), bits(5, 1)),
        (frames(X86_64::NR_SECTIONS - 1, 63, 1), bits(63, 1)),
        (frames(2, 3, 2), bits(3, 1)),
        (frames(2, 5, 4), bits(8, 1)),
    ] {
        let section = wanted.start().section::<X86_64>();
        let why = RetireError::Absent { frames: wanted, section, absent };
        checked.refuses(|writer, machine| writer.retire(machine, wanted), why);
    }
    for (wanted, online) in [
        (frames(0, 0, 64), bits(0, 64)),
        (frames(0, 9, 1), bits(9, 1)),
        (frames(2, 4, 4), bits(6, 2)),
        (frames(2, 7, 1), bits(7, 1)),
    ] {
        let section = wanted.start().section::<X86_64>();
        let why = RetireError::Online { frames: wanted, section, online };
        checked.refuses(|writer, machine| writer.retire(machine, wanted), why);
    }
}

fn marking_what_is_not_there_or_is_so_already<R: GracePeriod>(fixture: Pc<R>) {
    let mut checked = Checked::ready(fixture);
    for (wanted, absent) in [
        (frames(1, 0, 64), bits(0, 64)),
        (frames(300, 5, 1), bits(5, 1)),
        (frames(2, 3, 2), bits(3, 1)),
        (frames(2, 0, 64), bits(0, 64).difference(bits(4, 4))),
    ] {
        let section = wanted.start().section::<X86_64>();
        let why = MarkError::Absent { frames: wanted, section, absent };
        checked.refuses(|writer, _| writer.set_online(wanted), why);
        checked.refuses(|writer, _| writer.set_offline(wanted), why);
        checked.refuses(|writer, _| writer.taint(wanted), why);
    }
    let section = SectionNr::new(2);
    let (wanted, already) = (frames(2, 5, 2), bits(6, 1));
    let online = MarkError::Already { frames: wanted, section, already };
    checked.refuses(|writer, _| writer.set_online(wanted), online);
    let already = bits(5, 1);
    let offline = MarkError::Already { frames: wanted, section, already };
    checked.refuses(|writer, _| writer.set_offline(wanted), offline);
}

fn booting_what_is_up_or_cannot_be<R: GracePeriod>(fixture: Pc<R>) {
    let mut checked = Checked::new(fixture);
    let max = X86_64::MAX_PFN;
    let memory = |range| MemoryRange { frames: range, node: NODE };
    // Empty, twice the same, overlapping, backwards in order, unaligned, over the end and beyond it: all of it is taken as
    // far as it exists.
    let ranges = [range(70_000, 70_000), range(7, 900), range(3, 8), range(7, 900)].map(memory);
    let beyond = [range(max - 3, max + 5), range(max + 100, u64::MAX)].map(memory);
    let Checked { model, machine } = &mut checked;
    let mut told = Vec::new();
    let mut writer = model.write().unwrap();
    let summary = writer.boot(machine, ranges.into_iter(), &mut |event| told.push(event)).unwrap();
    drop(writer);
    assert_eq!((summary.sections, summary.lost, told.len()), (1, 0, 0));
    assert_eq!(model.section(SectionNr::new(0)).subsections, bits(0, 2));
    let present = SectionNr::new(0);
    checked.refuses(
        |writer, machine| writer.boot(machine, ranges.into_iter(), &mut |event| panic!("{event:?}")),
        BootError::AlreadyUp { present },
    );
    let Checked { model, machine } = &mut checked;
    model.tear_down(machine).unwrap();
    assert!(machine.balance().is_zero());
    let mut writer = model.write().unwrap();
    let summary = writer.boot(machine, beyond.into_iter(), &mut |event| told.push(event)).unwrap();
    drop(writer);
    assert_eq!(summary.sections + summary.lost, 1, "one section has frames that exist");
    assert_eq!(summary.beyond_maximum.get(), u64::MAX - (max + 100) + 5);
    assert!(told.iter().all(|event| !matches!(event, BootEvent::BlocksLost { .. })));
    model.tear_down(machine).unwrap();
    // Down already: nothing to do.
    model.tear_down(machine).unwrap();
    assert!(machine.balance().is_zero());
}
