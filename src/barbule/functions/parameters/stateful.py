"""Functions with state: classes that are made once in a process, then called.

Owns how the arguments of a class and of its calls become those of one function, and which
objects this process has made. The decorator is `udf`.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any

import ibis.expr.types as ir
from ibis import Deferred

from barbule.errors import ExpressionError
from barbule.functions.registry import Function
from barbule.nodes import bind_arguments
from barbule.suggestions import call_argument_error

__all__ = ["Stateful", "body_of", "start_parameters"]

_VARIADIC = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


class Stateful:
    """A class whose objects are functions: called with the arguments of `__init__` it gives one.

    Made by `udf`. No object is made before the function is called for a row.
    """

    def __init__(self, kind: type, function: Function) -> None:
        self._signature = inspect.signature(kind)
        self._function = function
        self.name = function.name
        self.source = None if function.stated else function.source
        self.__doc__ = inspect.getdoc(kind)

    def __repr__(self) -> str:
        return f"<class {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Function:
        """Return the function that an object with these arguments is."""
        if any(isinstance(each, ir.Expr | Deferred) for each in (*args, *kwargs.values())):
            short = self.name.rpartition(".")[2]
            start = ", ".join(self._signature.parameters)
            raise ExpressionError(
                f"{self.name} is a class, which is made of plain values; a column was given to it.",
                hint=f"Make its function first, and give the column to that: {short}({start})"
                "(t.text).",
            )
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise call_argument_error(self.name, self._signature, kwargs, error) from error
        bound.apply_defaults()
        return self._function.using(**bound.arguments)


def start_parameters(kind: type) -> list[inspect.Parameter]:
    """List the parameters of `__init__`, as they are beside those of `__call__`."""
    start = list(inspect.signature(kind).parameters.values())
    called = inspect.signature(kind.__call__).parameters
    for each in start:
        if each.kind in _VARIADIC or each.name in called:
            raise ExpressionError(
                f"{kind.__qualname__}.__init__ has the parameter {each}, which cannot be told "
                "from those of __call__.",
                hint="Name the parameters of __init__ one by one, and otherwise.",
            )
    return [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in start]


def body_of(kind: type) -> Callable[..., Any]:
    """Make the function that makes the object when it is needed first, and calls it."""
    start = start_parameters(kind)
    made: dict[str, Any] = {}
    lock = threading.Lock()

    def instance(options: dict[str, Any]) -> Any:
        key = bind_arguments(options)[0]
        with lock:  # what is dear to load is not loaded twice at once
            if key not in made:
                made[key] = kind(**options)
            return made[key]

    def split(kwargs: dict[str, Any]) -> dict[str, Any]:
        return {each.name: kwargs.pop(each.name) for each in start if each.name in kwargs}

    def call(*args: Any, **kwargs: Any) -> Any:
        return instance(split(kwargs))(*args, **kwargs)

    async def acall(*args: Any, **kwargs: Any) -> Any:
        ready = await asyncio.to_thread(instance, split(kwargs))
        return await ready(*args, **kwargs)

    method: Any = kind.__call__
    body: Any = acall if inspect.iscoroutinefunction(method) else call
    whole = inspect.signature(method)
    own = list(whole.parameters.values())[1:]
    last = [each for each in own if each.kind is inspect.Parameter.VAR_KEYWORD]
    body.__signature__ = whole.replace(
        parameters=[*(each for each in own if each not in last), *start, *last]
    )
    body.__doc__ = inspect.getdoc(kind)
    return body
