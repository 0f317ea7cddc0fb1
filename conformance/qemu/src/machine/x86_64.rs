//! PCs. Some have firmware tables that are broken or incomplete on purpose: QEMU uses them in place of its own, with a
//! valid header.

use super::QemuMachine;
use sparsemem_report::Arch;

/// A machine with QEMU's own firmware tables.
const fn machine(name: &'static str, about: &'static str, args: &'static str) -> QemuMachine {
    QemuMachine::new(Arch::X86_64, name, about, args)
}

pub(crate) const PLAIN: QemuMachine =
    machine("qemu-q35-256m", "one node", "-machine q35 -cpu max,-la57 -m 256M");

const TWO_NODES: QemuMachine = machine(
    "qemu-pc-2-nodes",
    "two nodes that meet inside a section, on the older chipset",
    "-machine pc -cpu max,-la57 -m 448M -smp 2 \
     -object memory-backend-ram,id=m0,size=224M -object memory-backend-ram,id=m1,size=224M \
     -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1",
);

const FIVE_LEVELS: QemuMachine =
    machine("qemu-q35-5-level", "five levels of page tables", "-machine q35 -cpu max -m 320M");

/// There is so little memory below the hole that metadata must lie above it.
const BEHIND_THE_HOLE: QemuMachine = machine(
    "qemu-q35-3g",
    "memory on both sides of the hole below 4 GiB, most of it above",
    "-machine q35,max-ram-below-4g=64M -cpu max,-la57 -m 3G",
);

/// For ostd, which needs RAM above the firmware's tables: these are at the end of RAM below 4 GiB.
pub(crate) const OSTD: QemuMachine = machine(
    "qemu-q35-ostd",
    "512 MiB of memory on either side of a hole of 3.5 GiB",
    "-machine q35,max-ram-below-4g=512M -cpu max,-la57 -m 1G",
);

pub(crate) const NVDIMM: QemuMachine = machine(
    "qemu-q35-nvdimm",
    "an NVDIMM of 512 MiB",
    "-machine q35,nvdimm=on -cpu max,-la57 -m 256M,slots=4,maxmem=8G \
     -object memory-backend-ram,id=pmem,size=512M -device nvdimm,id=nvdimm,memdev=pmem",
);

/// Machines that run every scenario.
pub(crate) const MACHINES: &[QemuMachine] = &[PLAIN, TWO_NODES, FIVE_LEVELS, NVDIMM, BEHIND_THE_HOLE];

pub(crate) const DIMMS: QemuMachine =
    machine("qemu-q35-dimms", "slots for DIMMs", "-machine q35 -cpu max,-la57 -m 256M,slots=4,maxmem=8G");

pub(crate) const DIMMS_5_LEVEL: QemuMachine = machine(
    "qemu-q35-dimms-5-level",
    "slots for DIMMs, five levels of page tables",
    "-machine q35 -cpu max -m 256M,slots=4,maxmem=8G",
);

pub(crate) const DIMMS_2_NODES: QemuMachine = machine(
    "qemu-q35-dimms-2-nodes",
    "slots for DIMMs, two nodes",
    "-machine q35 -cpu max,-la57 -m 256M,slots=4,maxmem=8G -smp 2 \
     -object memory-backend-ram,id=m0,size=128M -object memory-backend-ram,id=m1,size=128M \
     -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1",
);

pub(crate) const DIMMS_3_NODES: QemuMachine = machine(
    "qemu-q35-dimms-3-nodes",
    "slots for DIMMs, three nodes, the last without memory",
    "-machine q35 -cpu max,-la57 -m 256M,slots=4,maxmem=8G -smp 3 \
     -object memory-backend-ram,id=m0,size=128M -object memory-backend-ram,id=m1,size=128M \
     -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1 -numa node,nodeid=2,cpus=2",
);

/// The least memory with which the kernel boots.
pub(crate) const SMALL: QemuMachine = machine(
    "qemu-q35-small",
    "little memory, slots for DIMMs",
    "-machine q35 -cpu max,-la57 -m 64M,slots=4,maxmem=32G",
);

/// An address space that is larger than that of Linux' geometry with four levels.
pub(crate) const HIGH: QemuMachine = machine(
    "qemu-q35-high",
    "slots for DIMMs up to 80 TiB",
    "-machine q35 -cpu max,-la57,phys-bits=52 -m 256M,slots=4,maxmem=80T",
);

/// The host needs about 1 GiB for the memmap.
pub(crate) const LARGE: QemuMachine = machine(
    "qemu-q35-65g",
    "memory beyond the page allocator's 64 GiB",
    "-machine q35,memory-backend=ram -cpu max,-la57 -m 65G \
     -object memory-backend-ram,id=ram,size=65G,reserve=off",
);

/// The withheld memory lies above 4 GiB, because the direct map has everything below for ever.
pub(crate) const FOUR_PROCESSORS: QemuMachine = QemuMachine {
    words: &["mem=4G"],
    ..machine(
        "qemu-q35-4-processors",
        "four processors, and 768 MiB from 4 GiB on that the kernel does not use at boot",
        "-machine q35,max-ram-below-4g=256M -cpu max,-la57 -m 1G -smp 4",
    )
};

/// The same, with slots instead of withheld memory.
pub(crate) const FOUR_PROCESSORS_DIMMS: QemuMachine = machine(
    "qemu-q35-4-processors-dimms",
    "four processors, and slots for DIMMs",
    "-machine q35 -cpu max,-la57 -m 256M,slots=4,maxmem=8G -smp 4",
);

/// One story resets the machine, and goes on.
pub(crate) const VIRTIO_MEM: QemuMachine = machine(
    "qemu-q35-virtio-mem",
    "two nodes, and a virtio-mem device of 1 GiB that belongs to the second",
    "-machine q35 -cpu max,-la57 -m 256M,slots=1,maxmem=8G -smp 2 -action reboot=reset \
     -object memory-backend-ram,id=m0,size=128M -object memory-backend-ram,id=m1,size=128M \
     -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1 \
     -object memory-backend-ram,id=vm,size=1G,reserve=off \
     -device virtio-mem-pci,id=vm0,memdev=vm,node=1,block-size=2M,requested-size=0",
);

pub(crate) const BROKEN_SRAT: QemuMachine =
    QemuMachine { name: "qemu-q35-srat", about: "a broken SRAT", srat: Some(srat_overrun), ..PLAIN };

/// The first and the third section belong to node 1.
pub(crate) const SRAT_WITH_A_HOLE: QemuMachine = QemuMachine {
    name: "qemu-q35-srat-hole",
    about: "three sections, of which the SRAT leaves out the second",
    args: "-machine q35 -cpu max,-la57 -m 384M",
    srat: Some(srat_with_a_hole),
    ..PLAIN
};

pub(crate) const NO_MEMORY: QemuMachine = QemuMachine {
    name: "qemu-q35-no-memory",
    about: "a memory map without usable memory",
    words: &["mem=0"],
    ..PLAIN
};

/// The fields of an SRAT before its entries: a revision, and reserved bytes.
const SRAT_HEAD: [u8; 12] = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The type of an entry about memory, and its length.
const MEMORY: (u8, u8) = (1, 40);

/// A valid entry for 256 MiB, and one whose length exceeds the rest of the table.
fn srat_overrun() -> Vec<u8> {
    let mut table = SRAT_HEAD.to_vec();
    table.extend(srat_memory(0, 0, 256 << 20));
    table.extend([MEMORY.0, MEMORY.1, 0, 0, 0, 0, 0, 0]);
    table
}

/// The first 384 MiB belong to domain 1, except the section in the middle, which has no entry.
fn srat_with_a_hole() -> Vec<u8> {
    const SECTION: u64 = 128 << 20;
    let mut table = SRAT_HEAD.to_vec();
    table.extend(srat_memory(1, 0, SECTION));
    table.extend(srat_memory(1, 2 * SECTION, SECTION));
    table
}

/// An entry about memory of a proximity domain, enabled.
fn srat_memory(domain: u32, base: u64, bytes: u64) -> Vec<u8> {
    let mut entry = vec![MEMORY.0, MEMORY.1];
    entry.extend(domain.to_le_bytes());
    entry.extend([0; 2]);
    entry.extend(base.to_le_bytes());
    entry.extend(bytes.to_le_bytes());
    entry.extend([0; 4]);
    entry.extend(1_u32.to_le_bytes());
    entry.extend([0; 8]);
    entry
}

#[cfg(test)]
mod tests {
    use super::{MEMORY, SRAT_HEAD, srat_memory, srat_overrun, srat_with_a_hole};

    #[test]
    fn entries_are_whole_but_for_the_broken_one() {
        assert_eq!(srat_memory(0, 0, 1).len(), usize::from(MEMORY.1));
        assert_eq!(srat_overrun().len(), SRAT_HEAD.len() + usize::from(MEMORY.1) + 8);
        assert_eq!(srat_with_a_hole().len(), SRAT_HEAD.len() + 2 * usize::from(MEMORY.1));
    }
}
