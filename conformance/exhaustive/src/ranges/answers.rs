//! Translates the errors of hotplug into the answers of the reference.

use sparsemem_core::{MemoryModel, PfnRange, PhysRange, SectionShape};
use sparsemem_hotplug::{
    AddDeviceError, AddMemoryError, BlockError, OfflineError, OnlineError, RemoveError, RequestError,
    ResourceError,
};

use crate::ranges::Answer;

/// The operation that errors refer to.
#[derive(Clone, Copy)]
pub(super) struct About {
    frames: PfnRange,
    /// Bytes of a frame.
    page: u64,
}

impl About {
    pub(super) const fn new<M: MemoryModel>(frames: PfnRange) -> Self {
        Self { frames, page: M::Geometry::PAGE_SIZE }
    }

    /// The bytes of the operation's range; empty if they do not fit.
    fn bytes(self) -> (u64, u64) {
        (self.frames.start().get().wrapping_mul(self.page), self.frames.end().get().wrapping_mul(self.page))
    }

    /// Bytes as frames.
    pub(super) const fn frames_of(self, bytes: PhysRange) -> (u64, u64) {
        (bytes.start().get() / self.page, bytes.end().get() / self.page)
    }

    /// An answer with a range, if the error names the operation's range.
    fn range(self, asked: PhysRange, named: PhysRange, answer: fn(u64, u64) -> Answer) -> Answer {
        if (asked.start().get(), asked.end().get()) != self.bytes() {
            return Answer::Misreported;
        }
        let (start, end) = self.frames_of(named);
        answer(start, end)
    }

    fn request(self, error: RequestError) -> Answer {
        let (named, answer) = match error {
            RequestError::Empty { frames } => (frames, Answer::Empty),
            RequestError::Unaligned { frames, .. } => (frames, Answer::Unaligned),
            RequestError::BeyondMaximum { frames, .. } => (frames, Answer::BeyondMaximum),
            _ => return Answer::Misreported,
        };
        if named == self.frames { answer } else { Answer::Misreported }
    }

    fn resource(self, error: ResourceError) -> Answer {
        match error {
            ResourceError::Conflict { range, with } => self.range(range, with.range, Answer::Conflict),
            ResourceError::Absent { range, missing, .. } => self.range(range, missing, Answer::NotRegistered),
            _ => Answer::Misreported,
        }
    }

    fn block(error: BlockError) -> Answer {
        match error {
            BlockError::Missing { block } => Answer::BlockMissing(block.get()),
            BlockError::NotOffline { block, .. } => Answer::BlockNotOffline(block.get()),
            BlockError::Illegal(illegal) => Answer::BlockElsewhere(illegal.block.get()),
            _ => Answer::Misreported,
        }
    }

    pub(super) fn add_memory(self, error: AddMemoryError) -> Answer {
        match error {
            AddMemoryError::Request(error) => self.request(error),
            AddMemoryError::Resource(error) => self.resource(error),
            AddMemoryError::Block(error) => Self::block(error),
            _ => Answer::Misreported,
        }
    }

    pub(super) fn add_device(self, error: AddDeviceError) -> Answer {
        match error {
            AddDeviceError::Request(error) => self.request(error),
            AddDeviceError::Resource(error) => self.resource(error),
            _ => Answer::Misreported,
        }
    }

    pub(super) fn removal(self, error: RemoveError) -> Answer {
        match error {
            RemoveError::Request(error) => self.request(error),
            RemoveError::Resource(error) => self.resource(error),
            RemoveError::Block(error) => Self::block(error),
            RemoveError::NotTheDevice { frames, device } if frames == self.frames => {
                let (start, end) = self.frames_of(device.range);
                Answer::NotTheDevice(start, end)
            }
            _ => Answer::Misreported,
        }
    }

    pub(super) fn online(self, error: OnlineError) -> Answer {
        match error {
            OnlineError::Request(error) => self.request(error),
            OnlineError::Block(error) => Self::block(error),
            _ => Answer::Misreported,
        }
    }

    pub(super) fn offline(self, error: OfflineError) -> Answer {
        match error {
            OfflineError::Request(error) => self.request(error),
            OfflineError::Block(error) => Self::block(error),
            OfflineError::Hole { frames, hole } if frames == self.frames => {
                let (start, end) = self.frames_of(hole);
                Answer::Hole(start, end)
            }
            _ => Answer::Misreported,
        }
    }
}
