"""What would be asked for some rows, noted by its keys: nothing is called.

Owns how questions are found again in the ledger, of whatever version of a function they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError
from barbule.executor.ledger.call_ledger import Ledger, question_keys
from barbule.nodes import FunctionCall
from barbule.types import Media

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.operations as ops

    from barbule.media.library import MediaLibrary
    from barbule.planner.stages import Call

__all__ = ["Noting"]


class Noting:
    """Stands in for calls: the ledger answers what it knows, all else is empty.

    Parameters
    ----------
    keys
        Takes the keys of the questions.
    functions
        Those whose questions matter; None for all.
    """

    def __init__(
        self, ledger: Ledger, library: MediaLibrary, keys: set[str], functions: set[str] | None
    ) -> None:
        self._ledger = ledger
        self._library = library
        self._keys = keys
        self._functions = functions
        self._versions: dict[str, list[str]] = {}

    def wants(self, query: ops.Node) -> bool:
        """Whether a query asks questions that matter."""
        return any(
            call.cached and (self._functions is None or call.function in self._functions)
            for call in query.find(FunctionCall)
        )

    def answers(self, call: Call, columns: Sequence[Sequence[Any]], count: int) -> list[Any]:
        """Return what the ledger answers for each row."""
        if not call.cached:
            return [None] * count
        rows = list(zip(*columns, strict=True)) if columns else [()] * count
        contents = [self._content(call, row) for row in rows]
        found: list[Any] = [None] * count
        if call.function not in self._versions:
            self._versions[call.function] = self._ledger.versions(call.function)
        for version in self._versions[call.function]:
            key = question_keys(call.function, version, call.template)
            keys = [None if content is None else key(content) for content in contents]
            asked = [each for each in keys if each is not None]
            self._keys.update(asked)
            known = self._ledger.look_up(list(set(asked)), call.dtype)
            found = [
                known.get(each, old) if each is not None else old
                for each, old in zip(keys, found, strict=True)
            ]
        return found

    def _content(self, call: Call, row: Sequence[Any]) -> list[Any] | None:
        try:
            return [
                f"sha256:{self._library.sha256(value)}"
                if isinstance(kind, Media) and value is not None
                else value
                for value, kind in zip(row, call.kinds, strict=True)
            ]
        except (BarbuleError, OSError):  # a file that is gone: nothing can be asked about it
            return None
