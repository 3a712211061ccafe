"""The names that code without source changes: names that it assigns, fills or empties.

Owns the reading of bytecode: for functions from a prompt, from standard input and from `exec`,
Python keeps no source.
"""

from __future__ import annotations

import dis
import functools
import types
from typing import NamedTuple

__all__ = ["MUTATORS", "Change", "bytecode_changes"]

MUTATORS = {
    *("add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove"),
    *("reverse", "setdefault", "sort", "update", "appendleft", "popleft"),
}
"""The methods of containers that change them."""

_STORES = {"STORE_GLOBAL", "DELETE_GLOBAL", "STORE_NAME", "DELETE_NAME"}
_SUBSCRIPTS = {"BINARY_SUBSCR", "BINARY_OP"}
_JUMPS_AWAY = {"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"}
_WITHOUT_RESULT = (
    "CACHE",
    "DELETE_",
    "END_",
    "NOP",
    "NOT_TAKEN",
    "POP_",
    "PRECALL",
    "RESUME",
    "STORE_",
)


class Change(NamedTuple):
    """A name that code changes.

    Attributes
    ----------
    attribute
        The attribute of it that is changed; empty if the object itself is changed.
    """

    name: str
    attribute: str = ""


class _Nameless(NamedTuple):
    """A value on the stack that no name leads to."""


_Entry = Change | _Nameless
_NAMELESS = _Nameless()


@functools.lru_cache(maxsize=4096)
def bytecode_changes(code: types.CodeType) -> frozenset[Change]:
    """Return the names that code, and the functions within it, change.

    Examples
    --------
    >>> def note(n):
    ...     SEEN.append(n)
    ...     COUNTS[n % 2] = LIMIT
    >>> sorted(change.name for change in bytecode_changes(note.__code__))
    ['COUNTS', 'SEEN']
    """
    changes = _Interpreter(code).changes
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            changes |= bytecode_changes(constant)
    return frozenset(changes)


class _Interpreter:
    """Steps through code once, with the names that lead to the values on the stack."""

    def __init__(self, code: types.CodeType) -> None:
        self.changes: set[Change] = set()
        self._stack: list[_Entry] = []
        outer = set(code.co_freevars)
        stacks: dict[int, list[_Entry]] = {}  # the stack at offsets that are jumped to
        has_left = False
        for step in dis.get_instructions(code):
            if has_left:
                self._stack = stacks.get(step.offset, [])
            if step.opcode in dis.hasjrel or step.opcode in dis.hasjabs:
                stacks.setdefault(step.argval, self._stack_after_jump(step))
            self._record_change(step, outer)
            self._execute(step)
            has_left = step.opname in _JUMPS_AWAY or step.opname.startswith("JUMP_FORWARD")

    def _record_change(self, step: dis.Instruction, outer: set[str]) -> None:
        """Add the name that a step changes."""
        name = step.opname
        if name in _STORES or (name in {"STORE_DEREF", "DELETE_DEREF"} and step.argval in outer):
            self.changes.add(Change(step.argval))
        elif name in {"STORE_SUBSCR", "DELETE_SUBSCR"}:
            self._add_change(self._entry(2))
        elif name == "STORE_SLICE":
            self._add_change(self._entry(3))
        elif name in {"STORE_ATTR", "DELETE_ATTR"}:
            self._add_change(_attribute_of(self._entry(1), step.argval))
        elif name in {"LOAD_ATTR", "LOAD_METHOD"} and step.argval in MUTATORS:
            self._add_change(self._entry(1))

    def _add_change(self, entry: _Entry) -> None:
        if isinstance(entry, Change):
            self.changes.add(entry)

    def _entry(self, depth: int) -> _Entry:
        """Return an entry of the stack, counted from its top, starting at 1."""
        return self._stack[-depth] if depth <= len(self._stack) else _NAMELESS

    def _stack_after_jump(self, step: dis.Instruction) -> list[_Entry]:
        count = len(self._stack) + dis.stack_effect(step.opcode, step.arg, jump=True)
        return [*self._stack, *[_NAMELESS] * count][: max(count, 0)]

    def _execute(self, step: dis.Instruction) -> None:
        """Apply the effect of a step to the stack."""
        name, arg, stack = step.opname, step.arg, self._stack
        if name == "SWAP" and arg is not None and arg <= len(stack):
            stack[-1], stack[-arg] = stack[-arg], stack[-1]
            return
        result = self._result(step)
        needs_argument = step.opcode >= dis.HAVE_ARGUMENT
        effect = dis.stack_effect(step.opcode, arg if needs_argument else None, jump=False)
        if effect < 0:
            del stack[effect:]
        stack += [_NAMELESS] * effect
        if stack and not name.startswith(_WITHOUT_RESULT):
            stack[-1] = result

    def _result(self, step: dis.Instruction) -> _Entry:
        """Return what an instruction leaves on top of the stack."""
        name = step.opname
        if name == "COPY":
            return self._entry(step.arg or 1)
        if name in {"LOAD_ATTR", "LOAD_METHOD"}:
            return _attribute_of(self._entry(1), step.argval)
        if name in _SUBSCRIPTS and (name != "BINARY_OP" or step.argrepr == "[]"):
            return self._entry(2)
        loads = name.startswith("LOAD_") and isinstance(step.argval, str)
        return Change(step.argval) if loads and name != "LOAD_CONST" else _NAMELESS


def _attribute_of(entry: _Entry, name: str) -> _Entry:
    """Return an attribute of the object of a name: the one next to the name counts."""
    if not isinstance(entry, Change):
        return entry
    return entry if entry.attribute else Change(entry.name, name)
