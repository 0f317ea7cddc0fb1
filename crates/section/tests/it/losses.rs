//! The report of an operation at its end: blocks that the environment did not take back, with the first section that
//! had one, sections that boot could not mark, and those that it brought up.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use sparsemem_core::{BootEvent, MemoryRange, NodeId, SectionLoss, SectionNr, TearDownError};
use sparsemem_machine::place;

use crate::tables::{
    HALF, Model, NODE, ROOT, SECTION, boot, boot_telling, frames, on_both_tables, present, sections,
};
use sparsemem_fixture::Env;

/// Tears a model of three sections down whose environment takes some blocks back and then no more.
fn tear_down_after<M: Model>(takes_back: u64) -> (Env, Result<(), TearDownError>) {
    let mut env = Env::new();
    let mut model = place::<M>();
    boot(&*model, &mut env, &[sections(3, 1), sections(5, 1), sections(ROOT, 1)]);
    env.takes_back = takes_back;
    let result = model.tear_down(&mut env);
    assert_eq!(present(&*model), [0; 0], "it is down in any case");
    (env, result)
}

fn a_teardown_tells_of_what_it_lost<M: Model>(_: &mut Env, _: &mut M) {
    let (env, result) = tear_down_after::<M>(u64::MAX);
    assert_eq!(result, Ok(()));
    let blocks = u64::MAX - env.takes_back;
    assert!(env.is_whole() && blocks >= 6, "a memmap and a usage for each of the sections: {blocks}");
    // A memmap and a usage of each section, in order, and roots at the end, if there are any.
    for (takes_back, first) in [(0, 3), (1, 3), (2, 5), (3, 5), (4, ROOT), (5, ROOT)] {
        let (env, result) = tear_down_after::<M>(takes_back);
        let Err(TearDownError::Lost { lost, section }) = result else { panic!("{result:?}") };
        assert_eq!((lost.count(), section.get()), (blocks - takes_back, first));
        assert_eq!(env.refused.len() as u64, blocks - takes_back);
    }
}

fn a_retirement_tells_of_what_it_lost<M: Model>(env: &mut Env, model: &mut M) {
    let mut writer = model.write().unwrap();
    writer.install(env, sections(2, 1), NODE).unwrap();
    env.takes_back = 0;
    let retired = writer.retire(env, sections(2, 1)).unwrap();
    assert_eq!((retired.sections, retired.gone), (1, 1));
    assert!(
        env.refused.len() >= 2
            && retired.lost.count() == env.refused.len() as u64
            && retired.lost.first().is_some()
    );
    assert_eq!(present(model), [0; 0]);
}

/// Neighbours of one node are brought up together: a gap or another node ends a run.
fn boot_counts_runs_and_sections<M: Model>(env: &mut Env, model: &mut M) {
    let memory = [(sections(0, 3), 0), (sections(3, 2), 1), (sections(6, 1), 1), (sections(ROOT, 1), 1)];
    let memory = memory.map(|(frames, node)| MemoryRange { frames, node: NodeId::new(node) });
    let mut writer = model.write().unwrap();
    let up = writer.boot(env, memory.into_iter(), &mut |event| panic!("{event:?}")).unwrap();
    assert_eq!((up.runs, up.sections, up.lost), (4, 7, 0));
}

/// Whoever hears that the last section of a run is lost may unwind: the runs after the gap come up all the same.
fn boot_goes_on_after_a_gap<M: Model>(env: &mut Env, model: &mut M) {
    env.refuse(&[], &[2]);
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let memory = [sections(0, 2), sections(5, 1), sections(ROOT, 2)];
        boot_telling(model, env, &memory, &mut |event| {
            assert!(matches!(event, BootEvent::SectionLost { section, .. } if section.get() == 1));
            resume_unwind(Box::new(()));
        });
    }));
    assert!(unwound.is_err_and(|payload| payload.is::<()>()));
    assert_eq!(present(model), [0, 5, ROOT, ROOT + 1]);
    assert!([0, 5, ROOT, ROOT + 1].iter().all(|nr| model.is_valid(sections(*nr, 1).start())));
}

/// It would come up without the memory of the range that failed.
fn a_section_that_cannot_be_marked_is_not_tried_again<M: Model>(env: &mut Env, model: &mut M) {
    env.refuse(&[2], &[]);
    let memory = [sections(0, 1), frames(SECTION, SECTION + HALF), frames(SECTION + HALF, 3 * SECTION)];
    let mut lost = Vec::new();
    let up = boot_telling(model, env, &memory, &mut |event| match event {
        BootEvent::SectionLost { section, why: SectionLoss::Usage(_) } => lost.push(section),
        event => panic!("{event:?}"),
    });
    assert_eq!((up.sections, up.lost, lost), (2, 1, vec![SectionNr::new(1)]));
    assert_eq!(present(model), [0, 2]);
}

on_both_tables!(
    a_teardown_tells_of_what_it_lost,
    a_retirement_tells_of_what_it_lost,
    a_section_that_cannot_be_marked_is_not_tried_again,
    boot_counts_runs_and_sections,
    boot_goes_on_after_a_gap,
);
