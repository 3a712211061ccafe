"""User-defined aggregates: many rows in, one value out.

Owns the decorator `uda`. An aggregate is a call on the collected rows of a group, so it can be used
wherever an aggregate of Ibis can: in `agg`, after `group_by`, over windows.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, overload

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
from ibis.common.deferred import Deferred, deferrable

from barbule import types
from barbule.errors import ExpressionError, SchemaError
from barbule.functions.function import Function, OnError
from barbule.functions.identity.source_hash import Source, name_of
from barbule.functions.parameters.argument_check import fit_arguments
from barbule.functions.parameters.parameter import Parameter
from barbule.functions.parameters.signatures import hints_of, parameters_of
from barbule.functions.registry import register
from barbule.nodes import build_call
from barbule.suggestions import call_argument_error, check_arguments

__all__ = ["Aggregation", "uda"]

_METHODS = ("update", "value")


class _Aggregate(Protocol):
    """An object of a class that `uda` decorates: the state of one group."""

    def update(self, *args: Any, **kwargs: Any) -> object: ...
    def value(self) -> object: ...


class Aggregation:
    """An aggregate function, called with columns in `agg`, or with lists to get a plain result.

    Created by `uda`.
    """

    def __init__(self, cls: type[_Aggregate], runner: Function) -> None:
        self._runner = runner
        self.name = runner.name
        self.source = None if runner.stated_version else runner.source
        update = list(inspect.signature(cls.update).parameters.values())[1:]
        init = inspect.signature(cls).parameters.values()
        options = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in init]
        self.signature = inspect.Signature([*update, *options])
        self._row_names = [parameter.name for parameter in update]
        parameters = parameters_of(cls.update, hints_of(cls.update), batched=False)[1:]
        # Takes the values of one row, and is never called as a function by itself.
        self._row_function = Function(
            name=runner.name,
            body=cls.update,
            kind="row",
            returns=runner.returns,
            parameters=parameters,
        )
        self._required = {parameter.name for parameter in parameters if not parameter.nullable}
        self.__doc__ = inspect.getdoc(cls)

    def __repr__(self) -> str:
        return f"<aggregate {self.name}>"

    def __call__(self, *args: Any, order_by: Any = None, **kwargs: Any) -> Any:
        """Aggregate columns to get an expression; lists, a value per row, are aggregated at once.

        Parameters
        ----------
        args, kwargs
            The parameters of `update`, as columns or lists; those of `__init__`, as plain values.
        order_by
            The order in which a group's rows are passed to `update`; any order by default.
        """
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise call_argument_error(self.name, self.signature, kwargs, error) from error
        explicit = set(bound.arguments)
        bound.apply_defaults()
        options = dict(bound.arguments)
        row_values = {name: options.pop(name) for name in self._row_names}
        if any(isinstance(value, Deferred) for value in (*row_values.values(), order_by)):
            return deferrable(self._expression)(row_values, options, order_by)
        if any(isinstance(value, ir.Expr) for value in row_values.values()):
            return self._expression(row_values, options, order_by)
        lists = {name: values for name, values in row_values.items() if name in explicit}
        defaults = {name: value for name, value in row_values.items() if name not in explicit}
        rows = [
            defaults | dict(zip(lists, values, strict=True))
            for values in zip(*lists.values(), strict=True)
        ]
        return self._runner.body([row for row in rows if self._is_complete(row)], options)

    def _constant(self, name: str, value: object) -> ir.Value:
        """Return a literal; None has the type of its parameter."""
        parameters = self._row_function.parameters
        dtype = next(parameter.dtype for parameter in parameters if parameter.name == name)
        return ibis.literal(value) if value is not None or dtype is None else ibis.null(dtype)

    def _is_complete(self, row: Mapping[str, Any]) -> bool:
        """Whether a row has the values that `update` requires."""
        return all(row[name] is not None for name in self._required)

    def _expression(
        self, row_values: Mapping[str, Any], options: Mapping[str, Any], order_by: Any
    ) -> ir.Value:
        arguments, _ = fit_arguments(self._row_function, row_values)
        columns = {
            name: value if isinstance(value, ir.Expr) else self._constant(name, value)
            for name, value in arguments.items()
        }
        conditions = [
            column.notnull() for name, column in columns.items() if name in self._required
        ]
        keys = order_by if isinstance(order_by, list | tuple) else [order_by]
        rows = ops.ArrayCollect(
            ibis.struct(columns),
            where=functools.reduce(operator.and_, conditions) if conditions else None,
            order_by=tuple(key for key in keys if key is not None),
            include_null=True,
        )
        call_arguments = {"rows": rows.to_expr(), "options": dict(options)}
        version = self._runner.version_to_call(call_arguments)
        return build_call(
            self.name, self._runner.returns, call_arguments, version=version, cached=False
        )


@overload
def uda(
    cls: type[_Aggregate],
    *,
    return_type: object = None,
    on_error: OnError = "abort",
    version: str | None = None,
    name: str | None = None,
) -> Aggregation: ...
@overload
def uda(
    cls: None = None,
    *,
    return_type: object = None,
    on_error: OnError = "abort",
    version: str | None = None,
    name: str | None = None,
) -> Callable[[type[_Aggregate]], Aggregation]: ...
@check_arguments
def uda(
    cls: type[_Aggregate] | None = None,
    *,
    return_type: object = None,
    on_error: OnError = "abort",
    version: str | None = None,
    name: str | None = None,
) -> Aggregation | Callable[[type[_Aggregate]], Aggregation]:
    """Create an aggregate from a class.

    Parameters
    ----------
    cls
        A class whose `__init__` starts a group, `update` takes the values of one row, and `value`
        returns the result. A row without a value that `update` requires is skipped, unless the
        parameter allows None. Images are passed as PIL images, opened one by one; other media as
        local paths.
    return_type
        The type of the result, if `value` has no annotation.
    on_error
        "abort" (default) ends the operation, "null" leaves the result empty.
    version
        Set it if results have changed although the source has not; by default a hash of the source.
    name
        The name in stored expressions; by default module and qualified name.

    Returns
    -------
    Aggregation
        For a group without rows, or without values, the result is missing, as for SQL's aggregates.

    Raises
    ------
    ExpressionError
        If the class lacks one of these methods.

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
    if cls is None:
        return lambda decorated: uda(
            decorated, return_type=return_type, on_error=on_error, version=version, name=name
        )
    missing = [method for method in _METHODS if not callable(getattr(cls, method, None))]
    if not inspect.isclass(cls) or missing:
        raise ExpressionError(
            f"an aggregate must be a class with the methods {' and '.join(_METHODS)}.",
            value=cls,
            hint=f"It lacks {', '.join(missing)}." if missing else None,
        )
    source = Source(cls)
    runner = register(
        Function(
            name=name or name_of(cls, source),
            body=_runner(cls),
            kind="row",
            returns=types.dtype(_result_hint(cls, return_type)),
            parameters=(Parameter("rows"), Parameter("options", nullable=True)),
            on_error=on_error,
            # A group may be all frames of a film.
            images="streamed",
            stated_version=version or "",
            source=source,
        )
    )
    return Aggregation(cls, runner)


def _result_hint(cls: type[_Aggregate], return_type: object) -> object:
    hint = return_type
    if hint is None:
        hint = inspect.get_annotations(cls.value, eval_str=True).get("return")
    if hint is None:
        raise SchemaError(
            f"the aggregate {cls.__qualname__} does not declare its result type.",
            hint="Annotate the result of value(), or pass return_type=.",
        )
    return hint


def _runner(cls: type[_Aggregate]) -> Callable[..., Any]:
    """Return the function that aggregates the rows of one group."""

    def run(rows: Iterable[dict[str, Any]], options: dict[str, Any]) -> object:
        state = cls(**options)
        for row in rows:
            state.update(**row)
        return state.value()

    run.__doc__ = inspect.getdoc(cls)
    return run
