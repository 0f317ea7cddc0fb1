//! What kernel and host say to each other over the serial line; `conformance/kernel/README.md` has the same for people.
//!
//! A line of the kernel that begins with `{` is an [`Event`]; every other line is for people. The host writes one
//! [`Answer`] to every [`Ask`], and nothing else.

use core::fmt;

use serde::Deserialize;

use sparsemem_report::Outcome;

/// What the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Event {
    /// It is up.
    Hello {
        /// The model that it was built with.
        backend: String,
    },
    /// A scenario or a story ended.
    Cell {
        /// Its name.
        scenario: String,
        /// How.
        outcome: Outcome,
        /// Why it did not pass.
        #[serde(default)]
        detail: String,
        /// How many times something was made to refuse.
        #[serde(default)]
        failure_points: u64,
    },
    /// The host has to do something, and to answer.
    Ask(Ask),
    /// Everything was run.
    End {
        /// Cells that failed.
        failed: u64,
    },
    /// It cannot go on.
    Panic {
        /// Why.
        message: String,
    },
}

/// What the kernel asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(super) enum Ask {
    /// To plug a DIMM in.
    Plug {
        /// Its name.
        id: String,
        /// Its size in bytes.
        bytes: u64,
        /// Its proximity domain.
        #[serde(default)]
        node: u32,
        /// Its physical address; the next free one if there is none.
        at: Option<u64>,
    },
    /// To ask the kernel to give a DIMM up.
    Unplug {
        /// Its name.
        id: String,
    },
    /// To wait until a DIMM is gone.
    Gone {
        /// Its name.
        id: String,
    },
    /// What QEMU knows of an operation on a slot, as the kernel reported it: answered by `SOURCE STATUS`.
    Ost {
        /// The slot.
        slot: u64,
    },
    /// The mappings of a range, as QEMU itself finds them: answered by their number, and a line `VIRTUAL PHYSICAL SIZE`
    /// each, in hexadecimal; the size is `4k` or `large`.
    Tlb(Span),
    /// What is mapped of a range, as QEMU itself finds it: answered by the number of pieces, and a line `START END` each,
    /// in hexadecimal.
    Mem(Span),
}

/// Virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Span {
    /// The first.
    pub(super) from: u64,
    /// The one behind the last.
    pub(super) to: u64,
}

/// What the host answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was done.
    Done(String),
    /// It was not, for this reason.
    Refused(String),
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(text) if text.is_empty() => f.write_str("ok"),
            Self::Done(text) => write!(f, "ok {text}"),
            Self::Refused(why) => write!(f, "no {}", why.replace(['\r', '\n'], " ")),
        }
    }
}

/// Reads a line of the kernel: an event, something for people (`None`), or neither.
///
/// # Errors
///
/// What is wrong with the event.
pub(super) fn read(line: &str) -> Result<Option<Event>, serde_json::Error> {
    if line.starts_with('{') { serde_json::from_str(line).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Ask, Event, Span, read};
    use sparsemem_report::Outcome;

    #[test]
    fn events_are_read_and_other_lines_are_not() {
        let hello = r#"{"event":"hello","backend":"a-b","depth":4,"geometry":"X86_64"}"#;
        assert_eq!(read(hello).unwrap(), Some(Event::Hello { backend: "a-b".to_owned() }));
        let cell = r#"{"event":"cell","scenario":"a/b","machine":"m","outcome":"not-applicable","detail":"why","failure_points":3}"#;
        let (scenario, detail) = ("a/b".to_owned(), "why".to_owned());
        let outcome = Outcome::NotApplicable;
        assert_eq!(read(cell).unwrap(), Some(Event::Cell { scenario, outcome, detail, failure_points: 3 }));
        assert_eq!(read("memory: 256 MiB").unwrap(), None);
    }

    #[test]
    fn asks_are_read() {
        let plug = r#"{"event":"ask","what":"plug","id":"a","bytes":2097152,"at":4294967296}"#;
        let (id, at) = ("a".to_owned(), Some(1 << 32));
        assert_eq!(read(plug).unwrap(), Some(Event::Ask(Ask::Plug { id, bytes: 2 << 20, node: 0, at })));
        let tlb = r#"{"event":"ask","what":"tlb","from":18446719884453740544,"to":18446719884453740545}"#;
        let span = Span { from: 0xffff_ea00_0000_0000, to: 0xffff_ea00_0000_0001 };
        assert_eq!(read(tlb).unwrap(), Some(Event::Ask(Ask::Tlb(span))));
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        for line in
            ["{", r#"{"event":"no-such"}"#, r#"{"event":"ask","what":"no-such"}"#, r#"{"event":"end"}"#]
        {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn answers_are_one_line() {
        assert_eq!(Answer::Done(String::new()).to_string(), "ok");
        assert_eq!(Answer::Done("3 1".to_owned()).to_string(), "ok 3 1");
        assert_eq!(Answer::Refused("no\nslot".to_owned()).to_string(), "no no slot");
    }
}
