"""Suggestions for misspelt names: attributes of modules and keyword arguments.

Finds the most similar name, and replaces Python's own errors with errors that suggest it.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from barbule.errors import ExpressionError, too_deep_error
from barbule.tracing import operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "FunctionNamespace",
    "VerbResult",
    "call_argument_error",
    "check_arguments",
    "check_methods",
    "did_you_mean",
    "no_attribute",
    "one_of",
    "suggesting_getattr",
]

F = TypeVar("F", bound="Callable[..., Any]")
C = TypeVar("C", bound=type)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return a question with the most similar name; "" if none is similar, or the name exists.

    Examples
    --------
    >>> did_you_mean("rezise", ["resize", "rotate"]), did_you_mean("blur", ["resize"])
    ("Did you mean 'resize'?", '')
    """
    lowered = {candidate.lower(): candidate for candidate in names}
    if lowered.get(name.lower()) == name:
        return ""
    matches = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f"Did you mean {lowered[matches[0]]!r}?" if matches else ""


def one_of(name: str, names: Iterable[str], lead: str) -> str:
    """Return the question of `did_you_mean`, and a list of all names.

    Examples
    --------
    >>> one_of("nmae", ["name", "year"], "It has")
    "Did you mean 'name'? It has name, year."
    >>> one_of("a", [], "It has")
    'It has none.'
    """
    choices = list(names)
    return f"{did_you_mean(name, choices)} {lead} {', '.join(choices) or 'none'}.".lstrip()


def no_attribute(module: str, name: str, names: Iterable[str]) -> AttributeError:
    """Return Python's error for a missing attribute of a module, with a suggestion.

    Examples
    --------
    >>> print(no_attribute("barbule", "creat_table", ["create_table"]))
    module 'barbule' has no attribute 'creat_table'. Did you mean 'create_table'?
    """
    public_names = [candidate for candidate in names if not candidate.startswith("_")]
    # Python itself looks up names such as __path__.
    suggestion = "" if name.startswith("_") else did_you_mean(name, public_names)
    text = f"module {module!r} has no attribute {name!r}"
    return AttributeError(f"{text}. {suggestion}" if suggestion else text)


def suggesting_getattr(module: str, names: Iterable[str]) -> Callable[[str], NoReturn]:
    """Return a module's `__getattr__` that suggests one of the names."""

    def __getattr__(name: str) -> NoReturn:  # noqa: N807 - what Python calls it
        raise no_attribute(module, name, names)

    return __getattr__


_ATTRIBUTE_ERROR: Any = type(
    "ExpressionError", (ExpressionError, AttributeError), {"__module__": ExpressionError.__module__}
)
_CALL_ERROR: Any = type(
    "ExpressionError", (ExpressionError, TypeError), {"__module__": ExpressionError.__module__}
)


class VerbResult:
    """The result of a verb that is not a query; its errors say so if a query method is used."""

    __slots__ = ()
    _reading: ClassVar[str] = ""  # how rows are read instead

    if not TYPE_CHECKING:  # which has its own list of attributes

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            kind = type(self)
            names = {*vars(kind).get("__annotations__", ()), *vars(kind)}
            names |= {field.name for field in getattr(kind, "__dataclass_fields__", {}).values()}
            attributes = sorted(attribute for attribute in names if not attribute.startswith("_"))
            raise _ATTRIBUTE_ERROR(
                f"{kind.__name__} has no attribute {name!r}.",
                hint=f"{one_of(name, attributes, 'It has')} {self._reading}".rstrip(),
            )


class FunctionNamespace:
    """A class that only holds functions, such as `create`."""

    __slots__ = ()

    def __new__(cls, *_: Any, **__: Any) -> NoReturn:
        """Raise: its functions are called on the class."""
        names = [name for name in dir(cls) if not name.startswith("_")]
        raise _CALL_ERROR(
            f"{cls.__name__} cannot be called.",
            hint=f"Write {cls.__name__}.{names[0]}(...) with the arguments.",
        )


def check_arguments(function: F) -> F:
    """Replace a function's argument errors with errors that list its parameters.

    Examples
    --------
    >>> @check_arguments
    ... def resize(width, height=None):
    ...     return width, height
    >>> resize(1, hieght=2)
    Traceback (most recent call last):
    barbule.errors.ExpressionError: resize() takes no argument 'hieght'. Did you mean 'height'? ...
    """
    return _checked(function, None)


def _checked(function: F, operation_name: str | None) -> F:
    """Check the arguments of a function, which is recorded as an operation if it has a name."""
    explain, begin, too_deep = _argument_error, operation, too_deep_error

    def call(*args: Any, **kwargs: Any) -> object:
        try:
            if operation_name is None:
                return function(*args, **kwargs)
            with begin(operation_name, args, kwargs):
                return function(*args, **kwargs)
        except TypeError as error:
            # Only if raised by the call itself, not by the body of the function.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            argument_error = explain(function, args, kwargs)
            if argument_error is None:
                raise
            raise argument_error from error
        except RecursionError as error:
            raise too_deep() from error

    # Doctest needs the globals of the function's own module to find its examples.
    checked: Any = types.FunctionType(
        call.__code__, function.__globals__, function.__name__, None, call.__closure__
    )
    checked = functools.wraps(function)(checked)
    result: F = checked
    return result


def check_methods(cls: C) -> C:
    """Apply `check_arguments` to all public methods of a class, which traces show."""
    for name, function in list(vars(cls).items()):
        if inspect.isfunction(function) and not name.startswith("_"):
            setattr(cls, name, _checked(function, name))
    return cls


def call_argument_error(
    name: str, signature: inspect.Signature, kwargs: Mapping[str, Any], reason: TypeError
) -> ExpressionError:
    """Return the error for arguments that do not fit a function, with a suggestion.

    Examples
    --------
    >>> signature = inspect.Signature.from_callable(lambda width: width)
    >>> print(call_argument_error("resize", signature, {"widht": 1}, TypeError("missing 'width'")))
    resize(width) takes no argument 'widht'. Did you mean 'width'? Check the arguments of the call.
    """
    parameters = signature.parameters.values()
    names = [parameter.name for parameter in parameters if parameter.kind in _KEYWORD_KINDS]
    unknown = [keyword for keyword in kwargs if keyword not in names]
    suggestion = next((match for keyword in unknown if (match := did_you_mean(keyword, names))), "")
    text = f"{name}{signature}: {reason}."
    if unknown and not any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters
    ):
        text = f"{name}{signature} takes no argument {unknown[0]!r}."
    return ExpressionError(text, hint=f"{suggestion} Check the arguments of the call.".lstrip())


def _argument_error(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> ExpressionError | None:
    """Return the error for arguments that a function does not accept; None if it accepts them."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        reason = str(error)
    else:
        return None
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if parameter.name != "self"
    ]
    # Methods are called on a table handle, static functions on their class.
    static = "<locals>" not in function.__qualname__ and "self" not in signature.parameters
    display_name = function.__qualname__ if static else function.__name__
    usage = f"Its signature is {display_name}{inspect.Signature(parameters)}."
    names = [parameter.name for parameter in parameters if parameter.kind in _KEYWORD_KINDS]
    unexpected = next((keyword for keyword in kwargs if keyword not in names), None)
    if unexpected is None or any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters
    ):
        return ExpressionError(f"{display_name}(): {reason}.", hint=usage)
    return ExpressionError(
        f"{display_name}() takes no argument {unexpected!r}.",
        hint=f"{did_you_mean(unexpected, names)} {usage}".lstrip(),
    )


_KEYWORD_KINDS = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
