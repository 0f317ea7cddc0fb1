//! QEMU's monitor, over its JSON protocol (QMP).
//!
//! This file is a client of our own. The crate `qapi` depends on the schema of one QEMU version, so that an unknown
//! event ends the conversation, and its blocking form has no deadlines; `qmp` needs an async runtime. This project
//! needs some commands, which must work with any installed QEMU and must not wait for ever.

use std::io;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::lines::{Lines, Received};

/// The time that QEMU may take for a command.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);

/// The reason why QEMU did not execute a command.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// QEMU refused.
    #[error("QEMU refuses `{command}`: {why}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's reason.
        why: String,
    },
    /// QEMU did not answer in time.
    #[error("QEMU did not answer `{command}` within {} s", limit.as_secs())]
    Silent {
        /// The command.
        command: String,
        /// The time limit.
        limit: Duration,
    },
    /// QEMU ended.
    #[error("QEMU ended before it answered `{command}`")]
    Gone {
        /// The command.
        command: String,
    },
    /// QEMU's message does not follow its protocol.
    #[error("QEMU's monitor sent a line that is not JSON: {line}")]
    Garbled {
        /// The message.
        line: String,
    },
    /// The connection broke.
    #[error("the connection to QEMU's monitor broke: {0}")]
    Io(#[from] io::Error),
}

/// A connection to the monitor.
#[derive(Debug)]
pub(super) struct Monitor {
    lines: Lines,
    events: Vec<Value>,
}

impl Monitor {
    /// Starts the protocol with a monitor.
    pub(super) fn new(lines: Lines) -> Result<Self, MonitorError> {
        let mut monitor = Self { lines, events: Vec::new() };
        // QEMU's greeting is neither an event nor a reply, and precedes the first reply.
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Executes a command and returns its result.
    pub(super) fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value, MonitorError> {
        self.lines.say(&json!({ "execute": command, "arguments": arguments }).to_string())?;
        let deadline = Instant::now() + COMMAND_LIMIT;
        loop {
            let message = match self.receive(deadline)? {
                Received::Line(message) => message,
                Received::Timeout => {
                    return Err(MonitorError::Silent { command: command.to_owned(), limit: COMMAND_LIMIT });
                }
                Received::Closed => return Err(MonitorError::Gone { command: command.to_owned() }),
            };
            if let Some(given) = message.get("return") {
                return Ok(given.clone());
            }
            if let Some(error) = message.get("error") {
                let why = error["desc"].as_str().unwrap_or("without a reason").to_owned();
                return Err(MonitorError::Refused { command: command.to_owned(), why });
            }
        }
    }

    /// Executes a command of the text monitor, and returns its output.
    pub(super) fn human(&mut self, line: &str) -> Result<String, MonitorError> {
        let given = self.execute("human-monitor-command", &json!({ "command-line": line }))?;
        Ok(given.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until `deadline` for an event that `is_it` accepts, which may have happened before.
    pub(super) fn wait_for(
        &mut self,
        is_it: impl Fn(&Value) -> bool,
        deadline: Instant,
    ) -> Result<bool, MonitorError> {
        while !self.events.iter().any(&is_it) {
            if !matches!(self.receive(deadline)?, Received::Line(_)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// All events so far, in order. Waits for events in transit until `deadline` or QEMU's end.
    pub(super) fn history(&mut self, deadline: Instant) -> &[Value] {
        while let Ok(Received::Line(_)) = self.receive(deadline) {}
        &self.events
    }

    /// The next message; events are recorded.
    fn receive(&mut self, deadline: Instant) -> Result<Received<Value>, MonitorError> {
        let line = match self.lines.next(deadline)? {
            Received::Line(line) => line,
            Received::Timeout => return Ok(Received::Timeout),
            Received::Closed => return Ok(Received::Closed),
        };
        let message: Value = serde_json::from_str(&line).map_err(|_| MonitorError::Garbled { line })?;
        if message.get("event").is_some() {
            self.events.push(message.clone());
        }
        Ok(Received::Line(message))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};

    use super::{Monitor, MonitorError};
    use crate::lines::Lines;

    /// A monitor that sends `replies`, one after each line that it receives, and then closes the connection.
    fn monitor(replies: &'static [&'static str]) -> Monitor {
        let (mut there, here) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            there.write_all(b"{\"QMP\": {}}\n").unwrap();
            let mut received = BufReader::new(there.try_clone().unwrap()).lines();
            for reply in std::iter::once(&"{\"return\": {}}").chain(replies) {
                if received.next().is_none() || there.write_all(format!("{reply}\n").as_bytes()).is_err() {
                    return;
                }
            }
        });
        Monitor::new(Lines::new(here).unwrap()).unwrap()
    }

    fn is_deleted(event: &Value) -> bool {
        event["event"] == "DEVICE_DELETED"
    }

    #[test]
    fn events_before_a_reply_are_kept() {
        let mut monitor = monitor(&["{\"event\": \"DEVICE_DELETED\"}\n{\"return\": 7}"]);
        assert_eq!(monitor.execute("x", &json!({})).unwrap(), 7);
        assert!(monitor.wait_for(is_deleted, Instant::now()).unwrap());
        assert!(!monitor.wait_for(|event| event["event"] == "OTHER", Instant::now()).unwrap());
        assert_eq!(monitor.history(Instant::now() + Duration::from_secs(5)).len(), 1);
    }

    #[test]
    fn a_refusal_has_its_reason() {
        let mut monitor = monitor(&["{\"error\": {\"class\": \"GenericError\", \"desc\": \"no slot\"}}"]);
        let error = monitor.execute("device_add", &json!({})).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refuses `device_add`: no slot");
    }

    #[test]
    fn a_monitor_that_goes_or_babbles_is_an_error() {
        let error = monitor(&[]).execute("x", &json!({})).unwrap_err();
        assert!(matches!(error, MonitorError::Gone { .. } | MonitorError::Io(_)), "{error}");
        let error = monitor(&["what?"]).execute("x", &json!({})).unwrap_err();
        assert!(matches!(error, MonitorError::Garbled { line } if line == "what?"));
    }
}
