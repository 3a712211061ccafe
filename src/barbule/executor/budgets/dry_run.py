"""A dry run: the keys of the calls that some rows need, without calling anything.

Owns how calls are looked up in the ledger, under any version of a function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError
from barbule.executor.ledger.call_keys import call_key_builder
from barbule.nodes import FunctionCall
from barbule.types import declaration

if TYPE_CHECKING:
    from collections.abc import Sequence

    import ibis.expr.operations as ops

    from barbule.executor.ledger.call_ledger import CallLedger
    from barbule.media.library import MediaLibrary
    from barbule.planner.stages import Call

__all__ = ["DryRun"]


class DryRun:
    """Replaces calls: the ledger answers what it can, other cells are empty.

    Parameters
    ----------
    keys
        Takes the keys of the calls.
    functions
        The functions whose calls matter; None for all.
    """

    def __init__(
        self,
        ledger: CallLedger,
        library: MediaLibrary,
        keys: set[str],
        functions: set[str] | None,
    ) -> None:
        self._ledger = ledger
        self._library = library
        self._keys = keys
        self._functions = functions
        self._versions: dict[str, list[str]] = {}

    def makes_calls(self, query: ops.Node) -> bool:
        """Whether a query makes calls that matter."""
        return any(
            call.cached and (self._functions is None or call.function in self._functions)
            for call in query.find(FunctionCall)
        )

    def answers(self, call: Call, columns: Sequence[Sequence[Any]], row_count: int) -> list[object]:
        """Return the answer of the ledger for each row; None if it has none."""
        if not call.cached:
            return [None] * row_count
        rows = list(zip(*columns, strict=True)) if columns else [()] * row_count
        contents = [self._content(call, row) for row in rows]
        answers: list[object] = [None] * row_count
        if call.function not in self._versions:
            self._versions[call.function] = self._ledger.history.versions(call.function)
        for version in self._versions[call.function]:
            build_key = call_key_builder(call.function, version, call.template)
            keys = [None if content is None else build_key(content) for content in contents]
            requested = {key for key in keys if key is not None}
            self._keys.update(requested)
            stored = self._ledger.look_up(list(requested), call.dtype)
            answers = [
                stored.get(key, former) if key is not None else former
                for key, former in zip(keys, answers, strict=True)
            ]
        return answers

    def _content(self, call: Call, row: Sequence[Any]) -> list[Any] | None:
        """Return the values of a row, media by their hash; None if a file is missing."""
        try:
            return [
                f"sha256:{self._library.sha256(value)}"
                if declaration(dtype).is_media and value is not None
                else value
                for value, dtype in zip(row, call.kinds, strict=True)
            ]
        except (BarbuleError, OSError):
            return None
