//! Builds the kernel's image with cargo, once per processor and backend, and checks the instructions of its lookups: they
//! make no calls, and load only what they need.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sparsemem_any::Backend;
use sparsemem_disassembly::{Image, ListError};
use sparsemem_report::{Arch, Outcome, Verdict};
use tempfile::TempDir;

use super::QemuError;

/// Images of the kernel, in a folder that only this process uses.
#[derive(Debug)]
pub(super) struct Images {
    folder: TempDir,
}

impl Images {
    /// A folder without images.
    pub(super) fn new() -> Result<Self, QemuError> {
        let folder = tempfile::Builder::new().prefix("sparsemem-images-").tempdir();
        Ok(Self { folder: folder.map_err(QemuError::start)? })
    }

    /// Builds an image. Cargo's messages go to standard error.
    ///
    /// # Errors
    ///
    /// [`QemuError::Build`].
    pub(super) fn build(&self, arch: Arch, backend: Backend) -> Result<(), QemuError> {
        let wrong = |why: String| QemuError::Build { backend, arch, why };
        let built = cargo(arch, backend).output().map_err(|error| wrong(format!("cargo: {error}")))?;
        if !built.status.success() {
            return Err(wrong(format!("cargo ended with {}", built.status)));
        }
        let found = String::from_utf8_lossy(&built.stdout).lines().find_map(executable);
        let found = found.ok_or_else(|| wrong("cargo names no executable".to_owned()))?;
        // The build of the next backend writes to the same path.
        std::fs::copy(found, self.of(arch, backend))
            .map_err(|error| wrong(format!("cannot copy it: {error}")))?;
        Ok(())
    }

    /// The path of an image, once it is built.
    pub(super) fn of(&self, arch: Arch, backend: Backend) -> PathBuf {
        self.folder.path().join(format!("{arch}-{backend}"))
    }
}

/// The command that builds a kernel.
fn cargo(arch: Arch, backend: Backend) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(folder).args(["build", "--release", "--quiet", "--locked"]);
    cargo.args(["--message-format", "json-render-diagnostics", "--features", backend.name()]);
    if let Some(target) = target(arch) {
        sparsemem_foreign::build_for(&mut cargo, target, "core,alloc");
    }
    cargo.stdin(Stdio::null()).stderr(Stdio::inherit());
    cargo
}

/// The target of a kernel: none if it is built for the host, whose core library serves as well. No target has
/// floating-point registers, so traps need not save them.
pub(super) const fn target(arch: Arch) -> Option<&'static str> {
    match arch {
        Arch::X86_64 => None,
        Arch::Aarch64 => Some("aarch64-unknown-none-softfloat"),
        Arch::Riscv64 => Some("riscv64imac-unknown-none-elf"),
    }
}

/// The executable that a message of cargo names.
pub(super) fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    message["executable"].as_str().map(PathBuf::from)
}

/// The kernel's functions that consist of one lookup each; see `conformance/kernel/src/model.rs`.
const UNCHECKED: &str = "kernel_lookup_unchecked";
const CHECKED: &str = "kernel_lookup";

/// The largest number of instructions and loads of a function, on all its paths together.
#[derive(Clone, Copy, Debug)]
struct Budget {
    symbol: &'static str,
    instructions: usize,
    loads: usize,
}

/// Instructions and loads on x86_64, aarch64 and riscv64.
type OnEach = [(usize, usize); 3];

/// The budgets of a backend. An unchecked lookup loads the word, and a root if there are roots; it loads nothing where
/// the address is computed. A checked lookup loads the word, the usage's bits, and a root if there are roots; the
/// caller has the guard.
///
/// For the sparse models these are the numbers of `benches/counts/src/budgets.rs`, with two differences: on aarch64 the
/// address of the kernel's array takes one instruction less; on x86_64 the image is not optimised as a whole and its
/// model may lie anywhere, which takes up to one more.
const fn budgets(arch: Arch, backend: Backend) -> [Budget; 2] {
    let (unchecked, checked): (OnEach, OnEach) = match backend {
        Backend::ClassicSparse => ([(9, 1), (8, 1), (11, 1)], [(24, 3), (22, 3), (27, 3)]),
        Backend::SparseExtreme => ([(12, 2), (11, 2), (18, 2)], [(30, 4), (26, 4), (34, 4)]),
        Backend::Vmemmap => ([(4, 0), (3, 0), (5, 0)], [(21, 2), (21, 2), (27, 2)]),
        Backend::Flat => ([(4, 1), (5, 1), (6, 1)], [(26, 7), (24, 5), (31, 7)]),
        Backend::CompressedIndex => ([(14, 4), (13, 4), (17, 4)], [(34, 10), (33, 8), (43, 10)]),
    };
    [budget(arch, UNCHECKED, unchecked), budget(arch, CHECKED, checked)]
}

/// The budget of a function on a processor.
const fn budget(arch: Arch, symbol: &'static str, [x86_64, aarch64, riscv64]: OnEach) -> Budget {
    let (instructions, loads) = match arch {
        Arch::X86_64 => x86_64,
        Arch::Aarch64 => aarch64,
        Arch::Riscv64 => riscv64,
    };
    Budget { symbol, instructions, loads }
}

/// Checks that the lookups of an image have the intended instructions.
pub(super) fn lookups(image: &Path, arch: Arch, backend: Backend) -> Verdict {
    let read = std::fs::read(image).map_err(|error| format!("{}: {error}", image.display()));
    match read.and_then(|elf| compare(&elf, arch, backend)) {
        Ok(()) => (Outcome::Passed, String::new()),
        Err(why) => (Outcome::Failed, why),
    }
}

/// Compares the functions of an image with their budgets.
fn compare(elf: &[u8], arch: Arch, backend: Backend) -> Result<(), String> {
    let words = |error: ListError| error.to_string();
    let image = Image::parse(elf).map_err(words)?;
    for Budget { symbol, instructions, loads } in budgets(arch, backend) {
        let listing = image.listing(symbol).map_err(words)?;
        let found = (listing.instructions(), listing.loads(), listing.calls());
        if found.0 > instructions || found.1 > loads || found.2 > 0 {
            let (instructions_found, loads_found, calls) = found;
            return Err(format!(
                "{symbol} has {instructions_found} instructions, {loads_found} loads and {calls} calls; it may have \
                 {instructions}, {loads} and none\n{listing}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use sparsemem_any::Backend;
    use sparsemem_report::Arch;

    use super::{compare, executable};

    #[test]
    fn the_executable_is_found_among_messages() {
        assert_eq!(executable(r#"{"reason":"compiler-artifact","executable":null}"#), None);
        let found = executable(r#"{"reason":"compiler-artifact","executable":"/t/kernel"}"#);
        assert_eq!(found, Some(PathBuf::from("/t/kernel")));
        assert_eq!(executable("no message"), None);
    }

    #[test]
    fn what_is_no_image_or_has_no_lookups_is_said() {
        assert!(compare(b"no image", Arch::X86_64, Backend::ALL[0]).unwrap_err().contains("ELF"));
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(
            compare(&own, Arch::X86_64, Backend::ALL[0]).unwrap_err().contains("kernel_lookup_unchecked")
        );
    }
}
