"""Forecasts of the calls of a plan: their number, tokens and price.

Owns the counting, over the rows that a plan would read and the answers of the call ledger. No model
and no function is called: a model function runs only up to its first request, which is counted and
not sent.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import ibis.expr.operations as ops

from barbule.errors import BarbuleError
from barbule.executor.ledger.call_keys import template_hash
from barbule.functions.registry import lookup
from barbule.models.base import ModelClient
from barbule.models.estimates import UNKNOWN_ANSWER, Estimate, ExpectedAnswer, estimate, price
from barbule.planner.stages import CallStage, CandidateStage, Forecast, NearestStage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa

    from barbule.executor.calls.batch_call import Row
    from barbule.executor.calls.operation import Operation
    from barbule.executor.plan_runner import PlanRunner
    from barbule.models.base import Endpoint
    from barbule.planner.plan import Plan
    from barbule.planner.stages import Call, Stage

__all__ = ["forecast"]

_BATCH_ROWS = 16384
_MAX_SAMPLE = 1000  # requests whose tokens are counted; the others are assumed to be similar
_MAX_COMPARED = 100  # answered calls whose tokens are compared with the provider's count


def forecast(plan: Plan, runner: PlanRunner, operation: Operation) -> Plan:
    """Return a plan whose stages have forecasts of their calls."""
    forecaster = _PlanForecaster(plan, runner, operation)
    return replace(plan, stages=tuple(map(forecaster.stage, plan.stages)))


class _PlanForecaster:
    """Walks over a plan.

    Attributes
    ----------
    stage_tables
        The rows of stages whose calls all have answers in the ledger, by name.
    bounds
        The maximum number of rows of the other stages.
    """

    def __init__(self, plan: Plan, runner: PlanRunner, operation: Operation) -> None:
        self._plan = plan
        self._runner = runner
        self._operation = operation
        self.stage_tables: dict[str, pa.Table] = {}
        self.bounds: dict[str, int] = {}

    def stage(self, stage: Stage) -> Stage:
        """Return a stage with forecasts of its calls."""
        bound = self._bound(stage)
        if not isinstance(stage, CallStage):
            if not self._is_called_for(stage):
                return stage
            if bound is None:
                self.stage_tables[stage.name] = self._rows(stage)
            else:
                self.bounds[stage.name] = bound
            return stage
        if bound is not None:
            self.bounds[stage.name] = bound
            forecasts = [Forecast(bound, bound, 0, bound, exact=False) for _ in stage.calls]
            return replace(stage, forecasts=tuple(forecasts))
        counts = self._counts(stage)
        forecasts = [count.forecast() for count in counts]
        if stage.early_stop and any(count.missing for count in counts):
            forecasts = [replace(forecast, exact=False) for forecast in forecasts]
        if all(count.call.cached and not count.missing for count in counts):
            self.stage_tables[stage.name] = self._rows(stage)
        else:
            self.bounds[stage.name] = counts[0].rows
        return replace(stage, forecasts=tuple(forecasts))

    def _rows(self, stage: Stage) -> pa.Table:
        """Run a stage whose calls all have answers."""
        return self._runner.stage(self._plan, self._operation, stage, self.stage_tables)

    def _bound(self, stage: Stage) -> int | None:
        """Return the maximum number of rows of a stage that reads bounded ones; None for others."""
        if isinstance(stage, CandidateStage):
            return stage.count if stage.vector in self.bounds else None
        if isinstance(stage, NearestStage):
            query_bound = self.bounds.get(stage.queries)
            return None if query_bound is None else query_bound * stage.count
        if not isinstance(stage, CallStage):
            return None
        leaves = {
            leaf.name for leaf in stage.source.find(ops.PhysicalTable) if hasattr(leaf, "name")
        }
        bounds = [self.bounds[name] for name in leaves & self.bounds.keys()]
        return max(bounds) if bounds else None

    def _is_called_for(self, stage: Stage) -> bool:
        """Whether a later stage calls functions for the rows of a search."""
        names = [stage.name for stage in self._plan.stages]
        later_stages = self._plan.stages[names.index(stage.name) :]
        return any(isinstance(later, CallStage) and later.calls for later in later_stages)

    def _counts(self, stage: CallStage) -> list[_CallCount]:
        counts = [_CallCount(call, self._runner, self._operation) for call in stage.calls]
        for batch in self._runner.batches(stage, self.stage_tables, _BATCH_ROWS) if counts else ():
            for count in counts:
                count.add(batch)
        return counts


class _CallCount:
    """Counts the calls of one function in a stage.

    Attributes
    ----------
    missing
        The rows of calls without an answer in the ledger, by their key.
    """

    def __init__(self, call: Call, runner: PlanRunner, operation: Operation) -> None:
        self.call = call
        self.rows = 0
        self.distinct = 0
        self.hits = 0
        self.missing: dict[str | int, Row] = {}
        self._caller = runner.caller
        self._resources = runner.caller.resources
        self._answered_keys: set[str] = set()
        self._compared: dict[str, Row] = {}
        self._batch_call = runner.caller.batch_call(operation, call)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a batch."""
        columns = [batch.column(name).to_pylist() for name in self.call.arguments]
        rows: list[Row] = list(zip(*columns, strict=True))
        rows = rows if columns else [()] * batch.num_rows
        rows = [rows[row] for row in self._batch_call.callable_rows(rows, columns)]
        self.rows += len(rows)
        if not self.call.cached:
            self.missing |= dict(enumerate(rows, len(self.missing)))
            return
        keys = self._batch_call.keys(rows)
        new_rows = {
            key: row
            for key, row in zip(reversed(keys), reversed(rows), strict=True)
            if key not in self.missing and key not in self._answered_keys
        }
        answered = self._caller.answered_keys(self._batch_call, new_rows)
        self._answered_keys |= answered
        for key in list(answered)[: _MAX_COMPARED - len(self._compared)]:
            self._compared[key] = new_rows[key]
        self.hits += len(answered)
        self.distinct += len(new_rows)
        self.missing |= {key: row for key, row in new_rows.items() if key not in answered}

    def forecast(self) -> Forecast:
        """Return the forecast of the calls."""
        calls = len(self.missing)
        distinct = self.distinct if self.call.cached else calls
        counts = Forecast(self.rows, distinct, self.hits, calls)
        if lookup(self.call.function).kind != "model" or not calls:
            return counts
        rows = list(self.missing.values())
        sample = rows[:: max(1, calls // _MAX_SAMPLE)]
        requests = [
            request for request in self._resources.loop.run(self._requests(sample)) if request
        ]
        if not requests:
            return counts
        priced = self._priced(counts, requests, calls / len(requests))
        size = self._batch_call.function.batch_size
        return replace(priced, calls=-(-calls // size))

    async def _requests(self, rows: list[Row]) -> list[_Request | None]:
        await self._resources.client.ready()
        return [await self._request(row) for row in rows]

    async def _request(self, row: Row) -> _Request | None:
        function = self._batch_call.function
        batched = {parameter.name for parameter in function.parameters if parameter.batched}
        try:
            arguments = {
                name: [value] if name in batched and function.batch_size > 1 else value
                for name, value in self._batch_call.outer_arguments(row).items()
            }
            await function.body(_Probe(self._resources.client), **arguments)
        except _Request as request:
            return request
        except (BarbuleError, OSError, ValueError):
            return None  # the call itself will raise it
        return None

    def _token_ratios(self) -> tuple[float, float | None]:
        """Return how many tokens providers count for each estimated one, in requests and answers.

        Only providers know what they add to a request, the tokens of an image, the length of
        answers and how many of them need a repair request. There is no ratio for answers before
        there are some.
        """
        counted_tokens = self._caller.ledger.tokens(list(self._compared))
        rows = [self._compared[key] for key in counted_tokens]
        requests = self._resources.loop.run(self._requests(rows)) if rows else []
        pairs = [
            (request.estimate(), tokens)
            for request, tokens in zip(requests, counted_tokens.values(), strict=True)
            if request is not None
        ]
        ratio_in = _ratio((size.tokens_in, tokens_in) for size, (tokens_in, _) in pairs)
        ratio_out = _ratio((size.tokens_out, tokens_out) for size, (_, tokens_out) in pairs)
        return ratio_in or 1.0, ratio_out

    def _priced(self, counts: Forecast, requests: list[_Request], scale: float) -> Forecast:
        """Add tokens and prices to the counts, from a sample of requests."""
        call, (ratio_in, ratio_out) = self.call, self._token_ratios()
        hashed = template_hash(call.function, self._batch_call.version, call.template)
        models = sorted({request.model for request in requests})
        lengths = self._caller.ledger.history.answer_lengths(call.function, hashed, models)
        low = expected = high = total_in = 0.0
        prices: list[tuple[float | None, ...]] = []
        for request in requests:
            usual = lengths.get(request.model, {})
            similar = usual.get("same") or request.expected == UNKNOWN_ANSWER
            size = request.estimate(usual.get("expected") if similar and not ratio_out else None)
            shortest = min(usual.get("low", 1) if similar else 1, size.max_tokens_out)
            average = min(size.max_tokens_out, size.tokens_out * (ratio_out or 1.0))
            tokens_in = size.tokens_in * ratio_in
            low, expected, high = low + shortest, expected + average, high + size.max_tokens_out
            total_in += tokens_in
            prices.append(
                tuple(
                    price(request.model, tokens_in, tokens_out)
                    for tokens_out in (shortest, average, size.max_tokens_out)
                )
            )
        has_prices = all(bounds[0] is not None for bounds in prices)
        return replace(
            counts,
            tokens_in=round(total_in * scale),
            tokens_out=(round(low * scale), round(expected * scale), round(high * scale)),
            usd=tuple(sum(map(float, column)) * scale for column in zip(*prices, strict=True))  # type: ignore[arg-type]
            if has_prices
            else None,
            counted=len(requests) == counts.calls and ratio_in == 1.0,
        )


def _ratio(pairs: Iterable[tuple[int, int]]) -> float | None:
    estimated, counted = map(sum, zip(*pairs, strict=True)) if (pairs := list(pairs)) else (0, 0)
    return counted / estimated if estimated and counted else None


@dataclass
class _Request(Exception):  # noqa: N818 - no error
    """A request of a function to a model, raised instead of returning an answer."""

    method: str
    model: str
    content: Any
    params: Mapping[str, Any]
    expected: ExpectedAnswer = UNKNOWN_ANSWER

    def estimate(self, usual: float | None = None) -> Estimate:
        """Estimate its tokens and those of the answer."""
        return estimate(
            self.model,
            self.method,
            self.content,
            self.params,
            usual=usual,
            expected=self.expected,
        )


class _Probe(ModelClient):
    """A client that raises each request instead of sending it."""

    def __init__(self, client: ModelClient, expected: ExpectedAnswer = UNKNOWN_ANSWER) -> None:
        self._client = client
        self._expected = expected

    def expecting(
        self,
        *,
        schema: Mapping[str, Any] | None = None,
        words: float | None = None,
        repairs: int = 0,
    ) -> AbstractContextManager[ModelClient]:
        expected = ExpectedAnswer(schema, words, repairs)
        return contextlib.nullcontext(_Probe(self._client, expected))

    @property
    def origin(self) -> ModelClient:
        return self._client.origin

    async def chat(self, model: str, messages: list[dict[str, Any]], **params: Any) -> NoReturn:
        raise _Request("chat", model, messages, params, self._expected)

    async def messages(self, model: str, messages: list[dict[str, Any]], **params: Any) -> NoReturn:
        raise _Request("messages", model, messages, params, self._expected)

    async def embed(self, model: str, inputs: list[str], **params: Any) -> NoReturn:
        raise _Request("embed", model, inputs, params, self._expected)

    async def image(self, model: str, prompt: str, **params: Any) -> NoReturn:
        raise _Request("image", model, prompt, params, self._expected)

    async def transcribe(self, model: str, file: Path, **params: Any) -> NoReturn:
        raise _Request("transcribe", model, file, params, self._expected)

    async def speak(self, model: str, text: str, **params: Any) -> NoReturn:
        raise _Request("speak", model, text, params, self._expected)

    async def moderate(self, model: str, text: str, **params: Any) -> NoReturn:
        raise _Request("moderate", model, text, params, self._expected)

    async def rerank(self, model: str, query: str, documents: list[str], **params: Any) -> NoReturn:
        raise _Request("rerank", model, [query, *documents], params, self._expected)

    def takes(self, model: str, feature: str) -> bool:
        return self._client.takes(model, feature)

    def endpoint(self, model: str) -> Endpoint:
        return self._client.endpoint(model)

    def prepare(self) -> None:
        self._client.prepare()

    async def ready(self) -> None:
        await self._client.ready()
