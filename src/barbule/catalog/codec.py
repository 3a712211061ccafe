"""Expressions and data types as JSON, over an allow-list of operations.

Owns the stored form of expressions. Only the operations of Ibis and of barbule on the list can
be written and read; tables and functions are stored by name and looked up, and no code is ever
loaded. Anything else is an error when it is written.
"""

from __future__ import annotations

import enum
import inspect
import json
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
from barbule.json_codec import from_named, to_compact, to_named
from barbule.nodes import (
    CellError,
    FunctionCall,
    ManagedTable,
    Recorded,
    Similarity,
    VectorLiteral,
)

__all__ = ["JSON", "dump", "dump_type", "dump_value", "load", "load_type", "load_value"]

FORMAT = 1
_MAX_DEPTH = 50  # of nested operations, in one JSON document

JSON = dict[str, Any] | list[Any] | str | int | float | bool | None

# Leaves that exist only in one process, or whose rows would have to be stored.
_UNSUPPORTED_OPERATIONS = (
    ops.DatabaseTable,
    ops.UnboundTable,
    ops.InMemoryTable,
    ops.SQLQueryResult,
    ops.SQLStringView,
    ops.ScalarUDF,
    ops.AggUDF,
)


def _allowed_operations() -> dict[str, type[ops.Node]]:
    barbule_operations = (CellError, FunctionCall, Recorded, Similarity, VectorLiteral)
    ibis_operations = {
        name: cls
        for name, cls in vars(ops).items()
        if inspect.isclass(cls)
        and issubclass(cls, ops.Node)
        and name == cls.__name__
        and not issubclass(cls, _UNSUPPORTED_OPERATIONS)
    }
    return {**ibis_operations, **{cls.__name__: cls for cls in barbule_operations}}


_OPERATIONS = _allowed_operations()
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
# Arguments that operations got after the first version of the format; None by default.
_LATER_ARGUMENTS = {"FunctionCall": ("on_error",)}


class _Writer:
    """Writes a tree as JSON values; a node that occurs again is a reference to its id."""

    def __init__(self) -> None:
        self.node_ids: dict[ops.Node, int] = {}

    def write(self, value: object) -> JSON:
        if value is None or (
            isinstance(value, bool | int | str) and not isinstance(value, enum.Enum)
        ):
            return value
        if isinstance(value, ops.Node):
            return self._node(value)
        if isinstance(value, dt.DataType):
            return {"$": "type", **self._arguments(value)}
        if isinstance(value, sch.Schema):
            return {
                "$": "schema",
                "v": [[name, self.write(dtype)] for name, dtype in value.items()],
            }
        if isinstance(value, ds.DataShape):
            return {"$": "shape", "v": type(value).__name__}
        if isinstance(value, FrozenDict | FrozenOrderedDict | Mapping):
            return {
                "$": "map",
                "v": [[self.write(key), self.write(mapped)] for key, mapped in value.items()],
            }
        if isinstance(value, tuple | list):
            return {"$": "tuple", "v": [self.write(element) for element in value]}
        if isinstance(value, frozenset):
            elements = sorted((self.write(element) for element in value), key=json.dumps)
            return {"$": "set", "v": elements}
        return _write_scalar(value)

    def _node(self, node: ops.Node) -> dict[str, Any]:
        if node in self.node_ids:
            return {"$": "ref", "v": self.node_ids[node]}
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
                    f"a parameter of type {node.dtype} cannot be saved in a stored expression.",
                    hint="Write the value instead: columns and views are computed without params=.",
                )
            if _OPERATIONS.get(name) is not type(node):
                raise ExpressionError(
                    f"the operation {name} cannot be saved in a stored expression.",
                    hint="Columns and views are stored as expressions over managed tables: "
                    "insert in-memory data into a table first, and use @bb.udf for your own "
                    "functions.",
                )
            written = {"$": "op", **self._arguments(node)}
        self.node_ids[node] = written["id"] = len(self.node_ids)
        return written

    def _arguments(self, value: ops.Node | dt.DataType) -> dict[str, Any]:
        class_name = type(value).__name__
        pairs = zip(value.__argnames__, value.__args__, strict=True)
        written = {name: self.write(argument) for name, argument in pairs}
        # Omitted if they have the default, so that older versions can read the expression.
        for name in _LATER_ARGUMENTS.get(class_name, ()):
            if written[name] is None:
                del written[name]
        return {"c": class_name, "a": written}


def _write_scalar(value: object) -> JSON:
    if (scalar := to_named(value)) is not None:
        return scalar
    if isinstance(value, enum.Enum) and type(value).__name__ in _ENUMS:
        return {"$": "enum", "c": type(value).__name__, "v": value.value}
    if hasattr(value, "tolist"):  # NumPy's, as Ibis keeps array literals
        return _Writer().write(value.tolist())
    raise ExpressionError(
        f"a value of type {type(value).__name__} cannot be saved in a stored expression.",
        value=value,
        hint="Use a string, number, date, list or dict.",
    )


class _Reader:
    """Reads a tree from JSON values.

    Parameters
    ----------
    table
        Returns the leaf for (table id, commit, hidden).
    """

    def __init__(self, table: Callable[[int, int | None, bool], ops.Node]) -> None:
        self.table = table
        self.nodes: dict[int, ops.Node] = {}

    def read(self, value: JSON) -> Any:
        if not isinstance(value, dict):
            return value
        kind = value["$"]
        if kind in {"op", "table"}:
            node = self._node(kind, value)
            self.nodes[value["id"]] = node
            return node
        if kind == "ref":
            return self.nodes[value["v"]]
        if kind == "type":
            return _TYPES[value["c"]](**self._arguments(value))
        if kind in {"tuple", "set"}:
            elements = (self.read(element) for element in value["v"])
            return tuple(elements) if kind == "tuple" else frozenset(elements)
        if kind == "map":
            return {self.read(key): self.read(mapped) for key, mapped in value["v"]}
        if kind == "schema":
            return sch.Schema({name: self.read(dtype) for name, dtype in value["v"]})
        if kind == "shape":
            return getattr(ds, value["v"])()
        return _read_scalar(kind, value)

    def _arguments(self, value: dict[str, Any]) -> dict[str, Any]:
        return {name: self.read(argument) for name, argument in value["a"].items()}

    def _node(self, kind: str, value: dict[str, Any]) -> ops.Node:
        if kind == "table":
            return self.table(value["v"], value["commit"], value["hidden"])
        arguments = self._arguments(value)
        cls = _OPERATIONS.get(value["c"])
        if cls is None:
            raise ExpressionError(
                f"the stored expression uses the operation {value['c']!r}, which this version "
                "does not support.",
                hint="It was written by another version of barbule or Ibis; upgrade this "
                "installation.",
            )
        return cls(**arguments)


def _read_scalar(kind: str, value: dict[str, Any]) -> Any:
    if kind == "enum":
        return _ENUMS[value["c"]](value["v"])
    try:
        return from_named(kind, value["v"])
    except KeyError:
        raise ExpressionError(
            f"the stored expression holds a value of the unknown type {kind!r}.",
            hint="It was written by another version of barbule; upgrade this installation.",
        ) from None


def dump(node: ops.Node) -> str:
    """Write an expression as JSON.

    Raises
    ------
    ExpressionError
        When it holds an operation or a value that is not on the list.
    """
    writer = _Writer()
    parts = [writer.write(part) for part in _split_points(node)]
    document = {"format": FORMAT, "expression": writer.write(node)}
    if parts:
        document["parts"] = parts
    return to_compact(document)


def _split_points(root: ops.Node) -> list[ops.Node]:
    """Return the nodes at which a deep tree is split, children before their parents.

    Each is written by itself, before the tree: parsers of JSON limit its depth.
    """
    points: list[ops.Node] = []

    def height_of(node: ops.Node, heights: dict[ops.Node, int], **_: object) -> int:
        height = 1 + max((heights[child] for child in node.__children__), default=0)
        if height % _MAX_DEPTH == 0 and node is not root:
            points.append(node)
        return height

    root.map(height_of)
    return points


def load(text: str, table: Callable[[int, int | None, bool], ops.Node]) -> ops.Node:
    """Read an expression back.

    Parameters
    ----------
    text
        What `dump` wrote.
    table
        Returns the leaf for (table id, commit, hidden).
    """
    document = json.loads(text)
    if document.get("format") != FORMAT:
        raise ExpressionError(
            f"the stored expression has the format {document.get('format')!r}; the supported "
            f"format is {FORMAT}.",
            hint="It was written by another version of barbule; upgrade this installation.",
        )
    reader = _Reader(table)
    for part in document.get("parts", ()):
        reader.read(part)
    return reader.read(document["expression"])


def dump_value(value: object) -> str:
    """Write a plain value as JSON."""
    return to_compact(_Writer().write(value))


def load_value(text: str) -> Any:
    """Read a plain value back."""
    value = _Reader(_no_table).read(json.loads(text))
    return list(value) if isinstance(value, tuple) else value


def dump_type(dtype: dt.DataType) -> JSON:
    """Write a data type as JSON values."""
    return _Writer().write(dtype)


def load_type(value: JSON) -> dt.DataType:
    """Read a data type back."""
    return _Reader(_no_table).read(value)


def _no_table(table_id: int, commit: int | None, hidden: bool) -> ops.Node:
    raise ExpressionError(f"a data type cannot hold table {table_id} ({commit}, {hidden}).")
