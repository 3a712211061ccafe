"""The decorator that makes a Python function usable in expressions: `udf`.

Owns the options of a function. Runs nothing itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, overload

from barbule.errors import ExpressionError
from barbule.functions.function import Function, OnError, check_on_error
from barbule.functions.identity.code import called_for
from barbule.functions.identity.source_hash import Source, name_of
from barbule.functions.parameters.options import Options, import_path_of
from barbule.functions.parameters.parameter import Parameter
from barbule.functions.parameters.signatures import hints_of, parameters_of, return_type_of
from barbule.functions.parameters.stateful import Stateful, body_of_class, init_parameters
from barbule.functions.registry import register
from barbule.suggestions import check_arguments

__all__ = ["udf"]


class _Class(Protocol):
    """A class, distinguished from other callables by what all classes have."""

    @property
    def __mro__(self) -> tuple[type, ...]: ...


class _Decorator(Protocol):
    """`udf` with its options, before it receives the function."""

    @overload
    def __call__(self, function: _Class, /) -> Stateful: ...
    @overload
    def __call__(self, function: Callable[..., Any], /) -> Function: ...


@overload
def udf(
    function: _Class,
    *,
    return_type: object = None,
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
) -> Stateful: ...
@overload
def udf(
    function: Callable[..., Any],
    *,
    return_type: object = None,
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
) -> Function: ...
@overload
def udf(
    function: None = None,
    *,
    return_type: object = None,
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
) -> _Decorator: ...
@check_arguments
def udf(  # noqa: PLR0913 - each is an option of users
    function: Callable[..., Any] | _Class | None = None,
    *,
    return_type: object = None,
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
) -> Function | Stateful | _Decorator:
    """Create a function whose calls on columns are expressions.

    Parameters
    ----------
    function
        A function, plain or `async`. Images are passed as PIL images, other media as local paths,
        Json as Python values. Other callables work as well: a method, a `functools.partial`, a
        built-in function, an object with `__call__`. A function is not called for a row with None
        for a parameter that is not annotated as optional; the result is None. Or a class with
        `__call__`: called with the arguments of its `__init__` it returns the function; its object
        is created once per process, when the function is called for the first row.
    return_type
        The type of the result, if the annotation does not define it; Json if neither does. For a
        batch function it is the type of the returned list.
    batch_size
        Makes it a batch function: parameters annotated as lists receive up to this number of rows
        at once, the others must be constants; it returns a list with one result for each row. A
        parameter without an annotation also receives lists, but a constant is passed unchanged to a
        parameter with a default.
    on_error
        "abort" (default): an exception ends the operation, which is rolled back; "null": the cell
        stays empty. `error_handling` is an alias. A batch that fails is then called again in
        halves, down to single rows, so that only the failing rows have empty cells; for functions
        whose calls may cost money (`cache=True`), and after `timeout`, all cells of the batch are
        empty.
    retries
        How often a failed call is retried.
    timeout
        Timeout of one call in seconds. The start of a process for it (see `processes`) does not
        count.
    cache
        Whether results are stored in the call ledger and never computed twice.
    concurrency
        The maximum number of concurrent calls of a plain function, in threads: more than 1 helps
        functions that wait (for a network, a disk) or release the GIL (NumPy, PIL). By default one
        at a time; for image functions, one per processor.
    processes
        The number of processes that run the calls of a plain function, True for one per processor:
        for functions that compute in Python for longer than about a millisecond. The processes
        import the function by name, so it must be in an importable module; arguments and results
        are pickled. A timeout kills the process. A crash is the error of its row.
    resources
        The resources of a call: `{"gpu": 1}`, or a fraction, `{"gpu": 0.5}`. Calls of all functions
        of a session run concurrently only while enough GPUs are available; if the machine has too
        few, a call fails.
    version
        Set it if results have changed although the source has not, or the reverse, and if the
        function closes over a value that cannot be identified: a client, a lock, a torch network, a
        large array. By default a hash of the source.
    name
        The name in stored expressions; by default module and qualified name.

    Returns
    -------
    Function
        Called with columns it returns an expression; with plain values it calls the function.

    Raises
    ------
    SchemaError
        If an annotation is not a supported column type.

    Examples
    --------
    >>> import barbule as bb
    >>> @bb.udf
    ... def shout(text: str) -> str:
    ...     return text.upper() + "!"
    >>> shout("hello")
    'HELLO!'
    """
    options = Options(
        return_type=return_type,
        batch_size=batch_size,
        on_error=check_on_error(on_error or error_handling or "abort"),
        retries=retries,
        timeout=timeout,
        cache=cache,
        concurrency=concurrency,
        processes=processes,
        resources=resources,
        version=version,
    )
    if function is None:
        return _decorator(options, name)
    return _declare(function, options, name)


def _decorator(options: Options, name: str | None) -> _Decorator:
    @overload
    def decorate(function: _Class, /) -> Stateful: ...
    @overload
    def decorate(function: Callable[..., Any], /) -> Function: ...
    def decorate(function: Callable[..., Any] | _Class, /) -> Function | Stateful:
        return _declare(function, options, name)

    return decorate


def _declare(function: Any, options: Options, name: str | None) -> Function | Stateful:
    """Register a function, or that of a class."""
    cls = function if inspect.isclass(function) else None
    if not callable(function) or (cls and "__call__" not in vars(cls)):
        raise ExpressionError(
            "a udf must be a function.",
            value=function,
            hint="Decorate a function (def or async def), or a class that has __call__.",
        )
    import_path = None
    if options.processes is not False:
        import_path = import_path_of(function, options.processes)
    called: Callable[..., Any] = vars(cls)["__call__"] if cls else called_for(function)
    hints = hints_of(called if cls else function)
    parameters = parameters_of(called, hints, batched=options.is_batched)
    if cls:  # without self; the arguments of the class are constants, and may be None
        init = (Parameter(parameter.name, nullable=True) for parameter in init_parameters(cls))
        parameters = (*parameters[1:], *init)
    # Reading a source takes longer than everything else here, and there are a hundred built-in
    # functions.
    source = None if name and options.version else Source(function)
    registry_name = name or name_of(function, source or Source(function))
    declared = register(
        Function(
            name=registry_name,
            body=body_of_class(cls) if cls else called,
            kind="batch" if options.is_batched else "row",
            returns=return_type_of(
                hints.get("return"), options.return_type, batched=options.is_batched
            ),
            parameters=parameters,
            batch_size=options.batch_size or 1,
            on_error=options.on_error,
            retries=options.retries,
            timeout=options.timeout,
            cached=options.cache,
            concurrency=options.concurrency,
            processes=options.process_count,
            import_path=import_path,
            gpus=options.gpus,
            stated_version=options.version or "",
            is_named=bool(name),
            source=source,
            make_overload=None if cls else _overload_maker(registry_name, options),
        )
    )
    return Stateful(cls, declared) if cls else declared


def _overload_maker(
    name: str, options: Options
) -> Callable[[Callable[..., Any], object], Function]:
    """Return the decorator for overloads: with the same options, by their own names."""

    def make_overload(body: Callable[..., Any], return_type: object) -> Function:
        parameters = parameters_of(body, hints_of(body), batched=options.is_batched)
        dtypes = ", ".join(str(parameter.dtype or "any") for parameter in parameters)
        own_options = replace(options, return_type=return_type)
        declared = _declare(body, own_options, f"{name}({dtypes})")
        if isinstance(declared, Stateful):
            raise ExpressionError(
                "an overload must be a function.",
                value=body,
                hint="Decorate a function, not a class.",
            )
        return declared

    return make_overload
