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
    "check_arguments",
    "check_methods",
    "did_you_mean",
    "guard",
    "no_attribute",
    "one_of",
]

F = TypeVar("F", bound="Callable[..., Any]")
C = TypeVar("C", bound=type)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Ask whether another name was meant; empty where none is like it.

    Examples
    --------
    >>> did_you_mean("rezise", ["resize", "rotate"]), did_you_mean("blur", ["resize"])
    ("Did you mean 'resize'?", '')
    """
    lowered = {each.lower(): each for each in names}
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
    called = f"It is called as {function.__name__}{inspect.Signature(bare)}."
    names = [each.name for each in bare if each.kind in _BY_NAME]
    wrong = next((each for each in kwargs if each not in names), None)
    if wrong is None or any(each.kind is inspect.Parameter.VAR_KEYWORD for each in bare):
        return ExpressionError(f"{function.__name__}(): {reason}.", hint=called)
    return ExpressionError(
        f"{function.__name__}() takes no argument {wrong!r}.",
        hint=f"{did_you_mean(wrong, names)} {called}".lstrip(),
    )


_BY_NAME = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
