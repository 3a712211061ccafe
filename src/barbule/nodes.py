"""The operations that barbule adds to Ibis.

Owns the node classes: the managed table leaf, calls of functions and similarity. A node
says *what* is asked; how it runs is the planner's and the executor's business. Nothing here
is ever given to an Ibis compiler: the planner replaces each of these nodes first.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import hashlib
import json
import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

import ibis.expr.datashape as ds
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.rules as rlz
import ibis.expr.schema as sch
import ibis.expr.types as ir
from ibis.common.annotations import attribute
from ibis.common.typing import VarTuple

from barbule import types
from barbule.errors import ExpressionError

__all__ = [
    "ASKING",
    "CONTENT",
    "INNER_CALL",
    "FunctionCall",
    "HeldRows",
    "KeywordScore",
    "ManagedTable",
    "NearestRows",
    "Recorded",
    "RerankedScore",
    "RowRank",
    "ScoreRank",
    "Similarity",
    "StoredVector",
    "SystemTable",
    "TableScore",
    "VectorLiteral",
    "bind_arguments",
    "build_call",
    "fill_template",
]

_EMPTY = sch.Schema({})
_LONGEST_NAME = 80

# In a template of the planner's: a call whose result is the argument, as it is.
INNER_CALL = "$call"


class _Leaf(ops.DatabaseTable):
    """A table that no expression of users is below; all threads share it.

    What Ibis remembers of comparisons is not safe between threads (`barbule.expression_keys`).
    """

    def __eq__(self, other: object) -> bool:
        return self is other or (type(self) is type(other) and self.__equals__(other))

    __hash__ = ops.DatabaseTable.__hash__


class ManagedTable(_Leaf):
    """A table that barbule manages: an identity, whose schema its source tells when asked.

    The schema is no argument of the node, so expressions that were built before a column was
    added remain equal to, and combine with, those built after. `source` is the engine; it
    quacks as an Ibis backend, which makes any Ibis expression over the leaf run through it.

    Parameters
    ----------
    table_id
        The identity in the catalog.
    commit
        The commit at which the table is seen; None for the latest.
    hidden
        Whether the row identity (`_rid`) and stored embeddings are among the columns.
    """

    table_id: int
    commit: Optional[int] = None
    hidden: bool = False

    def _live_schema(self) -> sch.Schema:
        return self.source.schema_of(self)

    # The inherited argument `schema` stays empty; its value is looked up in the catalog.
    schema = property(_live_schema, lambda self, value: None)  # noqa: ARG005 - a property's setter

    def to_expr(self) -> ir.Table:
        """Return the table that shows this leaf, as the engine builds it."""
        return self.source.table_of(self)


class SystemTable(_Leaf):
    """A table of barbule's own (the call ledger, say) that users may query."""

    def to_expr(self) -> ir.Table:
        """Return the table that shows this leaf, as the engine builds it."""
        return self.source.table_of(self)


class HeldRows(SystemTable):
    """The rows of a query that was computed once, kept in memory.

    Parameters
    ----------
    held
        What has them as `rows`, a relation in memory; one object is one set of rows.
    """

    held: Any


def managed_table(
    name: str, source: Any, table_id: int, *, commit: int | None = None, hidden: bool = False
) -> ManagedTable:
    """Make the leaf of a managed table."""
    return ManagedTable(
        name=name, schema=_EMPTY, source=source, table_id=table_id, commit=commit, hidden=hidden
    )


class FunctionCall(ops.Value):
    """A call of a registered function, for each row of what its arguments come from.

    Parameters
    ----------
    function
        The name in the registry.
    template
        The arguments as JSON, with `{"$": i}` where the value of `values[i]` belongs.
    values
        The arguments that are expressions.
    dtype
        What the function returns.
    version
        The version of the function for which the call was written.
    cached
        Whether answers are kept in the call ledger.
    on_error
        What becomes of a row for which it fails, "abort" or "null"; None leaves it to the function.
    """

    function: str
    template: str
    values: VarTuple[ops.Value]
    dtype: dt.DataType
    version: str
    cached: bool = False
    on_error: Optional[str] = None

    @attribute
    def shape(self) -> ds.DataShape:
        """Columnar when any argument is."""
        return rlz.highest_precedence_shape(self.values) if self.values else ds.scalar

    @property
    def name(self) -> str:
        """The short name of the function."""
        return self.function.rsplit(".", 1)[-1]


ERROR = dt.Struct({"type": dt.string, "message": dt.string})


class Similarity(ops.Value):
    """How similar the values of an indexed column are to a query (larger is nearer).

    Parameters
    ----------
    arg
        The indexed column, or what is derived from it without change.
    query
        A text, an image reference or a vector: a literal or a column.
    index
        The name of the index; None where the column has only one.
    """

    arg: ops.Value
    query: ops.Value
    index: Optional[str] = None

    dtype = dt.float64

    @attribute
    def shape(self) -> ds.DataShape:
        """Columnar when the column or the query is."""
        return rlz.highest_precedence_shape((self.arg, self.query))

    @attribute
    def name(self) -> str:
        """Name a column that is given no name, without the content of an image."""
        index = "" if self.index is None else f", {self.index!r}"
        return f"Similarity({self.arg.name}, {_query_name(self.query)}{index})"


def _query_name(query: ops.Value) -> str:
    if not isinstance(query, ops.Literal) or not isinstance(query.value, str):
        return str(query.name)
    if query.value.startswith("data:") and ";base64," in query.value:
        kind = query.value.removeprefix("data:").partition(";")[0]
        return f"{kind} {_digest(query.value)}"
    return _shortened(repr(query.value))


def _shortened(name: str) -> str:
    """Cut a name that is long; what it was cut from still tells it from others."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}… {_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


class StoredVector(ops.Value):
    """The vector that an embedding index keeps of a value.

    Parameters
    ----------
    arg
        The indexed column, or what is derived from it without change.
    dtype
        What the vectors are.
    index
        The name of the index; None where the column has only one.
    """

    arg: ops.Value
    dtype: dt.DataType
    index: Optional[str] = None

    shape = rlz.shape_like("arg")
    name = "embedding"


class NearestRows(ops.Relation):
    """For each row of one relation the rows of another that are most like it.

    Parameters
    ----------
    left
        The rows that search.
    right
        The rows that are searched.
    arg
        The indexed column of `right`.
    query
        What is searched for: a value over `left`.
    k
        How many rows each finds.
    score
        The name of the column that says how similar they are.
    """

    left: ops.Relation
    right: ops.Relation
    arg: ops.Value
    query: ops.Value
    k: int
    index: Optional[str] = None
    score: str = "score"

    @attribute
    def values(self) -> Any:
        """Nothing: each column is another relation's."""
        return {}

    def names(self) -> tuple[str, ...]:
        """Name the columns of `right` here: those that `left` has too end with `_right`."""
        taken = {*self.left.schema.names, self.score}
        return tuple(f"{name}_right" if name in taken else name for name in self.right.schema.names)

    @attribute
    def schema(self) -> sch.Schema:
        """Return the columns of both sides and the score."""
        right = dict(zip(self.names(), self.right.schema.types, strict=True))
        return sch.Schema({**self.left.schema, **right, self.score: dt.float64})


class VectorLiteral(ops.Value):
    """A constant vector, in one piece: a literal would be a node for each of its numbers.

    Parameters
    ----------
    data
        The numbers as float32, in base64.
    """

    data: str
    length: int

    shape = ds.scalar

    @property
    def dtype(self) -> dt.DataType:
        """A vector of so many numbers."""
        return dt.Array(dt.float32, length=self.length)

    @attribute
    def name(self) -> str:
        """Return what tells it from other vectors."""
        return f"vector {_digest(self.data)}"

    def numbers(self) -> Any:
        """Return the numbers as a NumPy array."""
        import numpy as np

        return np.frombuffer(base64.b64decode(self.data), np.float32)


class KeywordScore(ops.Value):
    """How well the texts of a column fit the words of a query, by BM25; 0 where none occurs.

    Parameters
    ----------
    arg
        The column, or what is derived from it without change.
    query
        What is searched for.
    """

    arg: ops.Value
    query: str

    dtype = dt.float64
    shape = rlz.shape_like("arg")

    @attribute
    def name(self) -> str:
        """Name a column that is given no name."""
        return f"KeywordScore({self.arg.name}, {_shortened(repr(self.query))})"


class _Rank(ops.Value):
    """The place of a row, from 0, in the order of a score.

    Parameters
    ----------
    arg
        The score; larger is better.
    """

    arg: ops.Value

    dtype = dt.int64
    shape = rlz.shape_like("arg")


class ScoreRank(_Rank):
    """The place of a row, from 0, in the order of a score; rows without one share the last.

    It stands inside of a `TableScore`. That it is a window is the planner's secret: Ibis' `over`
    and `group_by` put their own frame into all windows that they find.
    """


class RowRank(_Rank):
    """The place of a row, from 0, among the rows of a query; no two rows share one.

    It stands inside of a `RerankedScore`. Rows of the same score stand in the order of their
    identities, and those without a score come last.
    """


class _ScoreOfRows(ops.Value):
    """A score that is computed over several rows at once.

    Parameters
    ----------
    arg
        The column that is scored, or what is derived from it without change.
    value
        The score, which reads no other column.
    """

    arg: ops.Value
    value: ops.Value

    dtype = dt.float64
    shape = rlz.shape_like("arg")

    @attribute
    def name(self) -> str:
        """Name a column that is given no name; what the score is made of can be much."""
        return _shortened(f"{type(self).__name__}({self.arg.name}, {self.value.name})")


class TableScore(_ScoreOfRows):
    """A score that is computed over all rows of a table, whatever query reads it."""


class RerankedScore(_ScoreOfRows):
    """A score of the best rows among those that a query has where it asks for the score."""


class CellError(ops.Value):
    """Why a cell is empty: the error that a function raised for it.

    Parameters
    ----------
    arg
        A call, while columns are computed; else a computed column, or what is derived from it
        without change.
    """

    arg: ops.Value

    dtype = ERROR
    shape = rlz.shape_like("arg")


CONTENT = dt.Struct({"sha256": dt.string, "size": dt.int64})


class Recorded(ops.Value):
    """What was written down of the content of a medium when its cell was written.

    Parameters
    ----------
    arg
        A column of media, or what is derived from it without change.
    """

    arg: ops.Value

    dtype = CONTENT
    shape = rlz.shape_like("arg")


# What may ask a function or a model when it is computed.
ASKING = (FunctionCall, NearestRows, Similarity)


def media_literal(data: bytes, mime: str, kind: dt.DataType) -> ops.Literal:
    """Make a literal that carries the content of a media file as a data: URI."""
    return ops.Literal(f"data:{mime};base64,{base64.b64encode(data).decode()}", kind)


def image_literal(value: Any) -> ops.Literal | None:
    """Return a literal for a PIL image, else None."""
    if not type(value).__module__.startswith("PIL.") or not hasattr(value, "save"):
        return None
    import io

    buffer = io.BytesIO()
    value.save(buffer, format="PNG")
    return media_literal(buffer.getvalue(), "image/png", types.Image())


def bind_arguments(arguments: Any) -> tuple[str, tuple[ops.Value, ...]]:
    """Split arguments, nested containers included, into a template and its expressions.

    Parameters
    ----------
    arguments
        Python values, Ibis expressions, and lists and dicts that hold both.

    Returns
    -------
    tuple
        The JSON template and the expressions that fill its places.

    Raises
    ------
    ExpressionError
        When a value is neither an expression nor something that JSON can say.

    Examples
    --------
    >>> import ibis
    >>> t = ibis.table({"a": "string"}, name="t")
    >>> bind_arguments({"x": t.a, "n": 3})[0]
    '{"x":{"$":0},"n":3}'
    """
    values: list[ops.Value] = []
    tree = _encode(arguments, values)
    return json.dumps(tree, separators=(",", ":"), ensure_ascii=False), tuple(values)


def _iso(value: datetime.date | datetime.time) -> str:
    return value.isoformat()


def _microseconds(value: datetime.timedelta) -> str:
    return str(value // datetime.timedelta(microseconds=1))


def _from_microseconds(text: str) -> datetime.timedelta:
    return datetime.timedelta(microseconds=int(text))


# Values that JSON has no word for: the tag, their type, and how they are written and read. A
# datetime is a date too, so it comes first.
_TAGGED: dict[str, tuple[type, Callable[[Any], str], Callable[[str], Any]]] = {
    "$bytes": (bytes, lambda value: base64.b64encode(value).decode(), base64.b64decode),
    "$datetime": (datetime.datetime, _iso, datetime.datetime.fromisoformat),
    "$duration": (datetime.timedelta, _microseconds, _from_microseconds),
    "$date": (datetime.date, _iso, datetime.date.fromisoformat),
    "$time": (datetime.time, _iso, datetime.time.fromisoformat),
    "$decimal": (decimal.Decimal, str, decimal.Decimal),
    "$uuid": (uuid.UUID, str, uuid.UUID),
}


def _encode(value: Any, values: list[ops.Value]) -> Any:
    if isinstance(value, ir.Expr | ops.Value):
        values.append(_unnamed(value.op() if isinstance(value, ir.Expr) else value))
        return {"$": len(values) - 1}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    for name, (kind, write, _) in _TAGGED.items():
        if isinstance(value, kind):
            return {name: write(value)}
    if isinstance(value, Mapping):
        fields = {str(key): _encode(item, values) for key, item in value.items()}
        # A user's own "$" must not read as one of ours.
        return {"$map": list(fields.items())} if _looks_tagged(fields) else fields
    if isinstance(value, Sequence | set | frozenset):
        return [_encode(item, values) for item in value]
    if (image := image_literal(value)) is not None:
        return _encode(image, values)
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return _encode(value.tolist(), values)
    raise ExpressionError(
        f"a {type(value).__name__} cannot be an argument of a stored call.",
        value=value,
        hint="Pass columns, texts, numbers, images, or lists and dicts of these.",
    )


def _unnamed(value: ops.Value) -> ops.Value:
    """Return a value without the name that it was given, which is no part of an argument."""
    return _unnamed(value.arg) if isinstance(value, ops.Alias) else value


def _looks_tagged(fields: Mapping[str, Any]) -> bool:
    return len(fields) == 1 and next(iter(fields)).startswith("$")


def fill_template(tree: Any, row: Sequence[Any]) -> Any:
    """Put the values of one row into the places of a parsed template.

    Examples
    --------
    >>> fill_template({"x": {"$": 0}, "n": [1, {"$": 1}]}, ["a", True])
    {'x': 'a', 'n': [1, True]}
    """
    if isinstance(tree, list):
        return [fill_template(item, row) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if len(tree) == 1:
        ((key, item),) = tree.items()
        if key == "$":
            return row[item]
        if key == "$float":
            return float(item)
        if key == "$map":
            return {name: fill_template(each, row) for name, each in item}
        if key in _TAGGED:
            return _TAGGED[key][2](item)
    return {key: fill_template(item, row) for key, item in tree.items()}


def build_call(
    function: str,
    dtype: dt.DataType,
    arguments: Mapping[str, Any],
    *,
    version: str = "1",
    cached: bool = False,
    on_error: str | None = None,
) -> ir.Value:
    """Make the expression of a call from the bound arguments of a function."""
    template, values = bind_arguments(arguments)
    return FunctionCall(
        function=function,
        template=template,
        values=values,
        dtype=dtype,
        version=version,
        cached=cached,
        on_error=on_error,
    ).to_expr()
