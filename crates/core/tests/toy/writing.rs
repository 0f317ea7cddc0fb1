//! The writer of a model: one at a time, every change through it, and lent to models that share its slot.

use sparsemem_core::{
    BootEvent, InstallError, MarkError, MemoryModel, MemoryRange, NodeId, Page, Pfn, RetireError,
    SectionFlags, SectionNr, WriterSlot,
};

use crate::model::{Toy, bits, frames};

const NODE: NodeId = NodeId::new(0);

#[test]
fn there_is_one_writer_at_a_time() {
    let model = Toy::<Page>::new("toy");
    let writer = model.write().unwrap();
    assert!(model.write().is_none());
    let wrapped = &model;
    assert!(MemoryModel::write(&wrapped).is_none(), "a reference to the model has the same slot");
    drop(writer);
    assert!(model.write().is_some());
}

#[test]
fn models_that_share_a_slot_keep_each_others_writers_out() {
    let first = Toy::<Page>::new("first");
    let second = Toy::<Page>::with_slot("second", first.slot());
    let apart = Toy::<Page>::new("apart");
    let writer = first.write().unwrap();
    assert!(second.write().is_none());
    assert!(apart.write().is_some(), "it has a slot of its own");
    drop(writer);
    assert!(second.write().is_some());
}

#[test]
fn a_projection_changes_the_other_model_and_ends_without_giving_the_slot_back() {
    let first = Toy::<Page>::new("first");
    let second = Toy::<Page>::with_slot("second", first.slot());
    let mut writer = first.write().unwrap();
    let mut lent = writer.project(&second);
    lent.install(&mut (), frames(0, 2), NODE).unwrap();
    assert!(std::ptr::eq(lent.model(), &raw const second));
    drop(lent);
    assert!(second.is_valid(Pfn::new(0)) && !first.is_valid(Pfn::new(0)));
    assert!(second.write().is_none(), "the first writer still has the slot");
    writer.install(&mut (), frames(2, 4), NODE).unwrap();
    assert!(first.is_valid(Pfn::new(2)));
}

#[test]
fn a_writer_of_a_reference_changes_the_model_behind_it() {
    let model = Toy::<Page>::new("toy");
    let wrapped = &model;
    let mut writer = MemoryModel::write(&wrapped).unwrap();
    writer.project(&model).install(&mut (), frames(0, 2), NODE).unwrap();
    assert!(model.is_valid(Pfn::new(1)));
}

#[test]
#[should_panic(expected = "the models left and right do not share a writer slot")]
fn a_writer_is_not_lent_to_a_model_with_another_slot() {
    let (left, right) = (Toy::<Page>::new("left"), Toy::<Page>::new("right"));
    let mut writer = left.write().unwrap();
    let _ = writer.project(&right);
}

#[test]
fn a_writer_prints_its_model_and_whether_it_is_lent() {
    let model = Toy::<Page>::new("some-model");
    let mut writer = model.write().unwrap();
    assert_eq!(format!("{writer:?}"), r#"Writer { model: "some-model", lent: false }"#);
    assert_eq!(format!("{:?}", writer.project(&model)), r#"Writer { model: "some-model", lent: true }"#);
}

#[test]
fn a_fresh_slot_is_free() {
    assert_eq!(format!("{:?}", WriterSlot::default()), format!("{:?}", WriterSlot::new()));
}

#[test]
fn the_writer_boots_and_answers_with_what_the_model_did() {
    let model = Toy::<Page>::new("toy");
    let memory = [frames(0, 10), frames(60, 70)].map(|frames| MemoryRange { frames, node: NODE });
    let mut events = Vec::new();
    let summary =
        model.write().unwrap().boot(&mut (), memory.into_iter(), &mut |event| events.push(event)).unwrap();
    assert_eq!(summary.sections, 3);
    assert_eq!(events, [BootEvent::BeyondMaximum { frames: frames(64, 70), last: Pfn::new(63) }]);
    assert!(model.is_valid(Pfn::new(9)) && model.is_valid(Pfn::new(63)) && !model.is_valid(Pfn::new(10)));
}

#[test]
fn the_writer_installs_and_retires() {
    let model = Toy::<Page>::new("toy");
    let mut writer = model.write().unwrap();
    writer.install(&mut (), frames(2, 6), NODE).unwrap();
    assert!(model.is_valid(Pfn::new(2)) && model.is_valid(Pfn::new(5)) && !model.is_valid(Pfn::new(6)));
    let section = SectionNr::new(0);
    let again = writer.install(&mut (), frames(0, 4), NODE);
    assert_eq!(
        again,
        Err(InstallError::Populated { frames: frames(0, 4), section, populated: bits(0b0010) })
    );
    let retired = writer.retire(&mut (), frames(2, 4)).unwrap();
    assert_eq!(retired.sections, 1);
    assert!(!model.is_valid(Pfn::new(3)) && model.is_valid(Pfn::new(4)));
    let gone = writer.retire(&mut (), frames(2, 6));
    assert_eq!(gone, Err(RetireError::Absent { frames: frames(2, 6), section, absent: bits(0b0010) }));
}

#[test]
fn the_writer_marks() {
    let model = Toy::<Page>::populated("toy", [frames(0, 8)]);
    let mut writer = model.write().unwrap();
    let section = SectionNr::new(0);
    writer.set_online(frames(0, 4)).unwrap();
    assert_eq!(model.section(section).online, bits(0b0011));
    let twice = writer.set_online(frames(2, 6));
    assert_eq!(twice, Err(MarkError::Already { frames: frames(2, 6), section, already: bits(0b0010) }));
    writer.set_offline(frames(0, 2)).unwrap();
    assert_eq!(model.section(section).online, bits(0b0010));
    assert!(!model.section(section).flags.contains(SectionFlags::TAINT_ZONE_DEVICE));
    writer.taint(frames(4, 8)).unwrap();
    assert!(model.section(section).flags.contains(SectionFlags::TAINT_ZONE_DEVICE));
}
