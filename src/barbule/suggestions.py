"""What was meant by a misspelt name: of an attribute of a module, or of a keyword.

Owns the search for a name that is like another, and where Python's own errors are replaced by
errors that suggest it.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import types
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from barbule.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "Answer",
    "Maker",
    "check_arguments",
    "check_methods",
    "did_you_mean",
    "guard",
    "misfit_of_call",
    "no_attribute",
    "one_of",
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
    lowered = {each.lower(): each for each in names}
    if lowered.get(name.lower()) == name:
        return ""
    near = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f"Did you mean {lowered[near[0]]!r}?" if near else ""


def one_of(name: str, names: Iterable[str], lead: str) -> str:
    """Ask whether another name was meant, and list them all.

    Examples
    --------
    >>> one_of("nmae", ["name", "year"], "It has")
    "Did you mean 'name'? It has name, year."
    >>> one_of("a", [], "It has")
    'It has none.'
    """
    known = list(names)
    return f"{did_you_mean(name, known)} {lead} {', '.join(known) or 'none'}.".lstrip()


def no_attribute(module: str, name: str, names: Iterable[str]) -> AttributeError:
    """Say that a module has no such name, as Python does, and what was meant.

    Examples
    --------
    >>> print(no_attribute("barbule", "creat_table", ["create_table"]))
    module 'barbule' has no attribute 'creat_table'. Did you mean 'create_table'?
    """
    known = [each for each in names if not each.startswith("_")]
    # Python asks for names such as __path__ that nobody has misspelt.
    meant = "" if name.startswith("_") else did_you_mean(name, known)
    text = f"module {module!r} has no attribute {name!r}"
    return AttributeError(f"{text}. {meant}" if meant else text)


def guard(module: str, names: Iterable[str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a module, which suggests one of these names."""

    def __getattr__(name: str) -> Any:  # noqa: N807 - what Python calls it
        raise no_attribute(module, name, names)

    return __getattr__


_NO_ATTRIBUTE: Any = type(
    "ExpressionError", (ExpressionError, AttributeError), {"__module__": ExpressionError.__module__}
)
_NOT_CALLED: Any = type(
    "ExpressionError", (ExpressionError, TypeError), {"__module__": ExpressionError.__module__}
)


class Answer:
    """What a verb gives that is no query: it says so where a verb of queries is asked of it."""

    __slots__ = ()
    _reading: ClassVar[str] = ""  # how rows are read instead

    if not TYPE_CHECKING:  # which knows the attributes there are

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            kind = type(self)
            names = {*vars(kind).get("__annotations__", ()), *vars(kind)}
            names |= {each.name for each in getattr(kind, "__dataclass_fields__", {}).values()}
            known = sorted(each for each in names if not each.startswith("_"))
            raise _NO_ATTRIBUTE(
                f"{kind.__name__} has no attribute {name!r}.",
                hint=f"{one_of(name, known, 'It has')} {self._reading}".rstrip(),
            )


class Maker:
    """A class of functions, such as `create`, of which no objects are made."""

    __slots__ = ()

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """Refuse: its functions are called on the class."""
        names = [each for each in dir(cls) if not each.startswith("_")]
        raise _NOT_CALLED(
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
    explain = _misfit

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            # Raised by the call itself, and not within the function.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            misfit = explain(function, args, kwargs)
            if misfit is None:
                raise
            raise misfit from error

    # Doctest finds the examples of a function by the module of its globals.
    moved: Any = types.FunctionType(
        call.__code__, function.__globals__, function.__name__, None, call.__closure__
    )
    moved = functools.wraps(function)(moved)
    made: F = moved
    return made


def check_methods(cls: C) -> C:
    """Make all public methods of a class check their arguments, see `check_arguments`."""
    for name, function in list(vars(cls).items()):
        if inspect.isfunction(function) and not name.startswith("_"):
            setattr(cls, name, check_arguments(function))
    return cls


def misfit_of_call(
    name: str, signature: inspect.Signature, kwargs: Mapping[str, Any], reason: TypeError
) -> ExpressionError:
    """Say that arguments do not fit a function of users or of ours, and which one was meant.

    Examples
    --------
    >>> signature = inspect.Signature.from_callable(lambda width: width)
    >>> print(misfit_of_call("resize", signature, {"widht": 1}, TypeError("missing 'width'")))
    resize(width) takes no argument 'widht'. Did you mean 'width'? Check the arguments of the call.
    """
    parameters = signature.parameters.values()
    names = [each.name for each in parameters if each.kind in _BY_NAME]
    unknown = [each for each in kwargs if each not in names]
    meant = next((found for each in unknown if (found := did_you_mean(each, names))), "")
    text = f"{name}{signature}: {reason}."
    if unknown and not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        text = f"{name}{signature} takes no argument {unknown[0]!r}."
    return ExpressionError(text, hint=f"{meant} Check the arguments of the call.".lstrip())


def _misfit(
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
    bare = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in signature.parameters.values()
        if each.name != "self"
    ]
    # Methods are named as their table's handle has them, static ones by their class.
    static = "<locals>" not in function.__qualname__ and "self" not in signature.parameters
    written = function.__qualname__ if static else function.__name__
    called = f"It is called as {written}{inspect.Signature(bare)}."
    names = [each.name for each in bare if each.kind in _BY_NAME]
    wrong = next((each for each in kwargs if each not in names), None)
    if wrong is None or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in bare):
        return ExpressionError(f"{written}(): {reason}.", hint=called)
    return ExpressionError(
        f"{written}() takes no argument {wrong!r}.",
        hint=f"{did_you_mean(wrong, names)} {called}".lstrip(),
    )


_BY_NAME = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
