//! The sources of a memory map: a file, standard input, or the machine that this program runs on.

use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use sparsemem_machine_files::{GeometryName, MachineFile};
use sparsemem_terminal::Failure;

/// The options that name a map.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// A kernel log, an iomem listing or a list of memory blocks: a path, `-` for standard input, or the name of a
    /// machine that comes with sparsemem
    #[arg(value_name = "FILE", required_unless_present = "this_machine")]
    file: Option<PathBuf>,
    /// Read the map of the machine that this runs on: its log, /proc/iomem, or its list of memory blocks
    #[arg(long, conflicts_with = "file")]
    this_machine: bool,
}

impl Source {
    /// Reads the map.
    pub(crate) fn open(&self, geometry: Option<GeometryName>) -> Result<MachineFile, Failure> {
        match &self.file {
            Some(file) => open(file, geometry),
            None => this_machine(geometry),
        }
    }
}

/// The map in a file, or in standard input.
pub(crate) fn open(file: &Path, geometry: Option<GeometryName>) -> Result<MachineFile, Failure> {
    let opened = if file == Path::new("-") {
        let mut bytes = Vec::new();
        let read = std::io::stdin().lock().read_to_end(&mut bytes);
        read.map_err(|error| Failure::Broken(format!("cannot read standard input: {error}")))?;
        MachineFile::from_bytes("standard input", &bytes, geometry)
    } else {
        MachineFile::open(file, geometry)
    };
    opened.map_err(|error| Failure::Usage(error.advice()))
}

/// A thing that tells this machine's memory, and how to read it.
type Teller = (&'static str, fn() -> Option<String>);

/// The best first: a log has nodes and what firmware said, a listing has exact addresses, and blocks are what everybody
/// may read.
const TELLERS: [Teller; 3] =
    [("the kernel's log", kernel_log), ("/proc/iomem", iomem), ("/sys/devices/system/memory", memory_blocks)];

fn this_machine(geometry: Option<GeometryName>) -> Result<MachineFile, Failure> {
    let mut reasons = String::new();
    for (name, tell) in TELLERS {
        let found = tell().ok_or_else(|| "cannot be read, or shows no addresses; try as root".to_owned());
        let found = found.and_then(|text| {
            MachineFile::from_bytes(name, text.as_bytes(), geometry).map_err(|error| error.to_string())
        });
        match found {
            Ok(machine) => return Ok(machine),
            Err(reason) => {
                let _ = write!(reasons, "\n  {name}: {reason}");
            }
        }
    }
    Err(Failure::Broken(format!("this machine does not say what memory it has:{reasons}")))
}

/// The text that `dmesg` prints, if users may have it.
fn kernel_log() -> Option<String> {
    let output = Command::new("dmesg").output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The listing, unless its addresses are hidden from this user.
fn iomem() -> Option<String> {
    let text = fs::read_to_string("/proc/iomem").ok()?;
    let is_hidden = text.lines().all(|line| line.trim_start().starts_with("00000000-00000000"));
    (!is_hidden).then_some(text)
}

/// The memory blocks of each node, in the notation that the reader knows.
fn memory_blocks() -> Option<String> {
    blocks_below(Path::new("/sys/devices/system"))
}

fn blocks_below(system: &Path) -> Option<String> {
    let size = fs::read_to_string(system.join("memory/block_size_bytes")).ok()?;
    let size = u64::from_str_radix(size.trim(), 16).ok()?;
    let mut text = format!("# block size {} MiB\n", size >> 20);
    for (node, folder) in numbered(&system.join("node"), "node") {
        let blocks = numbered(&folder, "memory").into_iter().map(|(nr, _)| nr);
        // A block that is offline is no memory of anybody's.
        let is_online = |nr: &u64| {
            let state = fs::read_to_string(system.join(format!("memory/memory{nr}/state")));
            state.is_ok_and(|state| state.trim() == "online")
        };
        let blocks: Vec<String> = blocks.filter(is_online).map(|nr| nr.to_string()).collect();
        if !blocks.is_empty() {
            let _ = writeln!(text, "node{node} memory blocks: {}", blocks.join(" "));
        }
    }
    text.contains("blocks:").then_some(text)
}

/// The entries of a folder that are called `prefix` and a number, by number.
fn numbered(folder: &Path, prefix: &str) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |name: &str| name.strip_prefix(prefix)?.parse().ok();
    let mut found: Vec<(u64, PathBuf)> =
        entries.filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path()))).collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::blocks_below;
    use std::fs;

    #[test]
    fn blocks_of_sysfs_become_a_list_and_offline_ones_are_left_out() {
        let system = std::env::temp_dir().join(format!("sparsemem-blocks-{}", std::process::id()));
        for (nr, state) in [(0, "online"), (1, "offline"), (10, "online")] {
            fs::create_dir_all(system.join(format!("memory/memory{nr}"))).unwrap();
            fs::create_dir_all(system.join(format!("node/node0/memory{nr}"))).unwrap();
            fs::write(system.join(format!("memory/memory{nr}/state")), format!("{state}\n")).unwrap();
        }
        fs::create_dir_all(system.join("node/node1")).unwrap();
        fs::write(system.join("memory/block_size_bytes"), "8000000\n").unwrap();
        let text = blocks_below(&system).unwrap();
        fs::remove_dir_all(&system).unwrap();
        assert_eq!(text, "# block size 128 MiB\nnode0 memory blocks: 0 10\n");
        assert_eq!(blocks_below(&system), None);
    }
}
