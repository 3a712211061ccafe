"""Statements by the shape of their query, without its constants and the names of its tables.

Owns which parts of a query may differ between two of one shape: the names of its tables, and the
integers and strings that it compares values with. Compiling a query takes several times as long as
running it, and programs repeat queries with other constants: those of one row, and those of a
version.
"""

from __future__ import annotations

import decimal
import re
import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import ibis.expr.operations as ops
from ibis.common.collections import FrozenDict

from barbule.backends.duckdb.sql.literals import string_literal
from barbule.backends.duckdb.sql.statements import quoted
from barbule.expression_keys import ExpressionKey

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    import ibis.expr.datatypes as dt

__all__ = ["Compiled", "StatementShapes"]

_MAX_SHAPES = 512
_MAX_INT64 = 2**63 - 1
_COMPARISONS = (
    ops.Equals,
    ops.NotEquals,
    ops.Less,
    ops.LessEqual,
    ops.Greater,
    ops.GreaterEqual,
)

# What stands for a part in the statement of a shape: no query holds it, for it is random.
_MARK = uuid.uuid4().hex
_NUMBER_MARK = 4_000_000_000_000_000_000 + uuid.uuid4().int % 10**15 * 1000
_MAX_PARTS = 1000

Compiled: TypeAlias = tuple[str, Any, bool]
"""The SQL of a query, the schema of its rows, and whether a join may take long."""


@dataclass(frozen=True)
class _Template:
    """The statement of a shape.

    Attributes
    ----------
    texts
        The SQL before, between and after the parts.
    parts
        The number of the part between two texts.
    """

    texts: tuple[str, ...]
    parts: tuple[int, ...]
    schema: Any
    long_join: bool

    def filled(self, parts: list[str]) -> Compiled:
        """Return the statement with the parts of a query."""
        pieces = [self.texts[0]]
        for number, text in zip(self.parts, self.texts[1:], strict=True):
            pieces += (parts[number], text)
        return "".join(pieces), self.schema, self.long_join


class StatementShapes:
    """The statements of shapes that were used last.

    Parameters
    ----------
    compile_query
        Compiles a query.
    """

    def __init__(self, compile_query: Callable[[ops.Relation], Compiled]) -> None:
        self._compile = compile_query
        self._templates: OrderedDict[ExpressionKey, _Template] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, root: ops.Relation) -> Compiled:
        """Return the statement of a query of stored tables."""
        try:
            key, parts = _shape(root)
            template = self._find(key)
        except TypeError:  # it has an argument that cannot be hashed
            return self._compile(root)
        if len(parts) > _MAX_PARTS:
            return self._compile(root)
        if template is None:
            template = _template(self._compile(_marked(root)))
            if template is None:
                return self._compile(root)
            with self._lock:
                self._templates[key] = template
                if len(self._templates) > _MAX_SHAPES:
                    self._templates.popitem(last=False)
        return template.filled(parts)

    def _find(self, key: ExpressionKey) -> _Template | None:
        with self._lock:
            template = self._templates.get(key)
            if template is not None:
                self._templates.move_to_end(key)
            return template


def _shape(root: ops.Relation) -> tuple[ExpressionKey, list[str]]:
    """Return what a query has in common with others of its shape, and the SQL of its own parts."""
    shape = _Shape()
    for node in _parts_first(root):
        shape.add(node)
    # Types and schemas are nodes of Ibis, which threads must not compare by its cache.
    return ExpressionKey(tuple(shape.described)), list(shape.parts)


class _Parts(dict[str, int]):
    """The SQL of the parts of a query, each with its number: equal ones are one part."""

    def number(self, text: str) -> int:
        """Return the number of a part."""
        return self.setdefault(text, len(self))


class _Shape:
    """The description of a query, node by node, and the SQL of its own parts."""

    def __init__(self) -> None:
        self.described: list[Hashable] = []
        self.parts = _Parts()
        self._numbers: dict[int, int] = {}

    def add(self, node: ops.Node) -> None:
        """Describe a node, after those that it consists of."""
        if isinstance(node, _COMPARISONS):
            entry = tuple(self._operand(*operand) for operand in _operands(node))
        elif isinstance(node, ops.DatabaseTable):
            number = self.parts.number(quoted(node.name))
            entry = (number, node.schema, self._argument(node.namespace))
        else:
            entry = tuple(map(self._argument, node.__args__))
        self._numbers[id(node)] = len(self._numbers)
        self.described.append((type(node), entry))

    def _operand(self, operand: Any, constant: str | None) -> Hashable:
        if constant is None:
            return self._argument(operand)
        return "constant", type(operand.value), self.parts.number(constant)

    def _argument(self, argument: Any) -> Hashable:
        if isinstance(argument, ops.Node):
            return "node", self._numbers[id(argument)]
        if isinstance(argument, tuple):
            return tuple(map(self._argument, argument))
        if isinstance(argument, FrozenDict):
            return tuple((name, self._argument(item)) for name, item in argument.items())
        if isinstance(argument, float | decimal.Decimal):  # equal ones may be written differently
            return type(argument), repr(argument)
        return type(argument), argument


def _parts_first(root: ops.Node) -> Iterator[ops.Node]:
    """Yield the nodes of a tree, each once and after those that it consists of.

    The order depends on the tree alone, so that equal shapes number their parts alike.
    """
    done: set[int] = set()
    stack: list[tuple[ops.Node, bool]] = [(root, False)]
    while stack:
        node, is_expanded = stack.pop()
        if id(node) in done:
            continue
        if is_expanded:
            done.add(id(node))
            yield node
            continue
        stack.append((node, True))
        arguments: list[object] = [*node.__args__]
        if isinstance(node, _COMPARISONS):  # whose constants belong to it
            arguments = [each for each, constant in _operands(node) if constant is None]
        while arguments:
            argument = arguments.pop()
            if isinstance(argument, ops.Node):
                if id(argument) not in done:
                    stack.append((argument, False))
            elif isinstance(argument, tuple):
                arguments.extend(argument)
            elif isinstance(argument, FrozenDict):
                arguments.extend(argument.values())


def _operands(comparison: Any) -> Iterator[tuple[ops.Value, str | None]]:
    """Yield the operands of a comparison, each with its SQL if it may differ within a shape."""
    left, right = comparison.left, comparison.right
    yield left, _constant(left, right.dtype)
    yield right, _constant(right, left.dtype)


def _constant(operand: ops.Value, other: dt.DataType) -> str | None:
    """Return the SQL of a constant that is compared with values of its own kind; None for others.

    Ibis reads strings that are compared with times.
    """
    if not isinstance(operand, ops.Literal):
        return None
    value, dtype = operand.value, operand.dtype
    if type(value) is int and dtype.is_integer() and other.is_numeric():
        return str(value) if abs(value) <= _MAX_INT64 else None
    if type(value) is str and dtype.is_string() and other.is_string() and _is_plain(value):
        return string_literal(value)
    return None


def _is_plain(value: str) -> bool:
    """Whether DuckDB reads a string as it is written."""
    if "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _marked(root: ops.Relation) -> ops.Relation:
    """Return the query with marks in place of its parts, numbered as `_shape` numbers them."""
    marking = _Marking()
    for node in _parts_first(root):
        marking.add(node)
    return cast("ops.Relation", marking.marked[id(root)])


class _Marking:
    """A query that is rebuilt with marks, node by node."""

    def __init__(self) -> None:
        self.marked: dict[int, Any] = {}
        self._parts = _Parts()

    def add(self, node: ops.Node) -> None:
        """Rebuild a node, after those that it consists of."""
        if isinstance(node, _COMPARISONS):
            operands = (self._operand(*operand) for operand in _operands(node))
            self.marked[id(node)] = type(node)(*operands)
        elif isinstance(node, ops.DatabaseTable):
            mark = _mark(self._parts.number(quoted(node.name)))
            self.marked[id(node)] = node.copy(name=mark)
        else:
            arguments = zip(node.__argnames__, map(self._argument, node.__args__), strict=True)
            self.marked[id(node)] = node.__recreate__(dict(arguments))

    def _operand(self, operand: Any, constant: str | None) -> Any:
        if constant is None:
            return self._argument(operand)
        number = self._parts.number(constant)
        if isinstance(operand.value, int):
            return ops.Literal(_NUMBER_MARK + number, "int64")
        return ops.Literal(_mark(number), "string")

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, ops.Node):
            return self.marked[id(argument)]
        if isinstance(argument, tuple):
            return tuple(map(self._argument, argument))
        if isinstance(argument, FrozenDict):
            return type(argument)({name: self._argument(item) for name, item in argument.items()})
        return argument


def _mark(number: int) -> str:
    return f"{_MARK}_{number:03}"


_MARKS = re.compile(rf"""["']{_MARK}_(\d{{3}})["']|{_NUMBER_MARK // 1000}(\d{{3}})""")


def _template(compiled: Compiled) -> _Template | None:
    """Split the statement of a query with marks; None if one of them is written in another way."""
    statement, schema, long_join = compiled
    texts: list[str] = []
    parts: list[int] = []
    end = 0
    for mark in _MARKS.finditer(statement):
        texts.append(statement[end : mark.start()])
        parts.append(int(mark.group(1) or mark.group(2)))
        end = mark.end()
    texts.append(statement[end:])
    if any(_MARK in text for text in texts):
        return None
    return _Template(tuple(texts), tuple(parts), schema, long_join)
