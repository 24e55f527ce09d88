"""Reads the data of a pickle without running anything that it names.

A pickle is a program for a small stack machine, two of whose instructions fetch Python objects by
name and call them. This reader has those two only write down what was asked for: `Named` and
`Call`. It knows the instructions that PyTorch's writer uses (protocol 2, and the framing of 4) and
refuses the rest. Work and memory are bounded by the pickle's length: memory slots are a
dictionary, lengths are checked against what is there. Must not know what the data means.

Source: the comments of CPython's `pickletools`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


class PickleError(Exception):
    """Not a pickle, cut short, or one that wants what data doesn't need."""


@dataclass(frozen=True, slots=True)
class Named:
    """Something that the writer referred to by module and name. It is not looked up."""

    name: str


@dataclass(slots=True)
class Call:
    """A call that the writer asked for and that is not made; what was then put into the result is kept.

    Attributes:
        name: of what was to be called.
        arguments: for it.
        items: keys and values that were set in the result.
    """

    name: str
    arguments: tuple[Any, ...]
    items: dict[Any, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stored:
    """A reference to data outside the pickle."""

    key: Any


def read_pickle(data: bytes) -> Any:
    """What a pickle holds, as None, numbers, texts, tuples, lists, dicts, `Named`, `Call` and `Stored`.

    Raises:
        PickleError: as the class says.
    """
    machine = _Machine(data)
    try:
        return machine.run()
    except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        # A stack too short, a slot never filled, a list as a key, text that isn't UTF-8.
        raise PickleError(f"instruction at byte {machine.at} makes no sense") from error


class _Machine:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.slots: dict[int, Any] = {}

    def run(self) -> Any:
        while True:
            code = self.bytes(1)[0]
            if code == STOP:
                return self.stack.pop()
            action = ACTIONS.get(code)
            if action is None:
                raise PickleError(f"instruction {code:#04x} at byte {self.at - 1} isn't one that data needs")
            action(self)

    def bytes(self, count: int) -> bytes:
        part = self.data[self.at : self.at + count]
        if count < 0 or len(part) != count:
            raise PickleError("it is cut short")
        self.at += count
        return part

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.bytes(struct.calcsize(form)))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise PickleError("it is cut short")
        text = self.data[self.at : end]
        self.at = end + 1
        return text.decode("utf-8")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def marked(self) -> list[Any]:
        start = self.marks.pop()
        if start > len(self.stack):
            raise IndexError
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Named) or not isinstance(arguments, tuple):
            raise TypeError
        self.push(Call(function.name, arguments))

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        held = target.items if isinstance(target, Call) else target
        # Other keys are possible, but a tuple of tuples of tuples can take for ever to hash.
        if not isinstance(held, dict) or not all(isinstance(key, str | int) for key in items[::2]):
            raise TypeError
        held.update(zip(items[::2], items[1::2], strict=True))

    def append(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise TypeError
        self.stack[-1].extend(items)

    def named(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.push(Named(f"{module}.{name}"))

    def tuple_of(self, count: int) -> None:
        if count > len(self.stack):
            raise IndexError
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.push(items)

    def global_line(self) -> None:
        module = self.line()
        self.push(Named(f"{module}.{self.line()}"))

    def text(self, form: str) -> None:
        self.push(self.bytes(self.number(form)).decode("utf-8", "surrogatepass"))

    def long(self) -> None:
        self.push(int.from_bytes(self.bytes(self.number("<B")), "little", signed=True))

    def drop_state(self) -> None:
        # Attributes of the object below, which a state dict uses for versions of modules.
        self.stack.pop()


STOP = ord(".")

ACTIONS: dict[int, Callable[[_Machine], Any]] = {
    0x80: lambda m: m.bytes(1),  # protocol
    0x95: lambda m: m.bytes(8),  # length of a frame
    ord("("): lambda m: m.marks.append(len(m.stack)),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("<B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    0x8A: _Machine.long,
    ord("G"): lambda m: m.push(m.number(">d")),
    ord("X"): lambda m: m.text("<I"),
    0x8C: lambda m: m.text("<B"),
    ord("}"): lambda m: m.push({}),
    ord("]"): lambda m: m.push([]),
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.marked())),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("a"): lambda m: m.append([m.stack.pop()]),
    ord("e"): lambda m: m.append(m.marked()),
    ord("s"): lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    ord("u"): lambda m: m.set_items(m.marked()),
    ord("c"): _Machine.global_line,
    0x93: _Machine.named,
    ord("R"): _Machine.call,
    ord("b"): _Machine.drop_state,
    ord("Q"): lambda m: m.push(Stored(m.stack.pop())),
    ord("q"): lambda m: m.slots.__setitem__(m.number("<B"), m.stack[-1]),
    ord("r"): lambda m: m.slots.__setitem__(m.number("<I"), m.stack[-1]),
    0x94: lambda m: m.slots.__setitem__(len(m.slots), m.stack[-1]),
    ord("h"): lambda m: m.push(m.slots[m.number("<B")]),
    ord("j"): lambda m: m.push(m.slots[m.number("<I")]),
}
"""What each instruction does, by its byte."""
