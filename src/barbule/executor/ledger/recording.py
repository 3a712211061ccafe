"""Recordings: the answers of calls in a file, which answers them again without a network.

Owns the file, a Parquet table with the columns of the call ledger, and which recording is in use.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

import ibis.expr.schema as sch

from barbule.errors import ReplayError
from barbule.executor.ledger.call_ledger import SCHEMA, decoded
from barbule.io.output_files import check_folder
from barbule.locations import expand_user, write_atomically, write_errors

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from contextvars import Token
    from pathlib import Path

    import ibis.expr.datatypes as dt

    from barbule.executor.ledger.call_ledger import Answer, Ledger

__all__ = ["Tape", "current_tape", "record", "replay"]

_IN_USE: ContextVar[Tape | None] = ContextVar("barbule_tape", default=None)


class Tape:
    """The answers in a file.

    Parameters
    ----------
    replays
        Whether they answer; else answers are added to them.
    """

    def __init__(self, path: Path, *, replays: bool) -> None:
        self.path = path
        self.replays = replays
        self._rows: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._tokens: list[Token[Tape | None]] = []

    def __repr__(self) -> str:
        what = "replay of" if self.replays else "recording in"
        return f"<{what} {str(self.path)!r}: {len(self)} calls>"

    def __len__(self) -> int:
        return len(self._rows)

    def __enter__(self) -> Self:
        if not self.replays:
            check_folder(self.path.absolute().parent)  # before anything is asked and paid for
        if self.path.exists():
            self._read()
        elif self.replays:
            raise ReplayError(
                f"there is no recording {str(self.path)!r}.",
                hint="Make it, with the network, by: with bb.record(path).",
            )
        self._tokens.append(_IN_USE.set(self))
        return self

    def __exit__(self, *_: object) -> None:
        _IN_USE.reset(self._tokens.pop())
        if not self.replays:
            self._write()

    def look_up(self, keys: Iterable[str], kind: dt.DataType) -> dict[str, Any]:
        """Return the recorded answers among `keys`, as values of `kind`."""
        return {key: decoded(self._rows[key]["answer"], kind) for key in keys if key in self._rows}

    def note(self, answers: Sequence[Answer], kind: dt.DataType) -> None:
        """Add answers, those that failed left out."""
        rows = {each.key: each.written(kind) for each in answers if each.error is None}
        with self._lock:
            self._rows |= rows

    def add(self, ledger: Ledger, keys: Sequence[str]) -> None:
        """Add what the ledger answers."""
        rows = ledger.answers(keys, SCHEMA.names).to_pylist()
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
                f"{str(self.path)!r} is no recording: {str(error).splitlines()[0]}",
                hint="Give a file that bb.record(path) has written.",
            ) from error
        self._rows = {row["key"]: row for row in rows}

    def _write(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = sch.Schema({name: SCHEMA[name] for name in SCHEMA.names if name != "holder"})
        names = kinds.names
        rows = [{name: row.get(name) for name in names} for row in self._rows.values()]
        rows.sort(key=lambda row: str(row["key"]))  # so that a recording under Git changes little
        with write_errors(f"the recording {str(self.path)!r}"), write_atomically(self.path) as file:
            pq.write_table(pa.Table.from_pylist(rows, kinds.to_pyarrow()), file)


def current_tape() -> Tape | None:
    """Return the recording that the calling code uses."""
    return _IN_USE.get()


def record(path: str | os.PathLike[str]) -> Tape:
    """Write the answer of every call within a `with` block to a file.

    Answers come from the models, or from the call ledger. A file that is there is added to. What
    is recorded: calls of models, and of functions that are in the call ledger.

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
    >>> with bb.record("calls.parquet") as tape:
    ...     _ = words.select(shout(words.word)).collect()
    >>> tape
    <recording in 'calls.parquet': 2 calls>
    """
    return Tape(expand_user(path), replays=False)


def replay(path: str | os.PathLike[str]) -> Tape:
    """Answer every call within a `with` block from a recording; no model is asked.

    Parameters
    ----------
    path
        A file that `record` has written.

    Raises
    ------
    ReplayError
        On entry, when there is no such file; within the block, when a call is not recorded.

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
    return Tape(expand_user(path), replays=True)
