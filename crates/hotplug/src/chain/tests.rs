//! Who hears of what, and in which order.

use super::*;
use sparsemem_core::Pfn;
use std::cell::RefCell;
use std::rc::Rc;
use std::string::String;
use std::vec::Vec;
use std::{format, vec};

type Log = Rc<RefCell<Vec<String>>>;

struct Member {
    name: &'static str,
    answer: Result<(), Reason>,
    log: Log,
}

impl Member {
    fn note(&self, what: &str) {
        self.log.borrow_mut().push(format!("{what} {}", self.name));
    }
}

impl Notifier for Member {
    fn name(&self) -> &'static str {
        self.name
    }

    fn going(&self, _: &MemoryChange) -> Result<(), Reason> {
        self.note("going");
        self.answer
    }

    fn done(&self, _: &MemoryChange) {
        self.note("done");
    }

    fn cancelled(&self, _: &MemoryChange) {
        self.note("cancelled");
    }
}

fn change() -> MemoryChange {
    MemoryChange {
        direction: Direction::Offline,
        frames: PfnRange::empty_at(Pfn::new(0)),
        node: NodeId::new(0),
        node_change: NodeChange::None,
    }
}

fn members(answers: [Result<(), Reason>; 4]) -> ([Member; 4], Log) {
    let log = Log::default();
    let mut answers = answers.into_iter();
    let members = ["a", "b", "c", "d"].map(|name| Member {
        name,
        answer: answers.next().unwrap(),
        log: Rc::clone(&log),
    });
    (members, log)
}

#[test]
fn order_is_by_priority_then_registration() {
    let (members, log) = members([Ok(()); 4]);
    let mut slots = [None; 4];
    let mut chain = Chain::new(&mut slots);
    for (member, priority) in members.iter().zip([0, 10, 0, 100]) {
        chain.register(priority, member).unwrap();
    }
    let announced = chain.announce(change());
    assert_eq!(announced.verdict(), Ok(()));
    announced.done();
    let expected = ["going d", "going b", "going a", "going c", "done d", "done b", "done a", "done c"];
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn only_those_who_agreed_hear_the_cancellation() {
    // T-23: Linux tells all three.
    let (members, log) = members([Ok(()), Err(Reason::Policy("pinned")), Ok(()), Ok(())]);
    let mut slots = [None; 3];
    let mut chain = Chain::new(&mut slots);
    for member in &members[..3] {
        chain.register(0, member).unwrap();
    }
    let refused = NotifierRefused { notifier: "b", priority: 0, reason: Reason::Policy("pinned") };
    let announced = chain.announce(change());
    assert_eq!(announced.verdict(), Err(refused));
    drop(announced);
    assert_eq!(*log.borrow(), vec!["going a", "going b", "cancelled a"]);
    assert_eq!(format!("{refused}"), "notifier b (priority 0) refuses: pinned");
}

#[test]
fn names_are_unique_and_slots_end() {
    let (members, _) = members([Ok(()); 4]);
    let mut slots = [None; 2];
    let mut chain = Chain::new(&mut slots);
    chain.register(0, &members[0]).unwrap();
    assert_eq!(chain.register(1, &members[0]), Err(ChainError::Registered { notifier: "a" }));
    chain.register(1, &members[1]).unwrap();
    assert!(matches!(chain.register(0, &members[2]), Err(ChainError::Full(_))));
    assert_eq!(chain.unregister("c"), Err(ChainError::Unknown));
    chain.unregister("b").unwrap();
    assert_eq!(chain.iter().map(Registration::name).collect::<Vec<_>>(), ["a"]);
}
