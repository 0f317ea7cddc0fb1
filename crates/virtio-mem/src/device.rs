//! The device, as the part of the driver sees it that decides.

use core::num::NonZeroU16;

use sparsemem_core::{ByteLen, Geometry, PfnRange, SectionShape};

use crate::{Answer, Config, ConfigError, Garbled, Request, Run, State};

/// A memory device: its configuration, and its queue of requests.
///
/// [`VirtioDevice`](crate::VirtioDevice) is one over the transports of `virtio-drivers`. If a method unwinds, the
/// device must not have done what it was asked for.
pub trait Device {
    /// Reads the configuration space, all fields at one moment.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    fn config(&mut self) -> Result<Config, Fault>;

    /// Sends a request and waits for the answer.
    ///
    /// # Errors
    ///
    /// [`Fault`] if there is no answer. Whether the device did what it was asked for is unknown then.
    fn request(&mut self, request: Request) -> Result<Answer, Fault>;
}

impl<D: Device + ?Sized> Device for &mut D {
    fn config(&mut self) -> Result<Config, Fault> {
        (**self).config()
    }

    fn request(&mut self, request: Request) -> Result<Answer, Fault> {
        (**self).request(request)
    }
}

/// The reason why there is no answer from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The configuration space breaks the specification.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The answer breaks the specification.
    #[error("the device answers with {0}")]
    Garbled(#[from] Garbled),
    /// The queue or the transport failed.
    #[cfg(feature = "transport")]
    #[error("the device cannot be reached: {0}")]
    Transport(#[from] virtio_drivers::Error),
    /// Another transport failed, for the reason in its words.
    #[error("the device cannot be reached: {0}")]
    Other(&'static str),
}

/// The reason why the device does not do what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It would have more memory plugged than it requests: the requested size has changed, or other blocks are plugged.
    #[error("it would have more memory than it requests; read the requested size again")]
    Nack,
    /// It cannot do it now.
    #[error("it is busy; try again later")]
    Busy,
    /// The request is not valid in the device's view.
    #[error("it has another view of its blocks; compare them with `verify`")]
    Error,
    /// There is no answer, or one that the request does not have.
    #[error("{0}")]
    Fault(Fault),
}

/// A request that the device refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device does not {request}: {why}")]
pub struct DeviceRefused {
    /// The request.
    pub request: Request,
    /// The reason.
    pub why: Refusal,
}

/// The result of a request to change blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The device did it.
    Done,
    /// The device did not do it.
    Refused(DeviceRefused),
    /// The device did not answer, and does not say what the state is.
    Unknown(DeviceRefused),
}

/// Asks the device to plug or unplug blocks. If there is no answer, asks for their state.
pub(crate) fn change<D: Device>(device: &mut D, request: Request) -> Outcome {
    let why = match device.request(request) {
        Ok(Answer::Ack) => return Outcome::Done,
        Ok(answer) => return Outcome::Refused(DeviceRefused { request, why: refusal(answer) }),
        Err(fault) => Refusal::Fault(fault),
    };
    let refused = DeviceRefused { request, why };
    let (run, done, not_done) = match request {
        Request::Plug(run) => (run, State::Plugged, State::Unplugged),
        Request::Unplug(run) => (run, State::Unplugged, State::Plugged),
        Request::UnplugAll | Request::State(_) => return Outcome::Unknown(refused),
    };
    match device.request(Request::State(run)) {
        Ok(Answer::State(state)) if state == done => Outcome::Done,
        Ok(Answer::State(state)) if state == not_done => Outcome::Refused(refused),
        _ => Outcome::Unknown(refused),
    }
}

/// Asks for the state of blocks.
pub(crate) fn state<D: Device>(device: &mut D, run: Run) -> Result<State, DeviceRefused> {
    let request = Request::State(run);
    match device.request(request) {
        Ok(Answer::State(state)) => Ok(state),
        Ok(answer) => Err(DeviceRefused { request, why: refusal(answer) }),
        Err(fault) => Err(DeviceRefused { request, why: Refusal::Fault(fault) }),
    }
}

/// Asks the device to unplug everything.
pub(crate) fn unplug_all<D: Device>(device: &mut D) -> Result<(), DeviceRefused> {
    match change(device, Request::UnplugAll) {
        Outcome::Done => Ok(()),
        Outcome::Refused(refused) | Outcome::Unknown(refused) => Err(refused),
    }
}

/// An answer that is not the one that was hoped for.
fn refusal(answer: Answer) -> Refusal {
    match answer {
        Answer::Nack => Refusal::Nack,
        Answer::Busy => Refusal::Busy,
        Answer::Error => Refusal::Error,
        Answer::Ack => Refusal::Fault(Garbled { kind: 0, state: 0 }.into()),
        Answer::State(_) => Refusal::Fault(Garbled { kind: 0, state: 1 }.into()),
    }
}

/// The device's blocks of some frames, if one request can name them.
pub(crate) fn run_of<G: Geometry>(frames: PfnRange, block: ByteLen) -> Option<Run> {
    let (start, bytes) = (frames.start().phys::<G>()?, frames.count().get().checked_mul(G::PAGE_SIZE)?);
    let blocks = NonZeroU16::new(u16::try_from(bytes / block.get()).ok()?)?;
    Some(Run { start, blocks })
}
