"""What code without a text is seen to change: the names that it assigns to, fills or empties.

Owns the reading of bytecode: at a prompt of Python's own, from its input, and from `exec`, there
is nothing else to read.
"""

from __future__ import annotations

import dis
import functools
import types
from typing import NamedTuple

__all__ = ["CHANGING", "Change", "bytecode_changes"]

CHANGING = {
    *("add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove"),
    *("reverse", "setdefault", "sort", "update", "appendleft", "popleft"),
}
"""The methods of containers that change them."""

_DECLARED = {"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_NAME", "DELETE_NAME"}
_ITEMS = {"BINARY_SUBSCR", "BINARY_OP"}
_LEAVING = {"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"}
_KEEPING = ("CACHE", "DELETE_", "END_", "NOP", "NOT_TAKEN", "POP_", "PRECALL", "RESUME", "STORE_")


class Change(NamedTuple):
    """A name that code changes.

    Attributes
    ----------
    attribute
        Which attribute of it is changed; empty where it is changed itself.
    """

    name: str
    attribute: str = ""


class _Unseen(NamedTuple):
    """A value on the stack that no name leads to."""


_Entry = Change | _Unseen
_UNSEEN = _Unseen()


@functools.lru_cache(maxsize=4096)
def bytecode_changes(code: types.CodeType) -> frozenset[Change]:
    """Return what code, and the functions within it, change.

    Examples
    --------
    >>> def note(n):
    ...     SEEN.append(n)
    ...     COUNTS[n % 2] = LIMIT
    >>> sorted(each.name for each in bytecode_changes(note.__code__))
    ['COUNTS', 'SEEN']
    """
    found = _Steps(code).changes
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            found |= bytecode_changes(inner)
    return frozenset(found)


class _Steps:
    """Goes through code once, with what is on the stack as far as names lead to it."""

    def __init__(self, code: types.CodeType) -> None:
        self.changes: set[Change] = set()
        self._stack: list[_Entry] = []
        outer = set(code.co_freevars)
        waiting: dict[int, list[_Entry]] = {}  # the stack at places that are jumped to
        left = False
        for step in dis.get_instructions(code):
            if left:
                self._stack = waiting.get(step.offset, [])
            if step.opcode in dis.hasjrel or step.opcode in dis.hasjabs:
                waiting.setdefault(step.argval, self._jumped(step))
            self._note(step, outer)
            self._go(step)
            left = step.opname in _LEAVING or step.opname.startswith("JUMP_FORWARD")

    def _note(self, step: dis.Instruction, outer: set[str]) -> None:
        """Note what a step changes."""
        name = step.opname
        if name in _DECLARED or (name in {"STORE_DEREF", "DELETE_DEREF"} and step.argval in outer):
            self.changes.add(Change(step.argval))
        elif name in {"STORE_SUBSCR", "DELETE_SUBSCR"}:
            self._changed(self._at(2))
        elif name == "STORE_SLICE":
            self._changed(self._at(3))
        elif name in {"STORE_ATTR", "DELETE_ATTR"}:
            self._changed(_attribute_of(self._at(1), step.argval))
        elif name in {"LOAD_ATTR", "LOAD_METHOD"} and step.argval in CHANGING:
            self._changed(self._at(1))

    def _changed(self, entry: _Entry) -> None:
        if isinstance(entry, Change):
            self.changes.add(entry)

    def _at(self, place: int) -> _Entry:
        return self._stack[-place] if place <= len(self._stack) else _UNSEEN

    def _jumped(self, step: dis.Instruction) -> list[_Entry]:
        count = len(self._stack) + dis.stack_effect(step.opcode, step.arg, jump=True)
        return [*self._stack, *[_UNSEEN] * count][: max(count, 0)]

    def _go(self, step: dis.Instruction) -> None:
        """Do to the stack what a step does."""
        name, arg, stack = step.opname, step.arg, self._stack
        if name == "SWAP" and arg is not None and arg <= len(stack):
            stack[-1], stack[-arg] = stack[-arg], stack[-1]
            return
        above = self._above(step)
        needs_argument = step.opcode >= dis.HAVE_ARGUMENT
        effect = dis.stack_effect(step.opcode, arg if needs_argument else None, jump=False)
        if effect < 0:
            del stack[effect:]
        stack += [_UNSEEN] * effect
        if stack and not name.startswith(_KEEPING):
            stack[-1] = above

    def _above(self, step: dis.Instruction) -> _Entry:
        """Return what a step leaves on top of the stack."""
        name = step.opname
        if name == "COPY":
            return self._at(step.arg or 1)
        if name in {"LOAD_ATTR", "LOAD_METHOD"}:
            return _attribute_of(self._at(1), step.argval)
        if name in _ITEMS and (name != "BINARY_OP" or step.argrepr == "[]"):
            return self._at(2)
        loads = name.startswith("LOAD_") and isinstance(step.argval, str)
        return Change(step.argval) if loads and name != "LOAD_CONST" else _UNSEEN


def _attribute_of(entry: _Entry, name: str) -> _Entry:
    """Return an attribute of what a name leads to: the one that is next to the name counts."""
    if not isinstance(entry, Change):
        return entry
    return entry if entry.attribute else Change(entry.name, name)
