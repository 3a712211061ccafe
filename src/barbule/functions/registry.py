"""The functions that this process defines, by name.

A stored call finds its function here by name; no code is ever loaded from a database.
"""

from __future__ import annotations

import importlib.util

from barbule.errors import UnknownFunctionError
from barbule.functions.function import GENERATIONS, Function
from barbule.functions.identity.code import MAIN
from barbule.functions.identity.generations import Generation

__all__ = ["Function", "lookup", "register", "registrations"]

_BUILT_IN = "barbule.functions."

# Functions that are defined in another module than the one in their stored name.
_MODULES = {"barbule.functions.invoking": "barbule.functions.language_models.tool_calls"}

_registrations = 0


def register(function: Function) -> Function:
    """Register a function by its name; a later one with the same name replaces it.

    Functions from the same lines, with other values around them, are all registered: a call finds
    its own.

    Raises
    ------
    ExpressionError
        If it closes over a value that cannot be identified, and no version is stated.
    """
    global _registrations  # noqa: PLW0603 - one state of the process, as the registry
    _registrations += 1
    generation = GENERATIONS.get(function.name)
    if generation is not None and generation.accepts(function):
        generation.add(function)
    else:
        GENERATIONS[function.name] = Generation(function)
    return function


def registrations() -> int:
    """Return a number that grows whenever a function is registered, or replaces another."""
    return _registrations


def lookup(name: str, version: str | None = None) -> Function:
    """Find a function by the name that a stored expression gives.

    barbule's own functions are imported on demand; a user's must have been defined or imported
    before.

    Parameters
    ----------
    name
        The registry name of the function.
    version
        The version for which the call was written. It distinguishes functions with one name; a
        function that has changed since is still found.

    Raises
    ------
    UnknownFunctionError
        If this process does not define it, or defines only others with its name.
    """
    if name not in GENERATIONS and name.startswith(_BUILT_IN):
        _import(name)
    generation = GENERATIONS.get(name)
    if generation is None:
        raise UnknownFunctionError(
            f"the function {name!r} is not defined in this process.", hint=_definition_hint(name)
        )
    if version is None or generation.latest.source is None:
        return generation.latest
    function = generation.find(version)
    if function is None:
        several = len(generation) > 1
        raise UnknownFunctionError(
            f"{'several functions are' if several else 'a function is'} named {name!r}, but "
            f"{'none' if several else 'it'} is {'' if several else 'not '}the function of this "
            "call: it closes over other values, or has another version.",
            hint="Run the code that defined it, with the same values; or recompute the column "
            'with the current function: add_computed_column(..., if_exists="replace").',
        )
    return function


def _import(name: str) -> None:
    """Import the module of one of barbule's own functions."""
    module, _, short_name = name.rpartition(".")
    module = _MODULES.get(module, module)
    if importlib.util.find_spec(module) is not None:
        # The functions of a provider are created on first access.
        getattr(importlib.import_module(module), short_name, None)


def _definition_hint(name: str) -> str:
    """Return where an unknown function can be found."""
    module, _, short_name = name.rpartition(".")
    readable = "Values that it computed before can still be read."
    is_interactive = module in MAIN  # a notebook, which cannot be imported
    if short_name.startswith("<lambda"):
        owner = "this notebook or script" if is_interactive else repr(module)
        return (
            f"A lambda is identified by its source text: define the same one in {owner} "
            f"first. {readable}"
        )
    namesakes = sorted(other for other in GENERATIONS if other.rpartition(".")[2] == short_name)
    same = (
        (f" (or, if {namesakes[0]!r} is the same function, give both that name with name=)")
        if namesakes
        else ""
    )
    step = "Run the notebook cell" if is_interactive else f"Import the module {module!r}"
    return f"{step} that defines {short_name!r} (with @bb.udf or @bb.query) first{same}. {readable}"
