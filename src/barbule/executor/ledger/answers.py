"""Answers of calls, and their rows in the call ledger.

Owns the columns of the table `bb_calls` and the encoding of answers in it.
"""

from __future__ import annotations

import datetime
import functools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.schema as sch

from barbule.nodes import bind_arguments, fill_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

__all__ = [
    "CALLS_SCHEMA",
    "CALLS_TABLE",
    "HIDDEN_COLUMNS",
    "Answer",
    "LedgerRow",
    "answer_decoder",
    "answer_rows",
    "arrow_rows",
    "decode_answer",
    "encode_answer",
]

CALLS_TABLE = "bb_calls"
CALLS_SCHEMA = sch.Schema(
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
        "error": "string",
        "table": "string",
        "column": "string",
        "row": "int64",
        "requests": "int64",
        "estimated": "boolean",
        "question": "string",
        "holder": "string",
    }
)
HIDDEN_COLUMNS = ("answer", "holder")
"""Columns that `bb.calls()` does not have."""

LedgerRow = dict[str, Any]

_PLAIN_TYPES = {str, int, float, bool, type(None)}
_ENCODING_ERRORS = "surrogatepass"  # halves of surrogate pairs, which answers may contain


@dataclass(frozen=True)
class Answer:
    """One answer, in the form of the ledger.

    Attributes
    ----------
    seconds
        From the first attempt to the answer, including waits.
    error
        The error, if the call failed.
    table, column, row
        The cell for which the call was made, the first of those that needed it.
    requests
        The number of requests that count in a budget: two if an answer was repaired, none for the
        other rows of a shared request.
    estimated
        Whether tokens and dollars are estimates because the provider did not report them.
    question
        A hash of what the calls for all rows have in common.
    holder
        The holder of the budget reservation of the table; see `budgets.reservations`.
    """

    key: str
    function: str
    version: str
    value: object
    model: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    usd: float | None = None
    seconds: float = 0.0
    attempts: int = 1
    error: str | None = None
    table: str | None = None
    column: str | None = None
    row: int | None = None
    requests: int = 1
    estimated: bool = False
    question: str | None = None
    holder: str | None = None

    def ledger_row(self, dtype: dt.DataType) -> LedgerRow:
        """Return the row of the ledger, without its timestamp."""
        row = {name: value for name, value in vars(self).items() if name != "value"}
        row["answer"] = None if self.error is not None else encode_answer(self.value, dtype)
        return row


def answer_rows(answers: Sequence[Answer], dtype: dt.DataType) -> dict[str, LedgerRow]:
    """Return the rows of answers by their keys, one for each."""
    now = datetime.datetime.now(datetime.UTC)
    return {answer.key: {**answer.ledger_row(dtype), "at": now} for answer in answers}


def arrow_rows(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return rows of the ledger as an Arrow table."""
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), _arrow_schema())


@functools.cache
def _arrow_schema() -> pa.Schema:
    return CALLS_SCHEMA.to_pyarrow()


def _is_vector(dtype: dt.DataType) -> bool:
    return isinstance(dtype, dt.Array) and isinstance(dtype.value_type, dt.Float32)


def encode_answer(value: Any, dtype: dt.DataType) -> bytes:
    """Return the bytes of an answer in the ledger."""
    import numpy as np

    if value is not None and _is_vector(dtype):
        return np.asarray(value, dtype="<f4").tobytes()
    return bind_arguments(value)[0].encode(errors=_ENCODING_ERRORS)


def decode_answer(answer: bytes, dtype: dt.DataType) -> object:
    """Return the value of an answer in the ledger."""
    return answer_decoder(dtype)(answer)


def answer_decoder(dtype: dt.DataType) -> Callable[[bytes], Any]:
    """Return the decoder for the answers of a type."""
    import numpy as np

    parse = json.JSONDecoder().raw_decode

    def decode(answer: bytes) -> object:
        value = parse(answer.decode(errors=_ENCODING_ERRORS))[0]
        return value if type(value) in _PLAIN_TYPES else fill_template(value, ())

    def decode_vector(answer: bytes) -> object:
        return None if answer == b"null" else np.frombuffer(answer, dtype="<f4")

    return decode_vector if _is_vector(dtype) else decode
