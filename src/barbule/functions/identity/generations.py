"""The functions with one name that a process defines, and which of them a stored call refers to.

Owns how functions with one name are distinguished: those from one factory coexist and differ by
their closures; a changed definition that is run again replaces the previous one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from barbule.functions.identity.versions import Versioned, split_version

__all__ = ["Generation"]

F = TypeVar("F", bound=Versioned)

_MAX_FUNCTIONS = 256


class Generation(Generic[F]):
    """The coexisting functions with one name.

    Parameters
    ----------
    function
        The first.
    """

    def __init__(self, function: F) -> None:
        self.latest = function
        self._members: dict[tuple[str, str, str], F] = {}
        self._functions_of_calls: dict[str, F] = {}
        self.add(function)

    def __iter__(self) -> Iterator[F]:
        return iter(self._members.values())

    def __len__(self) -> int:
        return len(self._members)

    def accepts(self, function: F) -> bool:
        """Whether a function coexists with these; otherwise it replaces them."""
        if function.source is None or self.latest.source is None:
            return False
        return function.source.coexists_with(self.latest.source)

    def add(self, function: F) -> None:
        """Add a function; it replaces one with the same lines, values and version."""
        text = "" if function.source is None else function.source.text
        key = (function.stated_version, function.closure_hash, text)
        self._members.pop(key, None)
        self._members[key] = self.latest = function
        while len(self._members) > _MAX_FUNCTIONS:
            del self._members[next(iter(self._members))]

    def holds(self, function: F) -> bool:
        """Whether a function, or the one that `using` derived it from, is one of these."""
        if self.latest.body is function.body:
            return True
        return any(member.body is function.body for member in self)

    def note_call(self, function: F, version: str) -> None:
        """Remember for which function a call is written: its closure may change."""
        _, closure_hash = split_version(version)
        if closure_hash:
            self._functions_of_calls.pop(closure_hash, None)
            self._functions_of_calls[closure_hash] = function
            if len(self._functions_of_calls) > _MAX_FUNCTIONS:
                del self._functions_of_calls[next(iter(self._functions_of_calls))]

    def find(self, version: str) -> F | None:
        """Return the function that a call with a version refers to; None if that is ambiguous.

        A function that has changed since is accepted too, if its closure is the same; and one with
        another closure, if its version is stated and the same.
        """
        head, closure_hash = split_version(version)
        same_closure = [
            function
            for (stated, closure, _), function in self._members.items()
            if closure == closure_hash and stated in {"", head}
        ]
        if len(same_closure) == 1:
            return same_closure[0]
        for function in same_closure or self:
            closure_fits = same_closure or function.closure_hash == closure_hash
            if closure_fits and function.has_version(version):
                return function
        if same_closure:
            return None
        called = self._functions_of_calls.get(closure_hash)
        if called is not None and self.holds(called):
            return called
        stated = [
            function
            for function in self
            if function.stated_version and function.stated_version in {version, head}
        ]
        if stated:
            return stated[-1]
        if not closure_hash:
            former = [function for function in self if function.former_version == head]
            if former:
                return former[0] if len(former) == 1 else None
        return self._changed(closure_hash)

    def _changed(self, closure_hash: str) -> F | None:
        """Return the only function that can be another version of one with this closure."""
        same_closure = [function for function in self if function.closure_hash == closure_hash]
        if len(same_closure) == 1:
            return same_closure[0]
        only = next(iter(self)) if len(self) == 1 else None
        if only is None or same_closure:
            return None
        one_of_many = (
            only.closure_hash and closure_hash and only.source and not only.source.is_module_level
        )
        return None if one_of_many else only
