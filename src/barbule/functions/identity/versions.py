"""The versions of a function: stated by its author, or computed from its code.

Owns the format of a version, and the versions by which a stored call or answer finds its function.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from barbule.functions.identity.source_hash import Source

__all__ = ["Versioned", "join_version", "split_version"]

_VERSION = re.compile(r"(?P<head>.*)@(?P<closure>[0-9a-f]{16})", re.DOTALL)


def join_version(head: str, closure_hash: str) -> str:
    """Format a version: a hash of the code, and one of the closure.

    Examples
    --------
    >>> join_version("1", "0123456789abcdef"), join_version("1", "")
    ('1@0123456789abcdef', '1')
    """
    return f"{head}@{closure_hash}" if closure_hash else head


def split_version(version: str) -> tuple[str, str]:
    """Return the two parts of a version: the hash of the code, and that of the closure.

    Examples
    --------
    >>> split_version("1@0123456789abcdef"), split_version("1")
    (('1', '0123456789abcdef'), ('1', ''))
    """
    match = _VERSION.fullmatch(version)
    return (match["head"], match["closure"]) if match else (version, "")


@dataclass(frozen=True, eq=False, kw_only=True)
class Versioned:
    """A callable that has a name and versions.

    Attributes
    ----------
    name
        The name in stored expressions, including the module.
    body
        The Python callable.
    stated_version
        The version that its author states; empty if it is the hash of the source.
    is_named
        Whether its author set the name; otherwise it is that of the Python function.
    source
        Its code; None for functions of barbule.
    version_for
        Computes the version of a call, if it depends on the arguments.
    former_version_for
        Computes the version of the call in version 0.1.0 of barbule, if it differs.
    """

    name: str
    body: Callable[..., Any]
    stated_version: str = "1"
    is_named: bool = False
    source: Source | None = None
    version_for: Callable[[Mapping[str, Any]], str] | None = None
    former_version_for: Callable[[Mapping[str, Any]], str] | None = None

    @property
    def closure_hash(self) -> str:
        """The hash of the closure: it differs between functions from the same lines.

        Empty if the closure is empty. If a version is stated, only values that can be identified
        count.
        """
        if self.source is None:
            return ""
        closure = self.source.closure
        return closure.identified if self.stated_version else closure.digest()

    @property
    def version(self) -> str:
        """The stated version; otherwise hashes of its code and its closure."""
        if self.stated_version or self.source is None:
            return self.stated_version
        return join_version(self.source.digest(), self.closure_hash)

    @property
    def full_version(self) -> str:
        """The version with the hash of the closure, even if the version is stated."""
        if not self.stated_version:
            return self.version
        return join_version(self.stated_version, self.closure_hash)

    @property
    def former_version(self) -> str:
        """The version in version 0.1.0 of barbule, which stored calls may have."""
        if self.stated_version or self.source is None:
            return self.stated_version
        return self.source.former_digest()

    def version_of_call(self, arguments: Mapping[str, Any]) -> str:
        """Return the version of a call with these arguments, bound or as a template."""
        return self.full_version if self.version_for is None else self.version_for(arguments)

    def version_of_answer(self, arguments: Mapping[str, Any]) -> str:
        """Return the version under which the call ledger stores the answer of a call.

        If both name and version are stated, they identify the function without its closure.
        """
        if self.is_named and self.stated_version and self.version_for is None:
            return self.stated_version
        return self.version_of_call(arguments)

    def has_version(self, version: str, arguments: Mapping[str, Any] | None = None) -> bool:
        """Whether a version is that of the current function, in any format ever written.

        Parameters
        ----------
        version
            The version of a stored call.
        arguments
            The arguments of the call, for functions whose version depends on them.
        """
        if self.version_for is None or arguments is None:
            if self.stated_version and self.source is not None:
                return self.stated_version in {version, split_version(version)[0]}
            # The older formats take as long to compute, and are seldom needed.
            return version == self.version or self._had_version(version)
        former_version_for = self.former_version_for or self.version_for
        return version in {self.version_for(arguments), former_version_for(arguments)}

    def _had_version(self, version: str) -> bool:
        """Whether a version is that of the current function, in a format no longer written."""
        if version == self.former_version:
            return True
        if self.source is None or not self.source.is_bytecode:
            return False
        return version == join_version(self.source.filled_digest(), self.closure_hash)
