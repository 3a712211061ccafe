"""Shared resources of a session's calls: media, the model client, the event loop, GPUs, processes.

Owns the rate limits of endpoints and the observed lengths of answers. Other modules decide what is
called, and for which rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from barbule.executor.budgets.accounts import AnswerLengths
from barbule.executor.concurrency.gpus import Gpus
from barbule.functions.registry import lookup
from barbule.models.rate_limits import Gate
from barbule.processes.pool import Processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import ibis.expr.types as ir

    from barbule.executor.calls.operation import Operation
    from barbule.executor.concurrency.event_loop import LoopThread
    from barbule.media.library import MediaLibrary
    from barbule.models.base import ModelClient
    from barbule.planner.stages import Call

__all__ = ["CallResources"]


@dataclass
class CallResources:
    """What the calls of one session share.

    Parameters
    ----------
    run_queries
        Runs the expressions that query functions return, for an operation, and returns their rows;
        all of a batch at once, so that their search queries are embedded together.
    """

    library: MediaLibrary
    client: ModelClient
    loop: LoopThread
    run_queries: Callable[[Sequence[ir.Expr], Operation], list[object]]
    gpus: Gpus = field(default_factory=Gpus)
    processes: Processes = field(default_factory=Processes)
    _gates: dict[str, Gate] = field(default_factory=dict)
    _answer_lengths: dict[tuple[str, str], AnswerLengths] = field(default_factory=dict)

    def answer_lengths(self, call: Call) -> AnswerLengths:
        """Return the observed lengths of the answers of a call."""
        return self._answer_lengths.setdefault((call.function, call.template), AnswerLengths())

    def gate(self, model: str) -> Gate:
        """Return the rate limit of the endpoint that serves a model."""
        endpoint = self.client.endpoint(model)
        if endpoint.provider not in self._gates:
            self._gates[endpoint.provider] = Gate.of(endpoint)
        return self._gates[endpoint.provider]

    def prepare_models(self, functions: Iterable[str]) -> None:
        """Prepare the model client, if one of these functions will call a model."""
        if any(lookup(name).kind == "model" for name in functions):
            self.client.prepare()

    def close(self) -> None:
        """End the processes."""
        self.processes.close()
        self.library.isolation.close()
