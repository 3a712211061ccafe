"""Relations and calls as text: how a plan is read by people.

Owns the tree that `explain()` prints. Values are written as their users write them, but columns by
their bare names, and calls as calls. Nothing is parsed back from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import ibis.expr.operations as ops

from barbule.nodes import (
    INNER_CALL,
    FunctionCall,
    KeywordScore,
    ManagedTable,
    Similarity,
    StoredVector,
    VectorLiteral,
)
from barbule.planner.python_code.fragments import COMPARED, Code
from barbule.planner.python_code.literals import code_of

__all__ = ["call_text", "tree", "value_text"]

_STAGES = {
    "bb_stage_": "stage ",
    "bb_candidates_": "candidates ",
    "bb_pairs_": "pairs ",
    "bb_keywords_": "keywords ",
}


def tree(relation: ops.Relation) -> str:
    """Write a relation as a tree, one line each, its parents indented below it.

    Examples
    --------
    >>> import ibis
    >>> films = ibis.table({"name": "string", "year": "int64"}, name="films")
    >>> print(tree(films.filter(films.year > 2000).select("name").op()))
    Project name
      Filter year > 2000
        films
    """
    return "\n".join(_lines(relation))


def _lines(relation: ops.Relation) -> list[str]:
    lines = [_head(relation)]
    if isinstance(relation, ops.JoinChain):
        for side in (relation.first, *(link.table for link in relation.rest)):
            first, *rest = _lines(side.parent)
            lines += [f"  {_side(side)} = {first}", *(f"  {line}" for line in rest)]
        return lines
    for child in _below(relation):
        lines += [f"  {line}" for line in _lines(child)]
    return lines


def _below(relation: ops.Relation) -> list[ops.Relation]:
    subqueries = [
        found.rel
        for value in _values(relation)
        for found in value.find(ops.Subquery, filter=ops.Value)
        if not _reads_a_stage(found)
    ]
    return [*(each for each in relation.args if isinstance(each, ops.Relation)), *subqueries]


def _reads_a_stage(subquery: ops.Subquery) -> bool:
    return isinstance(subquery.rel, ops.Project) and isinstance(
        subquery.rel.parent, ops.PhysicalTable
    )


def _values(relation: ops.Relation) -> list[ops.Value]:
    items: list[Any] = []
    for argument in relation.args:
        if isinstance(argument, Mapping):
            items += argument.values()
        elif isinstance(argument, tuple):
            items += argument
    return [item for item in items if isinstance(item, ops.Value)]


def _head(relation: ops.Relation) -> str:
    kind = type(relation).__name__
    if isinstance(relation, ManagedTable):
        marks = [f"at commit {relation.commit}"] if relation.commit is not None else []
        marks += ["with hidden columns"] if relation.hidden else []
        return f"{relation.name} ({', '.join(marks)})" if marks else str(relation.name)
    if isinstance(relation, ops.PhysicalTable):
        name = getattr(relation, "name", kind)
        prefix = next((each for each in _STAGES if name.startswith(each)), None)
        return name if prefix is None else name.replace(prefix, _STAGES[prefix])
    if isinstance(relation, ops.Filter):
        return f"{kind} {_listed(relation.predicates)}"
    if isinstance(relation, ops.Sort):
        return f"{kind} {_listed(relation.keys)}"
    if isinstance(relation, ops.Limit):
        return f"{kind} {relation.n}" + (f" from {relation.offset}" if relation.offset else "")
    if isinstance(relation, ops.Aggregate):
        groups = f" by {_named(relation.groups)}" if relation.groups else ""
        return f"{kind} {_named(relation.metrics)}{groups}"
    if isinstance(relation, ops.JoinChain):
        links = (f"{link.how} on {_listed(link.predicates)}" for link in relation.rest)
        return f"Join {_named(relation.values)}: {'; '.join(links)}"
    if isinstance(relation, ops.Project | ops.DummyTable):
        return f"{kind} {_named(relation.values)}"
    return kind


def _listed(values: Sequence[ops.Value]) -> str:
    return ", ".join(value_text(value) for value in values)


def _named(values: Mapping[str, ops.Value]) -> str:
    texts = {name: value_text(value) for name, value in values.items()}
    return ", ".join(name if text == name else f"{name} = {text}" for name, text in texts.items())


def _side(reference: ops.JoinReference) -> str:
    return f"r{reference.identifier}"


def value_text(value: ops.Value) -> str:
    """Write a value in one line, columns by their bare names."""

    def write(node: ops.Node, results: Any, **arguments: Any) -> Code:
        if (once := _computed_once(node)) is not None:
            written: Code = results[once]
            return written
        if isinstance(node, ops.Field):
            side = f"{_side(node.rel)}." if isinstance(node.rel, ops.JoinReference) else ""
            return Code(f"{side}{node.name}")
        if isinstance(node, FunctionCall):
            return Code(call_text(node.function, node.template, arguments["values"]))
        special = _special(node, arguments)
        return code_of(node, arguments) if special is None else special

    return str(value.map(write)[value])


def _special(node: ops.Node, arguments: Mapping[str, Any]) -> Code | None:
    """Write what a plan shows otherwise than its user wrote it; None for all else."""
    searched = _searched_text(node, arguments)
    if searched is not None:
        return Code(searched)
    if isinstance(node, ops.ScalarUDF):
        return Code(f"{node.__func_name__}({', '.join(map(str, arguments.values()))})")
    if isinstance(node, ops.Subquery):
        source = _head(node.rel.parent) if _reads_a_stage(node) else "(subquery)"
        needle = arguments.get("needle")
        return Code(source) if needle is None else Code(f"{needle} in {source}", COMPARED)
    if isinstance(node, ops.CountStar):
        return Code(f"count({arguments.get('where') or ''})")
    if isinstance(node, ops.SortKey):
        return Code(f"{'asc' if node.ascending else 'desc'} {arguments['arg']}")
    return Code("rows") if isinstance(node, ops.Relation) else None


def _computed_once(node: ops.Node) -> ops.Node | None:
    """Return what a backend has put into a list so as not to compute it twice; else None."""
    mapped = node.arg if isinstance(node, ops.ArrayIndex) else None
    listed = mapped.arg if isinstance(mapped, ops.ArrayMap) else None
    if isinstance(listed, ops.ScalarUDF) and listed.__func_name__ == "list_pack":
        return listed.args[0]
    return None


def _searched_text(node: ops.Node, arguments: Mapping[str, Any]) -> str | None:
    """Write what is asked of an index or of words; None for all else."""
    if isinstance(node, Similarity):
        return f"similarity({arguments['arg']}, {arguments['query']})"
    if isinstance(node, StoredVector):
        return f"embedding({arguments['arg']})"
    if isinstance(node, VectorLiteral):
        return f"a vector of {node.length} numbers"
    if isinstance(node, KeywordScore):
        return f"keyword_score({arguments['arg']}, {node.query!r})"
    return None


def call_text(function: str, template: str, values: Sequence[str]) -> str:
    """Write a call of a function as Python would, its values in their places.

    Examples
    --------
    >>> call_text("films.shout", '{"text":{"$":0}}', ["name"])
    'shout(name)'
    >>> call_text("films.repeat", '{"text":{"$":0},"times":3}', ["name"])
    'repeat(text=name, times=3)'
    """
    arguments = json.loads(template)
    name = function.rsplit(".", 1)[-1]
    if len(arguments) == 1:
        return f"{name}({_argument(next(iter(arguments.values())), values)})"
    shown = (f"{key}={_argument(item, values)}" for key, item in arguments.items())
    return f"{name}({', '.join(shown)})"


def _argument(item: Any, values: Sequence[str]) -> str:
    if isinstance(item, dict):
        if set(item) == {"$"}:
            return values[item["$"]]
        if set(item) == {INNER_CALL}:
            inside = item[INNER_CALL]
            return call_text(inside["function"], json.dumps(inside["arguments"]), values)
        inner = (f"{key!r}: {_argument(each, values)}" for key, each in item.items())
        return f"{{{', '.join(inner)}}}"
    if isinstance(item, list):
        return f"[{', '.join(_argument(each, values) for each in item)}]"
    return repr(item)
