//! The texts that an operator reads: each thing says in one line which one it is, and in what state.

use crate::common::{Model, Op, System};
use sparsemem_core::presets::{Tiny, X86_64};
use sparsemem_core::{ByteLen, MemoryModel, NodeId, PageCount, Pfn, PfnRange};
use sparsemem_fixture::{Fixture, on_every_backend, sections, subsections};
use sparsemem_hotplug::{
    BlockNr, BlockSize, BlockState, FramesRefused, Granule, Limits, MemoryKind, Reason, Request, RequestError,
};

on_every_backend!([Tiny] hotplug_shows_everything_that_it_keeps);

fn frames(start: u64, end: u64) -> PfnRange {
    PfnRange::new(Pfn::new(start), Pfn::new(end)).unwrap()
}

#[test]
fn states_and_numbers_of_blocks_read_as_words() {
    let states = [BlockState::Offline, BlockState::GoingOnline, BlockState::Online, BlockState::GoingOffline];
    let words = states.map(|state| state.to_string());
    assert_eq!(words, ["offline", "going online", "online", "going offline"]);
    let block = BlockNr::new(12);
    assert_eq!((block.to_string(), format!("{block:?}")), ("12".into(), "BlockNr(12)".into()));
}

#[test]
fn a_refused_border_names_its_rule_and_the_granule() {
    let limits = Limits::<X86_64>::new(BlockSize::SECTION);
    let text = |start, end, kind| {
        Request::new(frames(start, end), NodeId::new(0), kind, &limits).unwrap_err().to_string()
    };
    let range = frames(0x200, 0x8000);
    assert_eq!(
        text(0x200, 0x8000, MemoryKind::Ram),
        format!("{range} does not consist of whole memory blocks, multiples of {}", PageCount::new(0x8000))
    );
    let range = frames(0x100, 0x8000);
    assert_eq!(
        text(0x100, 0x8000, MemoryKind::Device),
        format!("{range} does not consist of whole subsections, multiples of {}", PageCount::new(512))
    );
    let error =
        RequestError::Unaligned { frames: range, rule: Granule::Subsection, granule: PageCount::new(512) };
    assert_eq!(error.to_string(), text(0x100, 0x8000, MemoryKind::RamPart));
}

#[test]
fn requests_and_limits_show_what_they_hold() {
    let block = BlockSize::<X86_64>::new(ByteLen::new(256 << 20)).unwrap();
    assert_eq!(format!("{block:?}"), "BlockSize(65536 frames)");
    let limits = Limits::new(block).addressable(frames(0, 1 << 20));
    let range = frames(0, 1 << 20);
    assert_eq!(
        format!("{limits:?}"),
        format!("Limits {{ addressable: {range:?}, block: BlockSize(65536 frames) }}")
    );
    let ram = frames(0x1_0000, 0x2_0000);
    let request = Request::new(ram, NodeId::new(3), MemoryKind::Ram, &limits).unwrap();
    let node = NodeId::new(3);
    assert_eq!(format!("{request:?}"), format!("Request {{ frames: {ram:?}, node: {node:?}, kind: Ram }}"));
}

#[test]
fn a_refusal_names_frames_and_reason() {
    let reasons = [
        (Reason::InUse, "in use"),
        (Reason::Unmovable, "not movable"),
        (Reason::Poisoned, "poisoned"),
        (Reason::OutOfMemory, "no memory for it"),
        (Reason::Interrupted, "interrupted"),
        (Reason::Policy("the operator said no"), "the operator said no"),
    ];
    let range = frames(5, 9);
    for (reason, words) in reasons {
        let refused = FramesRefused { frames: range, reason };
        assert_eq!(refused.to_string(), format!("frames {range}: {words}"));
    }
}

/// The whole of a machine in one line: its model, blocks, notifiers and resources.
fn hotplug_shows_everything_that_it_keeps<M: Model>(fixture: Fixture<M>) {
    let early = sections::<M::Geometry>(0, 1);
    let mut system = System::boot(fixture, Limits::new(BlockSize::SECTION), &[early]);
    system.apply(Op::AddMemory(sections::<M::Geometry>(3, 1))).unwrap();
    system.apply(Op::AddDevice(subsections::<M::Geometry>(5, 0, 1))).unwrap();
    let text = format!("{:?}", system.hotplug);
    let model = format!("{:?}", system.model.name());
    let words = [
        "Hotplug",
        model.as_str(),
        "BlockNr(0)",
        "BlockNr(3)",
        "first (priority 7)",
        "third (priority -1)",
        "\"System RAM\"",
        "\"device\"",
    ];
    for word in words {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    let told: Vec<_> = system.hotplug.notifiers().iter().map(|it| (it.name(), it.priority())).collect();
    assert_eq!(told, [("first", 7), ("second", 7), ("third", -1)]);
}
