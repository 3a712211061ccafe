"""Functions with state: classes whose objects are created once per process, then called.

Owns how the arguments of a class and of its calls become those of one function, and the objects of
this process. The decorator is `udf`.
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
from barbule.functions.function import Function
from barbule.nodes import bind_arguments
from barbule.suggestions import call_argument_error

__all__ = ["Stateful", "body_of_class", "init_parameters"]

_VARIADIC = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


class Stateful:
    """A class whose objects are functions: called with the arguments of `__init__`, it returns one.

    Created by `udf`. No object is created before the function is called for a row.
    """

    def __init__(self, cls: type, function: Function) -> None:
        self._signature = inspect.signature(cls)
        self._function = function
        self.name = function.name
        self.source = None if function.stated_version else function.source
        self.__doc__ = inspect.getdoc(cls)

    def __repr__(self) -> str:
        return f"<class {self.name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Function:
        """Return the function of an object with these arguments."""
        if any(isinstance(value, ir.Expr | Deferred) for value in (*args, *kwargs.values())):
            short_name = self.name.rpartition(".")[2]
            parameters = ", ".join(self._signature.parameters)
            raise ExpressionError(
                f"{self.name} is a class, whose __init__ takes plain values; a column was passed "
                "to it.",
                hint="Create an instance first, and pass the column to that: "
                f"{short_name}({parameters})(t.text).",
            )
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise call_argument_error(self.name, self._signature, kwargs, error) from error
        bound.apply_defaults()
        return self._function.using(**bound.arguments)


def init_parameters(cls: type) -> list[inspect.Parameter]:
    """List the parameters of `__init__`, as keywords in addition to those of `__call__`."""
    parameters = list(inspect.signature(cls).parameters.values())
    call_parameters = inspect.signature(cls.__call__).parameters
    for parameter in parameters:
        if parameter.kind in _VARIADIC or parameter.name in call_parameters:
            raise ExpressionError(
                f"{cls.__qualname__}.__init__ has the parameter {parameter}, which cannot be "
                "distinguished from those of __call__.",
                hint="Name each parameter of __init__ explicitly, with other names than those of "
                "__call__.",
            )
    return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]


def body_of_class(cls: type) -> Callable[..., Any]:
    """Return the function that creates the object on first use, and calls it."""
    init = init_parameters(cls)
    instances: dict[str, Callable[..., Any]] = {}
    lock = threading.Lock()

    def instance(options: dict[str, Any]) -> Callable[..., Any]:
        key = bind_arguments(options)[0]
        with lock:  # a model that is slow to load is not loaded twice at once
            if key not in instances:
                instances[key] = cls(**options)
            return instances[key]

    def init_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
        names = [parameter.name for parameter in init]
        return {name: kwargs.pop(name) for name in names if name in kwargs}

    def call(*args: Any, **kwargs: Any) -> Any:
        return instance(init_arguments(kwargs))(*args, **kwargs)

    async def acall(*args: Any, **kwargs: Any) -> Any:
        function = await asyncio.to_thread(instance, init_arguments(kwargs))
        return await function(*args, **kwargs)

    method: Callable[..., Any] = cls.__call__
    body: Any = acall if inspect.iscoroutinefunction(method) else call
    signature = inspect.signature(method)
    own = list(signature.parameters.values())[1:]
    keywords = [parameter for parameter in own if parameter.kind is inspect.Parameter.VAR_KEYWORD]
    named = [parameter for parameter in own if parameter not in keywords]
    body.__signature__ = signature.replace(parameters=[*named, *init, *keywords])
    body.__doc__ = inspect.getdoc(cls)
    function: Callable[..., Any] = body
    return function
