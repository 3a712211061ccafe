"""Wrapped Ibis methods whose results and errors are barbule's.

Owns how an Ibis method is wrapped. The module of a result class registers it.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

import ibis.expr.types as ir
from ibis.common.exceptions import IntegrityError
from ibis.expr.types.groupby import GroupedTable

from barbule.errors import ExpressionError
from barbule.relations.errors.checked_values import checked
from barbule.relations.errors.invalid_queries import REFUSALS, explained, table_name
from barbule.relations.errors.refused_arguments import refuse_formatted, refuse_methods
from barbule.relations.row_counts import recounted
from barbule.relations.sort_keys import flat_keys
from barbule.suggestions import check_arguments

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["lift", "register_wrapper", "run_verb", "wrap"]

C = TypeVar("C", bound=type)

# Structural methods that Ibis itself relies on; their results must stay unchanged.
_STRUCTURAL = {"op", "get_name", "equals", "bind", "schema", "compile", "visualize"}
_JOINS = {
    *(f"{how}_join" for how in ("inner", "left", "right", "outer", "semi", "anti")),
    *("join", "any_inner_join", "any_left_join"),
}
_wrappers: dict[type, Callable[[Any], ir.Expr | GroupedTable]] = {}


def register_wrapper(ibis_class: type, wrapper: Callable[[Any], ir.Expr | GroupedTable]) -> None:
    """Register a wrapper for results of an Ibis class, but not of its subclasses."""
    _wrappers[ibis_class] = wrapper


def wrap(result: Any) -> Any:
    """Convert the result of an Ibis method to barbule's classes."""
    wrapper = _wrappers.get(type(result))
    return checked(result) if wrapper is None else wrapper(result)


def run_verb(query: Any, verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run an Ibis method, and explain its errors."""
    refuse_methods((*args, *kwargs.values()), query)
    try:
        return wrap(verb(query, *args, **kwargs))
    except REFUSALS as error:
        table = query.table.to_expr() if isinstance(query, GroupedTable) else query
        if isinstance(error, IntegrityError) and (changed := recounted(table, args, kwargs)):
            return run_verb(query, verb, *changed[0], **changed[1])
        refuse_formatted((args, kwargs), table=table_name(table))
        refused = explained(error, table, (*args, *kwargs.values()))
        if refused is error:
            raise
        raise refused from error


def lift(base: type) -> Callable[[C], C]:
    """Return a class decorator that wraps the results of each public method of `base`."""

    def decorate(cls: C) -> C:
        own = {name for klass in cls.__mro__ if klass not in base.__mro__ for name in vars(klass)}
        for klass in reversed(base.__mro__[:-1]):
            for name, function in vars(klass).items():
                if name in own or name in _STRUCTURAL or not inspect.isfunction(function):
                    continue
                if name.startswith("_"):
                    continue
                setattr(cls, name, _lifted(check_arguments(getattr(base, name))))
        return cls

    return decorate


def _lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    if function.__name__ in _JOINS:
        return _lifted_join(function)

    @functools.wraps(function)
    def method(self: ir.Table, *args: Any, **kwargs: Any) -> Any:
        return run_verb(self, function, *args, **kwargs)

    return method


def _lifted_join(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def join(
        self: ir.Table,
        right: ir.Table,
        predicates: Any = None,
        *args: Any,
        on: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Join as Ibis does; columns that both tables have may also be passed as `on`."""
        if on is not None and predicates is not None:
            raise ExpressionError(
                "a join takes either predicates or on=, not both.", hint="Pass one of them."
            )
        predicates = on if predicates is None else predicates
        keys = () if predicates is None else flat_keys(predicates)
        return run_verb(self, function, right, tuple(map(_join_key, keys)), *args, **kwargs)

    return join


def _join_key(key: object) -> object:
    """Return the predicate of a join: a column that is not a condition stands for its name."""
    if isinstance(key, ir.Column) and not key.type().is_boolean():
        return key.get_name()
    return key
