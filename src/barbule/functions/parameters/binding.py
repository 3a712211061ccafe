"""From the arguments of a call to a value for each parameter.

Owns how arguments are assigned if `using` has fixed some, and how variadic ones are stored.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from barbule.suggestions import call_argument_error

__all__ = ["bind_free", "contains"]


def bind_free(
    name: str,
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    fixed: Mapping[str, Any],
) -> dict[str, Any]:
    """Assign arguments to parameters; fixed ones are skipped by position.

    Parameters
    ----------
    name
        The name of the function, for errors.
    fixed
        The fixed arguments; the call may override them by keyword.

    Returns
    -------
    dict
        A value for each parameter, defaults included: the keywords of `**kwargs` by their names,
        the items of `*args` as a list under "*args".

    Raises
    ------
    ExpressionError
        If they do not match the signature.

    Examples
    --------
    >>> def join(first, *others, sep=" "): ...
    >>> bind_free("join", inspect.signature(join), ("a", "b"), {}, {"sep": "-"})
    {'first': 'a', '*others': ['b'], 'sep': '-'}
    """
    fixed = {parameter: kwargs.get(parameter, value) for parameter, value in fixed.items()}
    free = signature.replace(
        parameters=[
            parameter for parameter in signature.parameters.values() if parameter.name not in fixed
        ]
    )
    free_kwargs = {keyword: value for keyword, value in kwargs.items() if keyword not in fixed}
    try:
        bound = free.bind(*args, **free_kwargs)
    except TypeError as error:
        raise call_argument_error(name, signature, kwargs, error) from error
    bound.apply_defaults()
    return {**_flatten_variadic(free, bound.arguments), **fixed}


def _flatten_variadic(signature: inspect.Signature, arguments: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            flat |= value
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            flat[f"*{name}"] = list(value)
        else:
            flat[name] = value
    return flat


def contains(value: object, kind: type) -> bool:
    """Whether a value, or an item of its lists and mappings, is of a class.

    Examples
    --------
    >>> contains({"xy": [1, 2.5]}, float), contains([1], float)
    (True, False)
    """
    if isinstance(value, Mapping):
        return any(contains(item, kind) for item in value.values())
    if isinstance(value, list | tuple):
        return any(contains(item, kind) for item in value)
    return isinstance(value, kind)
