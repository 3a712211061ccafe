"""Turn calls into stages: innermost first, each over the relation that its arguments come from.

Owns the split of a tree with calls into `CallStage`s and a tree without. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.errors import UnsupportedError
from barbule.nodes import ERROR, CellError, FunctionCall
from barbule.planner.lineage import (
    calls_in,
    fresh_name,
    hide,
    needed_columns,
    own_values,
    rebuild,
)
from barbule.planner.plan import Call, CallStage, Enough, Searched
from barbule.planner.rules.limit_pushdown import limit_above

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Staging"]


class Staging:
    """The stages of one plan in the making.

    Parameters
    ----------
    leaf
        Makes the relation by which later stages read a finished one.
    """

    def __init__(self, leaf: Callable[[str, Any], ops.Relation]) -> None:
        self._leaf = leaf
        self._constants: dict[ops.Value, str] = {}
        self.stages: list[CallStage] = []

    def stage_all(self, root: ops.Relation) -> ops.Relation:
        """Return the tree with each call replaced by a column of a stage."""
        while (consumer := _deepest_consumer(root)) is not None:
            root = root.replace({consumer: self._stage(consumer, root)})
        return root

    def _stage(self, consumer: Any, root: ops.Relation) -> ops.Relation:
        calls = _innermost(consumer)
        constant = [call for call in calls if not call.relations]
        if constant:
            replaced: dict[Any, ops.Value] = {call: self.scalar(call) for call in constant}
            # A constant that fails ends the operation: there is no cell to leave empty.
            replaced |= {CellError(call): ops.Literal(None, ERROR) for call in constant}
            return _replace_values(consumer, replaced)
        parent = consumer.parent
        keep = self._kept(consumer, calls, root)
        asked = {each.arg for value in own_values(consumer) for each in calls_in(value, CellError)}
        source, described = _source(parent, keep, calls, asked)
        stage = CallStage(self._name(), source, keep, described, _schema(source, keep, described))
        finished = self._leaf(stage.name, stage.schema)
        columns: dict[Any, ops.Value] = {}
        for call, made in zip(calls, described, strict=True):
            columns[call] = ops.Field(finished, made.output)
            if made.errors:
                columns[CellError(call)] = ops.Field(finished, made.errors)
        rebuilt = rebuild(consumer, finished, lambda value: _substitute(value, columns))
        # Columns that nothing above reads are gone by now.
        names = tuple(name for name in consumer.schema.names if name in rebuilt.schema)
        # Where only rows are counted, nothing reads a column.
        made = hide(rebuilt, names) if names else rebuilt
        self.stages.append(replace(stage, enough=self._enough(root, consumer, made)))
        return made

    def _enough(
        self, root: ops.Relation, consumer: ops.Relation, made: ops.Relation
    ) -> Enough | None:
        """Say when a limit above needs no more rows of what takes the place of a consumer."""
        limit = limit_above(root, consumer, self._leaf)
        if limit is None:
            return None
        kept = made if limit.parent == consumer else limit.parent.replace({consumer: made})
        return Enough(kept, limit.n + limit.offset)

    def _kept(
        self, consumer: Any, calls: list[FunctionCall], root: ops.Relation
    ) -> tuple[str, ...]:
        """List the columns of the parent that are read beside the calls."""
        used = {name for value in own_values(consumer) for name in _read_beside(value, calls)}
        if isinstance(consumer, ops.Project | ops.Aggregate):
            outer: set[str] = set()
        else:  # it hands on the columns that are read above it
            outer = needed_columns(root)[consumer]
        return tuple(name for name in consumer.parent.schema.names if name in used | outer)

    def scalar(self, value: ops.Value, searched: Searched | None = None) -> ops.Value:
        """Read a constant, or a call without a relation, as a scalar."""
        name = self.constant(value, searched)
        stage = next(each for each in self.stages if each.name == name)
        finished = self._leaf(name, stage.schema)
        (output,) = stage.schema.names
        return ops.ScalarSubquery(ops.Project(finished, {output: ops.Field(finished, output)}))

    def constant(self, value: ops.Value, searched: Searched | None = None) -> str:
        """Stage a constant, once; return the name of the stage, which has one column."""
        if value not in self._constants:
            stage = self._constant_stage(value)
            self.stages.append(stage)
            self._constants[value] = stage.name
        name = self._constants[value]
        place = next(n for n, each in enumerate(self.stages) if each.name == name)
        stage = self.stages[place]
        if searched is not None and searched not in stage.searched:
            self.stages[place] = replace(stage, searched=(*stage.searched, searched))
        return name

    def kept(self, relation: ops.Relation, kinds: sch.Schema) -> ops.Relation:
        """Stage the rows of a relation without calls, so that they are computed once."""
        names = tuple(relation.schema.names)
        self.stages.append(CallStage(self._name(), relation, names, (), kinds))
        return self._leaf(self.stages[-1].name, kinds)

    def _constant_stage(self, value: ops.Value) -> CallStage:
        if not isinstance(value, FunctionCall):
            source = ops.DummyTable({"v0": value})
            return CallStage(self._name(), source, ("v0",), (), source.schema)
        arguments = {f"a{place}": each for place, each in enumerate(value.values)}
        source = ops.DummyTable(arguments or {"a0": ops.Literal(1, "int64")})
        call = _describe(value, "v0", tuple(arguments))
        return CallStage(self._name(), source, (), (call,), _schema(source, (), (call,)))

    def _name(self) -> str:
        return f"bb_stage_{len(self.stages)}"


def _read_beside(value: ops.Value, calls: list[FunctionCall]) -> set[str]:
    """List the fields that a value reads outside of the given calls."""
    if value in calls:
        return set()
    if isinstance(value, ops.Field):
        return {value.name}
    inner = (child for child in value.__children__ if isinstance(child, ops.Value))
    return {name for child in inner for name in _read_beside(child, calls)}


def _deepest_consumer(root: ops.Relation) -> ops.Relation | None:
    """Find the first relation, from the leaves up, whose own values hold a call."""
    found: list[ops.Relation] = []

    def visit(node: ops.Node, _results: Any, **_kwargs: Any) -> None:
        if (
            isinstance(node, ops.Relation)
            and not found
            and any(calls_in(value) for value in own_values(node))
        ):
            found.append(node)

    root.map(visit)
    if found and not hasattr(found[0], "parent"):
        raise UnsupportedError(
            f"functions cannot be called inside {type(found[0]).__name__}.",
            hint="Compute the call with mutate() first and use its column.",
        )
    return found[0] if found else None


def _innermost(consumer: ops.Relation) -> list[FunctionCall]:
    calls = [call for value in own_values(consumer) for call in calls_in(value)]
    unique = list(dict.fromkeys(calls))
    return [call for call in unique if not any(calls_in(value) for value in call.values)]


def _source(
    parent: ops.Relation, keep: tuple[str, ...], calls: list[FunctionCall], asked: set[ops.Value]
) -> tuple[ops.Relation, tuple[Call, ...]]:
    columns: dict[str, ops.Value] = {name: ops.Field(parent, name) for name in keep}
    places: dict[ops.Value, str] = {}
    described = []
    for number, call in enumerate(calls):
        for value in call.values:
            if value not in places:
                places[value] = fresh_name(f"a{len(places)}", columns)
                columns[places[value]] = value
        names = tuple(places[value] for value in call.values)
        errors = fresh_name(f"e{number}", columns) if call in asked else None
        described.append(_describe(call, fresh_name(f"v{number}", columns), names, errors))
    return ops.Project(parent, columns), tuple(described)


def _schema(source: ops.Relation, keep: tuple[str, ...], calls: tuple[Call, ...]) -> sch.Schema:
    kept = {name: source.schema[name] for name in keep}
    made = {call.output: call.dtype for call in calls}
    return sch.Schema({**kept, **made, **{call.errors: ERROR for call in calls if call.errors}})


def _describe(
    call: FunctionCall, output: str, arguments: tuple[str, ...], errors: str | None = None
) -> Call:
    return Call(
        output=output,
        function=call.function,
        template=call.template,
        arguments=arguments,
        kinds=tuple(value.dtype for value in call.values),
        dtype=call.dtype,
        version=call.version,
        cached=call.cached,
        errors=errors,
        on_error=call.on_error,
    )


def _substitute(value: ops.Value, replaced: dict[Any, ops.Value]) -> ops.Value:
    return value.replace(replaced, filter=ops.Value)


def _replace_values(consumer: Any, replaced: dict[Any, ops.Value]) -> Any:
    if hasattr(consumer, "parent"):
        return rebuild(consumer, consumer.parent, lambda value: _substitute(value, replaced))
    return consumer.replace(replaced)
