//! Reads and writes lines over a socket, with a deadline for each.
//!
//! # Invariants
//!
//! 1. Neither reading nor writing waits for ever.
//! 2. If a deadline passes in the middle of a line, the part that was read is kept.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// The time that a write may take; the other side reads continuously.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// The length in bytes of the longest valid line; longer ones come from a kernel with a fault.
const LONGEST: usize = 1 << 20;

/// One end of a connection that transfers lines.
#[derive(Debug)]
pub(super) struct Lines {
    from: BufReader<UnixStream>,
    to: UnixStream,
    partial: Vec<u8>,
}

/// The result of reading a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Received<T = String> {
    /// A line, without its terminator, or a value that was read from it.
    Line(T),
    /// The deadline passed.
    Timeout,
    /// The other side has closed the connection.
    Closed,
}

impl Lines {
    /// Lines over a connected socket.
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(WRITE_LIMIT))?;
        Ok(Self { to: socket.try_clone()?, from: BufReader::new(socket), partial: Vec::new() })
    }

    /// The next line, if it arrives before `deadline`. Bytes that are not UTF-8 are replaced.
    pub(super) fn next(&mut self, deadline: Instant) -> io::Result<Received> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Received::Timeout);
            }
            self.from.get_ref().set_read_timeout(Some(left))?;
            match self.from.read_until(b'\n', &mut self.partial) {
                Ok(_) if self.partial.ends_with(b"\n") => return Ok(Received::Line(self.take())),
                Ok(_) if self.partial.is_empty() => return Ok(Received::Closed),
                Ok(_) => return Ok(Received::Line(self.take())),
                Err(error) if is_timeout(&error) => {}
                // QEMU ended while data was in transit.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Received::Closed),
                Err(error) => return Err(error),
            }
            if self.partial.len() > LONGEST {
                return Err(io::Error::new(ErrorKind::InvalidData, "the line is longer than 1 MiB"));
            }
        }
    }

    /// Writes a line.
    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        self.to.write_all(format!("{line}\n").as_bytes())
    }

    /// The part of the line that was read, as text.
    fn take(&mut self) -> String {
        let bytes = core::mem::take(&mut self.partial);
        String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned()
    }
}

/// True if a read timed out or was interrupted.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::{Lines, Received};

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn line(text: &str) -> Received {
        Received::Line(text.to_owned())
    }

    #[test]
    fn a_deadline_in_the_middle_of_a_line_loses_nothing() {
        let (mut there, here) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(here).unwrap();
        there.write_all(b"one\r\ntw").unwrap();
        assert_eq!(lines.next(soon()).unwrap(), line("one"));
        assert_eq!(lines.next(soon()).unwrap(), Received::Timeout);
        there.write_all(b"o\n").unwrap();
        assert_eq!(lines.next(soon()).unwrap(), line("two"));
    }

    #[test]
    fn the_last_line_needs_no_end() {
        let (mut there, here) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(here).unwrap();
        there.write_all(b"one").unwrap();
        drop(there);
        assert_eq!(lines.next(soon()).unwrap(), line("one"));
        assert_eq!(lines.next(soon()).unwrap(), Received::Closed);
    }
}
