//! Processes that run cells: one for each thread.
//!
//! A simulated machine maps and unmaps memory all the time. In one process, each change interrupts the other threads,
//! which cost more than half of a run; and a store to memory that is not there ends the process, with the results of all
//! cells. So this program starts itself again with the same arguments and `--worker`. It writes the index of a cell to
//! the other process, and reads a line of JSON from it.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use sparsemem_conformance::{Cell, Done, Worker, run_cell};
use sparsemem_terminal::Failure;

use super::Args;

/// The option of a process that runs cells for another one.
const OPTION: &str = "--worker";

/// True if another process finds the same cells: all files can be read a second time, as pipes cannot.
pub(super) fn finds_the_same(args: &Args) -> bool {
    let is_pipe = |path: &Path| path.metadata().is_ok_and(|file| !file.is_file());
    !args.machines.iter().chain(&args.recordings).any(|path| is_pipe(path))
}

/// Another process that runs cells. It is started for the first cell, and again if it ended with a cell.
#[derive(Debug)]
pub(super) struct Process {
    program: OsString,
    arguments: Vec<OsString>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Process {
    /// A process of this program, with its arguments.
    ///
    /// # Errors
    ///
    /// The operating system does not tell where this program is.
    pub(super) fn of_this_program() -> io::Result<Self> {
        let option = OsString::from(OPTION);
        let arguments = std::env::args_os().skip(1).chain([option]).collect();
        Ok(Self { program: std::env::current_exe()?.into(), arguments, running: None })
    }

    fn ask(&mut self, index: usize) -> io::Result<Done> {
        let running = match &mut self.running {
            Some(running) => running,
            none => none.insert(Running::start(&self.program, &self.arguments)?),
        };
        writeln!(running.requests, "{index}")?;
        let mut line = String::new();
        running.answers.read_line(&mut line)?;
        if line.is_empty() {
            return Err(io::Error::other(running.child.wait()?.to_string()));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Worker for Process {
    fn run(&mut self, index: usize, _cell: &Cell) -> Done {
        self.ask(index).unwrap_or_else(|error| {
            self.running = None;
            Done::failed(format!("the process that ran the cell ended: {error}"))
        })
    }
}

impl Running {
    fn start(program: &OsString, arguments: &[OsString]) -> io::Result<Self> {
        let mut command = Command::new(program);
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(requests), Some(answers)) => Ok(Self { child, requests, answers: BufReader::new(answers) }),
            _ => Err(io::Error::other("no pipe to it")),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; that it is gone is all that counts.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the cells that another process asks for, until that one closes the pipe.
pub(super) fn serve(cells: &[Cell]) -> Result<(), Failure> {
    answer(cells, io::stdin().lock(), io::stdout().lock())
        .map_err(|error| Failure::Broken(format!("cells could not be run for another process: {error}")))
}

fn answer(cells: &[Cell], requests: impl BufRead, mut answers: impl Write) -> io::Result<()> {
    for request in requests.lines() {
        let done = match request?.parse().ok().and_then(|index: usize| cells.get(index)) {
            Some(cell) => run_cell(cell),
            None => Done::failed("there is no such cell; did a file change while cells ran?".to_owned()),
        };
        serde_json::to_writer(&mut answers, &done)?;
        writeln!(answers)?;
        answers.flush()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Args, Process, answer, finds_the_same};
    use sparsemem_conformance::{Cell, Done, Filter, Worker, cells};
    use sparsemem_report::Outcome;

    fn one_cell() -> Vec<Cell> {
        cells(&Filter {
            backends: vec![sparsemem_any::Backend::Vmemmap],
            machines: vec!["x86-kvm-bochs-512m.dmesg".into()],
            scenarios: vec!["boot/words".to_owned()],
            ..Filter::default()
        })
        .unwrap()
    }

    fn shell(script: &str) -> Process {
        Process { program: "sh".into(), arguments: vec!["-c".into(), script.into()], running: None }
    }

    #[test]
    fn requests_are_answered_in_their_order() {
        let mut answers = Vec::new();
        answer(&one_cell(), &b"0\n1\nx\n"[..], &mut answers).unwrap();
        let lines = String::from_utf8(answers).unwrap();
        let done: Vec<Done> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let outcomes: Vec<_> = done.iter().map(|done| done.outcome).collect();
        assert_eq!(outcomes, [Outcome::Passed, Outcome::Failed, Outcome::Failed]);
    }

    #[test]
    fn an_answer_is_what_the_process_wrote() {
        let done = Done { rules: vec!["a rule".to_owned()], ..Done::failed("a reason".to_owned()) };
        let mut process =
            shell(&format!("read cell; echo '{}'; read cell", serde_json::to_string(&done).unwrap()));
        assert_eq!(process.run(0, &one_cell()[0]), done);
    }

    #[test]
    fn a_process_that_a_cell_ends_is_started_again() {
        let mut process = shell("read cell; [ $cell = 1 ] && kill -SEGV $$; echo $cell; read cell");
        let cell = &one_cell()[0];
        for _ in 0..2 {
            let ended = process.run(1, cell);
            assert_eq!(ended.outcome, Outcome::Failed);
            assert!(ended.detail.contains("signal: 11"), "{}", ended.detail);
        }
        let invalid = process.run(0, cell);
        assert!(invalid.detail.contains("ended: invalid type"), "{}", invalid.detail);
    }

    #[test]
    fn a_program_that_is_not_there_fails_the_cell() {
        let mut process = Process { program: "/no/such/program".into(), ..shell("") };
        assert!(process.run(0, &one_cell()[0]).detail.contains("No such file"));
    }

    #[test]
    fn a_pipe_is_read_by_one_process_only() {
        let of = |path: &str| finds_the_same(&Args { machines: vec![path.into()], ..Args::default() });
        assert!(of("x86-kvm-bochs-512m.dmesg") && of("Cargo.toml") && of("/no/such/file"));
        assert!(!of("/dev/stdin") || !of("/dev/null"));
    }
}
