//! Builds and boots the kernel on ostd (`conformance/ostd`), in which a model keeps records beside ostd's own metadata.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sparsemem_any::Backend;
use sparsemem_report::{Arch, Outcome, Verdict};

use super::conversation::{News, Patience, Transcript, converse};
use super::guest::{self, CommandLine};
use super::image::executable;
use super::machine::x86_64::OSTD;
use super::{QemuError, check_compiler};

/// ostd's processor.
const ARCH: Arch = Arch::X86_64;
/// Its target, which has no floating-point registers.
const TARGET: &str = "x86_64-unknown-none";
/// The image lies where the script says. ostd's macros ask whether its own tests are built.
const FLAGS: &str = "-Crelocation-model=static --check-cfg=cfg(ktest)";

/// The exit status of QEMU after ostd's `ExitCode::Success`.
const SUCCESS: i32 = 33;
/// The beginning of the kernel's last line if both agree on all frames.
const AGREEMENT: &str = "agreement: ";

/// The word that makes the kernel book a frame wrongly, and what it has to say then.
const LIE: &str = "lie";
const DISAGREEMENT: &str = "disagreement: ";

/// The offset of the processor in the header of an ELF file, and the number of the processor with 32 bits.
const ELF_MACHINE: usize = 18;
const ELF_386: [u8; 2] = [3, 0];

/// A kernel on ostd to boot.
#[derive(Clone, Copy, Debug)]
pub struct OnOstd {
    /// The model that the kernel is built with.
    pub backend: Backend,
}

impl OnOstd {
    /// Builds the kernel, boots it, and passes every line to `show`. It passes if the model and ostd agree on every frame, and
    /// if a second boot, of which one frame is booked wrongly, finds that.
    ///
    /// # Errors
    ///
    /// [`QemuError`] if QEMU or the second compiler is not installed, or the kernel cannot be built.
    pub fn run(&self, show: &mut dyn FnMut(&str)) -> Result<Verdict, QemuError> {
        guest::check(ARCH)?;
        check_compiler(ARCH)?;
        let folder =
            tempfile::Builder::new().prefix("sparsemem-ostd-").tempdir().map_err(QemuError::start)?;
        let image = folder.path().join("kernel");
        self.build(&image).map_err(|why| QemuError::Build { backend: self.backend, arch: ARCH, why })?;
        let boot = |words: &[&str], show: &mut dyn FnMut(&str)| {
            let words = words.iter().map(ToString::to_string).collect();
            let line = CommandLine { words, args: Vec::new() };
            converse(&image, &OSTD, &line, Patience::SUITE, &mut |news| {
                if let News::Line(line) = news {
                    show(line);
                }
            })
        };
        let verdict = verdict(&boot(&[], show)?);
        if verdict.0 == Outcome::Passed {
            Ok(verdict_of_lie(&boot(&[LIE], &mut |_| ())?))
        } else {
            Ok(verdict)
        }
    }

    /// Builds the image. Cargo's messages go to standard error.
    fn build(&self, image: &Path) -> Result<(), String> {
        let built = self.cargo().output().map_err(|error| format!("cargo: {error}"))?;
        if !built.status.success() {
            return Err(format!("cargo ended with {}", built.status));
        }
        let found = String::from_utf8_lossy(&built.stdout).lines().find_map(executable);
        let found: PathBuf = found.ok_or("cargo names no executable")?;
        let elf = std::fs::read(&found).map_err(|error| format!("{}: {error}", found.display()))?;
        let elf = for_multiboot(elf).ok_or("the image has no ELF header")?;
        std::fs::write(image, elf).map_err(|error| format!("{}: {error}", image.display()))
    }

    /// The command that builds it.
    fn cargo(&self) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ostd");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(folder).args(["build", "--release", "--quiet", "--locked"]);
        cargo.args(["--message-format", "json-render-diagnostics", "--features", self.backend.name()]);
        sparsemem_foreign::build_for(&mut cargo, TARGET, "core,alloc");
        cargo.env("RUSTFLAGS", FLAGS);
        cargo.stdin(Stdio::null()).stderr(Stdio::inherit());
        cargo
    }
}

/// An image that QEMU starts as Multiboot says, with a processor of 32 bits: it refuses the headers of other images. Its
/// entry is code of 32 bits anyway.
fn for_multiboot(mut elf: Vec<u8>) -> Option<Vec<u8>> {
    let is_elf = elf.starts_with(b"\x7fELF");
    elf.get_mut(ELF_MACHINE..ELF_MACHINE + 2).filter(|_| is_elf)?.copy_from_slice(&ELF_386);
    Some(elf)
}

/// The result of a run: the kernel's words and its exit status have to say the same.
fn verdict(transcript: &Transcript) -> Verdict {
    let last = transcript.lines.last().map_or("nothing", String::as_str);
    let agrees = transcript.lines.iter().any(|line| line.starts_with(AGREEMENT));
    match (&transcript.broken, transcript.status) {
        (None, Some(SUCCESS)) if agrees => (Outcome::Passed, String::new()),
        (Some(broken), _) => (Outcome::Failed, format!("{broken}; the kernel's last line: {last}")),
        (None, status) => {
            (Outcome::Failed, format!("exit status {status:?}; the kernel's last line: {last}"))
        }
    }
}

/// The result of a run with a frame that is booked wrongly: the kernel has to notice.
fn verdict_of_lie(transcript: &Transcript) -> Verdict {
    match verdict(transcript) {
        (Outcome::Failed, why) if why.contains(DISAGREEMENT) => (Outcome::Passed, String::new()),
        (_, why) => (Outcome::Failed, format!("a frame that was booked wrongly is not found: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use sparsemem_report::Outcome;

    use super::{Transcript, for_multiboot, verdict, verdict_of_lie};

    fn ended(status: i32, line: &str) -> Transcript {
        Transcript { status: Some(status), lines: vec![line.to_owned()], ..Transcript::default() }
    }

    #[test]
    fn words_and_status_have_to_agree() {
        let agreement = "agreement: 5 frames, of which 4 are RAM";
        assert_eq!(verdict(&ended(33, agreement)).0, Outcome::Passed);
        for (status, line) in [(33, "booting"), (65, agreement), (65, "disagreement: frame 7")] {
            let (outcome, why) = verdict(&ended(status, line));
            assert_eq!(outcome, Outcome::Failed, "{status} {line}");
            assert!(why.contains(line), "{why}");
        }
        let broken = Transcript { broken: Some("silent for 45 s".to_owned()), ..ended(33, agreement) };
        assert!(verdict(&broken).1.contains("silent"));
        assert_eq!(verdict(&Transcript::default()).0, Outcome::Failed);
        assert_eq!(verdict_of_lie(&ended(65, "disagreement: frame 7")).0, Outcome::Passed);
        for (status, line) in [(33, agreement), (65, "the model did not come up")] {
            assert_eq!(verdict_of_lie(&ended(status, line)).0, Outcome::Failed, "{status} {line}");
        }
    }

    #[test]
    fn only_the_processor_of_an_image_is_changed() {
        let image: Vec<u8> = b"\x7fELF".iter().copied().chain(4..64).collect();
        let changed = for_multiboot(image.clone()).unwrap();
        assert_eq!(
            (&changed[..18], &changed[18..20], &changed[20..]),
            (&image[..18], &[3, 0][..], &image[20..])
        );
        assert!(for_multiboot(b"\x7fELF".to_vec()).is_none() && for_multiboot(vec![0; 64]).is_none());
    }
}
