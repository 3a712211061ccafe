"""What was meant by a misspelt name: of an attribute of a module, or of a keyword.

Owns the search for a name that is like another, and where Python's own errors are replaced by
errors that suggest it.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from barbule.errors import ExpressionError

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
    """Ask whether another name was meant; empty where none is like it, and where it is known.

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
    """Ask whether another name was meant, and list them all.

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
    """Say that a module has no such name, as Python does, and what was meant.

    Examples
    --------
    >>> print(no_attribute("barbule", "creat_table", ["create_table"]))
    module 'barbule' has no attribute 'creat_table'. Did you mean 'create_table'?
    """
    public_names = [candidate for candidate in names if not candidate.startswith("_")]
    # Python asks for names such as __path__ that nobody has misspelt.
    suggestion = "" if name.startswith("_") else did_you_mean(name, public_names)
    text = f"module {module!r} has no attribute {name!r}"
    return AttributeError(f"{text}. {suggestion}" if suggestion else text)


def suggesting_getattr(module: str, names: Iterable[str]) -> Callable[[str], NoReturn]:
    """Make the `__getattr__` of a module, which suggests one of these names."""

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
    """What a verb gives that is no query: it says so where a verb of queries is asked of it."""

    __slots__ = ()
    _reading: ClassVar[str] = ""  # how rows are read instead

    if not TYPE_CHECKING:  # which knows the attributes there are

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
    """A class of functions, such as `create`, of which no objects are made."""

    __slots__ = ()

    def __new__(cls, *_: Any, **__: Any) -> NoReturn:
        """Refuse: its functions are called on the class."""
        names = [name for name in dir(cls) if not name.startswith("_")]
        raise _CALL_ERROR(
            f"{cls.__name__} is not called itself.",
            hint=f"Write {cls.__name__}.{names[0]}(...) with the arguments.",
        )


def check_arguments(function: F) -> F:
    """Make a function refuse arguments that it does not take by an error that says what it takes.

    Examples
    --------
    >>> @check_arguments
    ... def resize(width, height=None):
    ...     return width, height
    >>> resize(1, hieght=2)
    Traceback (most recent call last):
    barbule.errors.ExpressionError: resize() takes no argument 'hieght'. Did you mean 'height'? ...
    """
    explain = _argument_error

    def call(*args: Any, **kwargs: Any) -> object:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            # Raised by the call itself, and not within the function.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            argument_error = explain(function, args, kwargs)
            if argument_error is None:
                raise
            raise argument_error from error

    # Doctest finds the examples of a function by the module of its globals.
    checked: Any = types.FunctionType(
        call.__code__, function.__globals__, function.__name__, None, call.__closure__
    )
    checked = functools.wraps(function)(checked)
    result: F = checked
    return result


def check_methods(cls: C) -> C:
    """Make all public methods of a class check their arguments, see `check_arguments`."""
    for name, function in list(vars(cls).items()):
        if inspect.isfunction(function) and not name.startswith("_"):
            setattr(cls, name, check_arguments(function))
    return cls


def call_argument_error(
    name: str, signature: inspect.Signature, kwargs: Mapping[str, Any], reason: TypeError
) -> ExpressionError:
    """Say that arguments do not fit a function of users or of ours, and which one was meant.

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
    """Say which arguments a function does not take; None where it takes them all."""
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
    # Methods are named as their table's handle has them, static ones by their class.
    static = "<locals>" not in function.__qualname__ and "self" not in signature.parameters
    display_name = function.__qualname__ if static else function.__name__
    usage = f"It is called as {display_name}{inspect.Signature(parameters)}."
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
