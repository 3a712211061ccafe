"""Expressions and data types as JSON, over an allow-list of operations.

Owns the stored form of expressions. Only operations of Ibis and of barbule that are listed
here can be read back, tables and functions are named and looked up, and no code is ever
loaded. Anything else fails loudly when it is written.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import enum
import inspect
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import ibis.expr.datashape as ds
import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.schema as sch
from ibis.common import temporal
from ibis.common.collections import FrozenDict, FrozenOrderedDict

from barbule import types
from barbule.errors import ExpressionError
from barbule.nodes import (
    CellError,
    FunctionCall,
    ManagedTable,
    Recorded,
    Similarity,
    VectorLiteral,
)

__all__ = ["dump", "dump_type", "load", "load_type"]

FORMAT = 1
_MOST_LEVELS = 50  # of operations within operations, in one piece of JSON

# Leaves that live in one process, or whose content would have to be stored.
_REFUSED = (
    ops.DatabaseTable,
    ops.UnboundTable,
    ops.InMemoryTable,
    ops.SQLQueryResult,
    ops.SQLStringView,
    ops.ScalarUDF,
    ops.AggUDF,
)


def _allowed() -> dict[str, type[ops.Node]]:
    kinds = (CellError, FunctionCall, Recorded, Similarity, VectorLiteral)
    own = {cls.__name__: cls for cls in kinds}
    ibis_ops = {
        name: cls
        for name, cls in vars(ops).items()
        if inspect.isclass(cls)
        and issubclass(cls, ops.Node)
        and name == cls.__name__
        and not issubclass(cls, _REFUSED)
    }
    return {**ibis_ops, **own}


_OPERATIONS = _allowed()
_TYPES: dict[str, type[dt.DataType]] = {
    cls.__name__: cls
    for module in (dt, types)
    for cls in vars(module).values()
    if inspect.isclass(cls) and issubclass(cls, dt.DataType)
}
_ENUMS = {
    cls.__name__: cls
    for cls in (
        temporal.IntervalUnit,
        temporal.DateUnit,
        temporal.TimeUnit,
        temporal.TimestampUnit,
    )
}
# Arguments that operations have had since the first version of the format, None by default.
_ADDED = {"FunctionCall": ("on_error",)}
_MOMENTS: dict[str, Any] = {
    "datetime": datetime.datetime,
    "date": datetime.date,
    "time": datetime.time,
}


class _Writer:
    """Turns a tree into JSON values; a node that occurs again is named by its number."""

    def __init__(self) -> None:
        self.seen: dict[Any, int] = {}

    def write(self, value: Any) -> Any:
        if value is None or (
            isinstance(value, bool | int | str) and not isinstance(value, enum.Enum)
        ):
            return value
        if isinstance(value, ops.Node):
            return self._node(value)
        if isinstance(value, dt.DataType):
            return {"$": "type", **self._arguments(value)}
        if isinstance(value, sch.Schema):
            return {"$": "schema", "v": [[name, self.write(kind)] for name, kind in value.items()]}
        if isinstance(value, ds.DataShape):
            return {"$": "shape", "v": type(value).__name__}
        if isinstance(value, FrozenDict | FrozenOrderedDict | Mapping):
            return {"$": "map", "v": [[self.write(k), self.write(v)] for k, v in value.items()]}
        if isinstance(value, tuple | list):
            return {"$": "tuple", "v": [self.write(item) for item in value]}
        if isinstance(value, frozenset):
            items = sorted((self.write(item) for item in value), key=json.dumps)
            return {"$": "set", "v": items}
        return _write_scalar(value)

    def _node(self, node: ops.Node) -> Any:
        if node in self.seen:
            return {"$": "ref", "v": self.seen[node]}
        if isinstance(node, ManagedTable):
            written = {
                "$": "table",
                "v": node.table_id,
                "commit": node.commit,
                "hidden": node.hidden,
            }
        else:
            name = type(node).__name__
            if isinstance(node, ops.ScalarParameter):
                raise ExpressionError(
                    f"a parameter of type {node.dtype} cannot be kept in a stored expression.",
                    hint="Write its value there: columns and views are computed without params=.",
                )
            if _OPERATIONS.get(name) is not type(node):
                raise ExpressionError(
                    f"the operation {name} cannot be kept in a stored expression.",
                    hint="Columns and views are stored as expressions over managed tables: insert "
                    "in-memory data into a table first, and use @bb.udf for own functions.",
                )
            written = {"$": "op", **self._arguments(node)}
        self.seen[node] = written["id"] = len(self.seen)
        return written

    def _arguments(self, value: Any) -> dict[str, Any]:
        name = type(value).__name__
        pairs = zip(value.__argnames__, value.__args__, strict=True)
        written = {each: self.write(arg) for each, arg in pairs}
        # What has come later is left out where it says nothing: the text stays what it was.
        for each in _ADDED.get(name, ()):
            if written[each] is None:
                del written[each]
        return {"c": name, "a": written}


def _write_scalar(value: Any) -> Any:
    if isinstance(value, float):
        return {"$": "float", "v": repr(value)}
    if isinstance(value, bytes):
        return {"$": "bytes", "v": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return {"$": type(value).__name__, "v": value.isoformat()}
    if isinstance(value, datetime.timedelta):
        return {"$": "timedelta", "v": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, decimal.Decimal):
        return {"$": "decimal", "v": str(value)}
    if isinstance(value, uuid.UUID):
        return {"$": "uuid", "v": str(value)}
    if isinstance(value, enum.Enum) and type(value).__name__ in _ENUMS:
        return {"$": "enum", "c": type(value).__name__, "v": value.value}
    if hasattr(value, "tolist"):  # NumPy's, as Ibis keeps array literals
        return _Writer().write(value.tolist())
    raise ExpressionError(
        f"a value of type {type(value).__name__} cannot be kept in a stored expression.",
        value=value,
        hint="Use a text, number, date, list or dict.",
    )


class _Reader:
    def __init__(self, table: Callable[[int, int | None, bool], ops.Node]) -> None:
        self.table = table
        self.seen: dict[int, Any] = {}

    def read(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kind = value["$"]
        if kind in {"op", "table"}:
            node = self._node(kind, value)
            self.seen[value["id"]] = node
            return node
        if kind == "ref":
            return self.seen[value["v"]]
        if kind == "type":
            return _TYPES[value["c"]](**{k: self.read(v) for k, v in value["a"].items()})
        if kind in {"tuple", "set"}:
            items = (self.read(item) for item in value["v"])
            return tuple(items) if kind == "tuple" else frozenset(items)
        if kind == "map":
            return {self.read(k): self.read(v) for k, v in value["v"]}
        if kind == "schema":
            return sch.Schema({name: self.read(each) for name, each in value["v"]})
        if kind == "shape":
            return getattr(ds, value["v"])()
        return _read_scalar(kind, value)

    def _node(self, kind: str, value: dict[str, Any]) -> Any:
        if kind == "table":
            return self.table(value["v"], value["commit"], value["hidden"])
        arguments = {name: self.read(arg) for name, arg in value["a"].items()}
        cls = _OPERATIONS.get(value["c"])
        if cls is None:
            raise ExpressionError(
                f"the stored expression uses the operation {value['c']!r}, which is unknown here.",
                hint="It was written by another version of barbule or Ibis; upgrade this one.",
            )
        return cls(**arguments)


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "bytes": base64.b64decode,
    "timedelta": lambda parts: datetime.timedelta(*parts),
    "decimal": decimal.Decimal,
    "uuid": uuid.UUID,
    **{name: cls.fromisoformat for name, cls in _MOMENTS.items()},
}


def _read_scalar(kind: str, value: dict[str, Any]) -> Any:
    if kind == "enum":
        return _ENUMS[value["c"]](value["v"])
    if kind not in _SCALARS:
        raise ExpressionError(
            f"the stored expression holds a value of the unknown kind {kind!r}.",
            hint="It was written by another version of barbule; upgrade this one.",
        )
    return _SCALARS[kind](value["v"])


def dump(node: ops.Node) -> str:
    """Write an expression as JSON.

    Raises
    ------
    ExpressionError
        When it holds an operation or a value that is not on the list.
    """
    writer = _Writer()
    parts = [writer.write(part) for part in _landings(node)]
    document = {"format": FORMAT, "expression": writer.write(node)}
    if parts:
        document["parts"] = parts
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _landings(node: ops.Node) -> list[ops.Node]:
    """List the nodes at which a deep tree is cut, those first that others are made of.

    Each is written by itself, before the tree: JSON within JSON has a limit.
    """
    found: list[ops.Node] = []

    def level(each: ops.Node, levels: dict[ops.Node, int], **_: Any) -> int:
        height = 1 + max((levels[child] for child in each.__children__), default=0)
        if height % _MOST_LEVELS == 0 and each is not node:
            found.append(each)
        return height

    node.map(level)
    return found


def load(text: str, table: Callable[[int, int | None, bool], ops.Node]) -> ops.Node:
    """Read an expression back.

    Parameters
    ----------
    text
        What `dump` wrote.
    table
        Gives the leaf for (table id, commit, hidden).
    """
    document = json.loads(text)
    if document.get("format") != FORMAT:
        raise ExpressionError(
            f"the stored expression has the format {document.get('format')!r}, known is {FORMAT}.",
            hint="It was written by another version of barbule; upgrade this one.",
        )
    reader = _Reader(table)
    for part in document.get("parts", ()):
        reader.read(part)
    return reader.read(document["expression"])


def rename(text: str, names: dict[int, dict[str, str]]) -> tuple[str, dict[str, str]]:
    """Rename columns of tables in a stored expression.

    Parameters
    ----------
    names
        For each table the new names of columns by their old ones.

    Returns
    -------
    tuple
        The expression, and which columns of the relation that it stands for are called
        otherwise now (none for a value).
    """
    document = json.loads(text)
    known: dict[int, dict[str, str]] = {}
    for part in document.get("parts", ()):
        _renamed(part, names, known)
    shown = _renamed(document["expression"], names, known)
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False), shown


def retarget(text: str, old: int, new: int) -> str:
    """Make a stored expression over one table one over another with the same columns."""

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            if value.get("$") == "table" and value["v"] == old and value["commit"] is None:
                value["v"] = new
            for item in value.values():
                visit(item)
        elif isinstance(value, list):
            for item in value:
                visit(item)

    document = json.loads(text)
    visit([*document.get("parts", ()), document["expression"]])
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


# Relations whose columns are those of their parent, under the same names.
_SAME_NAMES = ("Filter", "Sort", "Limit", "Sample", "Distinct", "DropColumns", "Reference")


def _renamed(
    value: Any, names: dict[int, dict[str, str]], known: dict[int, dict[str, str]]
) -> dict[str, str]:
    """Rename within a value, in place; return how columns of a relation are called now."""
    if isinstance(value, list):
        for item in value:
            _renamed(item, names, known)
    if not isinstance(value, dict):
        return {}
    kind = value.get("$")
    if kind == "ref":
        return known[value["v"]]
    if kind == "table":
        known[value["id"]] = {} if value["commit"] is not None else names.get(value["v"], {})
        return known[value["id"]]
    if kind != "op":
        for item in value.values():
            _renamed(item, names, known)
        return {}
    arguments = value["a"]
    shown = {name: _renamed(argument, names, known) for name, argument in arguments.items()}
    if value["c"] == "Field":
        arguments["name"] = shown["rel"].get(arguments["name"], arguments["name"])
    if value["c"] == "DropColumns":
        dropped = arguments["columns_to_drop"]["v"]
        dropped[:] = [shown["parent"].get(name, name) for name in dropped]
    known[value["id"]] = shown.get("parent", {}) if value["c"] in _SAME_NAMES else {}
    return known[value["id"]]


def dump_value(value: Any) -> str:
    """Write a plain value as JSON."""
    return json.dumps(_Writer().write(value), separators=(",", ":"), ensure_ascii=False)


def load_value(text: str) -> Any:
    """Read a plain value back."""
    value = _Reader(_no_table).read(json.loads(text))
    return list(value) if isinstance(value, tuple) else value


def dump_type(kind: dt.DataType) -> Any:
    """Write a data type as JSON values."""
    return _Writer().write(kind)


def load_type(value: Any) -> dt.DataType:
    """Read a data type back."""
    return _Reader(_no_table).read(value)


def _no_table(table_id: int, commit: int | None, hidden: bool) -> ops.Node:
    raise ExpressionError(f"a data type cannot hold table {table_id} ({commit}, {hidden}).")
