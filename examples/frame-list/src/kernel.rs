//! The kernel's own record, which stays as it is.

/// The state of a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum FrameState {
    /// The frame is on a list of free frames.
    Free = 1,
    /// The frame is in use.
    Used = 2,
}

/// The record of a frame.
#[derive(Debug)]
pub struct Frame {
    /// Its number.
    pub number: u64,
    /// Its state.
    pub state: FrameState,
    /// The next frame of its list.
    pub next: *mut Frame,
}

impl Frame {
    /// The record of a free frame.
    pub fn free(number: u64) -> Self {
        Self { number, state: FrameState::Free, next: core::ptr::null_mut() }
    }
}
