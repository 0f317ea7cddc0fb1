//! The messages between kernel and host over the serial line; `conformance/kernel/README.md` describes them.
//!
//! A line of the kernel that begins with `{` is an [`Event`]; every other line is plain text. The host writes one
//! [`Answer`] to every [`Ask`], and nothing else.

use core::fmt;

use serde::Deserialize;

use sparsemem_report::Outcome;

/// An event that the kernel reports.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum Event {
    /// The kernel is up.
    Hello {
        /// The model that it was built with.
        backend: String,
    },
    /// A scenario or a story has ended.
    Cell {
        /// Its name.
        scenario: String,
        /// Its outcome.
        outcome: Outcome,
        /// The reason why it did not pass.
        #[serde(default)]
        detail: String,
        /// The number of simulated failures.
        #[serde(default)]
        failure_points: u64,
    },
    /// A request, which the host answers.
    Ask(Ask),
    /// All scenarios and stories have been run.
    End {
        /// The number of failed cells.
        failed: u64,
    },
    /// The kernel panicked.
    Panic {
        /// The panic message.
        message: String,
    },
}

/// A request of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub(super) enum Ask {
    /// Plug a DIMM in.
    Plug {
        /// Its name.
        id: String,
        /// Its size in bytes.
        bytes: u64,
        /// Its proximity domain.
        #[serde(default)]
        node: u32,
        /// Its physical address; `None` for the next free one.
        at: Option<u64>,
    },
    /// Ask the kernel to give up a DIMM.
    Unplug {
        /// Its name.
        id: String,
    },
    /// Wait until a DIMM is removed.
    Gone {
        /// Its name.
        id: String,
    },
    /// The status of an operation on a slot, as QEMU received it from the kernel. The answer is `SOURCE STATUS`.
    Ost {
        /// The slot.
        slot: u64,
    },
    /// Request a size of a virtio-mem device.
    Request {
        /// Its name.
        id: String,
        /// The size in bytes.
        bytes: u64,
    },
    /// The sizes of a virtio-mem device. The answer is `PLUGGED REQUESTED`, in bytes.
    Sizes {
        /// Its name.
        id: String,
    },
    /// Begin a migration that does not end.
    Migrate,
    /// Give the migration up.
    Stay,
    /// Reset the virtual machine. There is no answer, because nobody is there to read it.
    Reset,
    /// The mappings of a range, as QEMU finds them. The answer is their number, and a line `VIRTUAL PHYSICAL SIZE`
    /// each, in hexadecimal; the size is `4k` or `large`.
    Tlb(QueriedRange),
    /// The physical address that QEMU finds for a virtual one. The answer is that address, in hexadecimal, or empty if it
    /// is not mapped.
    Gpa {
        /// The virtual address.
        at: u64,
    },
    /// The mapped parts of a range, as QEMU finds them. The answer is their number, and a line `START END` each, in
    /// hexadecimal.
    Mem(QueriedRange),
}

/// Virtual addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct QueriedRange {
    /// The first address.
    pub(super) from: u64,
    /// The first address past the range.
    pub(super) to: u64,
}

/// The host's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The request was fulfilled.
    Done(String),
    /// The request was refused, for this reason.
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

/// Reads a line of the kernel: an event, plain text (`None`), or an invalid event.
///
/// # Errors
///
/// The error in the event.
pub(super) fn read(line: &str) -> Result<Option<Event>, serde_json::Error> {
    if line.starts_with('{') { serde_json::from_str(line).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Ask, Event, QueriedRange, read};
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
        let request = r#"{"event":"ask","what":"request","id":"vm0","bytes":0}"#;
        let id = "vm0".to_owned();
        assert_eq!(read(request).unwrap(), Some(Event::Ask(Ask::Request { id, bytes: 0 })));
        let reset = r#"{"event":"ask","what":"reset"}"#;
        assert_eq!(read(reset).unwrap(), Some(Event::Ask(Ask::Reset)));
        let tlb = r#"{"event":"ask","what":"tlb","from":18446719884453740544,"to":18446719884453740545}"#;
        let span = QueriedRange { from: 0xffff_ea00_0000_0000, to: 0xffff_ea00_0000_0001 };
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
