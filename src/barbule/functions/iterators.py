"""The decorator for functions that return several rows for one: `iterator`."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, overload

import ibis.expr.datatypes as dt

from barbule import types
from barbule.errors import ExpressionError, SchemaError
from barbule.functions.function import Function, OnError, check_on_error
from barbule.functions.identity.code import qualified_name
from barbule.functions.identity.source_hash import Source, name_of
from barbule.functions.parameters.signatures import hints_of, parameters_of, signature_of
from barbule.functions.registry import register
from barbule.suggestions import check_arguments

__all__ = ["iterator"]


@overload
def iterator(
    function: Callable[..., Any],
    *,
    return_type: object = None,
    on_error: OnError = "abort",
    version: str | None = None,
    name: str | None = None,
) -> Function: ...
@overload
def iterator(
    function: None = None,
    *,
    return_type: object = None,
    on_error: OnError = "abort",
    version: str | None = None,
    name: str | None = None,
) -> Callable[[Callable[..., Any]], Function]: ...
@check_arguments
def iterator(
    function: Callable[..., Any] | None = None,
    *,
    return_type: object = None,
    on_error: OnError = "abort",
    version: str | None = None,
    name: str | None = None,
) -> Function | Callable[[Callable[..., Any]], Function]:
    """Create a function that returns several rows for one, for `create_view(iterator=...)`.

    Parameters
    ----------
    function
        A generator, or a function that returns a list; each item becomes a row of the view. Or a
        class: `__init__` takes the values of a row, and its object is iterated with `__iter__` or
        `__next__`; if it has `close`, that is called at the end.
    return_type
        The schema of those rows, if the annotation (`Iterator[Row]` or `list[Row]`, with a pydantic
        model, dataclass or TypedDict; for `__next__`, `Row`) does not define it.
    on_error
        "abort" (default): an exception ends the operation; "null": the view gets one row for the
        failed row, without values but with the error. `create_view` can override it.
    version
        Set it if rows have changed although the source has not, and if the function closes over a
        value that cannot be identified; by default a hash of the source.
    name
        The name in stored expressions; by default module and qualified name.

    Examples
    --------
    >>> import barbule as bb
    >>> @bb.iterator(return_type={"word": str})
    ... def words(text: str):
    ...     for word in text.split():
    ...         yield {"word": word}
    >>> words("strands of a feather")[0]
    {'word': 'strands'}

    >>> from typing import TypedDict
    >>> class Pair(TypedDict):
    ...     first: str
    ...     second: str
    >>> @bb.iterator
    ... class Pairs:
    ...     def __init__(self, text: str) -> None:
    ...         self.words = iter(text.split())
    ...     def __next__(self) -> Pair:
    ...         return {"first": next(self.words), "second": next(self.words)}
    >>> Pairs("strands of a feather")[1]
    {'first': 'a', 'second': 'feather'}
    """
    if function is None:
        return lambda decorated: iterator(
            decorated, return_type=return_type, on_error=on_error, version=version, name=name
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ExpressionError(
            "an iterator must be a plain function or a class.",
            value=function,
            hint="Do asynchronous work in an async @bb.udf, in a computed column.",
        )
    is_class = inspect.isclass(function)
    hints = hints_of(vars(function).get("__init__", object) if is_class else function)
    row_type = dt.Struct(dict(types.schema(return_type or _row_hint(function, hints)).items()))
    source = Source(function)
    return register(
        Function(
            name=name or name_of(function, source),
            body=_list_body(function),
            kind="row",
            returns=dt.Array(row_type),
            parameters=parameters_of(function, hints, batched=False),
            on_error=check_on_error(on_error),
            stated_version=version or "",
            source=source,
        )
    )


def _list_body(function: Callable[..., Any]) -> Callable[..., list[Any]]:
    """Return a function with the same signature that lists the items of an iterator."""
    is_class = inspect.isclass(function)

    def body(*args: Any, **kwargs: Any) -> list[Any]:
        rows = function(*args, **kwargs)
        return _exhaust(rows) if is_class else list(rows)

    body.__signature__ = signature_of(function)  # type: ignore[attr-defined]
    body.__doc__ = inspect.getdoc(function)
    return body


def _row_hint(function: Callable[..., Any], hints: Mapping[str, Any]) -> object:
    """Return the annotation of an iterator's rows."""
    if inspect.isclass(function):
        if not hasattr(function, "__iter__") and not hasattr(function, "__next__"):
            raise ExpressionError(
                "the class of an iterator must have __iter__ or __next__.", value=function
            )
        for method, is_generic in (("__next__", False), ("__iter__", True)):
            returns = hints_of(getattr(function, method, object)).get("return")
            arguments = typing.get_args(returns) if is_generic else (returns,)
            if arguments and arguments[0] not in {None, Any}:
                return arguments[0]
    elif arguments := typing.get_args(hints.get("return")):
        return arguments[0]
    raise SchemaError(
        f"the iterator {qualified_name(function)} does not declare the columns of its rows.",
        hint='Pass return_type={"text": str}, or annotate the result as Iterator[Row].',
    )


def _exhaust(rows: Iterator[Any]) -> list[Any]:
    """List the items of an object of an iterator's class, and close it."""
    try:
        return list(rows if hasattr(rows, "__iter__") else _steps(rows))
    finally:
        if callable(close := getattr(rows, "close", None)):
            close()


def _steps(rows: Iterator[Any]) -> Iterator[Any]:
    """Iterate over an object that has only `__next__`."""
    while True:
        try:
            row = next(rows)
        except StopIteration:
            return
        yield row
