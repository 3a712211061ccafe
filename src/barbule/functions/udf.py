"""The decorators that make Python functions part of expressions: `udf` and `query`.

Owns what may be said of a function. Runs nothing itself.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule import types
from barbule.errors import ExpressionError, SchemaError
from barbule.functions.identity.bindings import has_object
from barbule.functions.identity.code import called_for, qualified_name
from barbule.functions.identity.source_hash import Source, name_of
from barbule.functions.parameters.signatures import (
    hints_of,
    parameters_of,
    return_type_of,
    signature_of,
)
from barbule.functions.parameters.stateful import Stateful, body_of, start_parameters
from barbule.functions.registry import (
    Function,
    OnError,
    Parameter,
    check_on_error,
    register,
)
from barbule.suggestions import check_arguments
from barbule.threads import cores

__all__ = ["iterator", "query", "udf"]


@check_arguments
def udf(  # noqa: PLR0913 - each is an option of users
    function: Callable[..., Any] | None = None,
    *,
    return_type: Any = None,
    batch_size: int | None = None,
    on_error: OnError | None = None,
    error_handling: OnError | None = None,
    retries: int = 0,
    timeout: float | None = None,
    cache: bool = False,
    concurrency: int | None = None,
    processes: bool | int = False,
    resources: Mapping[str, float] | None = None,
    version: str | None = None,
    name: str | None = None,
) -> Any:
    """Make a function whose calls on columns are expressions.

    Parameters
    ----------
    function
        A function, plain or `async`. Images arrive as PIL images, other media as local paths,
        Json as Python values. Whatever else can be called is one, too: a method, a
        `functools.partial`, a function of Python's own, an object with `__call__`. A row with
        None for a parameter that is not annotated as optional is not called and gives None. Or
        a class with `__call__`: called with what its `__init__` takes it gives the function; its
        object is made once in a process, when the function is called for the first row.
    return_type
        The type of the result, where the annotation does not say it; Json if neither does. For
        a batch function it is the type of the returned list.
    batch_size
        Makes it a batch function: parameters annotated as lists receive up to so many rows at
        once, the others must be constants; it returns a list, one result for each row. One that
        is not annotated receives lists too, but a constant for a parameter with a default as it
        is.
    on_error
        "abort" (default): an exception ends the operation and nothing of it is kept; "null":
        the cell stays empty. `error_handling` is another name of it. A batch that fails is then
        called once more by halves, down to single rows, so that only cells of rows at fault are
        empty; of functions whose calls may cost something (`cache=True`), and after `timeout`,
        all cells of the batch are.
    retries
        How often a failed call is tried again.
    timeout
        Seconds that one call may take. That a process for it starts (see `processes`) is not
        counted.
    cache
        Whether results are kept in the call ledger and never computed twice.
    concurrency
        How many calls of a plain function may run at once, in threads: more than 1 helps what
        waits (for a network, a disk) or leaves Python (NumPy, PIL). By default one at a time;
        functions of images, one for each processor.
    processes
        How many processes run the calls of a plain function, True for one for each processor:
        for what computes in Python for longer than about a millisecond. The function is found
        there by its name, so it has to be in a module that can be imported; arguments and
        results are sent by pickle. A time limit ends the process. One that crashes is the error
        of its row.
    resources
        What a call needs: `{"gpu": 1}`, or a part of one, `{"gpu": 0.5}`. No more calls run at
        once, of all functions of a session, than there are; where there are not enough, a call
        fails.
    version
        Say it when results changed though the source did not, or the reverse, and where the
        function closes over what cannot be identified: a client, a lock, a network of torch, a
        large array. By default a hash of the source.
    name
        The name for stored expressions; by default module and qualified name.

    Returns
    -------
    Function
        Called with columns it gives an expression; with plain values it calls the function.

    Raises
    ------
    SchemaError
        When an annotation is no type that a column can have.

    Examples
    --------
    >>> import barbule as bb
    >>> @bb.udf
    ... def shout(text: str) -> str:
    ...     return text.upper() + "!"
    >>> shout("hello")
    'HELLO!'
    """
    if function is None:
        return lambda body: udf(
            body,
            return_type=return_type,
            batch_size=batch_size,
            on_error=on_error,
            error_handling=error_handling,
            retries=retries,
            timeout=timeout,
            cache=cache,
            concurrency=concurrency,
            processes=processes,
            resources=resources,
            version=version,
            name=name,
        )
    if not callable(function) or (inspect.isclass(function) and "__call__" not in vars(function)):
        raise ExpressionError(
            "a udf is a function.",
            value=function,
            hint="Decorate a function (def or async def), or a class that has __call__.",
        )
    if batch_size is not None and batch_size < 1:
        raise ExpressionError("batch_size is a whole number from 1.", value=batch_size)
    if concurrency is not None and concurrency < 1:
        raise ExpressionError("concurrency is a whole number from 1.", value=concurrency)
    policy = check_on_error(on_error or error_handling or "abort")
    home = _home(function, processes) if processes is not False else None
    kind = function if inspect.isclass(function) else None
    called: Any = vars(kind)["__call__"] if kind else called_for(function)
    hints = hints_of(called if kind else function)
    batched = batch_size is not None
    parameters = parameters_of(called, hints, batched=batched)

    def declare(body: Callable[..., Any], returns: Any) -> Function:
        kinds = parameters_of(body, hints_of(body), batched=batched)
        shown = ", ".join(str(each.kind or "any") for each in kinds)
        options: dict[str, Any] = {
            "batch_size": batch_size,
            "on_error": policy,
            "retries": retries,
            "timeout": timeout,
            "cache": cache,
            "concurrency": concurrency,
            "processes": processes,
            "resources": resources,
            "version": version,
        }
        return udf(body, return_type=returns, name=f"{made.name}({shown})", **options)

    if kind:
        # Without self; what the class is made with is constant, and may be None.
        started = [Parameter(each.name, None, True) for each in start_parameters(kind)]
        parameters = (*parameters[1:], *started)
    # Reading a source takes longer than all else here, and there are a hundred built-in functions.
    source = None if name and version else Source(function)
    made = register(
        Function(
            name=name or name_of(function, source or Source(function)),
            body=body_of(kind) if kind else called,
            kind="batch" if batched else "row",
            returns=return_type_of(hints.get("return"), return_type, batched=batched),
            parameters=parameters,
            batch_size=batch_size or 1,
            on_error=policy,
            retries=retries,
            timeout=timeout,
            cached=cache,
            concurrency=concurrency,
            processes=home and _processes(processes),
            home=home,
            gpus=_gpus(resources),
            stated=version or "",
            named=bool(name),
            source=source,
            declare=None if kind else declare,
        )
    )
    return Stateful(kind, made) if kind else made


def _gpus(resources: Mapping[str, float] | None) -> float:
    given = dict(resources or {})
    share = given.pop("gpu", 0)
    number = isinstance(share, int | float) and not isinstance(share, bool) and share >= 0
    if given or not number:
        raise ExpressionError(
            "resources says how many GPUs a call needs.",
            value=resources,
            hint='resources={"gpu": 1}, or {"gpu": 0.5} where two calls fit on one.',
        )
    return float(share)


def _home(function: Callable[..., Any], processes: bool | int) -> tuple[str, str]:
    """Return by which name other processes find a function."""
    called = vars(function)["__call__"] if inspect.isclass(function) else function
    if not isinstance(processes, int) or processes < 1:
        raise ExpressionError(
            "processes is True, or a whole number from 1.", value=processes, hint="processes=4."
        )
    named = (
        inspect.isfunction(function)
        or inspect.isclass(function)
        or (inspect.isbuiltin(function) and not has_object(function))
    )
    if not named:
        raise ExpressionError(
            f"{qualified_name(function)} cannot be found by another process: it is no function "
            "that a module defines.",
            hint="Define one with def that calls it, at the top of a module.",
        )
    module, name = function.__module__, function.__qualname__
    if inspect.iscoroutinefunction(called):
        raise ExpressionError(
            f"{name} is asynchronous: it waits, and other processes would not help.",
            hint="Leave processes out, or write it as a plain function.",
        )
    if module == "__main__" or "<" in name:
        raise ExpressionError(
            f"{name} cannot be found by another process: it is defined in "
            + ("a script or notebook." if module == "__main__" else "another function."),
            hint="Put it at the top of a module, a file of its own, and import it from there; or "
            "run it in threads, with concurrency=.",
        )
    return module, name


def _processes(processes: bool | int) -> int:
    return cores() if processes is True else int(processes)


@check_arguments
def iterator(
    function: Callable[..., Any] | None = None,
    *,
    return_type: Any = None,
    on_error: OnError = "abort",
    version: str | None = None,
    name: str | None = None,
) -> Any:
    """Make a function that gives many rows for one, for `create_view(iterator=...)`.

    Parameters
    ----------
    function
        A generator, or a function that returns a list; each item becomes a row of the view.
        Or a class: `__init__` takes the values of a row, and its object is gone through, by
        `__iter__` or `__next__`; where it has `close`, that is called at the end.
    return_type
        The schema of those rows, where the annotation (`Iterator[Row]` or `list[Row]`, with a
        pydantic model, dataclass or TypedDict; of `__next__`, `Row`) does not say it.
    on_error
        "abort" (default): an exception ends the operation; "null": the view gets one row for
        the row that failed, without values but with the reason. See `create_view`, which may
        say it too.
    version
        Say it when rows changed though the source did not, and where the function closes over
        what cannot be identified; by default a hash of the source.
    name
        The name for stored expressions; by default module and qualified name.

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
        options: dict[str, Any] = {"on_error": on_error, "version": version, "name": name}
        return lambda body: iterator(body, return_type=return_type, **options)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise ExpressionError(
            "an iterator is a plain function or class.",
            value=function,
            hint="What has to wait is the business of an async @bb.udf, in a computed column.",
        )
    is_class = inspect.isclass(function)
    hints = hints_of(vars(function).get("__init__", object) if is_class else function)
    kind = dt.Struct(dict(types.schema(return_type or _row_type(function, hints)).items()))
    source = Source(function)

    def body(*args: Any, **kwargs: Any) -> list[Any]:
        made = function(*args, **kwargs)
        return _gone_through(made) if is_class else list(made)

    body.__signature__ = signature_of(function)  # type: ignore[attr-defined]
    body.__doc__ = inspect.getdoc(function)
    return register(
        Function(
            name=name or name_of(function, source),
            body=body,
            kind="row",
            returns=dt.Array(kind),
            parameters=parameters_of(function, hints, batched=False),
            on_error=check_on_error(on_error),
            stated=version or "",
            source=source,
        )
    )


def _row_type(function: Any, hints: Mapping[str, Any]) -> Any:
    """Return what an iterator says that its rows are."""
    if inspect.isclass(function):
        if not hasattr(function, "__iter__") and not hasattr(function, "__next__"):
            raise ExpressionError(
                "the class of an iterator has __iter__ or __next__.", value=function
            )
        for name, wrapped in (("__next__", False), ("__iter__", True)):
            said = hints_of(getattr(function, name, object)).get("return")
            inner = typing.get_args(said) if wrapped else (said,)
            if inner and inner[0] not in {None, Any}:
                return inner[0]
    elif inner := typing.get_args(hints.get("return")):
        return inner[0]
    raise SchemaError(
        f"the iterator {qualified_name(function)} does not say what its rows are.",
        hint='Give return_type={"text": str}, or annotate it as Iterator[Row].',
    )


def _gone_through(made: Any) -> list[Any]:
    """List what an object of an iterator's class gives, and close it."""
    try:
        return list(made if hasattr(made, "__iter__") else _stepped(made))
    finally:
        if callable(close := getattr(made, "close", None)):
            close()


def _stepped(made: Any) -> Iterator[Any]:
    while True:
        try:
            item = next(made)
        except StopIteration:
            return
        yield item


@check_arguments
def query(
    function: Callable[..., Any] | None = None,
    *,
    version: str | None = None,
    name: str | None = None,
) -> Any:
    """Make a query with parameters: called with values or with columns.

    Called with plain values it returns the query. Called with columns it is an expression: for
    each row a list of the rows that the query gives for that row's values.

    A stored column of it keeps what the tables held when its row was written. Of its own table
    this is what was there before the insert or update, without the rows written with it. Later
    changes of these tables do not reach it, and `stale()`, which is about functions that have
    changed, does not tell of them: `recompute("column")` brings it up to date. A view over a join
    or an aggregate follows its tables by itself.

    Parameters
    ----------
    function
        Takes values and returns an expression over managed tables.
    version
        Say it when results changed though the source did not, or the reverse, and where the
        function closes over what cannot be identified; by default a hash of the source.
    name
        The name for stored expressions; by default module and qualified name.

    Examples
    --------
    >>> import barbule as bb
    >>> films = bb.create_table("films", {"name": bb.String, "revenue": bb.Float})
    >>> _ = films.insert(name="Up", revenue=735.1)
    >>> @bb.query
    ... def at_least(revenue: float):
    ...     return films.where(films.revenue >= revenue).select(films.name)
    >>> at_least(700.0).collect()[0]
    {'name': 'Up'}
    """
    if function is None:
        return lambda body: query(body, version=version, name=name)
    hints = hints_of(function)
    source = Source(function)
    return register(
        Function(
            name=name or name_of(function, source),
            body=called_for(function),
            kind="query",
            returns=lambda arguments: _query_type(function, arguments),
            parameters=parameters_of(function, hints, batched=False),
            stated=version or "",
            source=source,
        )
    )


def _query_type(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dt.DataType:
    """Build the query once with placeholders to see what rows it gives."""
    placeholders = {
        name: ibis.param(value.type()) if isinstance(value, ir.Expr) else value
        for name, value in arguments.items()
    }
    result = function(**placeholders)
    if isinstance(result, ir.Table):
        return dt.Array(result.schema().as_struct())
    if isinstance(result, ir.Column):
        return dt.Array(result.type())
    if isinstance(result, ir.Scalar):
        return result.type()
    raise ExpressionError(
        f"the query {qualified_name(function)} returned a {type(result).__name__}.",
        hint="A query function returns an expression, a table or a column of one.",
    )
