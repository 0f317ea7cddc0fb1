//! Machine files: those of this folder, and those that users supply.
#![forbid(unsafe_code)]

mod fit;
mod geometry;
mod remarks;

use std::path::{Path, PathBuf};

use sparsemem_core::{NodeId, PhysRange};
use sparsemem_log_reader::{Agreement, Contradiction, Layout, Mode, ParseErrors, Parsed, parse_bytes};

pub use fit::TooLarge;
pub use geometry::{GeometryName, UnknownGeometry};

/// The file extensions of machines; other files of the folders hold facts about them.
const EXTENSIONS: [&str; 3] = ["dmesg", "iomem", "memblocks"];

/// A machine, read from a file.
#[derive(Clone, Debug)]
pub struct MachineFile {
    /// Name in reports: the file's name, or the path as it was given for files outside the folder.
    pub name: String,
    /// The path that it was read from.
    pub path: PathBuf,
    /// The geometry that it is booted with.
    pub geometry: GeometryName,
    /// The whole contents of the file.
    pub layout: Layout,
    /// RAM as a kernel registers it, each range with its node.
    pub memory: Vec<(PhysRange, NodeId)>,
    /// Memory lines that could not be read, and notes, to show to the user.
    pub warnings: Vec<String>,
    /// Figures or lines of the file that disagree with the map that was read from it.
    pub contradictions: Vec<Contradiction>,
    /// The figures of the file that its map agrees with.
    pub agreements: Vec<Agreement>,
}

/// The reason why a machine file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MachineError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: std::io::Error,
    },
    /// The file has no memory map that the reader understands.
    #[error("{}: {source}", path.display())]
    NoMap {
        /// The file.
        path: PathBuf,
        /// The reader's errors.
        source: ParseErrors,
    },
}

impl MachineFile {
    /// The folders of the machines that the default run uses: real ones, and made-up ones.
    #[must_use]
    pub fn folders() -> [PathBuf; 2] {
        let machines = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        [machines.clone(), machines.join("synthetic")]
    }

    /// All machines of the folders, by name.
    ///
    /// # Errors
    ///
    /// [`MachineError`] of the first file that cannot be used: the project's own files must be valid.
    pub fn all() -> Result<Vec<Self>, MachineError> {
        let mut paths = Vec::new();
        for folder in Self::folders() {
            paths.extend(files(&folder).map_err(|source| MachineError::Unreadable { path: folder, source })?);
        }
        paths.retain(|path| is_machine(path));
        paths.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
        paths.iter().map(|path| Self::read(path, None, Mode::Strict)).collect()
    }

    /// The machine at a path, or with a name in the folders, with or without file extension. Lines that cannot be
    /// read become warnings.
    ///
    /// # Errors
    ///
    /// [`MachineError`], with the file.
    pub fn open(path: &Path, geometry: Option<GeometryName>) -> Result<Self, MachineError> {
        Self::read(&found(path, &Self::folders(), &EXTENSIONS), geometry, Mode::Lenient)
    }

    /// The machine of a log or listing that is no file, with a name for reports. Lines that cannot be read become
    /// warnings.
    ///
    /// # Errors
    ///
    /// [`MachineError::NoMap`], with the name.
    pub fn from_bytes(
        name: &str,
        bytes: &[u8],
        geometry: Option<GeometryName>,
    ) -> Result<Self, MachineError> {
        let path = Path::new(name);
        let parsed = parse_bytes(bytes, Mode::Lenient)
            .map_err(|source| MachineError::NoMap { path: path.to_owned(), source })?;
        Ok(Self::new(path, geometry, parsed))
    }

    /// Reads a file.
    fn read(path: &Path, geometry: Option<GeometryName>, mode: Mode) -> Result<Self, MachineError> {
        let bytes = std::fs::read(path)
            .map_err(|source| MachineError::Unreadable { path: path.to_owned(), source })?;
        let parsed = parse_bytes(&bytes, mode)
            .map_err(|source| MachineError::NoMap { path: path.to_owned(), source })?;
        Ok(Self::new(path, geometry, parsed))
    }

    /// A machine with the contents of a file.
    fn new(path: &Path, geometry: Option<GeometryName>, parsed: Parsed) -> Self {
        let memory: Vec<_> = parsed.layout.memory_ranges().collect();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let geometry = geometry.unwrap_or_else(|| GeometryName::of_machine(&file_name, &parsed));
        let is_known = Self::folders().iter().any(|folder| path.parent() == Some(folder));
        let name = if is_known { file_name } else { path.display().to_string() };
        let warnings = parsed.warnings.iter().map(ToString::to_string);
        let warnings = warnings.chain(parsed.notes.iter().map(ToString::to_string));
        let warnings = warnings.chain(geometry.other_frames(&parsed)).collect();
        Self {
            name,
            path: path.to_owned(),
            geometry,
            layout: parsed.layout,
            memory,
            warnings,
            contradictions: parsed.contradictions,
            agreements: parsed.agreements,
        }
    }

    /// The file with facts that the machine's kernel printed, in the same folder, if there is one.
    #[must_use]
    pub fn golden_path(&self) -> Option<PathBuf> {
        let golden = self.path.with_extension("golden");
        golden.exists().then_some(golden)
    }
}

/// The path of a file that the user named: a path, or a name in one of the folders, with or without file extension.
#[must_use]
pub fn found(path: &Path, folders: &[PathBuf], endings: &[&str]) -> PathBuf {
    if path.exists() {
        return path.to_owned();
    }
    let endings = endings.iter().map(|ending| format!(".{ending}"));
    let names = std::iter::once(String::new()).chain(endings).map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        name
    });
    let known = names.flat_map(|name| folders.iter().map(move |folder| folder.join(&name)));
    known.into_iter().find(|known| known.is_file()).unwrap_or_else(|| path.to_owned())
}

/// The files of a folder.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

/// True if a file of the folders is a machine.
fn is_machine(path: &Path) -> bool {
    path.extension().is_some_and(|end| EXTENSIONS.iter().any(|known| end == *known))
}

#[cfg(test)]
mod tests {
    use super::MachineFile;
    use std::path::Path;

    #[test]
    fn names_may_leave_out_their_ending() {
        let open = |name: &str| MachineFile::open(Path::new(name), None);
        let (short, whole) =
            (open("x86-thinkpad-x1c6-8g").unwrap(), open("x86-thinkpad-x1c6-8g.dmesg").unwrap());
        assert_eq!((short.name, short.memory), (whole.name, whole.memory));
        assert!(open("x86-thinkpad").is_err() && open("").is_err());
    }
}
