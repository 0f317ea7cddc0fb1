//! A record of everything that can be observed, to compare states before and after.

use alloc::string::String;
use alloc::vec::Vec;

use sparsemem_core::{PageCount, PfnRange, SectionState};
use sparsemem_hotplug::{MemoryBlock, Resource};

use super::doubles::FrameState;
use crate::failure::{Place, expect_eq};
use crate::{Balance, Failure};

/// Everything that can be observed of a plugged model.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// A fingerprint of the state of the world's allocators.
    pub fingerprint: u64,
    /// The outstanding metadata memory.
    pub balance: Balance,
    /// The watched sections.
    pub sections: Vec<(u64, SectionState)>,
    /// Valid frames of the watched sections.
    pub valid: Vec<PfnRange>,
    /// The memory blocks.
    pub blocks: Vec<MemoryBlock>,
    /// The resources.
    pub resources: Vec<Resource>,
    /// The ranges of the page allocator: first frame, first frame past the range, and state.
    pub frames: Vec<(u64, u64, FrameState)>,
    /// Says of each notifier whether it waits for the end of a change.
    pub waiting: Vec<bool>,
    /// The number of changes whose end each notifier received.
    pub ended: Vec<u64>,
    /// The number of frames of the altmap that are in use.
    pub altmap: PageCount,
    /// A broken promise that the allocator or a notifier recorded.
    pub broken_promise: Option<String>,
}

impl Snapshot {
    /// The same without counters that only grow.
    #[must_use]
    pub fn timeless(mut self) -> Self {
        self.ended.clear();
        self
    }

    /// Fails at the first part that differs from `self`.
    ///
    /// # Errors
    ///
    /// [`Failure`] with that part.
    pub fn is_still(&self, now: &Self) -> Result<(), Failure> {
        macro_rules! same {
            ($($part:ident: $what:literal),+ $(,)?) => {
                $(expect_eq(Place::Model, $what, &self.$part, &now.$part)?;)+
            };
        }
        same! {
            broken_promise: "broken promise to allocator or notifiers",
            sections: "sections",
            valid: "valid frames",
            balance: "outstanding",
            blocks: "memory blocks",
            resources: "resources",
            frames: "frames of the page allocator",
            waiting: "notifiers that wait for the end of a change",
            ended: "ends of changes that notifiers received",
            altmap: "frames of the altmap in use",
            fingerprint: "state of the allocators",
        }
        Ok(())
    }
}
