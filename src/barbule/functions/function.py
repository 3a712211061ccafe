"""The record of a function: its body, its options and its versions.

Owns the `Function` record, and how a call becomes an expression. The executor runs calls;
`registry` knows which functions a process defines.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from ibis.common.deferred import Deferred, deferrable

from barbule.errors import ExpressionError
from barbule.functions.identity.code import underlying
from barbule.functions.identity.generations import Generation
from barbule.functions.identity.versions import Versioned
from barbule.functions.parameters.argument_check import fit_arguments
from barbule.functions.parameters.binding import bind_free, contains
from barbule.functions.parameters.parameter import Parameter
from barbule.nodes import build_call
from barbule.relations.errors.checked_values import checked
from barbule.relations.errors.refused_arguments import refuse_formatted
from barbule.suggestions import one_of

__all__ = ["GENERATIONS", "Arguments", "Function", "Kind", "OnError", "check_on_error"]

Kind = Literal["row", "batch", "model", "query"]
OnError = Literal["abort", "null"]
Arguments = Mapping[str, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Function(Versioned):
    """A function whose calls are expressions.

    Attributes
    ----------
    kind
        "row": called for each row; "batch": called with lists; "model": asynchronous, called with
        the model client first, returns a `Reply`; "query": returns an expression to run.
    returns
        The type of one row's result, or a callable that computes it from the bound arguments.
    batch_size
        The maximum number of rows in one call of a batch function.
    on_error
        "abort" ends the operation, "null" leaves the cell empty.
    retries
        How often a failed call is retried.
    timeout
        Timeout of a call in seconds; None for no limit. Synchronous functions cannot be
        interrupted: a call that exceeds the timeout counts as failed, and its thread ends when the
        call ends.
    cached
        Whether answers are stored in the call ledger.
    concurrency
        The maximum number of concurrent calls of a synchronous function, in threads. None lets the
        executor choose: one, or one per processor if images are arguments or results.
    processes
        The number of processes that run the calls of a synchronous function; None runs them in this
        process.
    import_path
        For these: the module and the qualified name by which other processes import the function.
    gpus
        The number of GPUs that a call needs, or a fraction of one.
    images
        How images are passed: "pixels", opened and decoded; "header", only the properties in the
        header; or "streamed": images in a list are opened one by one, as it is iterated. "file": as
        local files, like other media; "current": the same with their current content.
    model_of
        For a model function: computes the name of the model, including the prefix, from the
        arguments.
    prepare
        Converts bound arguments to those of a stored call, and checks them; None leaves them
        unchanged.
    fixed_arguments
        Arguments that `using` has set.
    single_item_function
        Returns the function for single items that corresponds to this function for lists.
    make_overload
        Creates another function with the same options and another body, for `overload`.
    overloads
        The functions that are called instead if the arguments match them better.
    call_policy
        The error policy of its calls, set with `on_error=`; None uses `on_error`.
    """

    kind: Kind
    returns: dt.DataType | Callable[[Arguments], dt.DataType]
    parameters: tuple[Parameter, ...] = ()
    batch_size: int = 1
    on_error: OnError = "abort"
    retries: int = 0
    timeout: float | None = None
    cached: bool = False
    concurrency: int | None = None
    processes: int | None = None
    import_path: tuple[str, str] | None = None
    gpus: float = 0
    images: Literal["pixels", "header", "streamed", "file", "current"] = "pixels"
    model_of: Callable[[Arguments], str] | None = None
    prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    fixed_arguments: Arguments = field(default_factory=dict)
    single_item_function: Callable[[], Function] | None = None
    make_overload: Callable[[Callable[..., Any], object], Function] | None = None
    overloads: list[Function] = field(default_factory=list)
    call_policy: OnError | None = None

    @property
    def former_version_is_unique(self) -> bool:
        """Whether no other function from the same lines had the same former version."""
        if self.stated_version:
            return not any(
                other.stated_version == self.stated_version
                and other.closure_hash != self.closure_hash
                for other in GENERATIONS.get(self.name, ())
            )
        return not self.closure_hash or self.source is None or self.source.closure.is_plain()

    @property
    def is_async(self) -> bool:
        """Whether the body is a coroutine function."""
        return inspect.iscoroutinefunction(self.body)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        """The docstring of the function itself."""
        return inspect.getdoc(underlying(self.source.function) if self.source else self.body)

    def __repr__(self) -> str:
        return f"<function {self.name}>"

    @property
    def signature(self) -> inspect.Signature:
        """The signature that callers see (without the client of a model function)."""
        signature = inspect.signature(self.body)
        if self.kind == "model":
            signature = signature.replace(parameters=list(signature.parameters.values())[1:])
        return signature

    def using(self, **fixed: Any) -> Function:
        """Fix some arguments and return a function of the others.

        With `on_error="null"`, failing calls leave their cells empty; with "abort" they end the
        operation, regardless of the function's own policy.
        """
        parameters = self.signature.parameters
        if "on_error" in fixed and "on_error" not in parameters:
            policy = check_on_error(fixed.pop("on_error"))
            return replace(self, call_policy=policy).using(**fixed)
        if not any(
            parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()
        ):
            for name in fixed:
                if name not in parameters:
                    raise ExpressionError(
                        f"{self.name} has no parameter {name!r}.",
                        hint=one_of(name, parameters, "It takes"),
                    )
        return replace(self, fixed_arguments={**self.fixed_arguments, **fixed})

    def of_single_items(self) -> Function:
        """Return the function for single items that corresponds to one for lists; else this one."""
        if self.single_item_function is None:
            return self
        single = self.single_item_function()
        parameters = inspect.signature(single.body).parameters
        fixed = {name: value for name, value in self.fixed_arguments.items() if name in parameters}
        return replace(single.using(**fixed), call_policy=self.call_policy)

    @typing.overload
    def overload(self, body: Callable[..., Any], *, return_type: object = None) -> Function: ...
    @typing.overload
    def overload(
        self, body: None = None, *, return_type: object = None
    ) -> Callable[[Callable[..., Any]], Function]: ...
    def overload(
        self, body: Callable[..., Any] | None = None, *, return_type: object = None
    ) -> Function | Callable[[Callable[..., Any]], Function]:
        """Add a body for arguments of other types, and return the function.

        Parameters
        ----------
        body
            A function with annotated parameters; it has the options of this one.
        return_type
            The type of its result, if the annotation does not define it.

        Raises
        ------
        ExpressionError
            If it takes the same types as the function itself.

        Examples
        --------
        >>> import barbule as bb
        >>> @bb.udf
        ... def size(text: str) -> int:
        ...     return len(text)
        >>> @size.overload
        ... def size_of_image(image: bb.Image) -> int:
        ...     return image.width * image.height
        >>> import PIL.Image
        >>> size("barb"), size(PIL.Image.new("RGB", (4, 2)))
        (4, 8)
        """
        if body is None:
            return lambda decorated: self.overload(decorated, return_type=return_type)
        if self.make_overload is None:
            raise ExpressionError(
                f"{self.name} takes no overloads.",
                hint="Only functions made with @bb.udf take overloads.",
            )
        added = self.make_overload(body, return_type)
        if [parameter.dtype for parameter in added.parameters] == [
            parameter.dtype for parameter in self.parameters
        ]:
            raise ExpressionError(
                f"{self.name}: the overload takes the same types as the function itself.",
                hint="Annotate its parameters with other types.",
            )
        # A function with the same types replaces the other, for example when a cell is run again.
        self.overloads[:] = [other for other in self.overloads if other.name != added.name]
        self.overloads.append(added)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call with columns to get an expression; with plain values to get a plain result.

        Model functions always return an expression: the query around them determines their cost. In
        addition to its own arguments, each function takes `on_error="null"`, which leaves cells
        empty if it fails, or "abort".
        """
        if "on_error" in kwargs and "on_error" not in self.signature.parameters:
            policy = kwargs.pop("on_error")
            return self.using(on_error=policy)(*args, **kwargs)
        if contains((args, kwargs, self.fixed_arguments), Deferred):
            if not self.overloads:
                self._bind(args, kwargs)  # invalid arguments are refused immediately
            return _deferred_call(self, args, kwargs)
        function, arguments = self._resolve_overload(args, kwargs)
        if function.kind != "model" and not contains(arguments, ir.Expr):
            try:
                return function.body(*args, **{**function.fixed_arguments, **kwargs})
            except Exception:
                if self.call_policy != "null":
                    raise
                return None
        return function.call(arguments)

    def of(self, column: ir.Value, *, cached: bool | None = None) -> ir.Value:
        """Return the expression of a call on one column, with the other arguments fixed."""
        function, arguments = self._resolve_overload((column,), {})
        return function.call(arguments, cached=cached)

    def call(self, arguments: Arguments, *, cached: bool | None = None) -> ir.Value:
        """Return the expression of a call with bound arguments."""
        refuse_formatted(arguments)
        if self.prepare is not None:
            arguments = self.prepare(dict(arguments))
        if self.kind != "model":
            arguments, _ = fit_arguments(self, arguments)
        is_dtype = isinstance(self.returns, dt.DataType)  # which Ibis makes callable
        returns = self.returns if is_dtype else self.returns(arguments)
        call = build_call(
            self.name,
            returns,
            arguments,
            version=self.version_to_call(arguments),
            cached=self.cached if cached is None else cached,
            on_error=self.call_policy,
        )
        return checked(call)

    def version_to_call(self, arguments: Arguments) -> str:
        """Return the version for which a call is written, which identifies this function later.

        Raises
        ------
        ExpressionError
            If another function with the same name would be called.
        """
        version, generation = self.version_of_call(arguments), GENERATIONS.get(self.name)
        if self.source is None or generation is None:
            return version
        if not generation.holds(self):
            if generation.accepts(self):  # it was dropped because there were too many
                generation.add(self)
            elif (other := generation.find(version)) is None or other.full_version != version:
                raise ExpressionError(
                    f"another function with the name {self.name!r} was defined after this one.",
                    hint="Give each function its own name, @bb.udf(name=...), or call the later "
                    "one.",
                )
        generation.note_call(self, version)
        return version

    def _resolve_overload(
        self, args: tuple[Any, ...], kwargs: Arguments
    ) -> tuple[Function, dict[str, Any]]:
        """Choose the best overload; return it with its bound arguments."""
        if not self.overloads:
            return self, self._bind(args, kwargs)
        candidates: list[tuple[int, Function, dict[str, Any]]] = []
        overloads = (
            replace(other, fixed_arguments=self.fixed_arguments, call_policy=self.call_policy)
            for other in self.overloads
        )
        for function in (self, *overloads):
            try:
                arguments = function._bind(args, kwargs)
                _, distance = fit_arguments(function, arguments)
            except ExpressionError:
                continue
            candidates.append((distance, function, arguments))
        if not candidates:
            types = ", ".join(map(_type_name, [*args, *kwargs.values()]))
            signatures = "; ".join(str(function.signature) for function in (self, *self.overloads))
            raise ExpressionError(
                f"{self.name}: no overload takes ({types}).", hint=f"There are: {signatures}."
            )
        _, function, arguments = min(candidates, key=lambda candidate: candidate[0])
        return function, arguments

    def _bind(self, args: tuple[Any, ...], kwargs: Arguments) -> dict[str, Any]:
        return bind_free(self.name, self.signature, args, kwargs, self.fixed_arguments)


GENERATIONS: dict[str, Generation[Function]] = {}
"""The functions that this process defines, by name; `registry` adds to it."""


def check_on_error(on_error: object) -> OnError:
    """Check the value of an error policy.

    Raises
    ------
    ExpressionError
        If it is not supported.
    """
    policies: tuple[OnError, ...] = typing.get_args(OnError)
    for policy in policies:
        if policy == on_error:
            return policy
    raise ExpressionError(
        "on_error must be 'abort' or 'null'.", value=on_error, hint="Choose one of them."
    )


def _type_name(value: object) -> str:
    return str(value.type()) if isinstance(value, ir.Value) else type(value).__name__


def _deferred_call(function: Function, args: tuple[Any, ...], kwargs: Arguments) -> Deferred:
    """Delay the call until `ibis._` is known."""

    @deferrable
    def call(args: Sequence[Any], kwargs: Arguments) -> ir.Value:
        result: ir.Value = function(*args, **kwargs)
        return result

    deferred: Deferred = call(list(args), dict(kwargs))
    return deferred
