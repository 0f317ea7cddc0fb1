//! The machines that QEMU is told to be.
//!
//! # Invariants
//!
//! 1. Nothing of them depends on the host: software emulation, a fixed amount of memory, no devices beside what is named.

use super::tables;

/// A machine that QEMU can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct QemuMachine {
    /// Its name in reports.
    pub(super) name: &'static str,
    /// What it is there for, in a few words.
    pub(super) about: &'static str,
    /// QEMU's arguments, as one would type them.
    pub(super) args: &'static str,
    /// Words for the kernel's command line.
    pub(super) words: &'static [&'static str],
    /// The body of an SRAT that takes the place of QEMU's.
    pub(super) srat: Option<fn() -> Vec<u8>>,
}

/// One node, four levels of page tables.
pub(super) const PLAIN: QemuMachine = QemuMachine {
    name: "qemu-q35-256m",
    about: "one node",
    args: "-machine q35 -cpu max,-la57 -m 256M",
    words: &[],
    srat: None,
};

/// Two nodes, on the older chipset. They meet inside a section.
const TWO_NODES: QemuMachine = QemuMachine {
    name: "qemu-pc-2-nodes",
    about: "two nodes that meet inside a section, on the older chipset",
    args: "-machine pc -cpu max,-la57 -m 448M -smp 2 \
           -object memory-backend-ram,id=m0,size=224M -object memory-backend-ram,id=m1,size=224M \
           -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1",
    ..PLAIN
};

/// Five levels of page tables.
const FIVE_LEVELS: QemuMachine = QemuMachine {
    name: "qemu-q35-5-level",
    about: "five levels of page tables",
    args: "-machine q35 -cpu max -m 320M",
    ..PLAIN
};

/// Machines on which every scenario is run.
pub(super) const MACHINES: &[QemuMachine] = &[PLAIN, TWO_NODES, FIVE_LEVELS, NVDIMM, BEHIND_THE_HOLE];

/// Memory on both sides of the hole below 4 GiB, and so little before it that metadata has to lie behind it.
const BEHIND_THE_HOLE: QemuMachine = QemuMachine {
    name: "qemu-q35-3g",
    about: "memory on both sides of the hole below 4 GiB, most of it behind",
    args: "-machine q35,max-ram-below-4g=64M -cpu max,-la57 -m 3G",
    ..PLAIN
};

/// Slots for DIMMs.
pub(super) const DIMMS: QemuMachine = QemuMachine {
    name: "qemu-q35-dimms",
    about: "slots for DIMMs",
    args: "-machine q35 -cpu max,-la57 -m 256M,slots=4,maxmem=8G",
    ..PLAIN
};

/// Slots for DIMMs, and five levels of page tables.
pub(super) const DIMMS_5_LEVEL: QemuMachine = QemuMachine {
    name: "qemu-q35-dimms-5-level",
    about: "slots for DIMMs, five levels of page tables",
    args: "-machine q35 -cpu max -m 256M,slots=4,maxmem=8G",
    ..PLAIN
};

/// Slots for DIMMs, and two nodes.
pub(super) const DIMMS_2_NODES: QemuMachine = QemuMachine {
    name: "qemu-q35-dimms-2-nodes",
    about: "slots for DIMMs, two nodes",
    args: "-machine q35 -cpu max,-la57 -m 256M,slots=4,maxmem=8G -smp 2 \
           -object memory-backend-ram,id=m0,size=128M -object memory-backend-ram,id=m1,size=128M \
           -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1",
    ..PLAIN
};

/// Slots for DIMMs, and three nodes, the last of which has no memory.
pub(super) const DIMMS_3_NODES: QemuMachine = QemuMachine {
    name: "qemu-q35-dimms-3-nodes",
    about: "slots for DIMMs, three nodes, the last without memory",
    args: "-machine q35 -cpu max,-la57 -m 256M,slots=4,maxmem=8G -smp 3 \
           -object memory-backend-ram,id=m0,size=128M -object memory-backend-ram,id=m1,size=128M \
           -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1 -numa node,nodeid=2,cpus=2",
    ..PLAIN
};

/// Persistent memory of 512 MiB.
pub(super) const NVDIMM: QemuMachine = QemuMachine {
    name: "qemu-q35-nvdimm",
    about: "an NVDIMM of 512 MiB",
    args: "-machine q35,nvdimm=on -cpu max,-la57 -m 256M,slots=4,maxmem=8G \
           -object memory-backend-ram,id=pmem,size=512M -device nvdimm,id=nvdimm,memdev=pmem",
    ..PLAIN
};

/// As little memory as the kernel can be booted with, and slots for DIMMs.
pub(super) const SMALL: QemuMachine = QemuMachine {
    name: "qemu-q35-small",
    about: "little memory, slots for DIMMs",
    args: "-machine q35 -cpu max,-la57 -m 64M,slots=4,maxmem=32G",
    ..PLAIN
};

/// An address space that is larger than what four levels of Linux' geometry allow.
pub(super) const HIGH: QemuMachine = QemuMachine {
    name: "qemu-q35-high",
    about: "slots for DIMMs up to 80 TiB",
    args: "-machine q35 -cpu max,-la57,phys-bits=52 -m 256M,slots=4,maxmem=80T",
    ..PLAIN
};

/// Firmware whose SRAT is broken.
pub(super) const BROKEN_SRAT: QemuMachine =
    QemuMachine { name: "qemu-q35-srat", about: "a broken SRAT", srat: Some(tables::overrun), ..PLAIN };

/// Firmware whose SRAT leaves a section out: the first and the third are node 1's.
pub(super) const SRAT_WITH_A_HOLE: QemuMachine = QemuMachine {
    name: "qemu-q35-srat-hole",
    about: "three sections, of which the SRAT leaves out the second",
    args: "-machine q35 -cpu max,-la57 -m 384M",
    srat: Some(tables::hole),
    ..PLAIN
};

/// More memory than the kernel's page allocator has room for. The host needs what the memmap takes, some 1 GiB.
pub(super) const LARGE: QemuMachine = QemuMachine {
    name: "qemu-q35-65g",
    about: "memory beyond the page allocator's 64 GiB",
    args: "-machine q35,memory-backend=ram -cpu max,-la57 -m 65G \
           -object memory-backend-ram,id=ram,size=65G,reserve=off",
    ..PLAIN
};

/// A memory map from which nothing can be used.
pub(super) const NO_MEMORY: QemuMachine = QemuMachine {
    name: "qemu-q35-no-memory",
    about: "a memory map without usable memory",
    words: &["mem=0"],
    ..PLAIN
};

impl QemuMachine {
    /// QEMU's arguments, with a kernel command line that has `words` too.
    pub(super) fn args(&self, words: &[String]) -> Vec<String> {
        let own = std::iter::once(format!("machine={}", self.name))
            .chain(self.words.iter().map(ToString::to_string));
        let line: Vec<String> = own.chain(words.iter().cloned()).collect();
        let args = self.args.split_whitespace().chain(["-append"]).map(ToOwned::to_owned);
        args.chain([line.join(" ")]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{MACHINES, NO_MEMORY};

    #[test]
    fn the_command_line_is_one_argument() {
        let args = NO_MEMORY.args(&["run=look".to_owned()]);
        assert_eq!(args[args.len() - 2..], ["-append", "machine=qemu-q35-no-memory mem=0 run=look"]);
    }

    #[test]
    fn names_are_unique() {
        for (nr, machine) in MACHINES.iter().enumerate() {
            assert!(MACHINES[..nr].iter().all(|other| other.name != machine.name), "{}", machine.name);
        }
    }
}
