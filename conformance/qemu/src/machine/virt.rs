//! QEMU's boards `virt` for arm64 and riscv64. Their device trees describe the memory, which begins at 1 GiB on the first
//! and at 2 GiB on the second.
//!
//! A machine with memory that is *withheld* has more than the word `mem=` of its command line allows the kernel to use at
//! boot; the kernel adds it later.

use super::QemuMachine;
use sparsemem_report::Arch;

/// An arm64 machine.
const fn aarch64(name: &'static str, about: &'static str, args: &'static str) -> QemuMachine {
    QemuMachine::new(Arch::Aarch64, name, about, args)
}

pub(crate) const AARCH64: QemuMachine =
    aarch64("qemu-aarch64-256m", "one node", "-machine virt -cpu max -m 256M");

pub(crate) const AARCH64_2_NODES: QemuMachine = aarch64(
    "qemu-aarch64-2-nodes",
    "two nodes that meet inside a section",
    "-machine virt -cpu cortex-a72 -m 448M -smp 2 \
     -object memory-backend-ram,id=m0,size=224M -object memory-backend-ram,id=m1,size=224M \
     -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1",
);

pub(crate) const AARCH64_WITHHELD: QemuMachine = QemuMachine {
    words: &["mem=2G"],
    ..aarch64(
        "qemu-aarch64-withheld",
        "1 GiB from 2 GiB on that the kernel does not use at boot",
        "-machine virt -cpu cortex-a72 -m 2G",
    )
};

pub(crate) const AARCH64_FOUR_PROCESSORS: QemuMachine = QemuMachine {
    words: &["mem=2G"],
    ..aarch64(
        "qemu-aarch64-4-processors",
        "four processors, and 512 MiB from 2 GiB on that the kernel does not use at boot",
        "-machine virt -cpu cortex-a72 -m 1536M -smp 4",
    )
};

/// The same, with slots instead of withheld memory. The story plugs 30 DIMMs here and 120 on PCs, where that takes less time.
pub(crate) const AARCH64_FOUR_PROCESSORS_DIMMS: QemuMachine = QemuMachine {
    words: &["rounds=30"],
    ..aarch64(
        "qemu-aarch64-4-processors-dimms",
        "four processors, and slots for DIMMs",
        "-machine virt -cpu cortex-a72 -m 256M,slots=4,maxmem=8G -smp 4",
    )
};

pub(crate) const AARCH64_DIMMS: QemuMachine = aarch64(
    "qemu-aarch64-dimms",
    "slots for DIMMs",
    "-machine virt -cpu cortex-a72 -m 256M,slots=4,maxmem=8G",
);

pub(crate) const AARCH64_DIMMS_2_NODES: QemuMachine = aarch64(
    "qemu-aarch64-dimms-2-nodes",
    "slots for DIMMs, two nodes",
    "-machine virt -cpu cortex-a72 -m 256M,slots=4,maxmem=8G -smp 2 \
     -object memory-backend-ram,id=m0,size=128M -object memory-backend-ram,id=m1,size=128M \
     -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1",
);

pub(crate) const AARCH64_DIMMS_3_NODES: QemuMachine = aarch64(
    "qemu-aarch64-dimms-3-nodes",
    "slots for DIMMs, three nodes, the last without memory",
    "-machine virt -cpu cortex-a72 -m 256M,slots=4,maxmem=8G -smp 3 \
     -object memory-backend-ram,id=m0,size=128M -object memory-backend-ram,id=m1,size=128M \
     -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1 -numa node,nodeid=2,cpus=2",
);

pub(crate) const AARCH64_SMALL: QemuMachine = aarch64(
    "qemu-aarch64-small",
    "little memory, slots for DIMMs",
    "-machine virt -cpu cortex-a72 -m 128M,slots=4,maxmem=32G",
);

/// An address space that is larger than that of the geometry, which ends at 256 TiB.
pub(crate) const AARCH64_HIGH: QemuMachine = aarch64(
    "qemu-aarch64-high",
    "slots for DIMMs up to 400 TiB",
    "-machine virt -cpu max -m 256M,slots=4,maxmem=400T",
);

/// The host needs about 1 GiB for the memmap.
pub(crate) const AARCH64_LARGE: QemuMachine = aarch64(
    "qemu-aarch64-65g",
    "memory beyond the page allocator's 64 GiB",
    "-machine virt,memory-backend=ram -cpu max -m 65G -object memory-backend-ram,id=ram,size=65G,reserve=off",
);

pub(crate) const AARCH64_NO_MEMORY: QemuMachine = QemuMachine {
    name: "qemu-aarch64-no-memory",
    about: "no memory that the kernel may use",
    words: &["mem=0"],
    ..AARCH64
};

/// A riscv64 machine.
const fn riscv64(name: &'static str, about: &'static str, args: &'static str) -> QemuMachine {
    QemuMachine::new(Arch::Riscv64, name, about, args)
}

pub(crate) const RISCV64: QemuMachine = riscv64("qemu-riscv64-256m", "one node", "-machine virt -m 256M");

pub(crate) const RISCV64_2_NODES: QemuMachine = riscv64(
    "qemu-riscv64-2-nodes",
    "two nodes that meet inside a section",
    "-machine virt -m 448M -smp 2 \
     -object memory-backend-ram,id=m0,size=224M -object memory-backend-ram,id=m1,size=224M \
     -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1,cpus=1",
);

pub(crate) const RISCV64_WITHHELD: QemuMachine = QemuMachine {
    words: &["mem=3G"],
    ..riscv64(
        "qemu-riscv64-withheld",
        "1 GiB from 3 GiB on that the kernel does not use at boot",
        "-machine virt -m 2G",
    )
};

pub(crate) const RISCV64_FOUR_PROCESSORS: QemuMachine = QemuMachine {
    words: &["mem=3G"],
    ..riscv64(
        "qemu-riscv64-4-processors",
        "four processors, and 512 MiB from 3 GiB on that the kernel does not use at boot",
        "-machine virt -m 1536M -smp 4",
    )
};

/// The host needs about 1 GiB for the memmap.
pub(crate) const RISCV64_LARGE: QemuMachine = riscv64(
    "qemu-riscv64-65g",
    "memory beyond the page allocator's 64 GiB",
    "-machine virt,memory-backend=ram -m 65G -object memory-backend-ram,id=ram,size=65G,reserve=off",
);

pub(crate) const RISCV64_NO_MEMORY: QemuMachine = QemuMachine {
    name: "qemu-riscv64-no-memory",
    about: "no memory that the kernel may use",
    words: &["mem=0"],
    ..RISCV64
};

/// Machines that run every scenario.
pub(super) const MACHINES: &[QemuMachine] =
    &[AARCH64, AARCH64_2_NODES, AARCH64_WITHHELD, RISCV64, RISCV64_2_NODES, RISCV64_WITHHELD];
