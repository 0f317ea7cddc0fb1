//! The kernel's image: built by cargo, once per backend.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::QemuError;
use sparsemem_any::Backend;

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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::executable;

    #[test]
    fn the_executable_is_found_among_messages() {
        assert_eq!(executable(r#"{"reason":"compiler-artifact","executable":null}"#), None);
        let found = executable(r#"{"reason":"compiler-artifact","executable":"/t/kernel"}"#);
        assert_eq!(found, Some(PathBuf::from("/t/kernel")));
        assert_eq!(executable("no message"), None);
    }
}
