//! The walk through hotplug finds faults.

use sparsemem_any::{Backend, any_model};

use super::*;
use crate::engine::Rules;
use crate::engine::faults::{Changed, Faulty, For, explore};
use crate::environment::{Descriptor, Readers};
use crate::instance::Instance;
use crate::shape::{Pair, Shape};
use crate::walked::{On, Walked};

type Model = any_model!(Pair, Descriptor, Readers);

fn rules() -> RangeRules {
    RangeRules::new(Shape::of::<Pair>(3, 2), Backend::ALL[0].metadata())
}

fn machines() -> RangeMachines<'static, Model> {
    RangeMachines(Instance::new(Shape::of::<Pair>(3, 2), Backend::ALL[0].metadata(), &|place| {
        On::<Pair>::fresh(&Backend::ALL[0], place)
    }))
}

#[test]
fn a_right_machine_passes() {
    let tally = explore(&rules(), &mut machines(), 16).unwrap();
    assert_eq!(tally.transitions, tally.states * rules().ops().len() as u64);
}

#[test]
fn an_operation_that_does_only_its_first_section_is_found() {
    let fault: crate::engine::faults::Fault<RangeRules> = |driver, _, op| {
        if op.verb == Verb::Offline && (op.start, op.end) == (12, 20) {
            let answer = driver.apply(op);
            if answer == (Answer::Done { fresh: 0 }) {
                driver.apply(Op { verb: Verb::Online, start: 16, end: 20 });
            }
            return answer;
        }
        driver.apply(op)
    };
    let found = explore(&rules(), &mut Faulty { machines: machines(), fault }, 16).unwrap_err();
    assert_eq!(found.layout, "boot with frames [(12, 20)]");
    assert_eq!(found.operations, ["offline frames 12..20"]);
    assert!(found.found.contains("[Offline, Online, None]"), "{found:?}");
}

#[test]
fn a_rule_that_is_changed_for_devices_is_found() {
    // This reference removes a part of a device.
    let apply = |rules: &RangeRules, world: &mut _, op: Op| match rules.apply(world, op) {
        Answer::NotTheDevice(start, end) if start <= op.start && op.end <= end => {
            rules.apply(world, Op { start, end, ..op })
        }
        answer => answer,
    };
    let found = explore(&Changed { rules: rules(), apply }, &mut For(machines()), 16).unwrap_err();
    assert_eq!(found.layout, "boot with frames []");
    assert_eq!(found.operations, ["add device frames 12..16", "remove device frames 12..14"]);
    assert!(found.found.starts_with("answer NotTheDevice"), "{found:?}");
}
