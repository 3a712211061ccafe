"""What columns of managed tables can do beside the methods of their type."""

from __future__ import annotations

import datetime
import decimal
import functools
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule import nodes
from barbule.errors import ExpressionError
from barbule.relations import similarity_join
from barbule.relations.errors.invalid_queries import refuse_written
from barbule.relations.errors.value_use import CheckedValue, add_checks, checked_class
from barbule.relations.methods import search_scores
from barbule.relations.methods.search_query import query_value
from barbule.relations.promotion import alike
from barbule.relations.query_backend import sources
from barbule.relations.value_origins import origin
from barbule.types.zones import zone_info

__all__ = ["ColumnExtras", "extended"]


class ColumnExtras(CheckedValue):
    """What columns can do beside the methods of their type."""

    __slots__ = ()

    def to_pandas(self, *, params: Any = None, limit: Any = None, **options: Any) -> Any:
        """Compute the values and return them as a pandas series.

        Whole numbers of which some are missing are pandas' `Int64`; `execute()` makes floats of
        them, as Ibis does.
        """
        backend = self._find_backend(use_default=True)
        return backend.to_pandas(self, params=params, limit=limit, **options)

    def similarity(
        self, query: Any, *, index: str | None = None, idx: str | None = None
    ) -> ir.FloatingValue:
        """Say how similar each value is to `query`, by the embedding index of the column.

        Parameters
        ----------
        query
            A text, an image (PIL image, path or URL), another file (path or URL), a vector, or a
            column of these.
        index
            The name of the index, where the column has more than one; `idx` is the same.

        Returns
        -------
        ibis.expr.types.FloatingValue
            Larger is nearer; the cosine for the metric "cosine", the inner product for "ip",
            the negative distance for "l2".
        """
        if isinstance(query, str):
            refuse_written([query, self])
        return nodes.Similarity(self, query_value(query, self), index or idx).to_expr()

    def embedding(self, *, index: str | None = None, idx: str | None = None) -> Any:
        """Read the vectors that the embedding index of the column keeps.

        Parameters
        ----------
        index
            The name of the index, where the column has more than one; `idx` is the same.

        Returns
        -------
        ibis.expr.types.ArrayValue
            A vector for each row; missing where the value is.

        Raises
        ------
        ExpressionError, ColumnNotFoundError
            When the column has no such index, or several and none is named.

        Examples
        --------
        >>> import barbule as bb
        >>> @bb.udf(batch_size=32)
        ... def embed(texts: list[str]) -> list[bb.Vector(2)]:
        ...     return [[len(text), text.count("e")] for text in texts]
        >>> notes = bb.create_table("notes", {"text": bb.String})
        >>> _ = notes.insert([{"text": "feather"}])
        >>> _ = notes.add_embedding_index("text", string_embed=embed)
        >>> notes.select(v=notes.text.embedding()).collect()[0, "v"]
        [7.0, 2.0]
        """
        place = origin(self.op())
        if place is None:
            raise ExpressionError(
                "a stored vector is asked of a value that is no column of a table.",
                hint="Ask it of a column with an embedding index: t.text.embedding().",
            )
        leaf, column = place
        kind = leaf.source.index_of(leaf, column, index or idx).kind
        return nodes.StoredVector(self, kind, index or idx).to_expr()

    def nearest(
        self, query: Any, *, k: int = 5, index: str | None = None, name: str = "score"
    ) -> Any:
        """Find for each row of another table the rows that are most like it: a similarity join.

        Filter or project either table first; all queries are compared together, which takes a
        fraction of the time that one search after another does.

        Parameters
        ----------
        query
            A column of the other table, or an expression over it: texts, images or vectors.
        k
            How many rows each finds; fewer where fewer are there. A missing query finds none.
        index
            The name of the index, where the column has more than one.
        name
            Of the column that says how similar the two rows are.

        Returns
        -------
        ibis.expr.types.Table
            The columns of the other table, those of this one (with `_right` at the end of names
            that both have), and the score; in no order.

        Examples
        --------
        >>> import barbule as bb
        >>> points = bb.create_table("points", {"name": bb.String, "place": bb.Vector(2)})
        >>> rows = [{"name": "east", "place": [1, 0]}, {"name": "north", "place": [0, 1]}]
        >>> _ = points.insert(rows)
        >>> _ = points.add_embedding_index("place")
        >>> asked = bb.create_table("asked", {"who": bb.String, "way": bb.Vector(2)})
        >>> _ = asked.insert([{"who": "Ann", "way": [2, 1]}, {"who": "Bo", "way": [1, 3]}])
        >>> near = points.place.nearest(asked.way, k=1)
        >>> near.order_by("who").collect()["name"]
        ['east', 'north']
        """
        return similarity_join.nearest(self, query, k=k, index=index, name=name)

    def search(
        self,
        query: Any,
        *,
        mode: search_scores.Mode = "keyword",
        index: str | None = None,
        rerank: Any = None,
        depth: int = 100,
    ) -> ir.FloatingValue:
        """Score how well each value fits what is searched for; larger is better.

        Sort by it, filter by it, select it: it is a value like any other. Words are the same
        whatever their case and accents.

        Parameters
        ----------
        query
            A text; for the mode "vector" whatever `similarity` takes.
        mode
            "keyword" scores by the words of the query (BM25, 0 where none occurs), and needs no
            index. "vector" is `similarity`. "hybrid" fuses the places that a row has in both
            orders of the whole table (reciprocal rank fusion). No filter changes these scores.
        index
            The name of the embedding index, where the column has more than one.
        rerank
            A function of the query and a text that gives a number, or a reranker:
            `cohere.rerank.using(model=...)`. It scores the best rows anew, of those that pass
            the filters before; the others have no score, and come last.
        depth
            How many rows `rerank` scores at most; rows that do not match at all are not scored.

        Returns
        -------
        ibis.expr.types.FloatingValue
            The score; missing where the value is.

        Examples
        --------
        >>> import barbule as bb
        >>> notes = bb.create_table("notes", {"text": bb.String})
        >>> _ = notes.insert([{"text": "A barbule has hooks."}, {"text": "A feather is light."}])
        >>> score = notes.text.search("hooks")
        >>> notes.where(score > 0).order_by(score, asc=False).limit(5).collect()["text"]
        ['A barbule has hooks.']
        """
        return search_scores.search(self, query, mode, index=index, rerank=rerank, depth=depth)

    @property
    def error(self) -> ir.StructColumn:
        """Why cells of a computed column are empty: the `type` and `message` of each error.

        It is empty where the function gave a value, or was not asked because its own input is
        missing. A field named "error" of a struct is meant where there is one.
        """
        column: Any = self
        kind = column.type()
        if isinstance(kind, dt.Struct) and "error" in kind.names:
            return column["error"]
        return nodes.CellError(self).to_expr()

    def _find_backends(self) -> tuple[list[Any], bool]:
        return sources(self.op())


class MomentExtras(ColumnExtras):
    """Columns of moments, days and times of day, compared with ISO texts.

    What has no zone is one of the default zone beside a column with a zone, and what has one is
    shown on the clock of the default zone beside a column without, as when it is inserted. A day
    begins at midnight of the column's zone.
    """

    __slots__ = ()

    def between(self, lower: Any, upper: Any) -> Any:
        """Say whether it is between two moments, both included."""
        return super().between(_moment(lower, self), _moment(upper, self))  # type: ignore[misc]

    def isin(self, values: Any, /) -> Any:
        """Say whether it is one of several moments."""
        return super().isin(_moments(values, self))

    def notin(self, values: Any, /) -> Any:
        """Say whether it is none of several moments."""
        return super().notin(_moments(values, self))

    def fill_null(self, fill_value: Any, /) -> Any:
        """Put a moment where none is."""
        moment = _moment(fill_value, self)
        if moment is not fill_value and getattr(self.type(), "timezone", None):
            moment = moment.cast(self.type())
        return super().fill_null(moment)  # type: ignore[misc]


def _comparison(name: str) -> Any:
    def method(self: Any, other: Any) -> Any:
        return getattr(super(MomentExtras, self), name)(_moment(other, self))

    method.__name__ = name
    return method


for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(MomentExtras, f"__{_name}__", _comparison(f"__{_name}__"))
MomentExtras.__hash__ = ir.Value.__hash__  # type: ignore[method-assign]


def _moments(values: Any, column: Any) -> Any:
    return values if isinstance(values, ir.Expr) else [_moment(each, column) for each in values]


def _moment(value: Any, column: Any) -> Any:
    """Turn a text or a moment into a literal of the column's kind; leave the rest as it is."""
    if not isinstance(value, str | datetime.datetime):
        return value
    kind = column.type()
    read = _parsed(value, kind, column) if isinstance(value, str) else value
    if isinstance(kind, dt.Timestamp) and kind.timezone is not None:
        aware = _aware(read, kind.timezone, column)
        return ibis.literal(aware.astimezone(datetime.UTC), dt.Timestamp("UTC"))
    if not isinstance(read, datetime.datetime):
        return ibis.literal(read)
    if read.tzinfo is not None:
        read = read.astimezone(_default_zone(column)).replace(tzinfo=None)
    if getattr(read, "nanosecond", 0):  # of pandas; a literal has microseconds
        return ibis.literal(read.isoformat()).cast(dt.Timestamp(scale=9))
    return ibis.literal(read, dt.timestamp)


def _aware(read: Any, zone: str, column: Any) -> datetime.datetime:
    """Give a moment a zone; a day begins at midnight of the column's."""
    if not isinstance(read, datetime.datetime):
        return datetime.datetime(read.year, read.month, read.day, tzinfo=zone_info(zone))
    return read if read.tzinfo else read.replace(tzinfo=_default_zone(column))


def _default_zone(column: Any) -> datetime.tzinfo:
    """Return the zone of moments that have none, for the tables of a column."""
    leaves = column.op().find(nodes.ManagedTable)
    return zone_info(leaves[0].source.zone) if leaves else datetime.UTC


def _parsed(text: str, kind: dt.DataType, column: Any) -> Any:
    try:
        if isinstance(kind, dt.Time):
            return datetime.time.fromisoformat(text)
        days = isinstance(kind, dt.Date) or getattr(kind, "timezone", None) is not None
        if days and len(text) <= len("2026-01-01"):
            return datetime.date.fromisoformat(text)
        return datetime.datetime.fromisoformat(text)
    except ValueError as error:
        what, example = _EXAMPLES[type(kind)]
        raise ExpressionError(
            f"this text is no {what}: {error}.",
            column=column.get_name(),
            value=text,
            hint=f"Write it as ISO 8601 does: {example!r}.",
        ) from error


_EXAMPLES = {
    dt.Timestamp: ("moment", "2026-01-31T09:30:00+02:00"),
    dt.Date: ("day", "2026-01-31"),
    dt.Time: ("time of day", "09:30:00"),
}


class NumberExtras(ColumnExtras):
    """Columns of numbers, beside numbers for which Ibis has no common type."""

    __slots__ = ()

    def between(self, lower: Any, upper: Any) -> Any:
        """Say whether it is between two numbers, both included."""
        value, *bounds = _numbers(self, lower, upper)
        return ir.NumericValue.between(value, *bounds)

    def isin(self, values: Any, /) -> Any:
        """Say whether it is one of several numbers."""
        if isinstance(values, ir.Expr):
            return super().isin(values)
        value, *others = _numbers(self, *values)
        return ir.NumericValue.isin(value, others)

    def notin(self, values: Any, /) -> Any:
        """Say whether it is none of several numbers."""
        if isinstance(values, ir.Expr):
            return super().notin(values)
        value, *others = _numbers(self, *values)
        return ir.NumericValue.notin(value, others)

    def fill_null(self, fill_value: Any, /) -> Any:
        """Put a number where none is."""
        value, other = _numbers(self, fill_value)
        return ir.NumericValue.fill_null(value, other)


def _arithmetic(name: str) -> Any:
    def method(self: Any, other: Any) -> Any:
        value, other = _numbers(self, other)
        if name in _FORWARD and isinstance(other, ir.NumericValue):
            return getattr(ir.NumericValue, _FORWARD[name])(other, value)
        return getattr(ir.NumericValue, name)(value, other)

    method.__name__ = name
    return method


_OPERATORS = ("add", "sub", "mul", "mod", "floordiv", "truediv", "pow")
_REFLECTED = tuple(f"r{each}" for each in _OPERATORS)
_FORWARD = {f"__r{each}__": f"__{each}__" for each in _OPERATORS}
for _name in ("eq", "ne", "lt", "le", "gt", "ge", *_OPERATORS, *_REFLECTED):
    setattr(NumberExtras, f"__{_name}__", _arithmetic(f"__{_name}__"))
NumberExtras.__hash__ = ir.Value.__hash__  # type: ignore[method-assign]


def _numbers(column: Any, *others: Any) -> list[Any]:
    """Give a column and what it is compared with, or computed with, a type that Ibis knows."""
    given = [_large(other) for other in others]
    places = [n for n, each in enumerate(given) if isinstance(each, ir.NumericValue)]
    value, *typed = alike(column.op(), *(given[n].op() for n in places))
    for place, node in zip(places, typed, strict=True):
        given[place] = node.to_expr()
    return [value.to_expr(), *given]


def _large(value: Any) -> Any:
    """Make a literal of a whole number that is no int64."""
    if isinstance(value, bool) or not isinstance(value, int) or -(2**63) <= value < 2**63:
        return value
    fits = 0 <= value < 2**64
    kind = dt.uint64 if fits else dt.Decimal(len(str(abs(value))), 0)
    return ibis.literal(value if fits else decimal.Decimal(value), kind)


class VectorExtras(ColumnExtras):
    """Columns of arrays of one length, which Ibis gives to parts and to longer ones as well."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        """Return an item, or a slice; the type of a slice between numbers tells its length."""
        loose = _loose(self)
        if not isinstance(index, slice):
            return loose[index]
        bounds = (index.start, index.stop, index.step)
        part = loose[index]
        if not all(bound is None or isinstance(bound, int) for bound in bounds):
            return part
        length = len(range(self.type().length)[index])
        return part.cast(part.type().copy(length=length)) if length else part


def _loose(value: Any) -> Any:
    """Return arrays without the length that all of them have; others as they are."""
    if not isinstance(value, ir.ArrayValue):
        return value
    kind = value.type()
    inner = kind.value_type
    if isinstance(inner, dt.Array):
        inner = inner.copy(length=None)
    return value.cast(kind.copy(value_type=inner, length=None))


def _of_any_length(name: str) -> Any:
    base = getattr(ir.ArrayColumn, name)

    @functools.wraps(base)
    def method(self: Any, *args: Any) -> Any:
        return getattr(_loose(self), name)(*map(_loose, args))

    return method


for _name in (
    "filter", "flatten", "intersect", "remove", "repeat", "union", "unique", "__mul__", "__rmul__"
):  # fmt: skip
    setattr(VectorExtras, _name, _of_any_length(_name))


@functools.cache
def _column_class(base: Any, extras: type) -> type[ir.Column]:
    bases = (extras, checked_class(base))
    return add_checks(type(base.__name__, bases, {"__slots__": (), "__doc__": base.__doc__}))


def extended(column: Any) -> Any:
    """Give a column the methods of this module; leave everything else as it is."""
    if not isinstance(column, ir.Column) or isinstance(column, ColumnExtras):
        return column
    op = column.op()
    kind: Any = type(op.to_expr())
    return _column_class(kind, _extras(op.dtype))(op)


def _extras(kind: dt.DataType) -> type:
    if isinstance(kind, dt.Array) and kind.length is not None:
        return VectorExtras
    if isinstance(kind, tuple(_EXAMPLES)):
        return MomentExtras
    return NumberExtras if isinstance(kind, dt.Integer | dt.Decimal) else ColumnExtras
