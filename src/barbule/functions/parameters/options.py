"""The options of `udf`: how a function is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from barbule.errors import ExpressionError
from barbule.functions.function import OnError
from barbule.functions.identity.bindings import has_object
from barbule.functions.identity.code import qualified_name
from barbule.threads import cores

__all__ = ["Options", "import_path_of"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of `udf`, checked."""

    return_type: object
    batch_size: int | None
    on_error: OnError
    retries: int
    timeout: float | None
    cache: bool
    concurrency: int | None
    processes: bool | int
    resources: Mapping[str, float] | None
    version: str | None

    def __post_init__(self) -> None:
        """Refuse invalid numbers."""
        for name, number in (("batch_size", self.batch_size), ("concurrency", self.concurrency)):
            if number is not None and number < 1:
                raise ExpressionError(f"{name} must be an integer of 1 or more.", value=number)

    @property
    def is_batched(self) -> bool:
        """Whether the function is called with lists of values."""
        return self.batch_size is not None

    @property
    def process_count(self) -> int | None:
        """The number of processes that run the calls; None for this one."""
        if self.processes is False:
            return None
        return cores() if self.processes is True else int(self.processes)

    @property
    def gpus(self) -> float:
        """The number of GPUs that a call needs.

        Raises
        ------
        ExpressionError
            If `resources` names another resource, or its value is not a number.
        """
        resources = dict(self.resources or {})
        share = resources.pop("gpu", 0)
        is_number = isinstance(share, int | float) and not isinstance(share, bool) and share >= 0
        if resources or not is_number:
            raise ExpressionError(
                "resources must be the number of GPUs that a call needs.",
                value=self.resources,
                hint='Write resources={"gpu": 1}, or {"gpu": 0.5} if two calls fit on one GPU.',
            )
        return float(share)


def import_path_of(function: Callable[..., Any], processes: bool | int) -> tuple[str, str]:
    """Return the module and the qualified name by which other processes import a function.

    Raises
    ------
    ExpressionError
        If they cannot import it, or would not help.
    """
    called = vars(function)["__call__"] if inspect.isclass(function) else function
    if not isinstance(processes, int) or processes < 1:
        raise ExpressionError(
            "processes must be True or an integer of 1 or more.",
            value=processes,
            hint="processes=4.",
        )
    has_name = (
        inspect.isfunction(function)
        or inspect.isclass(function)
        or (inspect.isbuiltin(function) and not has_object(function))
    )
    if not has_name:
        raise ExpressionError(
            f"{qualified_name(function)} cannot be imported by another process: it is not a "
            "function that a module defines.",
            hint="Define a function with def that calls it, at the top level of a module.",
        )
    module, name = function.__module__, function.__qualname__
    if inspect.iscoroutinefunction(called):
        raise ExpressionError(
            f"{name} is asynchronous: it waits for I/O, and other processes would not make it "
            "faster.",
            hint="Remove processes=, or write it as a plain function.",
        )
    if module == "__main__" or "<" in name:
        raise ExpressionError(
            f"{name} cannot be imported by another process: it is defined in "
            + ("a script or notebook." if module == "__main__" else "another function."),
            hint="Define it at the top level of a module (a separate file) and import it from "
            "there; or run it in threads with concurrency=.",
        )
    return module, name
