"""The arguments of a call, row by row.

Owns how a template is turned, once, into what makes the arguments of each row; and the calls
that the planner put in place of arguments, whose results go to the outer function as they are.
"""

from __future__ import annotations

import inspect
import operator
from typing import TYPE_CHECKING, Any

from barbule.executor.calls.call_errors import InnerFailure
from barbule.functions.registry import lookup
from barbule.nodes import INNER_CALL, fill_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from barbule.functions.function import Function
    from barbule.functions.parameters.parameter import Parameter

__all__ = ["Arguments", "required_places", "spreading"]

_POSITIONAL = {
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
}


class Arguments:
    """Makes the arguments of each row.

    Parameters
    ----------
    readers
        For a function and a place of the row, what turns the cell into the function's argument;
        None where nothing does.
    picture
        Makes a PIL image of what an inner call gave: an array, bytes, a reference …
    """

    def __init__(
        self,
        function: Function,
        template: Mapping[str, Any],
        readers: Callable[[Function, int], Callable[[Any], Any] | None],
        picture: Callable[[Any], Any],
    ) -> None:
        self._readers = readers
        self._picture = picture
        self._makers = [
            (name, _promised(function, name, self._maker(function, item)))
            for name, item in template.items()
        ]
        nullable = {each.name for each in function.parameters if each.nullable}
        self._needed = [
            name for name, item in template.items() if _is_inner(item) and name not in nullable
        ]

    def __call__(self, row: Sequence[Any]) -> dict[str, Any] | None:
        """Return the arguments; None where an inner call gave None to what takes none."""
        arguments = {name: make(row) for name, make in self._makers}
        if self._needed and any(arguments[name] is None for name in self._needed):
            return None
        return arguments

    def merged(self, rows: Sequence[Sequence[Any]], batched: set[str]) -> dict[str, Any] | None:
        """Return the arguments of a batch, lists for the batched ones; None where not so simple.

        It is where each argument is a cell as it is, or a constant.
        """
        if any(not isinstance(maker, _CELLS) for _, maker in self._makers):
            return None
        made: dict[str, Any] = {}
        for name, make in self._makers:
            made[name] = list(map(make, rows)) if name in batched else make(rows[0])
        return made

    def _maker(self, function: Function, item: Any) -> Callable[[Sequence[Any]], Any]:
        if isinstance(item, list):
            makers = [self._maker(function, each) for each in item]
            return lambda row: [make(row) for make in makers]
        if not isinstance(item, dict):
            return _Constant(item)
        if set(item) == {"$"}:
            return self._place(function, item["$"])
        if _is_inner(item):
            return self._inner(item[INNER_CALL])
        if len(item) == 1 and next(iter(item)) == "$map":
            made = {name: self._maker(function, each) for name, each in item["$map"]}
        elif len(item) == 1 and next(iter(item)).startswith("$"):
            return lambda _row: fill_template(item, ())
        else:
            made = {name: self._maker(function, each) for name, each in item.items()}
        return lambda row: {name: make(row) for name, make in made.items()}

    def _place(self, function: Function, place: int) -> Callable[[Sequence[Any]], Any]:
        read = self._readers(function, place)
        if read is None:
            return operator.itemgetter(place)
        return lambda row: None if row[place] is None else read(row[place])

    def _inner(self, described: Mapping[str, Any]) -> Callable[[Sequence[Any]], Any]:
        function = lookup(described["function"], described["version"])
        template, on_error = described["arguments"], described.get("on_error")
        arguments = Arguments(function, template, self._readers, self._picture)
        required = required_places(function, template, 0)
        spread = spreading(function)
        body = function.body

        def call(row: Sequence[Any]) -> Any:
            if any(row[place] is None for place in required):
                return None
            try:
                given = arguments(row)
                if given is None:
                    return None
                args, kwargs = spread(given)
                result = body(*args, **kwargs)
                return None if result is None else self._picture(result)
            except InnerFailure:
                raise
            except Exception as error:
                raise InnerFailure(function, error, on_error) from error

        return call


class _Constant:
    """Makes the same argument of each row."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __call__(self, row: Sequence[Any]) -> Any:
        return self._value


def _promised(
    function: Function, name: str, cell: Callable[[Sequence[Any]], Any]
) -> Callable[[Sequence[Any]], Any]:
    """Make the object that the annotation of a parameter promises of what there is."""
    parameter = _parameter(function, name)
    make = parameter.convert if parameter else None
    if make is None:
        return cell
    promise: Callable[[Any], Any] = make
    if name.startswith("*"):
        return lambda row: [None if each is None else promise(each) for each in cell(row)]
    return lambda row: None if (found := cell(row)) is None else promise(found)


def _parameter(function: Function, name: str) -> Parameter | None:
    """Return the parameter of an argument; of a keyword that it does not name, that of all such."""
    known = {each.name: each for each in function.parameters}
    found = known.get(name.removeprefix("*"))
    if found is None and known:
        for each in function.signature.parameters.values():
            if each.kind is inspect.Parameter.VAR_KEYWORD:
                return known.get(each.name)
    return found


_CELLS = (operator.itemgetter, _Constant)


def _is_inner(item: Any) -> bool:
    return isinstance(item, dict) and set(item) == {INNER_CALL}


def required_places(function: Function, template: Mapping[str, Any], places: int) -> set[int]:
    """List the places that must not be None for the function to be called."""
    if function.kind == "model":  # a prompt with a missing part is not worth its price
        return set(range(places))
    required: set[int] = set()
    for name, value in template.items():
        parameter = _parameter(function, name)
        if parameter is None or not parameter.nullable:
            # The arguments of a variadic parameter stand in a list of their own.
            items = value if name.startswith("*") else [value]
            required |= {
                item["$"] for item in items if isinstance(item, dict) and set(item) == {"$"}
            }
    return required


def spreading(
    function: Function,
) -> Callable[[dict[str, Any]], tuple[Sequence[Any], dict[str, Any]]]:
    """Return what puts variadic and positional-only arguments where Python wants them."""
    parameters = function.signature.parameters
    kinds = {name: parameter.kind for name, parameter in parameters.items()}
    variadic = [name for name, kind in kinds.items() if kind is inspect.Parameter.VAR_POSITIONAL]
    positional = [name for name, kind in kinds.items() if kind in _POSITIONAL]
    only = [name for name, kind in kinds.items() if kind is inspect.Parameter.POSITIONAL_ONLY]
    if not variadic and not only:
        return lambda arguments: ((), arguments)
    star = f"*{variadic[0]}" if variadic else ""

    def spread(arguments: dict[str, Any]) -> tuple[Sequence[Any], dict[str, Any]]:
        kwargs = dict(arguments)
        first = positional if star in kwargs else only
        args = [kwargs.pop(name) for name in first if name in kwargs]
        return args + kwargs.pop(star, []), kwargs

    return spread
