"""Recordings: the answers of calls in a file, which can be replayed without a network.

Owns the file, a Parquet table with the columns of the call ledger, and which recording is in use.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

import ibis.expr.schema as sch

from barbule.errors import ReplayError
from barbule.executor.ledger.answers import CALLS_SCHEMA, decode_answer
from barbule.io.output_files import check_folder
from barbule.locations import expand_user, write_atomically, write_errors

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from contextvars import Token
    from pathlib import Path

    import ibis.expr.datatypes as dt

    from barbule.executor.ledger.answers import Answer, LedgerRow
    from barbule.executor.ledger.call_ledger import CallLedger

__all__ = ["Recording", "current_recording", "record", "replay"]

_CURRENT: ContextVar[Recording | None] = ContextVar("barbule_recording", default=None)


class Recording:
    """The answers of calls in a file.

    Parameters
    ----------
    replays
        Whether calls are answered from it; otherwise answers are added to it.
    """

    def __init__(self, path: Path, *, replays: bool) -> None:
        self.path = path
        self.replays = replays
        self._rows: dict[str, LedgerRow] = {}
        self._lock = threading.Lock()
        self._tokens: list[Token[Recording | None]] = []

    def __repr__(self) -> str:
        role = "replay of" if self.replays else "recording in"
        return f"<{role} {str(self.path)!r}: {len(self)} calls>"

    def __len__(self) -> int:
        return len(self._rows)

    def __enter__(self) -> Self:
        if not self.replays:
            check_folder(self.path.absolute().parent)  # before any call is made and paid for
        if self.path.exists():
            self._read()
        elif self.replays:
            raise ReplayError(
                f"there is no recording {str(self.path)!r}.",
                hint="Create it while the network is available: with bb.record(path): ...",
            )
        self._tokens.append(_CURRENT.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._tokens.pop())
        if not self.replays:
            self._write()

    def look_up(self, keys: Iterable[str], dtype: dt.DataType) -> dict[str, Any]:
        """Return the recorded answers among `keys`, as values of `dtype`."""
        return {
            key: decode_answer(self._rows[key]["answer"], dtype)
            for key in keys
            if key in self._rows
        }

    def add_answers(self, answers: Sequence[Answer], dtype: dt.DataType) -> None:
        """Add answers, except failed calls."""
        rows = {answer.key: answer.ledger_row(dtype) for answer in answers if answer.error is None}
        with self._lock:
            self._rows |= rows

    def add(self, ledger: CallLedger, keys: Sequence[str]) -> None:
        """Add the answers of the ledger to these calls."""
        rows = ledger.answers(keys, CALLS_SCHEMA.names).to_pylist()
        with self._lock:
            self._rows |= {row["key"]: row for row in rows}

    def _read(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.path)
            rows = table.select(["key", "answer"]).to_pylist() and table.to_pylist()
        except (pa.ArrowException, KeyError, OSError) as error:
            raise ReplayError(
                f"{str(self.path)!r} is not a recording: {str(error).splitlines()[0]}",
                hint="Pass a file that bb.record(path) wrote.",
            ) from error
        self._rows = {row["key"]: row for row in rows}

    def _write(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = sch.Schema(
            {name: dtype for name, dtype in CALLS_SCHEMA.items() if name != "holder"}
        )
        rows = [{name: row.get(name) for name in schema.names} for row in self._rows.values()]
        rows.sort(key=lambda row: str(row["key"]))  # so that a recording in Git changes little
        with write_errors(f"the recording {str(self.path)!r}"), write_atomically(self.path) as file:
            pq.write_table(pa.Table.from_pylist(rows, schema.to_pyarrow()), file)


def current_recording() -> Recording | None:
    """Return the recording that the calling code uses."""
    return _CURRENT.get()


def record(path: str | os.PathLike[str]) -> Recording:
    """Write the answer of every call within a `with` block to a file.

    Answers come from the models, or from the call ledger. An existing file is extended. Calls of
    models and of functions in the call ledger are recorded.

    Parameters
    ----------
    path
        A Parquet file, written when the block ends; its columns are those of `bb.calls()`.

    Examples
    --------
    >>> import barbule as bb
    >>> @bb.udf(cache=True)
    ... def shout(text: str) -> str:
    ...     return text.upper()
    >>> words = bb.create_table("words", [{"word": "a"}, {"word": "b"}])
    >>> with bb.record("calls.parquet") as recording:
    ...     _ = words.select(shout(words.word)).collect()
    >>> recording
    <recording in 'calls.parquet': 2 calls>
    """
    return Recording(expand_user(path), replays=False)


def replay(path: str | os.PathLike[str]) -> Recording:
    """Answer every call within a `with` block from a recording; no model is called.

    Parameters
    ----------
    path
        A file written by `record`.

    Raises
    ------
    ReplayError
        On entry, if there is no such file; within the block, if a call is not recorded.

    Examples
    --------
    >>> import barbule as bb
    >>> @bb.udf(cache=True)
    ... def shout(text: str) -> str:
    ...     return text.upper()
    >>> words = bb.create_table("words", [{"word": "a"}])
    >>> with bb.record("calls.parquet"):
    ...     _ = words.select(shout(words.word)).collect()
    >>> with bb.replay("calls.parquet"):
    ...     words.select(loud=shout(words.word)).collect()["loud"]
    ['A']
    """
    return Recording(expand_user(path), replays=True)
