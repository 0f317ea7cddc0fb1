//! The kernel's image: built by cargo, once per backend; and the lookups in it, which are the intended instructions: nothing
//! is called, and nothing is loaded that need not be.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sparsemem_any::Backend;
use sparsemem_disassembly::{Image, ListError};
use sparsemem_report::{Outcome, Verdict};
use tempfile::TempDir;

use super::QemuError;

/// Images of the kernel, on which nobody else works.
#[derive(Debug)]
pub(super) struct Images {
    folder: TempDir,
}

impl Images {
    /// No images yet.
    pub(super) fn new() -> Result<Self, QemuError> {
        let folder = tempfile::Builder::new().prefix("sparsemem-images-").tempdir();
        Ok(Self { folder: folder.map_err(QemuError::start)? })
    }

    /// Builds the image for a backend. Cargo's messages go to standard error.
    ///
    /// # Errors
    ///
    /// [`QemuError::Build`].
    pub(super) fn build(&self, backend: Backend) -> Result<(), QemuError> {
        let wrong = |why: String| QemuError::Build { backend, why };
        let built = cargo(backend).output().map_err(|error| wrong(format!("cargo: {error}")))?;
        if !built.status.success() {
            return Err(wrong(format!("cargo ended with {}", built.status)));
        }
        let found = String::from_utf8_lossy(&built.stdout).lines().find_map(executable);
        let found = found.ok_or_else(|| wrong("cargo names no executable".to_owned()))?;
        // The next backend's image will lie in the same place.
        std::fs::copy(found, self.of(backend)).map_err(|error| wrong(format!("cannot copy it: {error}")))?;
        Ok(())
    }

    /// Where the image for a backend is, once it was built.
    pub(super) fn of(&self, backend: Backend) -> PathBuf {
        self.folder.path().join(backend.name())
    }
}

/// The command that builds the kernel with one backend.
fn cargo(backend: Backend) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(folder).args(["build", "--release", "--quiet", "--locked"]);
    cargo.args(["--message-format", "json-render-diagnostics", "--features", backend.name()]);
    cargo.stdin(Stdio::null()).stderr(Stdio::inherit());
    cargo
}

/// The executable that a message of cargo tells of.
fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    message["executable"].as_str().map(PathBuf::from)
}

/// The kernel's functions that consist of one lookup each; see `conformance/kernel/src/model.rs`.
const UNCHECKED: &str = "kernel_lookup_unchecked";
const CHECKED: &str = "kernel_lookup";

/// What a function may have at most, all its ways together.
#[derive(Clone, Copy, Debug)]
struct Budget {
    symbol: &'static str,
    instructions: usize,
    loads: usize,
}

/// The budgets of a backend. Unchecked: the word, and on its way a root; nothing where the address is arithmetic. Checked:
/// the word, the usage, its bits, and a root on the way; the guard is the caller's. The image is not optimised as a whole
/// and its model lies anywhere, which takes an instruction more than in `benches/codegen` on the tables.
const fn budgets(backend: Backend) -> [Budget; 2] {
    let (unchecked, checked) = match backend {
        Backend::ClassicSparse => ((9, 1), (28, 3)),
        Backend::SparseExtreme => ((12, 2), (35, 4)),
        Backend::Vmemmap => ((4, 0), (34, 4)),
    };
    [
        Budget { symbol: UNCHECKED, instructions: unchecked.0, loads: unchecked.1 },
        Budget { symbol: CHECKED, instructions: checked.0, loads: checked.1 },
    ]
}

/// Whether the lookups of an image are what they have to be.
pub(super) fn lookups(image: &Path, backend: Backend) -> Verdict {
    let read = std::fs::read(image).map_err(|error| format!("{}: {error}", image.display()));
    match read.and_then(|elf| compare(&elf, backend)) {
        Ok(()) => (Outcome::Passed, String::new()),
        Err(why) => (Outcome::Failed, why),
    }
}

/// Compares the functions of an image with their budgets.
fn compare(elf: &[u8], backend: Backend) -> Result<(), String> {
    let words = |error: ListError| error.to_string();
    let image = Image::parse(elf).map_err(words)?;
    for Budget { symbol, instructions, loads } in budgets(backend) {
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
        assert!(compare(b"no image", Backend::ALL[0]).unwrap_err().contains("ELF"));
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(compare(&own, Backend::ALL[0]).unwrap_err().contains("kernel_lookup_unchecked"));
    }
}
