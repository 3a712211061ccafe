"""What a function is to barbule, and the functions that this process knows by name.

Owns the `Function` record and the registry. A function is *found* here by its name; no code
is ever loaded from a database. How a call runs is the executor's business.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from ibis.common.deferred import Deferred

from barbule.errors import ExpressionError, UnknownFunctionError
from barbule.nodes import build_call

__all__ = ["Function", "Parameter", "lookup", "register"]

Kind = Literal["row", "batch", "model", "query"]
OnError = Literal["abort", "null"]

_BUILT_IN = "barbule.functions."


@dataclass(frozen=True)
class Parameter:
    """One parameter of a function.

    Attributes
    ----------
    kind
        The type that an argument has in each row; None when the function does not say.
    nullable
        Whether the function takes None; otherwise a row with None is not called and gives None.
    batched
        Whether a batch function takes a list here, one item for each row.
    """

    name: str
    kind: dt.DataType | None = None
    nullable: bool = False
    batched: bool = False


@dataclass(frozen=True, eq=False)
class Function:
    """A function whose calls are expressions.

    Attributes
    ----------
    name
        The name under which stored expressions find it, module included.
    body
        The Python callable.
    kind
        "row": called for each row; "batch": with lists; "model": asynchronous, called with the
        model client first, answers with a `Reply`; "query": returns an expression to run.
    returns
        The type of one row's result, or a callable that tells it from the bound arguments.
    batch_size
        Rows to a call of a batch function, at most.
    on_error
        "abort" ends the operation, "null" leaves the cell empty.
    retries
        How often a call that failed is tried again.
    timeout
        Seconds that a call may take; None for no limit. Synchronous functions cannot be
        interrupted: a call over time counts as failed and its thread ends when it ends.
    cached
        Whether answers are kept in the call ledger.
    concurrency
        How many calls of a synchronous function may run at once, in threads. None leaves it to
        the executor: one, or one for each processor where images are taken or given.
    processes
        How many processes run the calls of a synchronous function; None runs them in this one.
    home
        For these: the module and the qualified name by which others find the function.
    images
        How images arrive: "pixels", opened and read; "header", what the header alone tells; or
        "streamed": those in a list are opened one by one, as it is gone through. "current":
        media of all kinds come as local files with the content that they have now.
    version
        Changes when the function does; by default a hash of its source.
    model_of
        For a model function: tells the name of the model, prefix included, from the arguments.
    prepare
        Turns bound arguments into what a stored call says, and checks them; None leaves them.
    fixed
        Arguments that `using` has set.
    beside
        The name of the function that does for single items what this one does for a list.
    """

    name: str
    body: Callable[..., Any]
    kind: Kind
    returns: dt.DataType | Callable[[Mapping[str, Any]], dt.DataType]
    parameters: tuple[Parameter, ...] = ()
    batch_size: int = 1
    on_error: OnError = "abort"
    retries: int = 0
    timeout: float | None = None
    cached: bool = False
    concurrency: int | None = None
    processes: int | None = None
    home: tuple[str, str] | None = None
    images: Literal["pixels", "header", "streamed", "current"] = "pixels"
    version: str = "1"
    model_of: Callable[[Mapping[str, Any]], str] | None = None
    prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    beside: str | None = None

    @property
    def is_async(self) -> bool:
        """Whether the body is a coroutine function."""
        return inspect.iscoroutinefunction(self.body)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        """The docstring of the function itself."""
        return inspect.getdoc(self.body)

    def __repr__(self) -> str:
        return f"<function {self.name}>"

    def using(self, **fixed: Any) -> Function:
        """Fix some arguments and return a function of the rest."""
        parameters = self.signature.parameters
        if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
            for name in fixed:
                if name not in parameters:
                    raise ExpressionError(
                        f"{self.name} has no parameter {name!r}.",
                        hint=f"It takes {', '.join(parameters)}.",
                    )
        return replace(self, fixed={**self.fixed, **fixed})

    def of_single_items(self) -> Function:
        """Return the function of single items that stands beside one of lists; else this one."""
        if self.beside is None:
            return self
        single = lookup(self.beside)
        body = inspect.signature(single.body).parameters
        fixed = {name: each for name, each in self.fixed.items() if name in body}
        return single.using(**fixed)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call with columns for an expression; with plain values for a plain result.

        Model functions always give an expression: what they cost is decided by the query
        around them.
        """
        arguments = self._bind(args, kwargs)
        if _holds(arguments, Deferred):
            return _deferred_call(self, arguments)
        if self.kind != "model" and not _holds(arguments, ir.Expr):
            return self.body(*args, **{**self.fixed, **kwargs})
        return self.call(arguments)

    def call(self, arguments: Mapping[str, Any], *, cached: bool | None = None) -> ir.Value:
        """Make the expression of a call with bound arguments."""
        if self.prepare is not None:
            arguments = self.prepare(dict(arguments))
        known = isinstance(self.returns, dt.DataType)  # which Ibis makes callable
        returns = self.returns if known else self.returns(arguments)
        keep = self.cached if cached is None else cached
        return build_call(self.name, returns, arguments, version=self.version, cached=keep)

    def of(self, column: ir.Value, *, cached: bool | None = None) -> ir.Value:
        """Make the expression of a call on one column, the other arguments being fixed."""
        return self.call(self._bind((column,), {}), cached=cached)

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Assign arguments to parameters; what `using` fixed is skipped by position."""
        fixed = {name: kwargs.get(name, value) for name, value in self.fixed.items()}
        whole = self.signature
        rest = whole.replace(
            parameters=[each for name, each in whole.parameters.items() if name not in fixed]
        )
        try:
            bound = rest.bind(
                *args, **{name: value for name, value in kwargs.items() if name not in fixed}
            )
        except TypeError as error:
            raise ExpressionError(
                f"{self.name}{whole}: {error}.", hint="Check the arguments of the call."
            ) from error
        bound.apply_defaults()
        return {**_flatten_variadic(rest, bound.arguments), **fixed}

    @property
    def signature(self) -> inspect.Signature:
        """The signature that callers see (a model function's client is not theirs)."""
        signature = inspect.signature(self.body)
        if self.kind == "model":
            signature = signature.replace(parameters=list(signature.parameters.values())[1:])
        return signature


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


def _holds(value: Any, kind: type) -> bool:
    if isinstance(value, Mapping):
        return any(_holds(item, kind) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_holds(item, kind) for item in value)
    return isinstance(value, kind)


def _deferred_call(function: Function, arguments: Mapping[str, Any]) -> Any:
    """Delay the call until `ibis._` is known."""
    from ibis.common.deferred import deferrable

    @deferrable
    def call(arguments: Mapping[str, Any]) -> ir.Value:
        return function.call(dict(arguments))

    return call(dict(arguments))


_REGISTRY: dict[str, Function] = {}


def register(function: Function) -> Function:
    """Make a function known by its name; a later one of the same name takes its place."""
    _REGISTRY[function.name] = function
    return function


def lookup(name: str) -> Function:
    """Find a function by the name that a stored expression gives.

    barbule's own functions are imported when they are needed; a user's must have been defined
    or imported before.

    Raises
    ------
    UnknownFunctionError
        When this process does not define it.
    """
    if name not in _REGISTRY and name.startswith(_BUILT_IN):
        module, short = name.rsplit(".", 1)
        if importlib.util.find_spec(module) is not None:
            # The functions of a provider are made when they are first looked at.
            getattr(importlib.import_module(module), short, None)
    if name not in _REGISTRY:
        module, _, short = name.rpartition(".")
        raise UnknownFunctionError(
            f"the function {name!r} is not defined in this process.",
            hint=f"Import the module {module!r} that defines {short!r} (with @bb.udf or "
            "@bb.query) first; what it computed before can be read all the same.",
        )
    return _REGISTRY[name]
