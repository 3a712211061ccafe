"""The arguments of a call, row by row.

Owns how the template of a call is compiled once to functions that build the arguments of a row; and
the inner calls that the planner has put in place of arguments, whose results are passed to the
outer function directly.
"""

from __future__ import annotations

import functools
import inspect
import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from barbule.executor.calls.call_errors import InnerFailure
from barbule.functions.registry import lookup
from barbule.nodes import INNER_CALL, fill_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barbule.functions.function import Function
    from barbule.functions.parameters.parameter import Parameter

__all__ = ["Arguments", "Maker", "argument_spreader", "required_slots"]

Maker = Callable[[Sequence[Any]], Any]
"""Builds an argument from the values of a row."""

_POSITIONAL = {
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
}


class Arguments:
    """Builds the arguments of each row.

    Parameters
    ----------
    slot_reader
        Returns, for a function and a slot of the template, the conversion from the cell to the
        function's argument; None if none is needed.
    picture
        Creates a PIL image from the result of an inner call: an array, bytes, a reference …
    """

    def __init__(
        self,
        function: Function,
        template: Mapping[str, Any],
        slot_reader: Callable[[Function, int], Callable[[Any], Any] | None],
        picture: Callable[[Any], Any],
    ) -> None:
        self._slot_reader = slot_reader
        self._picture = picture
        self._makers = [
            (name, _promised(function, name, self._maker(function, argument)))
            for name, argument in template.items()
        ]
        nullable = {parameter.name for parameter in function.parameters if parameter.nullable}
        self._required = [
            name
            for name, argument in template.items()
            if _is_inner_call(argument) and name not in nullable
        ]

    def __call__(self, row: Sequence[Any]) -> dict[str, Any] | None:
        """Return the arguments; None if an inner call returned None for a required argument."""
        arguments = {name: make(row) for name, make in self._makers}
        if self._required and any(arguments[name] is None for name in self._required):
            return None
        return arguments

    def of_batch(self, rows: Sequence[Sequence[Any]], batched: set[str]) -> dict[str, Any] | None:
        """Return the arguments of a batch, lists for the batched ones.

        Returns
        -------
        dict or None
            None if an argument is neither an unchanged cell nor a constant.
        """
        if any(not isinstance(make, _PLAIN_MAKERS) for _, make in self._makers):
            return None
        return {
            name: list(map(make, rows)) if name in batched else make(rows[0])
            for name, make in self._makers
        }

    def positional(self, function: Function) -> list[Maker] | None:
        """Return functions that build the arguments by position, each from the values of a row.

        Returns
        -------
        list or None
            None if an argument is neither an unchanged cell nor a constant, or cannot be passed by
            its position.
        """
        makers, body = dict(self._makers), function.body
        if not inspect.isfunction(body) or hasattr(body, "__wrapped__"):
            return None  # it may take keywords alone
        if any(not isinstance(make, _PLAIN_MAKERS) for make in makers.values()):
            return None
        first = list(function.signature.parameters.values())[: len(makers)]
        if any(parameter.kind not in _POSITIONAL for parameter in first):
            return None
        names = [parameter.name for parameter in first]
        return [makers[name] for name in names] if makers.keys() == set(names) else None

    def _maker(self, function: Function, argument: object) -> Maker:
        if isinstance(argument, list):
            list_makers = [self._maker(function, element) for element in argument]
            return lambda row: [make(row) for make in list_makers]
        if not isinstance(argument, dict):
            return _Constant(argument)
        if set(argument) == {"$"}:
            return self._slot_maker(function, argument["$"])
        if _is_inner_call(argument):
            return self._inner_call(argument[INNER_CALL])
        if len(argument) == 1 and next(iter(argument)) == "$map":
            makers = {name: self._maker(function, value) for name, value in argument["$map"]}
        elif len(argument) == 1 and next(iter(argument)).startswith("$"):
            return lambda _row: fill_template(argument, ())
        else:
            makers = {name: self._maker(function, value) for name, value in argument.items()}
        return lambda row: {name: make(row) for name, make in makers.items()}

    def _slot_maker(self, function: Function, slot: int) -> Maker:
        read = self._slot_reader(function, slot)
        if read is None:
            return operator.itemgetter(slot)
        return lambda row: None if row[slot] is None else read(row[slot])

    def _inner_call(self, description: Mapping[str, Any]) -> Maker:
        function = lookup(description["function"], description["version"])
        template, on_error = description["arguments"], description.get("on_error")
        make_arguments = Arguments(function, template, self._slot_reader, self._picture)
        required = required_slots(function, template, 0)
        spread = argument_spreader(function)
        body = function.body

        def call(row: Sequence[Any]) -> object:
            if any(row[slot] is None for slot in required):
                return None
            try:
                arguments = make_arguments(row)
                if arguments is None:
                    return None
                args, kwargs = spread(arguments)
                result = body(*args, **kwargs)
                return None if result is None else self._picture(result)
            except InnerFailure:
                raise
            except Exception as error:
                raise InnerFailure(function, error, on_error) from error

        return call


class _Constant:
    """Builds the same argument for each row."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __call__(self, row: Sequence[Any]) -> object:
        return self._value


_PLAIN_MAKERS = (operator.itemgetter, _Constant)


def _promised(function: Function, name: str, make: Maker) -> Maker:
    """Return a function that builds the object of a parameter's annotation."""
    parameter = _parameter_of(function, name)
    if parameter is None or parameter.convert is None:
        return make
    promise = parameter.convert
    if name.startswith("*"):
        return lambda row: [None if value is None else promise(value) for value in make(row)]
    return lambda row: None if (value := make(row)) is None else promise(value)


def _parameter_of(function: Function, name: str) -> Parameter | None:
    """Return the parameter of an argument; `**kwargs` for a keyword that no parameter has."""
    parameters = {parameter.name: parameter for parameter in function.parameters}
    match = parameters.get(name.removeprefix("*"))
    if match is None and parameters:
        for parameter in function.signature.parameters.values():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                return parameters.get(parameter.name)
    return match


def _is_inner_call(argument: object) -> bool:
    return isinstance(argument, dict) and set(argument) == {INNER_CALL}


def required_slots(function: Function, template: Mapping[str, Any], slot_count: int) -> set[int]:
    """Return the slots of a template that must not be None for the function to be called."""
    if function.kind == "model":  # a prompt with a missing part is not worth its price
        return set(range(slot_count))
    required: set[int] = set()
    for name, argument in template.items():
        parameter = _parameter_of(function, name)
        if parameter is None or not parameter.nullable:
            # The arguments of a variadic parameter are in a list of their own.
            arguments = argument if name.startswith("*") else [argument]
            required |= {
                argument["$"]
                for argument in arguments
                if isinstance(argument, dict) and set(argument) == {"$"}
            }
    return required


@functools.lru_cache(maxsize=256)  # its signature takes as long to read as some calls
def argument_spreader(
    function: Function,
) -> Callable[[dict[str, Any]], tuple[Sequence[Any], dict[str, Any]]]:
    """Return a function that splits arguments by name into positional ones and keywords."""
    parameters = function.signature.parameters
    kinds = {name: parameter.kind for name, parameter in parameters.items()}
    variadic = [name for name, kind in kinds.items() if kind is inspect.Parameter.VAR_POSITIONAL]
    positional = [name for name, kind in kinds.items() if kind in _POSITIONAL]
    positional_only = [
        name for name, kind in kinds.items() if kind is inspect.Parameter.POSITIONAL_ONLY
    ]
    if not variadic and not positional_only:
        return lambda arguments: ((), arguments)
    star = f"*{variadic[0]}" if variadic else ""

    def spread(arguments: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        kwargs = dict(arguments)
        first = positional if star in kwargs else positional_only
        args = [kwargs.pop(name) for name in first if name in kwargs]
        return args + kwargs.pop(star, []), kwargs

    return spread
