//! All that can be seen, to compare before and after.

use alloc::string::String;
use alloc::vec::Vec;

use sparsemem_core::{PageCount, PfnRange, SectionState};
use sparsemem_hotplug::{MemoryBlock, Resource};

use super::people::Hands;
use crate::failure::{Place, expect_eq};
use crate::{Balance, Failure};

/// Everything that can be seen of a plugged model.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// What the allocators say.
    pub fingerprint: u64,
    /// What is outstanding.
    pub balance: Balance,
    /// The watched sections.
    pub sections: Vec<(u64, SectionState)>,
    /// Valid frames of the watched sections.
    pub valid: Vec<PfnRange>,
    /// The memory blocks.
    pub blocks: Vec<MemoryBlock>,
    /// The resources.
    pub resources: Vec<Resource>,
    /// What the page allocator has: first frame, one behind the last, and what it does with them.
    pub frames: Vec<(u64, u64, Hands)>,
    /// Which notifiers wait for the end of a change.
    pub waiting: Vec<bool>,
    /// How many changes each notifier heard the end of.
    pub heard: Vec<u64>,
    /// Frames of the altmap that blocks lie in.
    pub altmap: PageCount,
    /// What somebody found strange.
    pub surprise: Option<String>,
}

impl Snapshot {
    /// The same without what only grows: how often notifiers heard of something.
    #[must_use]
    pub fn timeless(mut self) -> Self {
        self.heard.clear();
        self
    }

    /// Fails at the first thing that is not as in `self`.
    ///
    /// # Errors
    ///
    /// [`Failure`], naming it.
    pub fn is_still(&self, now: &Self) -> Result<(), Failure> {
        macro_rules! same {
            ($($part:ident: $what:literal),+ $(,)?) => {
                $(expect_eq(Place::Model, $what, &self.$part, &now.$part)?;)+
            };
        }
        same! {
            surprise: "surprise of allocator or notifiers",
            sections: "sections",
            valid: "valid frames",
            balance: "outstanding",
            blocks: "memory blocks",
            resources: "resources",
            frames: "frames of the page allocator",
            waiting: "notifiers that wait for an end",
            heard: "ends that notifiers heard of",
            altmap: "frames of the altmap in use",
            fingerprint: "state of the allocators",
        }
        Ok(())
    }
}
