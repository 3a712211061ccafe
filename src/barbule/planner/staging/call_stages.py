"""Converts calls to stages: innermost first, each over the relation of its arguments.

Owns the split of a tree with calls into `CallStage`s and a tree without. Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import ibis.expr.operations as ops
import ibis.expr.schema as sch

from barbule.errors import UnsupportedError
from barbule.nodes import CELL_ERROR_TYPE, CellError, FunctionCall
from barbule.planner.lineage import (
    calls_in,
    fresh_name,
    hide,
    needed_columns,
    own_values,
    rebuild,
)
from barbule.planner.stages import Call, CallStage, EarlyStop, SearchedIndex
from barbule.planner.staging.limits import limit_over

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Staging"]


class Staging:
    """The stages of a plan under construction.

    Parameters
    ----------
    make_leaf
        Builds the relation with which later stages read a finished one.
    """

    def __init__(self, make_leaf: Callable[[str, sch.Schema], ops.Relation]) -> None:
        self._make_leaf = make_leaf
        self._constant_stages: dict[ops.Value, str] = {}
        self.stages: list[CallStage] = []

    def stage_all(self, root: ops.Relation) -> ops.Relation:
        """Return the tree with each call replaced by a column of a stage."""
        while (consumer := _deepest_consumer(root)) is not None:
            root = root.replace({consumer: self._stage(consumer, root)})
        return root

    def _stage(self, consumer: ops.Relation, root: ops.Relation) -> ops.Relation:
        """Stage the innermost calls of a relation; return the relation that reads them."""
        calls = _innermost_calls(consumer)
        constant_calls = [call for call in calls if not call.relations]
        if constant_calls:
            replacements: dict[ops.Node, ops.Value] = {
                call: self.scalar(call) for call in constant_calls
            }
            # A constant that fails ends the operation: there is no cell for its error.
            replacements |= {
                CellError(call): ops.Literal(None, CELL_ERROR_TYPE) for call in constant_calls
            }
            return _replace_values(consumer, replacements)
        passthrough = self._passthrough(consumer, calls, root)
        errors = {
            error.arg for value in own_values(consumer) for error in calls_in(value, CellError)
        }
        source, stage_calls = _source(consumer.parent, passthrough, calls, errors)
        schema = _schema(source, passthrough, stage_calls)
        stage = CallStage(self._next_name(), source, passthrough, stage_calls, schema)
        results = self._make_leaf(stage.name, stage.schema)
        columns: dict[ops.Node, ops.Value] = {}
        for call, stage_call in zip(calls, stage_calls, strict=True):
            columns[call] = ops.Field(results, stage_call.output)
            if stage_call.errors:
                columns[CellError(call)] = ops.Field(results, stage_call.errors)
        rebuilt = rebuild(consumer, results, lambda value: _substitute(value, columns))
        # Columns that nothing above reads have been removed by now.
        names = tuple(name for name in consumer.schema.names if name in rebuilt.schema)
        # If rows are only counted, no column is read.
        new_consumer = hide(rebuilt, names) if names else rebuilt
        early_stop = self._early_stop(root, consumer, new_consumer)
        self.stages.append(replace(stage, early_stop=early_stop))
        return new_consumer

    def _early_stop(
        self, root: ops.Relation, consumer: ops.Relation, new_consumer: ops.Relation
    ) -> EarlyStop | None:
        """Return when a limit above needs no more rows of a consumer's replacement."""
        limit = limit_over(root, consumer, self._make_leaf)
        if limit is None:
            return None
        qualifying = new_consumer
        if limit.parent != consumer:
            qualifying = limit.parent.replace({consumer: new_consumer})
        return EarlyStop(qualifying, limit.n + limit.offset)

    def _passthrough(
        self, consumer: ops.Relation, calls: list[FunctionCall], root: ops.Relation
    ) -> tuple[str, ...]:
        """List the columns of the parent that are read in addition by the calls."""
        names = {name for value in own_values(consumer) for name in _fields_outside(value, calls)}
        if not isinstance(consumer, ops.Project | ops.Aggregate):
            names |= needed_columns(root)[consumer]  # it passes on the columns that are read above
        return tuple(name for name in consumer.parent.schema.names if name in names)

    def scalar(self, value: ops.Value, index: SearchedIndex | None = None) -> ops.Value:
        """Read a constant, or a call without a relation, as a scalar."""
        name = self.constant(value, index)
        stage = next(stage for stage in self.stages if stage.name == name)
        results = self._make_leaf(name, stage.schema)
        (output,) = stage.schema.names
        return ops.ScalarSubquery(ops.Project(results, {output: ops.Field(results, output)}))

    def constant(self, value: ops.Value, index: SearchedIndex | None = None) -> str:
        """Stage a constant once; return the name of the stage, which has one column."""
        if value not in self._constant_stages:
            stage = self._constant_stage(value)
            self.stages.append(stage)
            self._constant_stages[value] = stage.name
        name = self._constant_stages[value]
        position = next(n for n, stage in enumerate(self.stages) if stage.name == name)
        stage = self.stages[position]
        if index is not None and index not in stage.searched_indexes:
            searched_indexes = (*stage.searched_indexes, index)
            self.stages[position] = replace(stage, searched_indexes=searched_indexes)
        return name

    def materialised(self, relation: ops.Relation, schema: sch.Schema) -> ops.Relation:
        """Stage the rows of a relation without calls, so that they are computed once."""
        names = tuple(relation.schema.names)
        stage = CallStage(self._next_name(), relation, names, (), schema)
        self.stages.append(stage)
        return self._make_leaf(stage.name, schema)

    def _constant_stage(self, value: ops.Value) -> CallStage:
        if not isinstance(value, FunctionCall):
            source = ops.DummyTable({"v0": value})
            return CallStage(self._next_name(), source, ("v0",), (), source.schema)
        arguments = {f"a{number}": argument for number, argument in enumerate(value.values)}
        source = ops.DummyTable(arguments or {"a0": ops.Literal(1, "int64")})
        call = _stage_call(value, "v0", tuple(arguments))
        return CallStage(self._next_name(), source, (), (call,), _schema(source, (), (call,)))

    def _next_name(self) -> str:
        return f"bb_stage_{len(self.stages)}"


def _fields_outside(value: ops.Value, calls: list[FunctionCall]) -> set[str]:
    """List the fields that a value reads outside some calls."""
    if value in calls:
        return set()
    if isinstance(value, ops.Field):
        return {value.name}
    children = (child for child in value.__children__ if isinstance(child, ops.Value))
    return {name for child in children for name in _fields_outside(child, calls)}


def _deepest_consumer(root: ops.Relation) -> ops.Relation | None:
    """Find the first relation, from the leaves up, whose own values hold a call."""
    consumers: list[ops.Relation] = []

    def visit(node: ops.Node, _results: object, **_kwargs: object) -> None:
        if (
            isinstance(node, ops.Relation)
            and not consumers
            and any(calls_in(value) for value in own_values(node))
        ):
            consumers.append(node)

    root.map(visit)
    if not consumers:
        return None
    consumer = consumers[0]
    if not hasattr(consumer, "parent"):
        raise UnsupportedError(
            f"functions cannot be called inside {type(consumer).__name__}.",
            hint="Compute the call with mutate() first and use its column.",
        )
    return consumer


def _innermost_calls(consumer: ops.Relation) -> list[FunctionCall]:
    calls = dict.fromkeys(call for value in own_values(consumer) for call in calls_in(value))
    return [call for call in calls if not any(calls_in(argument) for argument in call.values)]


def _source(
    parent: ops.Relation,
    passthrough: tuple[str, ...],
    calls: list[FunctionCall],
    errors: set[ops.Value],
) -> tuple[ops.Relation, tuple[Call, ...]]:
    """Build the relation of the arguments of calls.

    Parameters
    ----------
    errors
        The calls whose errors are read as well.
    """
    columns: dict[str, ops.Value] = {name: ops.Field(parent, name) for name in passthrough}
    names: dict[ops.Value, str] = {}
    stage_calls = []
    for number, call in enumerate(calls):
        for argument in call.values:
            if argument not in names:
                names[argument] = fresh_name(f"a{len(names)}", columns)
                columns[names[argument]] = argument
        arguments = tuple(names[argument] for argument in call.values)
        error_column = fresh_name(f"e{number}", columns) if call in errors else None
        output = fresh_name(f"v{number}", columns)
        stage_calls.append(_stage_call(call, output, arguments, error_column))
    return ops.Project(parent, columns), tuple(stage_calls)


def _schema(
    source: ops.Relation, passthrough: tuple[str, ...], calls: tuple[Call, ...]
) -> sch.Schema:
    columns = {name: source.schema[name] for name in passthrough}
    outputs = {call.output: call.dtype for call in calls}
    return sch.Schema(
        {**columns, **outputs, **{call.errors: CELL_ERROR_TYPE for call in calls if call.errors}}
    )


def _stage_call(
    call: FunctionCall, output: str, arguments: tuple[str, ...], errors: str | None = None
) -> Call:
    return Call(
        output=output,
        function=call.function,
        template=call.template,
        arguments=arguments,
        kinds=tuple(argument.dtype for argument in call.values),
        dtype=call.dtype,
        version=call.version,
        cached=call.cached,
        errors=errors,
        on_error=call.on_error,
    )


def _substitute(value: ops.Value, replacements: Mapping[ops.Node, ops.Value]) -> ops.Value:
    return value.replace(replacements, filter=ops.Value)


def _replace_values(
    relation: ops.Relation, replacements: Mapping[ops.Node, ops.Value]
) -> ops.Relation:
    if hasattr(relation, "parent"):
        return rebuild(relation, relation.parent, lambda value: _substitute(value, replacements))
    return relation.replace(replacements)
