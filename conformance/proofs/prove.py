"""Proves, for all inputs, what the entry formats promise (`pip install z3-solver`).

It builds the package beside it, and reads the functions from the compiler's output (LLVM's text, before machine code is
made of it). So the proofs are about the product's own code as the compiler understood it, and about what stands below of
the processors' manuals, which is written here a second time.

Proved, for every format, level and depth:
 1. an entry is exactly the bits of the manual, for every address that the format holds;
 2. decoding an entry gives back what it was made from, with the mark of a running populate and without;
 3. every word decodes as the processor reads it, also those that the formats do not make;
 4. the indices of an address and the offset in the page are the whole address: every address that the root translates
    has its own path, every path within the tables has an address, and no index is beyond its table.

Not proved: that the compiler is right, that machine code does what its text says, and the walker's steps (tests do that).
"""

import subprocess
import sys
from pathlib import Path

import z3

from llvm_ir import Module, Unknown

WORKSPACE = Path(__file__).resolve().parents[2]
TARGET = WORKSPACE / "target" / "proofs"
WORD = 64


def mask(low, end):
    return (1 << end) - (1 << low)


def choose(condition, yes, no):
    """One of two words, which may be numbers."""
    word = lambda it: z3.BitVecVal(it, WORD) if isinstance(it, int) else it
    return z3.If(condition, word(yes), word(no))


class X86:
    """Intel SDM volume 3, 4.5: bits 9, 10 and 58 are ignored."""

    depths = {4: 48, 5: 57}
    both_ends = True
    page, address, leaves, origin, fresh = 12, 52, 3, 9, 1 << 58

    def place(self, at):
        return at & mask(12, 52)

    def table(self):
        return 1 << 0 | 1 << 1 | 1 << 5

    def leaf(self, level):
        return self.table() | 1 << 6 | 1 << 63 | (1 << 7 if level > 1 else 0)

    def shared(self):
        return 1 << 0 | 1 << 5 | 1 << 63

    def kind(self, raw, level):
        large = z3.And(level <= self.leaves, z3.Or(level == 1, raw & 1 << 7 != 0))
        return choose(raw & 1 == 0, 0, choose(large, 2, 1))


class Riscv:
    """Privileged architecture 20211203, 4.4.1: bits 8 and 9 are for software, G may be said of what is global."""

    depths = {3: 39, 4: 48, 5: 57}
    both_ends = True
    page, address, leaves, origin, fresh = 12, 56, 5, 8, 1 << 5

    def place(self, at):
        return z3.LShR(at, 12) << 10

    def table(self):
        return 1 << 0

    def leaf(self, level):
        return 1 << 0 | 1 << 1 | 1 << 2 | 1 << 6 | 1 << 7

    def shared(self):
        return 1 << 0 | 1 << 1 | 1 << 6

    def kind(self, raw, level):
        return choose(raw & 1 == 0, 0, choose(raw & 0b1010 != 0, 2, 0 if level == 1 else 1))


class Arm:
    """Arm ARM DDI 0487 K.a, D8.3.1: bits 55 to 58 are for software, and ignored in tables."""

    both_ends = False
    origin, fresh = 55, 1 << 57

    def __init__(self, page, address, depths):
        self.page, self.address, self.depths = page, address, depths
        self.leaves = 2 + (page == 12) + (address == 52)
        self.lpa2 = address == 52 and page < 16

    def place(self, at):
        if self.address == 48:
            return at
        if self.lpa2:
            return at & mask(0, 50) | z3.LShR(at, 50) << 8
        return at & mask(0, 48) | z3.LShR(at, 48) << 12

    def table(self):
        return 0b11 | 1 << 10

    def leaf(self, level):
        return (0b11 if level == 1 else 0b01) | (0 if self.lpa2 else 0b11 << 8) | 1 << 10 | 1 << 11 | 0b11 << 53

    def shared(self):
        return self.leaf(1) | 1 << 7

    def kind(self, raw, level):
        block = 2 if 1 < level <= self.leaves else 0
        low = raw & 0b11
        return choose(low == 0b11, 2 if level == 1 else 1, choose(low == 0b01, block, 0))


FORMATS = {
    "x86_64": X86(),
    "riscv64": Riscv(),
    "aarch64_4k_48": Arm(12, 48, {3: 39, 4: 48}),
    "aarch64_4k_52": Arm(12, 52, {4: 48, 5: 52}),
    "aarch64_16k_48": Arm(14, 48, {2: 36, 3: 47, 4: 48}),
    "aarch64_16k_52": Arm(14, 52, {3: 47, 4: 52}),
    "aarch64_64k_48": Arm(16, 48, {2: 42, 3: 48}),
    "aarch64_64k_52": Arm(16, 52, {2: 42, 3: 52}),
}


class Prover:
    def __init__(self, module):
        self.module, self.proved = module, 0

    def prove(self, what, claim, *premises):
        """Proves that the premises imply the claim, or ends with values for which they do not."""
        model = self.refute(claim, *premises)
        if model is not None:
            sys.exit(f"{what} is wrong for {model}")
        self.proved += 1

    @staticmethod
    def refute(claim, *premises):
        solver = z3.Solver()
        solver.add(*premises, z3.Not(claim))
        result = solver.check()
        if result == z3.unknown:
            sys.exit(f"the solver does not know: {solver.reason_unknown()}")
        return solver.model() if result == z3.sat else None


def level(prover, name, spec, number):
    path = f"{name}.level_{number}"
    of = lambda function, *arguments: prover.module.call(f"{path}.{function}", *arguments)
    at, raw, code = z3.BitVec("at", WORD), z3.BitVec("raw", WORD), z3.BitVec("code", 8)
    prove = lambda what, claim, *premises: prover.prove(f"{path}: {what}", claim, *premises)
    shift = spec.page + (spec.page - 3) * (number - 1)
    fresh = z3.BitVecVal(spec.fresh, WORD)
    has_leaves = number <= spec.leaves

    prove("shift", of("shift") == shift)
    prove("index bits", of("index_bits") == spec.page - 3)
    prove("page", of("base_shift") == spec.page)
    prove("mark", of("fresh") == fresh)
    prove("which levels have leaves", of("has_leaves") == int(has_leaves))
    prove("empty", z3.And(of("kind", of("empty")) == 0, of("empty") & fresh == 0))
    page = at & mask(0, spec.page) == 0
    prove("holds", (of("holds", at) == 1) == z3.ULT(at, 1 << spec.address), page)

    known = [z3.ULT(code, 3), of("holds", at) == 1]
    tag = z3.ZeroExt(WORD - 8, code) << spec.origin
    kinds = [("table", 1, spec.page, spec.table())] if number > 1 else []
    kinds += [("leaf", 2, shift, spec.leaf(number))] if has_leaves else []
    for function, kind, alignment, bits in kinds:
        aligned = [*known, at & mask(0, alignment) == 0]
        entry = of(function, at, code)
        prove(f"{function} is the manual's", entry == spec.place(at) | bits | tag | fresh, *aligned)
        for read in (entry, entry & ~fresh):
            back = [of("kind", read) == kind, of("address", read) == at, of("origin_of", read) == z3.ZeroExt(56, code)]
            prove(f"{function} decodes to itself", z3.And(*back), *aligned)
        if Prover.refute(of("address", entry) == at, z3.ULT(code, 3)) is None:
            sys.exit(f"{path}: {function} holds addresses that it has no room for: the proofs are empty")

    if number == 1:
        held = [of("holds", at) == 1, page]
        entry = of("shared", at)
        prove("shared is the manual's", entry == spec.place(at) | spec.shared() | 0b11 << spec.origin | fresh, *held)
        for read in (entry, entry & ~fresh):
            prove("shared decodes to itself", z3.And(of("kind", read) == 3, of("address", read) == at), *held)

    expected = spec.kind(raw, number)
    if number == 1:
        is_shared = z3.And(expected == 2, z3.LShR(raw, spec.origin) & 0b11 == 0b11)
        expected = choose(is_shared, 3, expected)
    prove("every word's kind", of("kind", raw) == expected)
    prove("the mark is not read", z3.And(*(of(it, raw) == of(it, raw ^ fresh) for it in ("kind", "address", "origin_of"))))
    leaf = [z3.UGE(of("kind", raw), 2)]
    prove("a leaf's address is a multiple", of("address", raw) & mask(0, min(shift, WORD)) == 0, *leaf)
    prove("addresses are held", of("holds", of("address", raw)) == 1)


def depth(prover, name, spec, number, bits):
    path = f"{name}.depth_{number}"
    of = lambda function, *arguments: prover.module.call(f"{path}.{function}", *arguments)
    at = z3.BitVec("at", WORD)
    prove = lambda what, claim, *premises: prover.prove(f"{path}: {what}", claim, *premises)
    table = spec.page - 3
    shifts = [spec.page + table * below for below in range(number)]
    widths = [table] * (number - 1) + [bits - shifts[-1]]

    prove("root", z3.And(of("root_level") == number, of("root_bits") == bits))
    high = z3.LShR(at, bits - 1 if spec.both_ends else bits)
    all_ones = mask(0, WORD - (bits - 1 if spec.both_ends else bits))
    ends = z3.Or(high == 0, high == all_ones) if spec.both_ends else high == all_ones
    prove("the addresses of the root", (of("canonical", at) == 1) == ends)

    indices = [of(f"index_{below + 1}", at) for below in range(number)]
    for below, (index, width) in enumerate(zip(indices, widths)):
        prove(f"index {below + 1} is in its table", z3.ULT(index, 1 << width))
    path_of = at & mask(0, spec.page)
    for index, shift in zip(indices, shifts):
        path_of = path_of | index << shift
    prove("the path is the address", path_of == at & mask(0, bits))

    # Two addresses of the root with one path are one address.
    other = z3.BitVec("other", WORD)
    canonical = [of("canonical", at) == 1, of("canonical", other) == 1]
    prove("no path twice", at == other, *canonical, (at ^ other) & mask(0, bits) == 0)

    # Every path has an address: the one whose higher bits are those of its end.
    chosen = [z3.BitVec(f"index_{below}", WORD) for below in range(number)]
    inside = [z3.ULT(index, 1 << width) for index, width in zip(chosen, widths)]
    offset = z3.BitVec("offset", WORD)
    low = offset
    for index, shift in zip(chosen, shifts):
        low = low | index << shift
    unused = WORD - bits
    built = (low << unused) >> unused if spec.both_ends else low | mask(bits, WORD)
    found = [of(f"index_{below + 1}", built) == index for below, index in enumerate(chosen)]
    claim = z3.And(*found, of("canonical", built) == 1, built & mask(0, spec.page) == offset)
    prove("every path has an address", claim, *inside, z3.ULT(offset, 1 << spec.page))


def compiler_output():
    """The text of the package in LLVM's language."""
    command = ["cargo", "rustc", "--quiet", "--locked", "--release", "--package", "sparsemem-proofs", "--lib"]
    command += ["--target-dir", str(TARGET), "--", "--emit=llvm-ir", "-Csymbol-mangling-version=v0", "-Ccodegen-units=1"]
    subprocess.run(command, cwd=WORKSPACE, check=True)
    texts = sorted((TARGET / "release" / "deps").glob("sparsemem_proofs-*.ll"), key=lambda it: it.stat().st_mtime)
    return texts[-1].read_text()


def main():
    prover = Prover(Module(compiler_output()))
    for name, spec in FORMATS.items():
        before = prover.proved
        for number in range(1, max(spec.depths) + 1):
            level(prover, name, spec, number)
        for number, bits in spec.depths.items():
            depth(prover, name, spec, number, bits)
        print(f"{name}: {prover.proved - before} statements proved")


if __name__ == "__main__":
    try:
        main()
    except Unknown as what:
        sys.exit(f"the script does not know this: {what}")
