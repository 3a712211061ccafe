"""The functions of one name that a process defines, and which of them a call means.

Owns how functions of one name are told apart: those that one factory makes stand beside each
other, by what they close over; a definition that is run again, changed, takes the place of what
it defined before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.functions.registry import Function

__all__ = ["Generation", "joined", "split"]

_MOST = 256
_VERSION = re.compile(r"(?P<head>.*)@(?P<bound>[0-9a-f]{16})", re.DOTALL)


def joined(head: str, bound: str) -> str:
    """Write a version: a hash of the code, and one of what the function closes over."""
    return f"{head}@{bound}" if bound else head


def split(version: str) -> tuple[str, str]:
    """Return the two parts of a version."""
    match = _VERSION.fullmatch(version)
    return (match["head"], match["bound"]) if match else (version, "")


class Generation:
    """The functions of one name that stand beside each other.

    Parameters
    ----------
    function
        The first.
    """

    def __init__(self, function: Function) -> None:
        self.latest = function
        self._members: dict[tuple[str, str, str], Function] = {}
        self._called: dict[str, Function] = {}
        self.add(function)

    def __iter__(self) -> Iterator[Function]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def takes(self, function: Function) -> bool:
        """Whether a function stands beside these; else it takes their place."""
        if function.source is None or self.latest.source is None:
            return False
        return function.source.stands_beside(self.latest.source)

    def add(self, function: Function) -> None:
        """Add a function; one of the same lines, values and version gives way."""
        text = "" if function.source is None else function.source.text
        key = (function.stated, function.bound, text)
        self._members.pop(key, None)
        self._members[key] = self.latest = function
        while len(self._members) > _MOST:
            del self._members[next(iter(self._members))]

    def holds(self, function: Function) -> bool:
        """Whether a function, or what `using` made of it, is one of these."""
        return self.latest.body is function.body or any(each.body is function.body for each in self)

    def note(self, function: Function, version: str) -> None:
        """Remember for which function a call is written: what it closes over may change."""
        _, bound = split(version)
        if bound:
            self._called.pop(bound, None)
            self._called[bound] = function
            if len(self._called) > _MOST:
                del self._called[next(iter(self._called))]

    def find(self, version: str) -> Function | None:
        """Return the function that a call of some version means; None where that is not clear.

        One that has changed since is meant as well, if it closes over the same; and one that
        closes over something else, if its version is said and the same.
        """
        head, bound = split(version)
        same = [
            each
            for (stated, known, _), each in self._members.items()
            if known == bound and stated in {"", head}
        ]
        if len(same) == 1:
            return same[0]
        for each in same or self:
            if (same or each.bound == bound) and each.is_of(version):
                return each
        if same:
            return None
        if (called := self._called.get(bound)) is not None and self.holds(called):
            return called
        stated = [each for each in self if each.stated and each.stated in {version, head}]
        if stated:
            return stated[-1]
        if not bound and (former := [each for each in self if each.former == head]):
            return former[0] if len(former) == 1 else None
        return self._changed(bound)

    def _changed(self, bound: str) -> Function | None:
        """Return the only function that can be another version of one that closed over this."""
        same = [each for each in self if each.bound == bound]
        if len(same) == 1:
            return same[0]
        only = next(iter(self)) if len(self) == 1 else None
        if only is None or same:
            return None
        one_of_many = only.bound and bound and only.source and not only.source.of_module
        return None if one_of_many else only
