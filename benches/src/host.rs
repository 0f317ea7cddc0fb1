//! The machine that measures: a number without it says little.

use std::fs;

/// The facts about the measuring machine that the report names.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Host {
    /// The processor, as it calls itself.
    pub processor: String,
    /// The number of processors.
    pub processors: usize,
    /// Bytes of the last-level cache, as the kernel writes them.
    pub last_level_cache: String,
    /// The kernel.
    pub kernel: String,
    /// Large pages for who asks for them.
    pub large_pages: String,
}

impl Host {
    /// Looks around.
    #[must_use]
    pub fn here() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let large = read("/sys/kernel/mm/transparent_hugepage/enabled");
        Self {
            processor: model.map_or("an unknown processor", |(_, name)| name).to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            last_level_cache: last_level_cache(),
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease")),
            large_pages: large.split(['[', ']']).nth(1).unwrap_or("unknown").to_owned(),
        }
    }

    /// True if large pages can be had: without them, everything is measured on small ones.
    #[must_use]
    pub fn has_large_pages(&self) -> bool {
        matches!(self.large_pages.as_str(), "always" | "madvise")
    }
}

/// Bytes of the last-level cache; a guess where the kernel does not say.
#[must_use]
pub fn last_level_cache_bytes() -> usize {
    let said = last_level_cache();
    said.strip_suffix('K').and_then(|kib| kib.parse::<usize>().ok()).map_or(32 << 20, |kib| kib << 10)
}

/// The cache of the highest level, of the first processor.
fn last_level_cache() -> String {
    let folder = "/sys/devices/system/cpu/cpu0/cache";
    let sizes = (0..8).map(|index| read(&format!("{folder}/index{index}/size")));
    sizes.rev().find(|size| !size.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
