//! The requests and responses between driver and device, and their form in memory.
//!
//! Source: VIRTIO 1.2, 5.15.6 "Device Operation": requests of 24 bytes, responses of 10, all numbers little-endian.

use core::fmt;
use core::num::NonZeroU16;

use sparsemem_core::PhysAddr;

/// Consecutive blocks of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The address of the first block.
    pub start: PhysAddr,
    /// The number of blocks.
    pub blocks: NonZeroU16,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blocks from {}", self.blocks, self.start)
    }
}

/// A request to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Plug blocks that are all unplugged.
    Plug(Run),
    /// Unplug blocks that are all plugged.
    Unplug(Run),
    /// Unplug all blocks.
    UnplugAll,
    /// Report the state of blocks.
    State(Run),
}

impl Request {
    /// Bytes of a request.
    pub const LEN: usize = 24;

    /// The request as the device reads it.
    #[must_use]
    pub fn encode(self) -> [u8; Self::LEN] {
        let (kind, run) = match self {
            Self::Plug(run) => (0, Some(run)),
            Self::Unplug(run) => (1, Some(run)),
            Self::UnplugAll => (2, None),
            Self::State(run) => (3, Some(run)),
        };
        let start = run.map_or(0, |run| run.start.get()).to_le_bytes();
        let blocks = run.map_or(0, |run| run.blocks.get()).to_le_bytes();
        let mut bytes = [0; Self::LEN];
        let fields = [(0, &[kind, 0][..]), (8, &start[..]), (16, &blocks[..])];
        for (at, field) in fields {
            for (to, from) in bytes.iter_mut().skip(at).zip(field) {
                *to = *from;
            }
        }
        bytes
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plug(run) => write!(f, "plug {run}"),
            Self::Unplug(run) => write!(f, "unplug {run}"),
            Self::UnplugAll => f.write_str("unplug all blocks"),
            Self::State(run) => write!(f, "report the state of {run}"),
        }
    }
}

/// The state of consecutive blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All are plugged.
    Plugged,
    /// All are unplugged.
    Unplugged,
    /// Some are plugged.
    Mixed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plugged => "plugged",
            Self::Unplugged => "unplugged",
            Self::Mixed => "plugged in part",
        })
    }
}

/// The device's answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The device has done it.
    Ack,
    /// The answer to [`Request::State`].
    State(State),
    /// The device denies it, because it would have more memory plugged than it requests.
    Nack,
    /// The device cannot do it now.
    Busy,
    /// The request is not valid, in the device's view of its blocks.
    Error,
}

/// An answer that no device may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("type {kind}, state {state}, which is no answer to this request")]
pub struct Garbled {
    /// The type of the response.
    pub kind: u16,
    /// Its state, which only an answer to [`Request::State`] has.
    pub state: u16,
}

impl Answer {
    /// Bytes of a response.
    pub const LEN: usize = 10;

    /// Reads a response to `request`. Everything that the specification gives no meaning is ignored.
    ///
    /// # Errors
    ///
    /// [`Garbled`] if the type or the state has no meaning.
    pub fn decode(request: Request, bytes: &[u8; Self::LEN]) -> Result<Self, Garbled> {
        let [k0, k1, .., s0, s1] = *bytes;
        let (kind, state) = (u16::from_le_bytes([k0, k1]), u16::from_le_bytes([s0, s1]));
        match (kind, request, state) {
            (0, Request::State(_), 0) => Ok(Self::State(State::Plugged)),
            (0, Request::State(_), 1) => Ok(Self::State(State::Unplugged)),
            (0, Request::State(_), 2) => Ok(Self::State(State::Mixed)),
            (0, Request::Plug(_) | Request::Unplug(_) | Request::UnplugAll, _) => Ok(Self::Ack),
            (1, Request::Plug(_), _) => Ok(Self::Nack),
            (2, ..) => Ok(Self::Busy),
            (3, ..) => Ok(Self::Error),
            _ => Err(Garbled { kind, state }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_have_their_fields_where_the_specification_has_them() {
        let run = Run { start: PhysAddr::new(0x1_0020_0000), blocks: NonZeroU16::new(0x0102).unwrap() };
        for (request, kind) in [(Request::Plug(run), 0), (Request::Unplug(run), 1), (Request::State(run), 3)]
        {
            let mut expected = [0; 24];
            expected[0] = kind;
            expected[8..16].copy_from_slice(&[0, 0, 0x20, 0, 1, 0, 0, 0]);
            expected[16..18].copy_from_slice(&[2, 1]);
            assert_eq!(request.encode(), expected, "{request}");
        }
        let mut all = [0; 24];
        all[0] = 2;
        assert_eq!(Request::UnplugAll.encode(), all);
    }

    #[test]
    fn only_answers_that_fit_the_request_are_answers() {
        let run = Run { start: PhysAddr::new(0), blocks: NonZeroU16::MIN };
        let answer = |request, kind: u8, state: u8| {
            // What has no meaning is ignored.
            Answer::decode(request, &[kind, 0, 9, 9, 9, 9, 9, 9, state, 0])
        };
        assert_eq!(answer(Request::Plug(run), 0, 7), Ok(Answer::Ack));
        assert_eq!(answer(Request::Plug(run), 1, 7), Ok(Answer::Nack));
        for request in [Request::Unplug(run), Request::UnplugAll, Request::State(run)] {
            assert_eq!(answer(request, 1, 0), Err(Garbled { kind: 1, state: 0 }), "{request}");
            assert_eq!(answer(request, 2, 0), Ok(Answer::Busy));
            assert_eq!(answer(request, 3, 0), Ok(Answer::Error));
            assert_eq!(answer(request, 4, 0), Err(Garbled { kind: 4, state: 0 }));
        }
        let states = [State::Plugged, State::Unplugged, State::Mixed];
        for (raw, state) in states.into_iter().enumerate() {
            assert_eq!(answer(Request::State(run), 0, u8::try_from(raw).unwrap()), Ok(Answer::State(state)));
        }
        assert_eq!(answer(Request::State(run), 0, 3), Err(Garbled { kind: 0, state: 3 }));
    }
}
