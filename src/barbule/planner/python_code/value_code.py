"""Values as the Python code that builds them."""

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
from barbule.planner.python_code.fragments import (
    ATOM,
    COMPARED,
    PLUS,
    POWER,
    UNARY,
    Code,
    attribute,
    plain,
    shortened,
)
from barbule.planner.python_code.function_calls import call
from barbule.planner.python_code.operation_names import (
    FUNCTIONS,
    INFIX,
    METHODS,
    PREFIX,
    PROPERTIES,
    snake,
)
from barbule.planner.python_code.relation_code import is_table, link, query
from barbule.types import Media
from barbule.types.declarations import by_class

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["code_of"]

_KEYWORDS = {"where", "order_by"}


def code_of(node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    """Write a node.

    Parameters
    ----------
    fragments
        The code of its arguments, by their names.
    """
    if isinstance(node, ops.Relation):
        return Code(query(node, fragments))
    for kind, write in _WRITERS.items():
        if isinstance(node, kind):
            return write(node, fragments)
    return _by_kind(node, fragments)


def _by_kind(node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    kind = type(node)
    if kind in INFIX:
        return _infix(*INFIX[kind], *fragments.values())
    if kind in PREFIX:
        return Code(f"{PREFIX[kind]}{fragments['arg'].bracketed(UNARY)}", UNARY)
    if kind in PROPERTIES:
        return Code(f"{_receiver(node, fragments)}.{PROPERTIES[kind]}")
    if kind in FUNCTIONS:
        members = (member for fragment in fragments.values() for member in _members(fragment))
        arguments = ", ".join(str(member) for member in members if member is not None)
        return Code(f"ibis.{FUNCTIONS[kind]}({arguments})")
    return _method(node, fragments)


def _members(fragment: object) -> Sequence[object]:
    return fragment if isinstance(fragment, tuple) else (fragment,)


def _infix(sign: str, level: int, left: Code, right: Code) -> Code:
    # Python would parse chained comparisons, and chained powers, differently.
    left_level = level + 1 if level in {COMPARED, POWER} else level
    return Code(f"{left.bracketed(left_level)} {sign} {right.bracketed(level + 1)}", level)


def _method(node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    name = METHODS.get(type(node)) or snake(type(node).__name__)
    parameters = type(node).__signature__.parameters
    arguments: list[str] = []
    skipped = False
    for key, value in list(fragments.items())[1:]:
        if value is None or getattr(node, key) == parameters[key].default:
            skipped = True
        elif skipped or key in _KEYWORDS:
            arguments.append(f"{key}={plain(value)}")
        else:
            arguments.append(plain(value))
    return Code(f"{_receiver(node, fragments)}.{name}({', '.join(arguments)})")


def _receiver(node: ops.Node, fragments: Mapping[str, Any]) -> str:
    """Write the part before the dot of a method."""
    if not fragments:
        return "ibis"
    if isinstance(node.args[0], ops.Literal):
        return f"ibis.literal({next(iter(fragments.values()))})"
    first = next(iter(fragments.values()))
    return first.bracketed(ATOM) if isinstance(first, Code) else plain(first)


def _field(node: ops.Field, fragments: Mapping[str, Any]) -> Code:
    rel = node.rel.parent if isinstance(node.rel, ops.Reference) else node.rel
    return attribute(str(fragments["rel"]) if is_table(rel) else "_", node.name)


def _literal(node: ops.Literal, _fragments: Mapping[str, Any]) -> Code:
    value, kind = node.value, node.dtype
    if value is None:
        return Code("None")
    if (write := by_class(_LITERALS, kind)) is not None:
        return Code(write(value, kind))
    if isinstance(kind, dt.Array) and not isinstance(value, str):
        value = list(value)
    text = shortened(repr(value))
    return Code(text, UNARY if text.startswith("-") else ATOM)


_LITERALS: Mapping[type[dt.DataType], Callable[[Any, Any], str]] = {
    Media: lambda value, _: repr(shortened(str(value))),
    dt.Timestamp: lambda value, _: f"ibis.timestamp({str(value)!r})",
    dt.Date: lambda value, _: f"ibis.date({str(value)!r})",
    dt.Time: lambda value, _: f"ibis.time({str(value)!r})",
    dt.Interval: lambda value, kind: f"ibis.interval({value}, unit={kind.unit.short!r})",
    dt.UUID: lambda value, _: repr(str(value)),
}


def _cast(node: ops.Cast | ops.TryCast, fragments: Mapping[str, Any]) -> Code:
    name = "try_cast" if isinstance(node, ops.TryCast) else "cast"
    return Code(f"{_receiver(node, fragments)}.{name}({str(node.to)!r})")


def _concatenation(_node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    return _sum_of(fragments["arg"])


def _sum_of(operands: Sequence[Code]) -> Code:
    return Code(" + ".join(operand.bracketed(PLUS + 1) for operand in operands), PLUS)


def _cases(_node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    pairs = zip(fragments["cases"], fragments["results"], strict=True)
    branches = [f"({case}, {result})" for case, result in pairs]
    if fragments["default"] != "None":
        branches.append(f"else_={fragments['default']}")
    owner = fragments["base"].bracketed(ATOM) if "base" in fragments else "ibis"
    return Code(f"{owner}.cases({', '.join(branches)})")


def _if_else(_node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    arguments = (fragments[name] for name in ("bool_expr", "true_expr", "false_null_expr"))
    return Code(f"ibis.ifelse({', '.join(arguments)})")


def _membership(node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    if isinstance(node, ops.InSubquery):
        return Code(f"{fragments['needle'].bracketed(ATOM)}.isin({fragments['rel']})")
    return Code(f"{fragments['value'].bracketed(ATOM)}.isin([{', '.join(fragments['options'])}])")


def _item(_node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    owner, index, *_ = fragments.values()
    return Code(f"{owner.bracketed(ATOM)}[{index}]")


def _json_item(node: ops.JSONGetItem, fragments: Mapping[str, Any]) -> Code:
    key = node.index.value if isinstance(node.index, ops.Literal) else None
    owner = fragments["arg"].bracketed(ATOM)
    if isinstance(key, str) and key.isidentifier() and not hasattr(ir.JSONColumn, key):
        return Code(f"{owner}.{key}")
    return Code(f"{owner}[{fragments['index']}]")


def _slice(_node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    owner, start, stop = fragments.values()
    return Code(f"{owner.bracketed(ATOM)}[{start or ''}:{stop or ''}]")


def _struct_field(node: ops.StructField, fragments: Mapping[str, Any]) -> Code:
    dotted = node.field.isidentifier() and not hasattr(ir.StructValue, node.field)
    owner = fragments["arg"].bracketed(ATOM)
    return Code(f"{owner}.{node.field}" if dotted else f"{owner}[{node.field!r}]")


def _struct(_node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    pairs = zip(fragments["names"], fragments["values"], strict=True)
    return Code(f"ibis.struct({{{', '.join(f'{name!r}: {value}' for name, value in pairs)}}})")


def _array(_node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    return Code(f"ibis.array([{', '.join(fragments['exprs'])}])")


def _array_concatenation(_node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    return _sum_of(fragments["arg"])


def _lambda(node: ops.ArrayFilter | ops.ArrayMap, fragments: Mapping[str, Any]) -> Code:
    name = "filter" if isinstance(node, ops.ArrayFilter) else "map"
    variables = [fragments["param"], *([fragments["index"]] if fragments.get("index") else [])]
    body = f"lambda {', '.join(variables)}: {fragments['body']}"
    return Code(f"{fragments['arg'].bracketed(ATOM)}.{name}({body})")


def _count(node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    where = f"where={fragments['where']}" if fragments.get("where") is not None else ""
    owner = str(fragments["arg"]) if is_table(node.arg) else "_"
    return Code(f"{owner}.count({where})")


def _window(node: ops.WindowFunction, fragments: Mapping[str, Any]) -> Code:
    parts = [
        f"{name}={plain(fragments[name])}" for name in ("group_by", "order_by") if fragments[name]
    ]
    if node.start is not None or node.end is not None:
        bounds = plain(
            (_boundary(node.start, fragments["start"]), _boundary(node.end, fragments["end"]))
        )
        parts.append(f"{node.how}={bounds.replace('[', '(').replace(']', ')')}")
    return Code(f"{fragments['func'].bracketed(ATOM)}.over({', '.join(parts)})")


def _boundary(node: ops.Node | None, code: object) -> object:
    if node is None:
        return None
    value = getattr(node, "value", node)
    number = value.value if isinstance(value, ops.Literal) else code
    preceding = getattr(node, "preceding", False)
    return -number if preceding and isinstance(number, int) else number


def _sort_key(node: ops.SortKey, fragments: Mapping[str, Any]) -> Code:
    return fragments["arg"] if node.ascending else Code(f"ibis.desc({fragments['arg']})")


def _search(node: Similarity | KeywordScore, fragments: Mapping[str, Any]) -> Code:
    index = f", index={node.index!r}" if getattr(node, "index", None) else ""
    query = fragments["query"] if isinstance(node, Similarity) else repr(node.query)
    name = "similarity" if isinstance(node, Similarity) else "search"
    return Code(f"{fragments['arg'].bracketed(ATOM)}.{name}({query}{index})")


def _vector(node: VectorLiteral | StoredVector, fragments: Mapping[str, Any]) -> Code:
    if isinstance(node, VectorLiteral):
        return Code(f"<vector of {node.length} numbers>")
    index = f"index={node.index!r}" if node.index else ""
    return Code(f"{fragments['arg'].bracketed(ATOM)}.embedding({index})")


def _subquery(_node: ops.Node, fragments: Mapping[str, Any]) -> Code:
    return Code(f"{fragments['rel']}.as_scalar()")


_WRITERS: dict[type[ops.Node], Callable[[Any, Mapping[str, Any]], Code]] = {
    FunctionCall: call,
    Similarity: _search,
    KeywordScore: _search,
    StoredVector: _vector,
    VectorLiteral: _vector,
    TableScore: lambda _node, fragments: fragments["value"],
    RerankedScore: lambda _node, fragments: fragments["value"],
    Recorded: lambda _node, _fragments: Code("recorded"),
    ops.Field: _field,
    ops.Literal: _literal,
    ops.Cast: _cast,
    ops.TryCast: _cast,
    ops.Alias: lambda _node, fragments: fragments["arg"],
    ops.StringConcat: _concatenation,
    ops.SearchedCase: _cases,
    ops.SimpleCase: _cases,
    ops.IfElse: _if_else,
    ops.InValues: _membership,
    ops.InSubquery: _membership,
    ops.ArrayIndex: _item,
    ops.MapGet: _item,
    ops.JSONGetItem: _json_item,
    ops.ArraySlice: _slice,
    ops.StringSlice: _slice,
    ops.StructField: _struct_field,
    ops.StructColumn: _struct,
    ops.Array: _array,
    ops.ArrayConcat: _array_concatenation,
    ops.ArrayMap: _lambda,
    ops.ArrayFilter: _lambda,
    ops.Argument: lambda node, _fragments: Code(node.name),
    ops.CountStar: _count,
    ops.WindowFunction: _window,
    ops.WindowBoundary: lambda _node, fragments: fragments["value"],
    ops.SortKey: _sort_key,
    ops.ScalarSubquery: _subquery,
    ops.JoinLink: link,
}
