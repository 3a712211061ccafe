"""Values as the Python that makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.operations as ops
import ibis.expr.types as ir

from barbule.nodes import (
    FunctionCall,
    KeywordScore,
    Recorded,
    RerankedScore,
    Similarity,
    StoredVector,
    TableScore,
    VectorLiteral,
)
from barbule.planner.python_code.calls import call
from barbule.planner.python_code.fragments import (
    ATOM,
    COMPARED,
    PLUS,
    POWER,
    UNARY,
    Code,
    attribute,
    cut,
    plain,
)
from barbule.planner.python_code.operation_names import (
    FUNCTIONS,
    INFIX,
    METHODS,
    PREFIX,
    PROPERTIES,
    snake,
)
from barbule.planner.python_code.queries import is_table, link, query
from barbule.types import Media

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["code_of"]

_KEYWORDS = {"where", "order_by"}


def code_of(node: ops.Node, given: Mapping[str, Any]) -> Code:
    """Write a node, given what its parts are written as."""
    if isinstance(node, ops.Relation):
        return Code(query(node, given))
    for kind, write in _WRITERS.items():
        if isinstance(node, kind):
            return write(node, given)
    return _by_kind(node, given)


def _by_kind(node: ops.Node, given: Mapping[str, Any]) -> Code:
    kind = type(node)
    if kind in INFIX:
        return _infix(*INFIX[kind], *given.values())
    if kind in PREFIX:
        return Code(f"{PREFIX[kind]}{given['arg'].within(UNARY)}", UNARY)
    if kind in PROPERTIES:
        return Code(f"{_receiver(node, given)}.{PROPERTIES[kind]}")
    if kind in FUNCTIONS:
        listed = [each for value in given.values() for each in _items(value) if each is not None]
        return Code(f"ibis.{FUNCTIONS[kind]}({', '.join(map(str, listed))})")
    return _method(node, given)


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple) else (value,)


def _infix(sign: str, level: int, left: Any, right: Any) -> Code:
    # A comparison beside another, and a power, would be read otherwise by Python.
    left_level = level + 1 if level in {COMPARED, POWER} else level
    return Code(f"{left.within(left_level)} {sign} {right.within(level + 1)}", level)


def _method(node: ops.Node, given: Mapping[str, Any]) -> Code:
    name = METHODS.get(type(node)) or snake(type(node).__name__)
    parameters = type(node).__signature__.parameters
    arguments: list[str] = []
    skipped = False
    for key, value in list(given.items())[1:]:
        if value is None or getattr(node, key) == parameters[key].default:
            skipped = True
        elif skipped or key in _KEYWORDS:
            arguments.append(f"{key}={plain(value)}")
        else:
            arguments.append(plain(value))
    return Code(f"{_receiver(node, given)}.{name}({', '.join(arguments)})")


def _receiver(node: ops.Node, given: Mapping[str, Any]) -> str:
    """Write what stands before the dot of a method."""
    if not given:
        return "ibis"
    if isinstance(node.args[0], ops.Literal):
        return f"ibis.literal({next(iter(given.values()))})"
    first = next(iter(given.values()))
    return first.within(ATOM) if isinstance(first, Code) else plain(first)


def _field(node: ops.Field, given: Mapping[str, Any]) -> Code:
    rel = node.rel.parent if isinstance(node.rel, ops.Reference) else node.rel
    return attribute(str(given["rel"]) if is_table(rel) else "_", node.name)


def _literal(node: ops.Literal, _given: Mapping[str, Any]) -> Code:
    value, kind = node.value, node.dtype
    if value is None:
        return Code("None")
    if isinstance(kind, Media):
        return Code(repr(cut(str(value))))
    for abstract, name in ((dt.Timestamp, "timestamp"), (dt.Date, "date"), (dt.Time, "time")):
        if isinstance(kind, abstract):
            return Code(f"ibis.{name}({str(value)!r})")
    if isinstance(kind, dt.Interval):
        return Code(f"ibis.interval({value}, unit={kind.unit.short!r})")
    if isinstance(kind, dt.UUID):
        return Code(repr(str(value)))
    if isinstance(kind, dt.Array) and not isinstance(value, str):
        value = list(value)
    text = cut(repr(value))
    return Code(text, UNARY if text.startswith("-") else ATOM)


def _cast(node: Any, given: Mapping[str, Any]) -> Code:
    name = "try_cast" if isinstance(node, ops.TryCast) else "cast"
    return Code(f"{_receiver(node, given)}.{name}({str(node.to)!r})")


def _concatenated(_node: ops.Node, given: Mapping[str, Any]) -> Code:
    return Code(" + ".join(each.within(PLUS + 1) for each in given["arg"]), PLUS)


def _cases(_node: ops.Node, given: Mapping[str, Any]) -> Code:
    pairs = zip(given["cases"], given["results"], strict=True)
    listed = [f"({case}, {result})" for case, result in pairs]
    if given["default"] != "None":
        listed.append(f"else_={given['default']}")
    owner = given["base"].within(ATOM) if "base" in given else "ibis"
    return Code(f"{owner}.cases({', '.join(listed)})")


def _if_else(_node: ops.Node, given: Mapping[str, Any]) -> Code:
    one, two = given["true_expr"], given["false_null_expr"]
    return Code(f"ibis.ifelse({given['bool_expr']}, {one}, {two})")


def _among(node: ops.Node, given: Mapping[str, Any]) -> Code:
    if isinstance(node, ops.InSubquery):
        return Code(f"{given['needle'].within(ATOM)}.isin({given['rel']})")
    return Code(f"{given['value'].within(ATOM)}.isin([{', '.join(given['options'])}])")


def _indexed(_node: ops.Node, given: Mapping[str, Any]) -> Code:
    owner, index, *_ = given.values()
    return Code(f"{owner.within(ATOM)}[{index}]")


def _json_item(node: ops.JSONGetItem, given: Mapping[str, Any]) -> Code:
    key = node.index.value if isinstance(node.index, ops.Literal) else None
    owner = given["arg"].within(ATOM)
    if isinstance(key, str) and key.isidentifier() and not hasattr(ir.JSONColumn, key):
        return Code(f"{owner}.{key}")
    return Code(f"{owner}[{given['index']}]")


def _sliced(_node: ops.Node, given: Mapping[str, Any]) -> Code:
    owner, start, stop = given.values()
    return Code(f"{owner.within(ATOM)}[{start or ''}:{stop or ''}]")


def _struct_field(node: ops.StructField, given: Mapping[str, Any]) -> Code:
    plain = node.field.isidentifier() and not hasattr(ir.StructValue, node.field)
    owner = given["arg"].within(ATOM)
    return Code(f"{owner}.{node.field}" if plain else f"{owner}[{node.field!r}]")


def _struct(_node: ops.Node, given: Mapping[str, Any]) -> Code:
    pairs = zip(given["names"], given["values"], strict=True)
    return Code(f"ibis.struct({{{', '.join(f'{name!r}: {value}' for name, value in pairs)}}})")


def _array(_node: ops.Node, given: Mapping[str, Any]) -> Code:
    return Code(f"ibis.array([{', '.join(given['exprs'])}])")


def _joined_arrays(_node: ops.Node, given: Mapping[str, Any]) -> Code:
    return Code(" + ".join(each.within(PLUS + 1) for each in given["arg"]), PLUS)


def _lambda(node: Any, given: Mapping[str, Any]) -> Code:
    name = "filter" if isinstance(node, ops.ArrayFilter) else "map"
    variables = [given["param"], *([given["index"]] if given.get("index") else [])]
    body = f"lambda {', '.join(variables)}: {given['body']}"
    return Code(f"{given['arg'].within(ATOM)}.{name}({body})")


def _count(node: ops.Node, given: Mapping[str, Any]) -> Code:
    where = f"where={given['where']}" if given.get("where") is not None else ""
    owner = str(given["arg"]) if is_table(node.arg) else "_"
    return Code(f"{owner}.count({where})")


def _window(node: ops.WindowFunction, given: Mapping[str, Any]) -> Code:
    parts = [f"{name}={plain(given[name])}" for name in ("group_by", "order_by") if given[name]]
    if node.start is not None or node.end is not None:
        bounds = plain((_boundary(node.start, given["start"]), _boundary(node.end, given["end"])))
        parts.append(f"{node.how}={bounds.replace('[', '(').replace(']', ')')}")
    return Code(f"{given['func'].within(ATOM)}.over({', '.join(parts)})")


def _boundary(node: Any, text: Any) -> Any:
    if node is None:
        return None
    value = getattr(node, "value", node)
    number = value.value if isinstance(value, ops.Literal) else text
    preceding = getattr(node, "preceding", False)
    return -number if preceding and isinstance(number, int) else number


def _sort_key(node: ops.SortKey, given: Mapping[str, Any]) -> Code:
    return given["arg"] if node.ascending else Code(f"ibis.desc({given['arg']})")


def _scored(node: Any, given: Mapping[str, Any]) -> Code:
    index = f", index={node.index!r}" if getattr(node, "index", None) else ""
    query = given["query"] if isinstance(node, Similarity) else repr(node.query)
    name = "similarity" if isinstance(node, Similarity) else "search"
    return Code(f"{given['arg'].within(ATOM)}.{name}({query}{index})")


def _vector(node: Any, given: Mapping[str, Any]) -> Code:
    if isinstance(node, VectorLiteral):
        return Code(f"<vector of {node.length} numbers>")
    index = f"index={node.index!r}" if node.index else ""
    return Code(f"{given['arg'].within(ATOM)}.embedding({index})")


def _subquery(_node: ops.Node, given: Mapping[str, Any]) -> Code:
    return Code(f"{given['rel']}.as_scalar()")


_WRITERS: dict[type[ops.Node], Callable[[Any, Mapping[str, Any]], Code]] = {
    FunctionCall: call,
    Similarity: _scored,
    KeywordScore: _scored,
    StoredVector: _vector,
    VectorLiteral: _vector,
    TableScore: lambda _node, given: given["value"],
    RerankedScore: lambda _node, given: given["value"],
    Recorded: lambda _node, _given: Code("recorded"),
    ops.Field: _field,
    ops.Literal: _literal,
    ops.Cast: _cast,
    ops.TryCast: _cast,
    ops.Alias: lambda _node, given: given["arg"],
    ops.StringConcat: _concatenated,
    ops.SearchedCase: _cases,
    ops.SimpleCase: _cases,
    ops.IfElse: _if_else,
    ops.InValues: _among,
    ops.InSubquery: _among,
    ops.ArrayIndex: _indexed,
    ops.MapGet: _indexed,
    ops.JSONGetItem: _json_item,
    ops.ArraySlice: _sliced,
    ops.StringSlice: _sliced,
    ops.StructField: _struct_field,
    ops.StructColumn: _struct,
    ops.Array: _array,
    ops.ArrayConcat: _joined_arrays,
    ops.ArrayMap: _lambda,
    ops.ArrayFilter: _lambda,
    ops.Argument: lambda node, _given: Code(node.name),
    ops.CountStar: _count,
    ops.WindowFunction: _window,
    ops.WindowBoundary: lambda _node, given: given["value"],
    ops.SortKey: _sort_key,
    ops.ScalarSubquery: _subquery,
    ops.JoinLink: link,
}
