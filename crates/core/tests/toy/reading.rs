//! Lookups through readers, and through a reference to a model.

use std::ptr::NonNull;

use sparsemem_core::{LookupError, MemoryModel, Page, Pfn, SectionNr, SectionState};

use crate::model::{FOOTPRINT, Toy, frames, guard};
use crate::readers::own_guards;

/// Frames 2 to 5 and 16 to 19, of which 4 and 5 are online.
fn model() -> Toy {
    let model = Toy::populated("toy", [frames(2, 6), frames(16, 20)]);
    model.write().unwrap().set_online(frames(4, 6)).unwrap();
    model
}

/// The frames for which a lookup finds their own descriptor.
fn found(model: &Toy, lookup: impl Fn(Pfn) -> Option<NonNull<Page>>) -> Vec<u64> {
    let valid = |pfn: &u64| {
        let page = lookup(Pfn::new(*pfn));
        assert!(page.is_none_or(|page| page == model.place(Pfn::new(*pfn))), "frame {pfn}");
        page.is_some()
    };
    (0..80).filter(valid).collect()
}

const VALID: [u64; 8] = [2, 3, 4, 5, 16, 17, 18, 19];
const ONLINE: [u64; 2] = [4, 5];

#[test]
fn a_reader_lends_the_descriptors_of_valid_frames() {
    let model = model();
    let reader = model.read();
    assert_eq!(found(&model, |pfn| reader.page(pfn).map(NonNull::from)), VALID);
    assert_eq!(found(&model, |pfn| reader.online_page(pfn).map(NonNull::from)), ONLINE);
    assert_eq!(found(&model, |pfn| reader.explain(pfn).ok().map(NonNull::from)), VALID);
    let (pfn, section) = (Pfn::new(9), SectionNr::new(1));
    assert_eq!(reader.explain(pfn).unwrap_err(), LookupError::AbsentSection { pfn, section });
}

#[test]
fn lookups_without_a_reader_find_the_same() {
    let model = model();
    assert_eq!(found(&model, |pfn| model.lookup(pfn)), VALID);
    assert_eq!((0..80).filter(|pfn| model.is_valid(Pfn::new(*pfn))).collect::<Vec<_>>(), VALID);
}

#[test]
fn a_reader_is_inside_for_as_long_as_it_lives() {
    let model = model();
    let before = own_guards();
    let reader = model.read();
    assert_eq!(own_guards(), before + 1);
    let nested = model.read();
    assert_eq!((own_guards(), nested.page(Pfn::new(2)).is_some()), (before + 2, true));
    drop(reader);
    assert_eq!(own_guards(), before + 1);
    drop(nested);
    assert_eq!(own_guards(), before);
    assert!(model.lookup(Pfn::new(2)).is_some());
    assert_eq!(own_guards(), before, "a bare lookup leaves again");
}

#[test]
fn a_reader_prints_its_model() {
    let model = model();
    assert_eq!(format!("{:?}", model.read()), r#"Reader { model: "toy", .. }"#);
}

#[test]
fn a_reference_to_a_model_answers_as_the_model() {
    let model = model();
    let (wrapped, guard) = (&&model, guard());
    assert_eq!((wrapped.name(), wrapped.footprint()), ("toy", FOOTPRINT));
    assert_eq!(found(&model, |pfn| wrapped_lookup(wrapped, pfn)), VALID);
    let online = |pfn| MemoryModel::lookup_online_with(wrapped, pfn, &guard);
    assert_eq!(found(&model, online), ONLINE);
    assert_eq!(found(&model, |pfn| MemoryModel::explain(wrapped, pfn, &guard).ok()), VALID);
    assert_eq!(states(wrapped), states(&model));
    assert!(std::ptr::eq(MemoryModel::writer_slot(wrapped), model.writer_slot()));
    assert_eq!(sections(wrapped), [0, 2]);
    assert_eq!(runs(wrapped), [frames(2, 6), frames(16, 20)]);
    for pfn in VALID.map(Pfn::new) {
        // SAFETY: the frame is valid and stays so.
        let page = unsafe { MemoryModel::lookup_unchecked(wrapped, pfn) };
        assert_eq!(page, model.place(pfn));
        // SAFETY: as above; it is the frame's descriptor.
        assert_eq!(unsafe { MemoryModel::pfn_of(wrapped, page) }, pfn);
    }
}

fn wrapped_lookup<M: MemoryModel<Page = Page>>(model: &M, pfn: Pfn) -> Option<NonNull<Page>> {
    model.lookup(pfn)
}

fn states<M: MemoryModel>(model: &M) -> Vec<SectionState> {
    (0..9).map(|nr| model.section(SectionNr::new(nr))).collect()
}

fn sections<M: MemoryModel>(model: &M) -> Vec<u64> {
    // Ended here, so that a walk that does not end is a failure and no wait.
    model.present_sections().map(SectionNr::get).take(9).collect()
}

fn runs<M: MemoryModel>(model: &M) -> Vec<sparsemem_core::PfnRange> {
    model.valid_ranges(frames(0, 100)).take(9).collect()
}
