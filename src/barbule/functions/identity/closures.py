"""The closure of a function: the values by which functions of one factory differ.

Owns the hash of these values. Values without a stable identity (a client, a lock, a torch network)
are refused, or skipped if a version is stated.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping

from barbule.errors import ExpressionError
from barbule.functions.identity.bindings import bindings
from barbule.functions.identity.code import qualified_name
from barbule.functions.identity.descriptions import (
    PLAIN_TYPES,
    Describer,
    InitialDescriptions,
    Unidentified,
    short_hash,
)

__all__ = ["Closure"]


class Closure:
    """The closure of a function, a class, or any other callable.

    It consists of the variables of the enclosing functions, computed defaults, the object of a
    method, and the arguments of a `functools.partial`.

    Parameters
    ----------
    function
        A function, class, method, partial, or an object with `__call__`.

    Examples
    --------
    >>> def adding(k):
    ...     return lambda n: n + k
    >>> Closure(adding(1)).digest() == Closure(adding(1)).digest()
    True
    >>> Closure(adding(1)).digest() == Closure(adding(2)).digest()
    False
    >>> Closure(len).digest()
    ''
    """

    def __init__(self, function: object) -> None:
        self._function = function
        self._initial: InitialDescriptions = {}

    def digest(self) -> str:
        """Return a short hash; empty if the closure is empty.

        Raises
        ------
        ExpressionError
            If it closes over a value that cannot be identified.
        """
        if next(bindings(self._function), None) is None:
            return ""
        describer = Describer(self._initial, lenient=False)
        try:
            text = describer.bindings(self._function)
        except Unidentified as error:
            raise self._refusal(error) from error.__cause__
        return short_hash(text)

    @functools.cached_property
    def identified(self) -> str:
        """A short hash of the values that can be identified, in their initial state.

        It equals `digest` if all can be identified, and is empty if none can.
        """
        describer = Describer(self._initial, lenient=False, partial=True)
        descriptions = []
        for binding in bindings(self._function):
            # A stated version requires nothing of the closure: an object that raises when it is
            # inspected, or is too deep, then does not count.
            with contextlib.suppress(Exception):
                descriptions.append(describer.binding(self._function, binding))
        text = ";".join(filter(None, descriptions))
        return short_hash(text) if text else ""

    def is_plain(self) -> bool:
        """Whether the closure contains only plain values."""
        return all(_is_plain(binding.value) for binding in bindings(self._function))

    def _refusal(self, error: Unidentified) -> ExpressionError:
        kind = type(error.value)
        return ExpressionError(
            f"the function {qualified_name(self._function)} closes over {error.path!r}, an object "
            f"of type {kind.__module__}.{kind.__qualname__} that has no stable identity: results "
            "of this function could not be distinguished from those of another function of the "
            "same name.",
            hint='Pass version="1", with a different version for each such function and whenever '
            "its results change; or close over values with a stable identity: strings, "
            "numbers, tables, functions, and objects that hold these.",
        )


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_is_plain, [*value, *value.values()]))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    return isinstance(value, PLAIN_TYPES)
