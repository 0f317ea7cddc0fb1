//! The walk counts correctly, and finds faults.

use std::alloc::Layout as MemoryLayout;

use sparsemem_any::{Backend, any_model};
use sparsemem_core::MetadataMemory;

use super::*;
use crate::engine::faults::{Changed, Fault, Faulty, For, explore};
use crate::engine::{Act, Finding, Layout, Machines, Rules};
use crate::environment::{Descriptor, Readers};
use crate::instance::{Instance, NODE};
use crate::shape::{Pair, Shape};
use crate::walked::{On, Walked};

type Model = any_model!(Pair, Descriptor, Readers);

fn shape() -> Shape {
    Shape::of::<Pair>(3, 2)
}

fn rules() -> SectionRules {
    SectionRules::new(shape(), Backend::ALL[0].metadata())
}

fn machines() -> SectionMachines<'static, Model> {
    SectionMachines(Instance::new(shape(), Backend::ALL[0].metadata(), &|place| {
        On::<Pair>::fresh(&Backend::ALL[0], place)
    }))
}

/// The difference that a walk finds on machines with a fault.
fn finding(fault: Fault<SectionRules>) -> Finding {
    explore(&rules(), &mut Faulty { machines: machines(), fault }, 16).unwrap_err()
}

#[test]
fn the_walk_of_a_right_model_visits_what_combinatorics_say() {
    let tally = explore(&rules(), &mut machines(), 16).unwrap();
    // A section is absent, or has two cells of three states each, not both absent, and is early or not, and shared or
    // not.
    let per_section = 1 + (3 * 3 - 1) * 2 * 2;
    assert_eq!((tally.boot_layouts, tally.states), (16, per_section * per_section));
    assert_eq!(tally.transitions, tally.states * rules().ops().len() as u64);
}

#[test]
fn a_bit_that_is_not_cleared_is_found() {
    let found = finding(|driver, _, op| {
        let answer = driver.apply(op);
        if op.verb == Verb::SetOffline && op.end - op.start == 4 && answer == (Answer::Done { fresh: 0 }) {
            driver.apply(Op { verb: Verb::SetOnline, start: op.start + 2, ..op });
        }
        answer
    });
    assert_eq!(found.layout, "boot with frames [(12, 16)]");
    assert_eq!(found.operations, ["set offline frames 12..16"]);
    assert!(found.expected.contains("online 0b0000"), "{found:?}");
    assert!(found.found.contains("online 0b0010"), "{found:?}");
}

#[test]
fn a_refusal_that_changes_something_is_found() {
    let found = finding(|driver, _, op| {
        let answer = driver.apply(op);
        if answer == Answer::Online(3, 0b11) {
            driver.apply(Op { verb: Verb::Taint, ..op });
        }
        answer
    });
    assert_eq!(found.operations, ["retire frames 12..16"]);
}

#[test]
fn an_operation_that_does_only_its_first_section_is_found() {
    let found = finding(|driver, _, op| {
        let answer = driver.apply(op);
        if op.verb == Verb::SetOffline
            && (op.start, op.end) == (12, 20)
            && answer == (Answer::Done { fresh: 0 })
        {
            driver.apply(Op { verb: Verb::SetOnline, start: 16, ..op });
        }
        answer
    });
    assert_eq!(found.layout, "boot with frames [(12, 20)]");
    assert_eq!(found.operations, ["set offline frames 12..20"]);
}

#[test]
fn a_wrong_answer_is_found() {
    let found = finding(|driver, _, op| match driver.apply(op) {
        Answer::Retired { sections: 1, gone: 1 } => Answer::Retired { sections: 1, gone: 0 },
        answer => answer,
    });
    // The walk found the fault when it undid an installation.
    assert_eq!(found.operations, ["install frames 12..14", "retire frames 12..14"]);
    assert_eq!(found.expected, "answer Retired { sections: 1, gone: 1 }");
}

#[test]
fn a_fault_that_needs_more_than_the_shortest_way_is_told_with_what_it_needs() {
    let found = finding(|driver, before, op| {
        if op.verb == Verb::Taint && before.iter().any(|earlier| earlier.verb == Verb::SetOnline) {
            return Answer::Misreported;
        }
        driver.apply(op)
    });
    // The shortest sequence to a state without memory would not show the fault.
    assert_eq!(found.layout, "boot with frames []");
    assert_eq!(found.operations, ["set online frames 12..12", "taint frames 12..12"]);
}

#[test]
fn a_changed_rule_is_found() {
    let apply = |rules: &SectionRules, world: &mut _, op: Op| match rules.apply(world, op) {
        // This reference removes memory that is online.
        Answer::Online(..) => {
            rules.apply(world, Op { verb: Verb::SetOffline, ..op });
            rules.apply(world, op)
        }
        answer => answer,
    };
    let found = explore(&Changed { rules: rules(), apply }, &mut For(machines()), 16).unwrap_err();
    assert_eq!(found.operations, ["retire frames 12..14"]);
    assert_eq!(found.found, "answer Online(3, 1)");
}

/// Machines that lose a block before or after all other operations.
struct Leaky {
    machines: SectionMachines<'static, Model>,
    is_late: bool,
}

impl Machines<SectionRules> for Leaky {
    fn lend(&mut self, layout: Layout, act: Act<'_, SectionRules>) -> Result<(), String> {
        let Self { machines: SectionMachines(instance), is_late } = self;
        instance.boot(layout);
        let lose = |instance: &mut Instance<Model>| {
            let lost = instance.environment.alloc_zeroed(MemoryLayout::new::<u64>(), NODE);
            assert!(lost.is_ok());
        };
        if !*is_late {
            lose(instance);
        }
        act(&mut super::driver::SectionDriver(instance));
        if *is_late {
            lose(instance);
        }
        instance.tear_down()
    }
}

#[test]
fn lost_memory_is_found_at_once_and_at_the_end() {
    let at_once = explore(&rules(), &mut Leaky { machines: machines(), is_late: false }, 1).unwrap_err();
    assert_eq!(at_once.expected, "0 blocks of descriptors, 0 others");
    assert_eq!((at_once.found.as_str(), at_once.operations.len()), ("0 blocks of descriptors, 1 others", 0));
    let at_the_end = explore(&rules(), &mut Leaky { machines: machines(), is_late: true }, 1).unwrap_err();
    assert_eq!(at_the_end.expected, "nothing is left after a teardown");
    assert!(
        at_the_end.operations.is_empty() && at_the_end.found.contains("other_blocks: 1"),
        "{at_the_end:?}"
    );
}
