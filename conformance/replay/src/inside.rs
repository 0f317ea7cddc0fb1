//! The recordings in the package: small ones, each of which shows something that the others do not.

use crate::{Recording, RecordingError};

/// A recording in the package.
#[derive(Clone, Copy, Debug)]
pub struct Inside {
    /// Its name.
    pub name: &'static str,
    /// Its text.
    json: &'static str,
}

/// Declares [`Inside::ALL`] and [`each_recording!`](crate::each_recording) from one list. The first token is a dollar sign, for
/// the macro that this one declares.
macro_rules! inside {
    ($d:tt $($test:ident $name:literal)*) => {
        impl Inside {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self {
                name: $name,
                json: include_str!(concat!("../recordings/", $name, ".json")),
            }),*];
        }

        /// Calls a macro with all recordings in the package: `each_recording!(then { anything })` is
        /// `then! { { anything } test "name" .. }`, for code that has to be made for each of them.
        ///
        /// ```
        /// macro_rules! names {
        ///     ({} $($test:ident $name:literal)*) => { [$($name),*] };
        /// }
        ///
        /// let names = sparsemem_replay::each_recording!(names {});
        /// assert_eq!(names.len(), sparsemem_replay::Inside::ALL.len());
        /// ```
        #[macro_export]
        macro_rules! each_recording {
            ($d($d then:ident)::+ { $d($d anything:tt)* }) => {
                $d($d then)::+! { { $d($d anything)* } $($test $name)* }
            };
        }
    };
}

inside! { $
    dimm_1g "dimm-1g"
    boot_dimm "boot-dimm"
    altmap_700m "altmap-700m"
    memmap_on_memory "memmap-on-memory"
    two_pmem_one_section "two-pmem-one-section"
    virtio_mem_1g "virtio-mem-1g"
    exactmap_holes "exactmap-holes"
    uneven_nodes_holes "uneven-nodes-holes"
    novmemmap_numa_2 "novmemmap-numa-2"
    la57_pmem_dimm "la57-pmem-dimm"
}

impl Inside {
    /// The recording of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|inside| inside.name == name)
    }

    /// The recording itself.
    ///
    /// # Errors
    ///
    /// [`RecordingError`]; this crate's tests read all of them.
    pub fn read(self) -> Result<Recording, RecordingError> {
        Recording::parse(self.name, self.json, "")
    }
}

#[cfg(test)]
mod tests {
    use super::Inside;

    #[test]
    fn every_recording_in_the_package_is_one_and_has_its_name() {
        for inside in Inside::ALL {
            let recording = inside.read().unwrap();
            assert_eq!(recording.scenario(), format!("linux/{}", inside.name));
        }
    }
}
