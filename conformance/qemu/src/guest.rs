//! Runs QEMU with a kernel: its process, its serial line and its monitor; and checks that QEMU is installed.
//!
//! # Invariants
//!
//! 1. When a [`Guest`] is dropped, its process has ended, and its files are deleted.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::QemuError;
use super::lines::Lines;
use super::machine::QemuMachine;
use super::monitor::Monitor;
use sparsemem_report::Arch;

/// The arguments of every run: software emulation, so that it is the same everywhere; no screen; exit instead of
/// reboot.
const COMMON: &[&str] =
    &["-accel", "tcg", "-display", "none", "-no-reboot", "-nodefaults", "-no-user-config"];

/// The time that QEMU may take to open its connections.
const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// The time that it may take to end after it closed the serial line.
const END_LIMIT: Duration = Duration::from_secs(10);
/// The interval between checks for changes that are not reported.
const LOOK: Duration = Duration::from_millis(5);
/// The file in the folder that contains QEMU's standard error.
const SAID: &str = "said";
/// The file in the folder that stands for firmware.
const NO_FIRMWARE: &str = "no-firmware";

/// The program that emulates a processor.
fn program(arch: Arch) -> String {
    format!("qemu-system-{arch}")
}

/// Checks that QEMU can be run.
///
/// # Errors
///
/// [`QemuError::NoQemu`], which names the packages to install.
pub(super) fn check(arch: Arch) -> Result<(), QemuError> {
    let (program, quiet) = (program(arch), Stdio::null);
    let tried =
        Command::new(&program).arg("--version").stdin(quiet()).stdout(quiet()).stderr(quiet()).status();
    let missing = |why| Err(QemuError::NoQemu { arch, why });
    match tried {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => missing(format!("`{program} --version` ended with {status}")),
        Err(error) => missing(format!("`{program}`: {error}")),
    }
}

/// The arguments by which a board starts a kernel, beside `-kernel`, and by which the kernel ends QEMU with a status.
///
/// The arm64 board has slots for DIMMs only if it has firmware, and then starts that. So it gets a file that is not
/// firmware, and a loader which starts the image; `-kernel` still makes QEMU put the command line into the device tree.
fn board(arch: Arch, image: &Path, folder: &Path) -> io::Result<Vec<String>> {
    let words = match arch {
        Arch::X86_64 => "-device isa-debug-exit,iobase=0xf4,iosize=4",
        Arch::Riscv64 => "-bios default",
        Arch::Aarch64 => "-semihosting-config enable=on,target=native",
    };
    let mut args: Vec<String> = words.split(' ').map(ToOwned::to_owned).collect();
    if arch == Arch::Aarch64 {
        std::fs::write(folder.join(NO_FIRMWARE), "The processor does not start here.")?;
        args.extend(["-bios".to_owned(), folder.join(NO_FIRMWARE).display().to_string()]);
        args.extend(["-device".to_owned(), format!("loader,file={},cpu-num=0", image.display())]);
    }
    Ok(args)
}

/// Arguments for one run, in addition to those of the machine.
#[derive(Clone, Debug, Default)]
pub(super) struct CommandLine {
    /// Words for the kernel.
    pub(super) words: Vec<String>,
    /// Arguments for QEMU, after all others.
    pub(super) args: Vec<String>,
}

impl CommandLine {
    /// The command line for the scenarios or the story to run.
    pub(super) fn run(what: &str) -> Self {
        Self { words: vec![format!("run={what}")], args: Vec::new() }
    }
}

/// A running QEMU, and a conversation with its kernel and its monitor.
#[derive(Debug)]
pub(super) struct Guest {
    process: Process,
    /// The kernel's serial line.
    pub(super) serial: Lines,
    /// QEMU's monitor.
    pub(super) monitor: Monitor,
}

impl Guest {
    /// Starts QEMU with a kernel.
    ///
    /// # Errors
    ///
    /// [`QemuError::Start`], with QEMU's own message.
    pub(super) fn start(image: &Path, machine: &QemuMachine, line: &CommandLine) -> Result<Self, QemuError> {
        let folder =
            tempfile::Builder::new().prefix("sparsemem-qemu-").tempdir().map_err(QemuError::start)?;
        let listen = |name| UnixListener::bind(folder.path().join(name)).map_err(QemuError::start);
        let (serial, monitor) = (listen("serial")?, listen("monitor")?);
        let mut process = Process::start(folder, image, machine, line)?;
        let serial = process.accept(&serial)?;
        let monitor = Monitor::new(process.accept(&monitor)?)?;
        Ok(Self { process, serial, monitor })
    }

    /// Waits for QEMU's end. If it does not end in time, ends it and returns `None`.
    pub(super) fn wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + END_LIMIT;
        while Instant::now() < deadline {
            if let Some(status) = self.process.child.try_wait()? {
                return Ok(Some(status));
            }
            std::thread::sleep(LOOK);
        }
        self.process.end();
        Ok(None)
    }

    /// QEMU's own messages on one line; empty if there are none.
    pub(super) fn said(&self) -> String {
        self.process.said()
    }
}

/// A process, and the folder with its sockets.
#[derive(Debug)]
struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts QEMU, which connects to the sockets in `folder`.
    fn start(
        folder: TempDir,
        image: &Path,
        machine: &QemuMachine,
        line: &CommandLine,
    ) -> Result<Self, QemuError> {
        let mut command = Command::new(program(machine.arch));
        command.args(COMMON);
        for name in ["serial", "monitor"] {
            let path = folder.path().join(name);
            command.arg("-chardev").arg(format!("socket,id={name},path={}", path.display()));
        }
        command.args(["-serial", "chardev:serial", "-mon", "chardev=monitor,mode=control"]);
        command.args(board(machine.arch, image, folder.path()).map_err(QemuError::start)?);
        command.arg("-kernel").arg(image).args(machine.args(&line.words));
        if let Some(srat) = machine.srat {
            let path = folder.path().join("srat");
            std::fs::write(&path, srat()).map_err(QemuError::start)?;
            command.arg("-acpitable").arg(format!("sig=SRAT,rev=3,data={}", path.display()));
        }
        command.args(&line.args);
        let said = File::create(folder.path().join(SAID)).map_err(QemuError::start)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        let child = command.spawn().map_err(QemuError::start)?;
        Ok(Self { child, folder })
    }

    /// QEMU's connection to a socket.
    fn accept(&mut self, socket: &UnixListener) -> Result<Lines, QemuError> {
        socket.set_nonblocking(true).map_err(QemuError::start)?;
        let deadline = Instant::now() + CONNECT_LIMIT;
        while Instant::now() < deadline {
            match socket.accept() {
                Ok((stream, _)) => return Lines::new(stream).map_err(QemuError::start),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.check_runs()?,
                Err(error) => return Err(QemuError::start(error)),
            }
            std::thread::sleep(LOOK);
        }
        Err(QemuError::Start { why: format!("it did not connect within {} s", CONNECT_LIMIT.as_secs()) })
    }

    /// Fails with QEMU's own message if it has ended.
    fn check_runs(&mut self) -> Result<(), QemuError> {
        match self.child.try_wait().map_err(QemuError::start)? {
            None => Ok(()),
            Some(status) => Err(QemuError::Start { why: format!("{} ({status})", self.said()) }),
        }
    }

    /// The contents of standard error.
    fn said(&self) -> String {
        let text = std::fs::read_to_string(self.folder.path().join(SAID)).unwrap_or_default();
        text.trim().replace('\n', "; ")
    }

    /// Ends the process. An error means that it has ended already.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
