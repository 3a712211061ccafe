"""What a function is to barbule, and the functions that this process knows by name.

Owns the `Function` record and the registry. A function is *found* here by its name; no code
is ever loaded from a database. How a call runs is the executor's business.
"""

from __future__ import annotations

import importlib.util
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import ibis.expr.datatypes as dt
import ibis.expr.types as ir
from ibis.common.deferred import Deferred

from barbule.errors import ExpressionError, UnknownFunctionError
from barbule.functions.identity.code import MAIN, underlying
from barbule.functions.identity.generations import Generation, joined, split
from barbule.functions.identity.source_hash import Source
from barbule.functions.parameters.argument_check import fitted
from barbule.nodes import build_call
from barbule.relations.errors.checked_values import checked
from barbule.relations.errors.invalid_queries import refuse_formatted
from barbule.suggestions import call_argument_error, one_of

__all__ = ["Function", "Parameter", "check_on_error", "lookup", "register"]

Kind = Literal["row", "batch", "model", "query"]
OnError = Literal["abort", "null"]

_BUILT_IN = "barbule.functions."

# Functions that are defined in another module than the one that their stored name says.
_MODULES = {"barbule.functions.invoking": "barbule.functions.language_models.tool_calls"}


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
    plain
        Whether it takes a constant as it is all the same: it has a default and no annotation.
    make
        Makes the object that the annotation promises of a cell; None where the cell is it.
    hint
        The annotation, of one item where it is batched; None where there is none.
    """

    name: str
    kind: dt.DataType | None = None
    nullable: bool = False
    batched: bool = False
    make: Callable[[Any], Any] | None = None
    hint: Any = None
    plain: bool = False


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
    gpus
        How many graphics processors a call needs, or what part of one.
    images
        How images arrive: "pixels", opened and read; "header", what the header alone tells; or
        "streamed": those in a list are opened one by one, as it is gone through. "file": as local
        files, as other media do; "current": the same with the content that they have now.
    stated
        Its version, where that is said; empty where it is the hash of the source.
    named
        Whether its name is said.
    source
        Its code; None for functions of barbule.
    version_for
        Tells the version where it depends on the arguments.
    former_version_for
        Tells the version that version 0.1.0 of barbule gave the call, where it is another.
    model_of
        For a model function: tells the name of the model, prefix included, from the arguments.
    prepare
        Turns bound arguments into what a stored call says, and checks them; None leaves them.
    fixed
        Arguments that `using` has set.
    beside
        The name of the function that does for single items what this one does for a list.
    declare
        Makes another function with the same options of another body, for `overload`.
    overloads
        The functions that are called instead where the arguments fit them better.
    call_policy
        What its calls say of errors, by `on_error=`; None leaves it to `on_error`.
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
    gpus: float = 0
    images: Literal["pixels", "header", "streamed", "file", "current"] = "pixels"
    stated: str = "1"
    named: bool = False
    source: Source | None = None
    version_for: Callable[[Mapping[str, Any]], str] | None = None
    former_version_for: Callable[[Mapping[str, Any]], str] | None = None
    model_of: Callable[[Mapping[str, Any]], str] | None = None
    prepare: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    beside: str | None = None
    declare: Callable[[Callable[..., Any], Any], Function] | None = None
    overloads: list[Function] = field(default_factory=list)
    call_policy: OnError | None = None

    @property
    def bound(self) -> str:
        """What tells it from others that the same lines make: a hash of what it closes over.

        Empty where it closes over nothing. Where a version is said, what can be identified counts.
        """
        if self.source is None:
            return ""
        closure = self.source.closure
        return closure.identified if self.stated else closure.digest()

    @property
    def version(self) -> str:
        """What changes when the function does, or a helper, constant or object that it reads.

        Behind it stands what the function closes over, where it closes over anything.
        """
        if self.stated or self.source is None:
            return self.stated
        return joined(self.source.digest(), self.bound)

    @property
    def former(self) -> str:
        """The version that version 0.1.0 of barbule gave it, of which stored calls may be."""
        if self.stated or self.source is None:
            return self.stated
        return self.source.former_digest()

    @property
    def former_is_certain(self) -> bool:
        """Whether no other function that the same lines make had the same former version."""
        if self.stated:
            return not any(
                each.stated == self.stated and each.bound != self.bound
                for each in _REGISTRY.get(self.name, ())
            )
        return not self.bound or self.source is None or self.source.closure.plain()

    def is_of(self, version: str, arguments: Mapping[str, Any] | None = None) -> bool:
        """Whether a version is that of the function as it is, in whatever form.

        Parameters
        ----------
        arguments
            Those of the call, for functions whose version depends on them.
        """
        if self.version_for is None or arguments is None:
            if self.stated and self.source is not None:
                return self.stated in {version, split(version)[0]}
            # Older forms take as long to make, and are seldom asked for.
            return version == self.version or self._was_of(version)
        former = self.former_version_for or self.version_for
        return version in {self.version_for(arguments), former(arguments)}

    def _was_of(self, version: str) -> bool:
        """Whether a version is that of the function as it is, in a form no longer written."""
        if version == self.former:
            return True
        if self.source is None or not self.source.of_bytecode:
            return False
        return version == joined(self.source.filled_digest(), self.bound)

    def version_of(self, arguments: Mapping[str, Any]) -> str:
        """Return the version of a call with such arguments, bound or as a template.

        It says what the function closes over, also where a version is said.
        """
        return self.full_version if self.version_for is None else self.version_for(arguments)

    @property
    def full_version(self) -> str:
        """The version, which says what the function closes over also where it is stated."""
        return joined(self.stated, self.bound) if self.stated else self.version

    def answer_version_of(self, arguments: Mapping[str, Any]) -> str:
        """Return the version under which answers are kept.

        Where both name and version are said, they tell all.
        """
        if self.named and self.stated and self.version_for is None:
            return self.stated
        return self.version_of(arguments)

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

    def using(self, **fixed: Any) -> Function:
        """Fix some arguments and return a function of the rest.

        With `on_error="null"` its calls leave the cells empty for which they fail, with "abort"
        they end the operation, whatever the function says of itself.
        """
        parameters = self.signature.parameters
        if "on_error" in fixed and "on_error" not in parameters:
            policy = check_on_error(fixed.pop("on_error"))
            return replace(self, call_policy=policy).using(**fixed)
        if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values()):
            for name in fixed:
                if name not in parameters:
                    raise ExpressionError(
                        f"{self.name} has no parameter {name!r}.",
                        hint=one_of(name, parameters, "It takes"),
                    )
        return replace(self, fixed={**self.fixed, **fixed})

    def of_single_items(self) -> Function:
        """Return the function of single items that stands beside one of lists; else this one."""
        if self.beside is None:
            return self
        single = lookup(self.beside)
        body = inspect.signature(single.body).parameters
        fixed = {name: each for name, each in self.fixed.items() if name in body}
        return replace(single.using(**fixed), call_policy=self.call_policy)

    def overload(self, body: Callable[..., Any] | None = None, *, return_type: Any = None) -> Any:
        """Add a body for arguments of other types, and return the function.

        Parameters
        ----------
        body
            A function whose parameters are annotated; it has the options of this one.
        return_type
            The type of its result, where the annotation does not say it.

        Raises
        ------
        ExpressionError
            When it takes the same types as the function itself.

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
            return lambda given: self.overload(given, return_type=return_type)
        if self.declare is None:
            raise ExpressionError(
                f"{self.name} takes no overloads.", hint="Functions that @bb.udf made take them."
            )
        added = self.declare(body, return_type)
        if [each.kind for each in added.parameters] == [each.kind for each in self.parameters]:
            raise ExpressionError(
                f"{self.name}: the overload takes the same types as the function itself.",
                hint="Annotate its parameters with other types.",
            )
        # One of the same types takes the place of the other, as when a cell is run again.
        self.overloads[:] = [each for each in self.overloads if each.name != added.name]
        self.overloads.append(added)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call with columns for an expression; with plain values for a plain result.

        Model functions always give an expression: what they cost is decided by the query
        around them. Beside its own arguments each function takes `on_error="null"`, for cells
        that stay empty where it fails, or "abort".
        """
        if "on_error" in kwargs and "on_error" not in self.signature.parameters:
            rest = {name: value for name, value in kwargs.items() if name != "on_error"}
            return self.using(on_error=kwargs["on_error"])(*args, **rest)
        if _holds((args, kwargs, self.fixed), Deferred):
            if not self.overloads:
                self._bind(args, kwargs)  # what is wrong is said at once
            return _deferred_call(self, args, kwargs)
        chosen, arguments = self._chosen(args, kwargs)
        if chosen.kind != "model" and not _holds(arguments, ir.Expr):
            try:
                return chosen.body(*args, **{**chosen.fixed, **kwargs})
            except Exception:
                if self.call_policy != "null":
                    raise
                return None
        return chosen.call(arguments)

    def _chosen(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Function, dict[str, Any]]:
        """Choose the overload that fits best; return it with its bound arguments."""
        if not self.overloads:
            return self, self._bind(args, kwargs)
        found: list[tuple[int, Function, dict[str, Any]]] = []
        others = (
            replace(each, fixed=self.fixed, call_policy=self.call_policy) for each in self.overloads
        )
        for each in (self, *others):
            try:
                arguments = each._bind(args, kwargs)
                found.append((fitted(each, arguments)[1], each, arguments))
            except ExpressionError:
                continue
        if not found:
            given = ", ".join(map(_kind_of, [*args, *kwargs.values()]))
            known = "; ".join(f"{each.signature}" for each in (self, *self.overloads))
            raise ExpressionError(
                f"{self.name}: no overload takes ({given}).", hint=f"There are: {known}."
            )
        _, chosen, arguments = min(found, key=lambda each: each[0])
        return chosen, arguments

    def call(self, arguments: Mapping[str, Any], *, cached: bool | None = None) -> ir.Value:
        """Make the expression of a call with bound arguments."""
        refuse_formatted(arguments)
        if self.prepare is not None:
            arguments = self.prepare(dict(arguments))
        if self.kind != "model":
            arguments, _ = fitted(self, arguments)
        known = isinstance(self.returns, dt.DataType)  # which Ibis makes callable
        returns = self.returns if known else self.returns(arguments)
        keep = self.cached if cached is None else cached
        version = self.version_to_call(arguments)
        call = build_call(
            self.name, returns, arguments, version=version, cached=keep, on_error=self.call_policy
        )
        return checked(call)

    def version_to_call(self, arguments: Mapping[str, Any]) -> str:
        """Return the version for which a call is written, by which it finds this function again.

        Raises
        ------
        ExpressionError
            When another function of the same name would answer.
        """
        version, known = self.version_of(arguments), _REGISTRY.get(self.name)
        if self.source is None or known is None:
            return version
        if not known.holds(self):
            if known.takes(self):  # it was dropped, as there were many
                known.add(self)
            elif (found := known.find(version)) is None or found.full_version != version:
                raise ExpressionError(
                    f"another function has taken the name {self.name!r} since this one was "
                    "defined.",
                    hint="Give each a name of its own, @bb.udf(name=...), or call the later one.",
                )
        known.note(self, version)
        return version

    def of(self, column: ir.Value, *, cached: bool | None = None) -> ir.Value:
        """Make the expression of a call on one column, the other arguments being fixed."""
        chosen, arguments = self._chosen((column,), {})
        return chosen.call(arguments, cached=cached)

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
            raise call_argument_error(self.name, whole, kwargs, error) from error
        bound.apply_defaults()
        return {**_flatten_variadic(rest, bound.arguments), **fixed}

    @property
    def signature(self) -> inspect.Signature:
        """The signature that callers see (a model function's client is not theirs)."""
        signature = inspect.signature(self.body)
        if self.kind == "model":
            signature = signature.replace(parameters=list(signature.parameters.values())[1:])
        return signature


def check_on_error(on_error: Any) -> OnError:
    """Make sure that there is such a way to treat errors.

    Raises
    ------
    ExpressionError
        When there is none.
    """
    if on_error not in typing.get_args(OnError):
        raise ExpressionError(
            "on_error is one of 'abort' and 'null'.", value=on_error, hint="Choose one of them."
        )
    known: OnError = on_error
    return known


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


def _kind_of(value: Any) -> str:
    return str(value.type()) if isinstance(value, ir.Value) else type(value).__name__


def _deferred_call(function: Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Delay the call until `ibis._` is known."""
    from ibis.common.deferred import deferrable

    @deferrable
    def call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> ir.Value:
        return function(*args, **kwargs)

    return call(list(args), dict(kwargs))


_REGISTRY: dict[str, Generation] = {}
_registered = 0


def register(function: Function) -> Function:
    """Make a function known by its name; a later one of the same name takes its place.

    Those that the same lines make, with other values around them, are all known: a call finds
    its own.

    Raises
    ------
    ExpressionError
        When it closes over what cannot be identified, and no version is said.
    """
    global _registered  # noqa: PLW0603 - one state of the process, as the registry
    _registered += 1
    known = _REGISTRY.get(function.name)
    if known is not None and known.takes(function):
        known.add(function)
    else:
        _REGISTRY[function.name] = Generation(function)
    return function


def registrations() -> int:
    """Return what has changed once a function has become known, or taken another's place."""
    return _registered


def lookup(name: str, version: str | None = None) -> Function:
    """Find a function by the name that a stored expression gives.

    barbule's own functions are imported when they are needed; a user's must have been defined
    or imported before.

    Parameters
    ----------
    version
        For which the call was written. It tells functions of one name apart; where a function
        has changed since, it is meant all the same.

    Raises
    ------
    UnknownFunctionError
        When this process does not define it, or defines others of its name only.
    """
    if name not in _REGISTRY and name.startswith(_BUILT_IN):
        module, short = name.rsplit(".", 1)
        module = _MODULES.get(module, module)
        if importlib.util.find_spec(module) is not None:
            # The functions of a provider are made when they are first looked at.
            getattr(importlib.import_module(module), short, None)
    known = _REGISTRY.get(name)
    if known is None:
        raise UnknownFunctionError(
            f"the function {name!r} is not defined in this process.", hint=_where_to_find(name)
        )
    if version is None or known.latest.source is None:
        return known.latest
    found = known.find(version)
    if found is None:
        several = len(known) > 1
        raise UnknownFunctionError(
            f"{'several functions are' if several else 'a function is'} called {name!r}, and "
            f"{'none' if several else 'it'} is {'' if several else 'not '}that of this call: it "
            "closed over something else, or said another version.",
            hint="Run the code that made it, with the same values; or compute the column anew by "
            'what there is: add_computed_column(..., if_exists="replace").',
        )
    return found


def _where_to_find(name: str) -> str:
    module, _, short = name.rpartition(".")
    kept = "what it computed before can be read all the same."
    interactive = module in MAIN  # a notebook, which nobody can import
    if short.startswith("<lambda"):
        place = "this notebook or script" if interactive else repr(module)
        return f"A lambda is found by its text: define the same one in {place} first; {kept}"
    alike = sorted(each for each in _REGISTRY if each.rpartition(".")[2] == short)
    same = f" (or, if {alike[0]!r} is the same, give both that name by name=)" if alike else ""
    do = "Run its cell, the one" if interactive else f"Import the module {module!r}"
    return f"{do} that defines {short!r} (with @bb.udf or @bb.query), first{same}; {kept}"
