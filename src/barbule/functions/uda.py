"""Aggregates of users: many rows in, one value out.

Owns the decorator `uda`. An aggregate is a call on the collected rows of a group, so that it
stands wherever an aggregate of Ibis does: in `agg`, after `group_by`, over windows.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis.common.deferred import Deferred, deferrable

from barbule import types
from barbule.errors import ExpressionError, SchemaError
from barbule.functions.identity.source_hash import Source, name_of
from barbule.functions.parameters.argument_check import fitted
from barbule.functions.parameters.signatures import hints_of, parameters_of
from barbule.functions.registry import Function, Parameter, register
from barbule.nodes import build_call
from barbule.suggestions import call_argument_error, check_arguments

__all__ = ["Aggregation", "uda"]

_STEPS = ("update", "value")


class Aggregation:
    """An aggregate function, called with columns in `agg`, or with lists for a plain result.

    Made by `uda`.
    """

    def __init__(self, kind: type, runner: Function) -> None:
        self._class = kind
        self._runner = runner
        self.name = runner.name
        self.source = None if runner.stated else runner.source
        step: Callable[..., Any] = kind.update  # type: ignore[attr-defined]
        update = list(inspect.signature(step).parameters.values())[1:]
        start = list(inspect.signature(kind).parameters.values())
        self.signature = inspect.Signature(
            [*update, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in start)]
        )
        self._rows = [each.name for each in update]
        parameters = parameters_of(step, hints_of(step), batched=False)[1:]
        # What takes the values of one row, which is never called as a function by itself.
        self._step = Function(runner.name, step, "row", runner.returns, parameters)
        self._required = {each.name for each in parameters if not each.nullable}
        self.__doc__ = inspect.getdoc(kind)

    def __repr__(self) -> str:
        return f"<aggregate {self.name}>"

    def __call__(self, *args: Any, order_by: Any = None, **kwargs: Any) -> Any:
        """Aggregate columns for an expression; lists, of a value for each row, at once.

        Parameters
        ----------
        args, kwargs
            What `update` takes, as columns or lists; what `__init__` takes, as plain values.
        order_by
            In which order a group's rows are given to `update`; any by default.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise call_argument_error(self.name, self.signature, kwargs, error) from error
        stated = set(bound.arguments)
        bound.apply_defaults()
        given = dict(bound.arguments)
        rows = {name: given.pop(name) for name in self._rows}
        if any(isinstance(value, Deferred) for value in (*rows.values(), order_by)):
            return deferrable(self._expression)(rows, given, order_by)
        if not any(isinstance(value, ir.Expr) for value in rows.values()):
            lists = {name: values for name, values in rows.items() if name in stated}
            defaults = {name: value for name, value in rows.items() if name not in stated}
            places = zip(*lists.values(), strict=True)
            given_rows = [defaults | dict(zip(lists, place, strict=True)) for place in places]
            return self._runner.body([row for row in given_rows if self._counts(row)], given)
        return self._expression(rows, given, order_by)

    def _constant(self, name: str, value: Any) -> ir.Value:
        """Make a literal; nothing at all has the type of its parameter."""
        kind = next(each.kind for each in self._step.parameters if each.name == name)
        return ibis.literal(value) if value is not None or kind is None else ibis.null(kind)

    def _counts(self, row: Mapping[str, Any]) -> bool:
        """Whether a row has the values that `update` asks for."""
        return all(row[name] is not None for name in self._required)

    def _expression(
        self, rows: Mapping[str, Any], options: Mapping[str, Any], order_by: Any
    ) -> ir.Value:
        taken, _ = fitted(self._step, rows)
        columns = {
            name: value if isinstance(value, ir.Expr) else self._constant(name, value)
            for name, value in taken.items()
        }
        asked = [columns[name].notnull() for name in columns if name in self._required]
        keys = order_by if isinstance(order_by, list | tuple) else [order_by]
        collected = ops.ArrayCollect(
            ibis.struct(columns),
            where=functools.reduce(operator.and_, asked) if asked else None,
            order_by=tuple(key for key in keys if key is not None),
            include_null=True,
        )
        arguments = {"rows": collected.to_expr(), "options": dict(options)}
        version = self._runner.version_to_call(arguments)
        return build_call(self.name, self._runner.returns, arguments, version=version, cached=False)


@check_arguments
def uda(
    kind: type | None = None,
    *,
    return_type: Any = None,
    on_error: Any = "abort",
    version: str | None = None,
    name: str | None = None,
) -> Any:
    """Make an aggregate of a class.

    Parameters
    ----------
    kind
        A class whose `__init__` starts a group, `update` takes the values of one row, and
        `value` returns the result. A row without a value that `update` asks for is passed over,
        unless the parameter allows None.
        Images arrive as PIL images, opened one by one; other media as local paths.
    return_type
        The type of the result, where `value` has no annotation.
    on_error
        "abort" (default) ends the operation, "null" leaves the result empty.
    version
        Say it when results changed though the source did not; by default a hash of the source.
    name
        The name for stored expressions; by default module and qualified name.

    Returns
    -------
    Aggregation
        Of a group without rows, or without values, the result is missing, as it is for SQL's
        aggregates.

    Raises
    ------
    ExpressionError
        When the class lacks one of these methods.

    Examples
    --------
    >>> import barbule as bb
    >>> @bb.uda
    ... class Longest:
    ...     def __init__(self):
    ...         self.text = ""
    ...     def update(self, text: str) -> None:
    ...         self.text = max(self.text, text, key=len)
    ...     def value(self) -> str:
    ...         return self.text
    >>> films = bb.create_table("films", {"name": bb.String, "genre": bb.String})
    >>> _ = films.insert([{"name": "Up", "genre": "a"}, {"name": "Coco", "genre": "a"}])
    >>> films.group_by("genre").agg(longest=Longest(films.name)).collect()[0]
    {'genre': 'a', 'longest': 'Coco'}
    """
    if kind is None:
        options: dict[str, Any] = {"on_error": on_error, "version": version, "name": name}
        return lambda cls: uda(cls, return_type=return_type, **options)
    missing = [step for step in _STEPS if not callable(getattr(kind, step, None))]
    if not inspect.isclass(kind) or missing:
        raise ExpressionError(
            f"an aggregate is a class with the methods {' and '.join(_STEPS)}.",
            value=kind,
            hint=f"It lacks {', '.join(missing)}." if missing else None,
        )
    wanted = return_type
    if wanted is None:
        wanted = inspect.get_annotations(kind.value, eval_str=True).get("return")  # type: ignore[attr-defined]
    if wanted is None:
        raise SchemaError(
            f"the aggregate {kind.__qualname__} does not say what it gives.",
            hint="Annotate the result of value(), or give return_type=.",
        )
    source = Source(kind)
    runner = register(
        Function(
            name=name or name_of(kind, source),
            body=_runner(kind),
            kind="row",
            returns=types.dtype(wanted),
            parameters=(Parameter("rows"), Parameter("options", nullable=True)),
            on_error=on_error,
            # A group may be all frames of a film.
            images="streamed",
            stated=version or "",
            source=source,
        )
    )
    return Aggregation(kind, runner)


def _runner(kind: type) -> Callable[..., Any]:
    def run(rows: Iterable[dict[str, Any]], options: dict[str, Any]) -> Any:
        state = kind(**options)
        for row in rows:
            state.update(**row)
        return state.value()

    run.__doc__ = inspect.getdoc(kind)
    return run
