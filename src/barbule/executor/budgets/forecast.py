"""What the calls of a plan are going to be: how many, how many tokens, at what price.

Owns the counting, over the rows that a plan would read and what the call ledger knows. No model
and no function is called: a function of models is run as far as its first question, which is
counted and not asked.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import ibis.expr.operations as ops

from barbule.errors import BarbuleError
from barbule.executor.calls.call import Work
from barbule.executor.ledger.call_ledger import question_of
from barbule.functions.registry import lookup
from barbule.models.base import ModelClient
from barbule.models.estimates import UNKNOWN_ANSWER, Estimate, ExpectedAnswer, estimate, price
from barbule.planner.stages import CallStage, CandidateStage, Forecast, NearestStage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    import pyarrow as pa

    from barbule.executor.run import Runner
    from barbule.models.base import Endpoint
    from barbule.planner.plan import Plan
    from barbule.planner.stages import Call, Stage

__all__ = ["forecast"]

_BATCH_ROWS = 16384
_COUNTED = 1000  # questions whose tokens are counted; of more, as many as these
_COMPARED = 100  # answered questions whose tokens are compared with what their provider counted


def forecast(plan: Plan, runner: Runner) -> Plan:
    """Return a plan whose stages tell what their calls are going to be."""
    forecasting = _Forecasting(plan, runner)
    return replace(plan, stages=tuple(map(forecasting.stage, plan.stages)))


class _Forecasting:
    """The walk over a plan.

    Attributes
    ----------
    ready
        What stages give whose calls are all in the ledger, by name.
    bounds
        The most rows that the others give.
    """

    def __init__(self, plan: Plan, runner: Runner) -> None:
        self._plan = plan
        self._runner = runner
        self.ready: dict[str, pa.Table] = {}
        self.bounds: dict[str, int] = {}

    def stage(self, stage: Stage) -> Stage:
        bound = self._bound(stage)
        if not isinstance(stage, CallStage):
            if not self._is_read(stage):
                return stage
            if bound is None:
                self.ready[stage.name] = self._runner.stage(self._plan, stage, self.ready)
            else:
                self.bounds[stage.name] = bound
            return stage
        if bound is not None:
            self.bounds[stage.name] = bound
            found = [Forecast(bound, bound, 0, bound, exact=False) for _ in stage.calls]
            return replace(stage, forecasts=tuple(found))
        counted = self._counted(stage)
        found = [each.forecast() for each in counted]
        if stage.early_stop and any(each.missing for each in counted):
            found = [replace(each, exact=False) for each in found]
        if all(each.call.cached and not each.missing for each in counted):
            self.ready[stage.name] = self._runner.stage(self._plan, stage, self.ready)
        else:
            self.bounds[stage.name] = counted[0].rows
        return replace(stage, forecasts=tuple(found))

    def _bound(self, stage: Stage) -> int | None:
        """Return the most rows of a stage that reads what is not known; None for others."""
        if isinstance(stage, CandidateStage):
            return stage.count if stage.vector in self.bounds else None
        if isinstance(stage, NearestStage):
            asking = self.bounds.get(stage.queries)
            return None if asking is None else asking * stage.count
        if not isinstance(stage, CallStage):
            return None
        read = {leaf.name for leaf in stage.source.find(ops.PhysicalTable) if hasattr(leaf, "name")}
        unknown = [self.bounds[name] for name in read & self.bounds.keys()]
        return max(unknown) if unknown else None

    def _is_read(self, stage: Stage) -> bool:
        """Whether a later call is about what a search finds."""
        later = self._plan.stages[[each.name for each in self._plan.stages].index(stage.name) :]
        return any(isinstance(each, CallStage) and each.calls for each in later)

    def _counted(self, stage: CallStage) -> list[_Counted]:
        counted = [_Counted(call, self._runner) for call in stage.calls]
        for batch in self._runner.batches(stage, self.ready, _BATCH_ROWS) if counted else ():
            for each in counted:
                each.add(batch)
        return counted


class _Counted:
    """The questions of one call.

    Attributes
    ----------
    missing
        Questions that the ledger does not answer, with the values that they are about.
    """

    def __init__(self, call: Call, runner: Runner) -> None:
        self.call = call
        self.rows = 0
        self.distinct = 0
        self.hits = 0
        self.missing: dict[Any, tuple[Any, ...]] = {}
        self._caller = runner.caller
        self._known: set[str] = set()
        self._answered: dict[str, tuple[Any, ...]] = {}
        self._work = Work(runner.caller, lookup(call.function, call.version), call)

    def add(self, batch: pa.RecordBatch) -> None:
        """Count the rows of a batch."""
        columns = [batch.column(name).to_pylist() for name in self.call.arguments]
        rows: list[tuple[Any, ...]] = list(zip(*columns, strict=True))
        rows = rows if columns else [()] * batch.num_rows
        chosen = [rows[place] for place in self._work.wanted(rows, columns)]
        self.rows += len(chosen)
        if not self.call.cached:
            self.missing |= dict(enumerate(chosen, len(self.missing)))
            return
        keys = self._work.keys(chosen)
        new = {
            key: row
            for key, row in zip(reversed(keys), reversed(chosen), strict=True)
            if key not in self.missing and key not in self._known
        }
        known = self._caller.answered(self._work, new)
        self._known |= known
        for key in list(known)[: _COMPARED - len(self._answered)]:
            self._answered[key] = new[key]
        self.hits += len(known)
        self.distinct += len(new)
        self.missing |= {key: row for key, row in new.items() if key not in known}

    def forecast(self) -> Forecast:
        """Say what is going to be asked."""
        calls = len(self.missing)
        distinct = self.distinct if self.call.cached else calls
        counts = Forecast(self.rows, distinct, self.hits, calls)
        if lookup(self.call.function).kind != "model" or not calls:
            return counts
        rows = list(self.missing.values())
        sample = rows[:: max(1, calls // _COUNTED)]
        asked = [each for each in self._caller.loop.run(self._questions(sample)) if each]
        if not asked:
            return counts
        found = self._priced(counts, asked, calls / len(asked))
        size = self._work.function.batch_size
        return replace(found, calls=-(-calls // size))

    async def _questions(self, rows: list[tuple[Any, ...]]) -> list[_Question | None]:
        await self._caller.client.ready()
        return [await self._question(row) for row in rows]

    async def _question(self, row: tuple[Any, ...]) -> _Question | None:
        function = self._work.function
        batched = {each.name for each in function.parameters if each.batched}
        try:
            given = self._work.all_arguments(row)
            arguments = {
                name: [value] if name in batched and function.batch_size > 1 else value
                for name, value in given.items()
            }
            await function.body(_Probe(self._caller.client), **arguments)
        except _Question as question:
            return question
        except (BarbuleError, OSError, ValueError):
            return None  # the call itself is going to say what is wrong
        return None

    def _measured(self) -> tuple[float, float | None]:
        """Return how many tokens providers count for each of ours, in questions and answers.

        They know what they put around a question, what an image is to them, how long answers are
        and how many have to be repaired. Nothing is known of answers before there are some.
        """
        told = self._caller.ledger.tokens(list(self._answered))
        rows = [self._answered[key] for key in told]
        asked = self._caller.loop.run(self._questions(rows)) if rows else []
        pairs = [
            (question.estimate(), tokens)
            for question, tokens in zip(asked, told.values(), strict=True)
            if question is not None
        ]
        asking = _ratio((ours.tokens_in, theirs) for ours, (theirs, _) in pairs)
        return asking or 1.0, _ratio((ours.tokens_out, theirs) for ours, (_, theirs) in pairs)

    def _priced(self, counts: Forecast, asked: list[_Question], times: float) -> Forecast:
        call, (asking, answering) = self.call, self._measured()
        question = question_of(call.function, self._work.version, call.template)
        models = sorted({each.model for each in asked})
        used = self._caller.ledger.used(call.function, question, models)
        low = expected = high = tokens = 0.0
        prices: list[tuple[float | None, ...]] = []
        for each in asked:
            usual = used.get(each.model, {})
            similar = usual.get("same") or each.expected == UNKNOWN_ANSWER
            found = each.estimate(usual.get("expected") if similar and not answering else None)
            least = min(usual.get("low", 1) if similar else 1, found.max_tokens_out)
            middle = min(found.max_tokens_out, found.tokens_out * (answering or 1.0))
            outs = (least, middle, found.max_tokens_out)
            tokens_in = found.tokens_in * asking
            tokens += tokens_in
            low, expected, high = low + outs[0], expected + outs[1], high + outs[2]
            prices.append(tuple(price(each.model, tokens_in, out) for out in outs))
        known = all(each[0] is not None for each in prices)
        return replace(
            counts,
            tokens_in=round(tokens * times),
            tokens_out=(round(low * times), round(expected * times), round(high * times)),
            usd=tuple(sum(map(float, column)) * times for column in zip(*prices, strict=True))  # type: ignore[arg-type]
            if known
            else None,
            counted=len(asked) == counts.calls and asking == 1.0,
        )


def _ratio(pairs: Iterable[tuple[int, int]]) -> float | None:
    ours, theirs = map(sum, zip(*pairs, strict=True)) if (pairs := list(pairs)) else (0, 0)
    return theirs / ours if ours and theirs else None


@dataclass
class _Question(Exception):  # noqa: N818 - no error
    """What a function asks a model, instead of an answer."""

    verb: str
    model: str
    asked: Any
    params: Mapping[str, Any]
    expected: ExpectedAnswer = UNKNOWN_ANSWER

    def estimate(self, usual: float | None = None) -> Estimate:
        """Say what it takes."""
        return estimate(
            self.model,
            self.verb,
            self.asked,
            self.params,
            usual=usual,
            expected=self.expected,
        )


class _Probe(ModelClient):
    """Answers no question, but tells which one it is."""

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
        raise _Question("chat", model, messages, params, self._expected)

    async def messages(self, model: str, messages: list[dict[str, Any]], **params: Any) -> NoReturn:
        raise _Question("messages", model, messages, params, self._expected)

    async def embed(self, model: str, inputs: list[str], **params: Any) -> NoReturn:
        raise _Question("embed", model, inputs, params, self._expected)

    async def image(self, model: str, prompt: str, **params: Any) -> NoReturn:
        raise _Question("image", model, prompt, params, self._expected)

    async def transcribe(self, model: str, file: Path, **params: Any) -> NoReturn:
        raise _Question("transcribe", model, file, params, self._expected)

    async def speak(self, model: str, text: str, **params: Any) -> NoReturn:
        raise _Question("speak", model, text, params, self._expected)

    async def moderate(self, model: str, text: str, **params: Any) -> NoReturn:
        raise _Question("moderate", model, text, params, self._expected)

    async def rerank(self, model: str, query: str, documents: list[str], **params: Any) -> NoReturn:
        raise _Question("rerank", model, [query, *documents], params, self._expected)

    def takes(self, model: str, feature: str) -> bool:
        return self._client.takes(model, feature)

    def endpoint(self, model: str) -> Endpoint:
        return self._client.endpoint(model)

    def prepare(self) -> None:
        self._client.prepare()

    async def ready(self) -> None:
        await self._client.ready()
