"""Relations and calls as text: the readable form of a plan.

Owns the tree that `explain()` prints. Values are written as users write them, but columns by their
bare names, and calls as calls. The output is never parsed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

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
from barbule.planner.python_code.value_code import code_of

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "call_text",
    "cost_text",
    "count_text",
    "stage_title",
    "tree",
    "tree_lines",
    "value_text",
]

_STAGE_PREFIXES = {
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


def tree_lines(relation: ops.Relation) -> list[str]:
    """Return the lines of the tree of a relation, indented once."""
    return [f"  {line}" for line in tree(relation).splitlines()]


def stage_title(name: str) -> str:
    """Return the readable name of a stage.

    Examples
    --------
    >>> stage_title("bb_stage_0")
    'Stage 0'
    """
    return name.removeprefix("bb_").replace("_", " ").capitalize()


def count_text(count: int, noun: str) -> str:
    """Format a number of things.

    Examples
    --------
    >>> count_text(1, "call"), count_text(1200, "call")
    ('1 call', '1,200 calls')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def cost_text(usd: tuple[float, float, float] | None) -> str:
    """Format the expected cost, and its range if it is uncertain."""
    if usd is None:
        return "price unknown"
    low, expected, high = (f"${amount:.4g}" for amount in usd)
    return expected if low == high else f"{expected} ({low} to {high})"


def _lines(relation: ops.Relation) -> list[str]:
    lines = [_headline(relation)]
    if isinstance(relation, ops.JoinChain):
        for side in (relation.first, *(link.table for link in relation.rest)):
            first_line, *further_lines = _lines(side.parent)
            lines += [f"  {_side(side)} = {first_line}", *(f"  {line}" for line in further_lines)]
        return lines
    for child in _children(relation):
        lines += [f"  {line}" for line in _lines(child)]
    return lines


def _children(relation: ops.Relation) -> list[ops.Relation]:
    subqueries = [
        subquery.rel
        for value in _values(relation)
        for subquery in value.find(ops.Subquery, filter=ops.Value)
        if not _reads_a_stage(subquery)
    ]
    parents = (argument for argument in relation.args if isinstance(argument, ops.Relation))
    return [*parents, *subqueries]


def _reads_a_stage(subquery: ops.Subquery) -> bool:
    return isinstance(subquery.rel, ops.Project) and isinstance(
        subquery.rel.parent, ops.PhysicalTable
    )


def _values(relation: ops.Relation) -> list[ops.Value]:
    members: list[object] = []
    for argument in relation.args:
        if isinstance(argument, Mapping):
            members += argument.values()
        elif isinstance(argument, tuple):
            members += argument
    return [member for member in members if isinstance(member, ops.Value)]


def _headline(relation: ops.Relation) -> str:
    kind = type(relation).__name__
    if isinstance(relation, ManagedTable):
        marks = [f"at commit {relation.commit}"] if relation.commit is not None else []
        marks += ["with hidden columns"] if relation.hidden else []
        return f"{relation.name} ({', '.join(marks)})" if marks else str(relation.name)
    if isinstance(relation, ops.PhysicalTable):
        name = getattr(relation, "name", kind)
        prefix = next((prefix for prefix in _STAGE_PREFIXES if name.startswith(prefix)), None)
        return name if prefix is None else name.replace(prefix, _STAGE_PREFIXES[prefix])
    if isinstance(relation, ops.Filter):
        return f"{kind} {_values_text(relation.predicates)}"
    if isinstance(relation, ops.Sort):
        return f"{kind} {_values_text(relation.keys)}"
    if isinstance(relation, ops.Limit):
        return f"{kind} {relation.n}" + (f" from {relation.offset}" if relation.offset else "")
    if isinstance(relation, ops.Aggregate):
        groups = f" by {_columns_text(relation.groups)}" if relation.groups else ""
        return f"{kind} {_columns_text(relation.metrics)}{groups}"
    if isinstance(relation, ops.JoinChain):
        links = (f"{link.how} on {_values_text(link.predicates)}" for link in relation.rest)
        return f"Join {_columns_text(relation.values)}: {'; '.join(links)}"
    if isinstance(relation, ops.Project | ops.DummyTable):
        return f"{kind} {_columns_text(relation.values)}"
    return kind


def _values_text(values: Sequence[ops.Value]) -> str:
    return ", ".join(value_text(value) for value in values)


def _columns_text(columns: Mapping[str, ops.Value]) -> str:
    texts = {name: value_text(value) for name, value in columns.items()}
    return ", ".join(name if text == name else f"{name} = {text}" for name, text in texts.items())


def _side(reference: ops.JoinReference) -> str:
    return f"r{reference.identifier}"


def value_text(value: ops.Value) -> str:
    """Write a value on one line, columns by their bare names."""

    def write(node: ops.Node, results: Mapping[ops.Node, Code], **arguments: Any) -> Code:
        if (listed := _listed_value(node)) is not None:
            return results[listed]
        if isinstance(node, ops.Field):
            side = f"{_side(node.rel)}." if isinstance(node.rel, ops.JoinReference) else ""
            return Code(f"{side}{node.name}")
        if isinstance(node, FunctionCall):
            return Code(call_text(node.function, node.template, arguments["values"]))
        special = _plan_only_code(node, arguments)
        return code_of(node, arguments) if special is None else special

    return str(value.map(write)[value])


def _plan_only_code(node: ops.Node, arguments: Mapping[str, Any]) -> Code | None:
    """Write a value that a plan shows differently than its user wrote it; None for all else."""
    search = _search_text(node, arguments)
    if search is not None:
        return Code(search)
    if isinstance(node, ops.ScalarUDF):
        return Code(f"{node.__func_name__}({', '.join(map(str, arguments.values()))})")
    if isinstance(node, ops.Subquery):
        source = _headline(node.rel.parent) if _reads_a_stage(node) else "(subquery)"
        needle = arguments.get("needle")
        return Code(source) if needle is None else Code(f"{needle} in {source}", COMPARED)
    if isinstance(node, ops.CountStar):
        return Code(f"count({arguments.get('where') or ''})")
    if isinstance(node, ops.SortKey):
        return Code(f"{'asc' if node.ascending else 'desc'} {arguments['arg']}")
    return Code("rows") if isinstance(node, ops.Relation) else None


def _listed_value(node: ops.Node) -> ops.Node | None:
    """Return the value that a backend put into a list to compute it only once; else None."""
    mapped = node.arg if isinstance(node, ops.ArrayIndex) else None
    listed = mapped.arg if isinstance(mapped, ops.ArrayMap) else None
    if isinstance(listed, ops.ScalarUDF) and listed.__func_name__ == "list_pack":
        return listed.args[0]
    return None


def _search_text(node: ops.Node, arguments: Mapping[str, Any]) -> str | None:
    """Write a value that searches an index or words; None for all else."""
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
    """Write a call of a function as Python would, its values in their slots.

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
        return f"{name}({_argument_text(next(iter(arguments.values())), values)})"
    texts = (f"{key}={_argument_text(value, values)}" for key, value in arguments.items())
    return f"{name}({', '.join(texts)})"


def _argument_text(argument: object, values: Sequence[str]) -> str:
    if isinstance(argument, dict):
        if set(argument) == {"$"}:
            return values[argument["$"]]
        if set(argument) == {INNER_CALL}:
            inner = argument[INNER_CALL]
            return call_text(inner["function"], json.dumps(inner["arguments"]), values)
        fields = (f"{key!r}: {_argument_text(value, values)}" for key, value in argument.items())
        return f"{{{', '.join(fields)}}}"
    if isinstance(argument, list):
        return f"[{', '.join(_argument_text(value, values) for value in argument)}]"
    return repr(argument)
