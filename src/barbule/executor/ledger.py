"""The call ledger: every question that was asked, and its answer, once.

Owns the table `bb_calls` and the key of a question: a hash of function, version, arguments and
the *content* of inputs. Answers are committed on their own as they arrive, whatever becomes of
the operation that asked. A crash between a reply and its commit may ask that batch again.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch

from barbule.nodes import bind_arguments, fill_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from barbule.backends.base import Backend

__all__ = ["Answer", "Ledger", "question_key"]

SCHEMA = sch.Schema(
    {
        "key": "string",
        "function": "string",
        "version": "string",
        "model": "string",
        "answer": "binary",
        "tokens_in": "int64",
        "tokens_out": "int64",
        "usd": "float64",
        "seconds": "float64",
        "attempts": "int64",
        "at": "timestamp('UTC')",
    }
)
NAME = "bb_calls"
_ASKED = "bb_asked"


@dataclass(frozen=True)
class Answer:
    """One answer, as it goes into the ledger.

    Attributes
    ----------
    seconds
        From the first attempt to the answer, waits included.
    """

    key: str
    function: str
    version: str
    value: Any
    model: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: float | None = None
    seconds: float = 0.0
    attempts: int = 1


def question_key(function: str, version: str, template: str, content: Sequence[Any]) -> str:
    """Return the key of a question.

    Parameters
    ----------
    template
        The arguments as the call has them, places left open.
    content
        What fills the places; of media the hash of their content.
    """
    question = [function, version, template, bind_arguments(list(content))[0]]
    return hashlib.sha256(json.dumps(question).encode()).hexdigest()


class Ledger:
    """The answers kept in one database.

    Parameters
    ----------
    backend
        A connection of its own: what is written through it is committed at once.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._lock = threading.RLock()
        self.hits = 0
        self.calls = 0
        if NAME not in backend.tables():
            backend.create(NAME, SCHEMA)

    def look_up(self, keys: Sequence[str], kind: dt.DataType) -> dict[str, Any]:
        """Return the known answers among `keys`, as values of `kind`."""
        import pyarrow as pa

        if not keys:
            return {}
        asked = self._backend.table(_ASKED, sch.Schema({"key": "string"})).to_expr()
        calls = self._backend.table(NAME, SCHEMA).to_expr()
        query = calls.semi_join(asked, "key").select("key", "answer")
        with self._lock:
            found = self._backend.arrow(query, {_ASKED: pa.table({"key": list(keys)})})
        answers = zip(found["key"].to_pylist(), found["answer"].to_pylist(), strict=True)
        return {key: _decode(answer, kind) for key, answer in answers}

    def keep(self, answers: Sequence[Answer], kind: dt.DataType) -> None:
        """Write answers, once each, so that they outlive this process."""
        import pyarrow as pa

        if not answers:
            return
        now = datetime.datetime.now(datetime.UTC)
        fresh = {answer.key: answer for answer in answers}
        rows = [
            {**vars(answer), "answer": _encode(answer.value, kind), "at": now}
            for answer in fresh.values()
        ]
        for row in rows:
            del row["value"]
        with self._lock:
            self._backend.append(NAME, pa.Table.from_pylist(rows, SCHEMA.to_pyarrow()))

    def close(self) -> None:
        """Close the connection."""
        self._backend.disconnect()


def _is_vector(kind: dt.DataType) -> bool:
    return isinstance(kind, dt.Array) and isinstance(kind.value_type, dt.Float32)


def _encode(value: Any, kind: dt.DataType) -> bytes:
    import numpy as np

    if value is not None and _is_vector(kind):
        return np.asarray(value, dtype="<f4").tobytes()
    return bind_arguments(value)[0].encode()


def _decode(answer: bytes, kind: dt.DataType) -> Any:
    import numpy as np

    if _is_vector(kind) and answer != b"null":
        return np.frombuffer(answer, dtype="<f4")
    return fill_template(json.loads(answer), ())
