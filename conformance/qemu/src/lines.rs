//! Lines over a socket, with a deadline for each.
//!
//! # Invariants
//!
//! 1. Nothing waits for ever: neither reading nor writing.
//! 2. A deadline that passes in the middle of a line loses nothing of it.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a write may take: the other side reads all the time.
const WRITE_LIMIT: Duration = Duration::from_secs(10);
/// The longest line that makes sense; what is longer comes from a kernel gone wild.
const LONGEST: usize = 1 << 20;

/// One end of a connection that carries lines.
#[derive(Debug)]
pub(super) struct Lines {
    from: BufReader<UnixStream>,
    to: UnixStream,
    partial: Vec<u8>,
}

/// What reading a line came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard<T = String> {
    /// A line, without its end; or what was read from it.
    Line(T),
    /// The deadline passed.
    Nothing,
    /// The other side has gone.
    Closed,
}

impl Lines {
    /// Lines over a connected socket.
    pub(super) fn new(socket: UnixStream) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(WRITE_LIMIT))?;
        Ok(Self { to: socket.try_clone()?, from: BufReader::new(socket), partial: Vec::new() })
    }

    /// The next line, if it comes before `deadline`. Bytes that are no UTF-8 are shown as such.
    pub(super) fn next(&mut self, deadline: Instant) -> io::Result<Heard> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Heard::Nothing);
            }
            self.from.get_ref().set_read_timeout(Some(left))?;
            match self.from.read_until(b'\n', &mut self.partial) {
                Ok(_) if self.partial.ends_with(b"\n") => return Ok(Heard::Line(self.take())),
                Ok(_) if self.partial.is_empty() => return Ok(Heard::Closed),
                Ok(_) => return Ok(Heard::Line(self.take())),
                Err(error) if is_timeout(&error) => {}
                // QEMU has gone while something was on its way.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Heard::Closed),
                Err(error) => return Err(error),
            }
            if self.partial.len() > LONGEST {
                return Err(io::Error::new(ErrorKind::InvalidData, "a line without an end"));
            }
        }
    }

    /// Writes a line.
    pub(super) fn say(&mut self, line: &str) -> io::Result<()> {
        self.to.write_all(format!("{line}\n").as_bytes())
    }

    /// What was read of the line, as text.
    fn take(&mut self) -> String {
        let bytes = core::mem::take(&mut self.partial);
        String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned()
    }
}

/// Whether a read only took too long, or was interrupted.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use super::{Heard, Lines};

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    fn line(text: &str) -> Heard {
        Heard::Line(text.to_owned())
    }

    #[test]
    fn a_deadline_in_the_middle_of_a_line_loses_nothing() {
        let (mut there, here) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(here).unwrap();
        there.write_all(b"one\r\ntw").unwrap();
        assert_eq!(lines.next(soon()).unwrap(), line("one"));
        assert_eq!(lines.next(soon()).unwrap(), Heard::Nothing);
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
        assert_eq!(lines.next(soon()).unwrap(), Heard::Closed);
    }
}
