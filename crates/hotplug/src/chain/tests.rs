//! The notifiers that are called, and their order.

use super::*;
use sparsemem_core::Pfn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::sync::{Arc, Mutex};
use std::vec::Vec;
use std::{format, vec};

type Log = Arc<Mutex<Vec<String>>>;

struct Member {
    name: &'static str,
    answer: Result<(), Reason>,
    /// The call in which the notifier panics.
    panics: Option<&'static str>,
    log: Log,
}

impl Member {
    fn note(&self, what: &str) {
        self.log.lock().unwrap().push(format!("{what} {}", self.name));
        assert_ne!(self.panics, Some(what));
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
        panics: None,
        log: Arc::clone(&log),
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
    drop(announced.happened());
    let expected = ["going d", "going b", "going a", "going c", "done d", "done b", "done a", "done c"];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[test]
fn only_those_who_agreed_hear_the_cancellation() {
    // Linux calls all three notifiers here (T-23).
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
    assert_eq!(*log.lock().unwrap(), vec!["going a", "going b", "cancelled a"]);
    assert_eq!(format!("{refused}"), "notifier b (priority 0) refuses: pinned");
}

/// Announces a change to three notifiers, and lets it happen if all agree. The second notifier panics in the call
/// `panics`. Returns the calls that the notifiers received.
fn with_a_panic_at(panics: &'static str, third: Result<(), Reason>) -> Vec<String> {
    let (mut members, log) = members([Ok(()), Ok(()), third, Ok(())]);
    members[1].panics = Some(panics);
    let mut slots = [None; 3];
    let mut chain = Chain::new(&mut slots);
    members[..3].iter().for_each(|member| chain.register(0, member).unwrap());
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let announced = chain.announce(change());
        if announced.verdict().is_ok() {
            drop(announced.happened());
        }
    }));
    assert!(unwound.is_err(), "the panic goes on to the caller");
    std::mem::take(&mut *log.lock().unwrap())
}

#[test]
fn who_unwinds_keeps_nobody_from_hearing_the_end() {
    let agreed = ["going a", "going b", "going c"];
    assert_eq!(with_a_panic_at("going", Ok(())), ["going a", "going b", "cancelled a"]);
    assert_eq!(with_a_panic_at("done", Ok(())), [agreed, ["done a", "done b", "done c"]].concat());
    let refused = with_a_panic_at("cancelled", Err(Reason::InUse));
    assert_eq!(refused, [agreed.as_slice(), &["cancelled a", "cancelled b"]].concat());
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
