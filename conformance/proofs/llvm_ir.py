"""Reads functions without loops from LLVM's text, as formulas over bit vectors.

What is not known here ends the script: no instruction is skipped, and no function is left out in silence.
"""

import re
from dataclasses import dataclass, field

import z3

BINARY = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "and": lambda a, b: a & b, "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b, "lshr": z3.LShR, "ashr": lambda a, b: a >> b,
}
COMPARE = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b,
    "ult": z3.ULT, "ule": z3.ULE, "ugt": z3.UGT, "uge": z3.UGE,
    "slt": lambda a, b: a < b, "sle": lambda a, b: a <= b, "sgt": lambda a, b: a > b, "sge": lambda a, b: a >= b,
}
# Promises of the compiler to itself. The formulas wrap where these say that nothing does.
FLAGS = r"(?:nuw|nsw|exact|disjoint|nneg|samesign|noundef|range\(.*?\)|\s)*"


class Unknown(Exception):
    """An instruction that this reader does not know."""


@dataclass
class Function:
    parameters: list
    first: str
    blocks: dict = field(default_factory=dict)


def demangle(symbol):
    """The path of a Rust symbol (v0), from the module below the crate on: `x86_64.level_1.leaf`."""
    parts, at = [], symbol.find("sparsemem_proofs")
    rest = symbol[at + len("sparsemem_proofs"):] if at >= 0 else ""
    while match := re.match(r"(\d+)_?", rest):
        length = int(match[1])
        rest = rest[match.end():]
        parts.append(rest[:length])
        rest = rest[length:]
    return ".".join(parts)


class Module:
    """The functions of a text."""

    def __init__(self, text):
        self.functions, self.aliases, self.names = {}, {}, {}
        lines = iter(text.splitlines())
        for line in lines:
            if alias := re.match(r'@"?([\w.$]+)"? = .*alias .*@"?([\w.$]+)"?$', line):
                self.aliases[alias[1]] = alias[2]
            elif define := re.match(r'define .*@"?([\w.$]+)"?\((.*)\)[^()]*\{', line):
                self.functions[define[1]] = self._read(define[2], lines)
        for symbol in [*self.functions, *self.aliases]:
            if path := demangle(symbol):
                self.names[path] = symbol

    @staticmethod
    def _read(parameters, lines):
        names = re.findall(r"(i\d+)\b[^,]*?(%[\w.\"]+)", parameters)
        function, block = Function(names, None), None
        for line in lines:
            line = line.split(";")[0].split(", !")[0].strip()
            if line == "}":
                return function
            if label := re.match(r"([\w.\"]+):", line):
                block = function.blocks.setdefault(label[1], [])
                function.first = function.first or label[1]
            elif line.startswith("]"):
                block[-1] += " ]"
            elif block and block[-1].startswith("switch") and not block[-1].endswith("]"):
                block[-1] += " " + line
            elif line:
                block.append(line)
        raise Unknown("a function without an end")

    def call(self, path, *arguments):
        """The value of a function, named by its path, as a formula."""
        if path not in self.names:
            raise Unknown(f"no function {path} in the compiler's output")
        return self._apply(self.names[path], arguments)

    def _apply(self, symbol, arguments):
        function = self.functions[self.aliases.get(symbol, symbol)]
        env = {name: value for (_, name), value in zip(function.parameters, arguments, strict=True)}
        return self._block(function, function.first, None, env, 0)

    def _block(self, function, label, before, env, depth):
        if depth > 64:
            raise Unknown("a loop")
        env = dict(env)
        for line in function.blocks[label]:
            if result := re.match(r"(%[\w.\"]+) = (.*)", line):
                env[result[1]] = self._value(result[2], before, env)
            elif match := re.match(r"ret i(\d+) (\S+)", line):
                return operand(match[2], int(match[1]), env)
            elif match := re.match(r"br label %(\S+)", line):
                return self._block(function, match[1], label, env, depth + 1)
            elif match := re.match(r"br i1 (\S+), label %(\S+), label %(\S+)", line):
                yes, no = (self._block(function, to, label, env, depth + 1) for to in match.groups()[1:])
                return z3.If(operand(match[1], 1, env) == 1, yes, no)
            elif match := re.match(r"switch i(\d+) (\S+), label %(\S+) \[(.*)\]", line):
                return self._switch(function, label, match, env, depth)
            elif line == "unreachable":
                # The compiler knows that this is never reached: any value will do.
                return z3.FreshConst(z3.BitVecSort(64))
            elif not re.match(r"(tail )?call void @llvm.assume", line):
                raise Unknown(line)
        raise Unknown(f"{label} does not end")

    def _switch(self, function, label, match, env, depth):
        width = int(match[1])
        value = operand(match[2], width, env)
        result = self._block(function, match[3], label, env, depth + 1)
        for number, to in re.findall(r"i\d+ (-?\d+), label %(\S+)", match[4]):
            case = self._block(function, to, label, env, depth + 1)
            result = z3.If(value == z3.BitVecVal(int(number), width), case, result)
        return result

    def _value(self, text, before, env):
        if match := re.match(rf"(\w+) {FLAGS}i(\d+) (\S+), (\S+)$", text):
            name, width, left, right = match[1], int(match[2]), match[3], match[4]
            if name in BINARY:
                return BINARY[name](operand(left, width, env), operand(right, width, env))
        if match := re.match(rf"icmp {FLAGS}(\w+) i(\d+) (\S+), (\S+)$", text):
            left, right = (operand(it, int(match[2]), env) for it in match.groups()[2:])
            return as_bit(COMPARE[match[1]](left, right))
        if match := re.match(r"select i1 (\S+), i(\d+) (\S+), i\d+ (\S+)$", text):
            yes, no = (operand(it, int(match[2]), env) for it in match.groups()[2:])
            return z3.If(operand(match[1], 1, env) == 1, yes, no)
        if match := re.match(rf"(zext|sext|trunc) {FLAGS}i(\d+) (\S+) to i(\d+)$", text):
            source, target = int(match[2]), int(match[4])
            value = operand(match[3], source, env)
            if match[1] == "trunc":
                return z3.Extract(target - 1, 0, value)
            return (z3.ZeroExt if match[1] == "zext" else z3.SignExt)(target - source, value)
        if match := re.match(r"phi i(\d+) (.*)$", text):
            for value, label in re.findall(r"\[ (\S+), %([^\s\]]+) \]", match[2]):
                if label == before:
                    return operand(value, int(match[1]), env)
        if match := re.match(r'(?:tail |musttail )?call .*?i(\d+) @"?([\w.$]+)"?\((.*)\)', text):
            return self._intrinsic(match[2], int(match[1]), match[3], env)
        raise Unknown(text)

    def _intrinsic(self, name, width, text, env):
        pairs = re.findall(r"i(\d+) (?:noundef )?(%?[\w.\"-]+)", text)
        arguments = [operand(value, int(bits), env) for bits, value in pairs]
        if name.startswith("llvm.umin"):
            return z3.If(z3.ULT(*arguments), *arguments)
        if name.startswith("llvm.umax"):
            return z3.If(z3.UGT(*arguments), *arguments)
        if name.startswith("llvm.usub.sat"):
            return z3.If(z3.ULT(*arguments), z3.BitVecVal(0, width), arguments[0] - arguments[1])
        if name.startswith("llvm.fsh"):
            high, low, by = arguments
            by = z3.ZeroExt(width, z3.URem(by, z3.BitVecVal(width, width)))
            both = z3.Concat(high, low)
            left = name.startswith("llvm.fshl")
            return z3.Extract(2 * width - 1, width, both << by) if left else z3.Extract(width - 1, 0, z3.LShR(both, by))
        if name in self.functions or name in self.aliases:
            return self._apply(name, arguments)
        raise Unknown(name)


def as_bit(condition):
    return z3.If(condition, z3.BitVecVal(1, 1), z3.BitVecVal(0, 1))


def operand(text, width, env):
    text = text.rstrip(",")
    if text in ("true", "false"):
        return z3.BitVecVal(int(text == "true"), 1)
    if re.fullmatch(r"-?\d+", text):
        return z3.BitVecVal(int(text), width)
    if text in env:
        return env[text]
    raise Unknown(f"the operand {text}")
