"""Usage of model answers: every request is counted, and budgets are not exceeded."""

from __future__ import annotations

import itertools
import json

import pydantic
import pytest
from ibis import _

import barbule as bb
from barbule.errors import BudgetError, ModelError

pytestmark = pytest.mark.usefixtures("models")


class Person(pydantic.BaseModel):
    name: str


@pytest.fixture
def openai(models, session):
    from barbule.functions import openai

    return openai


def table_of(name, count=12):
    return bb.create_table(name, [{"w": f"w{n}"} for n in range(count)])


def chat(openai, column, **params):
    messages = [{"role": "user", "content": column}]
    asked = openai.chat_completions(model="gpt-4o-mini", messages=messages, **params)
    return asked.choices[0].message.content


def extract(openai, column):
    return openai.extract(column, schema=Person, model="gpt-4o-mini")


def repaired(body):
    """Return text at first, and valid JSON after a repair request."""
    return '{"name": "x"}' if len(body["messages"]) > 2 else "Sure, here it is."


def spent(table):
    calls = bb.calls().filter(_.table == table)
    tokens = (calls.tokens_in.fill_null(0) + calls.tokens_out.fill_null(0)).sum()
    (row,) = calls.agg(requests=calls.requests.sum(), tokens=tokens, usd=calls.usd.sum()).collect()
    return row


@pytest.mark.parametrize("fate", ["cut", "misfit", "refuses"])
@pytest.mark.parametrize("cap", [{"calls": 6}, {"tokens": 600}, {"usd": 0.0002}], ids=str)
def test_table_budget_counts_unusable_answers(openai, models, fate, cap):
    models.tokenizer = len
    models.script(*[fate] * 500)
    table = table_of("t")
    table.set_budget(**cap)
    table.add_computed_column(x=extract(openai, table.w))
    request_count = models.count
    assert request_count > 0
    took = spent("t")
    assert took["requests"] == request_count
    assert took["tokens"] > 0
    assert took["usd"] > 0
    for _again in range(3):
        table.recompute("x", errors_only=True)
    assert spent("t")["requests"] == models.count
    if "calls" in cap:
        assert models.count == 6


def test_repair_is_reserved_with_its_request(openai, models):
    models.content = repaired
    table = table_of("t")
    with bb.budget(calls=6) as budget:
        result = table.add_computed_column(x=extract(openai, table.w))
    assert (result.calls, result.errors, result.deferred) == (6, 0, 9)
    assert budget.calls == models.count == 6
    assert table.filter(table.x.notnull()).count().to_pyarrow().as_py() == 3
    for left in (6, 3, 0):
        with bb.budget(calls=6):
            assert table.recompute("x", where="deferred").deferred == left
    assert models.count == 24
    assert spent("t")["requests"] == 24


def test_repair_beyond_the_budget_is_an_error(openai, models):
    models.content = repaired
    table = table_of("t", 1)
    with bb.budget(calls=1) as budget:
        result = table.add_computed_column(x=extract(openai, table.w))
    assert budget.calls == models.count == 1
    assert (result.errors, result.deferred) == (1, 0)
    (error,) = table.errors().collect()
    assert error["type"] == "ModelError"
    assert "the budget does not allow a repair request" in error["message"]
    assert table.recompute("x", where="deferred").rows == 0
    assert models.count == 1
    assert spent("t")["requests"] == 1


def test_unused_repair_reservation_is_released(openai, models):
    table = table_of("t", 6)
    with bb.budget(calls=6) as budget:
        result = table.add_computed_column(x=extract(openai, table.w))
    assert (result.calls, result.deferred, budget.calls) == (6, 0, 6)


@pytest.mark.parametrize("cap", [{"tokens": 3000}, {"usd": 0.001}], ids=str)
def test_missing_usage_is_estimated(openai, models, cap):
    models.usage = False
    models.content = lambda _body: "word " * 400
    table = bb.create_table("t", [{"w": f"{n} " + "x " * 300} for n in range(20)])
    with bb.budget(**cap) as budget:
        result = table.add_computed_column(x=chat(openai, table.w))
    assert result.deferred == 20 - models.count > 0
    took = spent("t")
    assert took["tokens"] == budget.tokens > 700 * models.count
    assert took["usd"] == pytest.approx(budget.usd)
    assert budget.usd <= cap.get("usd", 1)
    assert budget.tokens <= cap.get("tokens", 100_000)
    assert set(bb.calls().collect()["estimated"]) == {True}


def test_reported_usage_is_not_estimated(openai, models):
    table = table_of("t", 2)
    table.add_computed_column(x=chat(openai, table.w))
    assert bb.calls().collect()["estimated"] == [False, False]


def test_missing_usage_is_null_in_the_answer(openai, models):
    models.usage = False
    table = table_of("t", 1)
    asked = openai.chat_completions(model="gpt-4o-mini", messages=table.w)
    assert table.select(n=asked.usage.total_tokens).collect() == [{"n": None}]


def test_answers_bounded_by_labels_run_concurrently(openai, models):
    models.latency = 0.3
    table = table_of("t", 60)
    asked = openai.classify(table.w, ["good", "bad"], model="gpt-4o-mini")
    with bb.budget(usd=0.01) as budget:
        assert table.add_computed_column(x=asked).deferred == 0
    assert models.max_in_flight > 30
    assert 0 < budget.usd < 0.01


def test_unbounded_answers_run_concurrently_once_their_length_is_known(openai, models):
    models.latency = 0.3
    table = table_of("t", 60)
    with bb.budget(usd=0.01) as budget:
        assert table.add_computed_column(x=chat(openai, table.w)).deferred == 0
    assert models.max_in_flight > 30
    assert 0 < budget.usd < 0.01


def test_short_answers_do_not_let_bounded_ones_exceed_the_cap(openai, models):
    models.latency = 0.02
    models.tokenizer = lambda text: len(text.split())
    answered = itertools.count()
    models.content = lambda _body: "short" if next(answered) < 8 else "word " * 40
    table = table_of("t", 60)
    with bb.budget(tokens=800) as budget:
        result = table.add_computed_column(x=chat(openai, table.w, max_tokens=40))
    assert result.deferred > 0
    assert 400 < budget.tokens <= 800


def test_long_answers_raise_the_reservation(openai, models):
    models.latency = 0.02
    models.tokenizer = lambda text: len(text.split())
    models.content = lambda _body: "word " * 3000
    table = table_of("t", 60)
    with bb.budget(tokens=60_000) as budget:
        result = table.add_computed_column(x=chat(openai, table.w))
    assert result.deferred > 0
    assert 30_000 < budget.tokens <= 60_000


def test_higher_token_counts_of_the_provider_stay_within_the_cap(openai, models):
    models.latency = 0.05
    models.tokenizer = lambda text: len(text.split()) * (500 if len(text) > 40 else 1)
    table = table_of("t", 60)
    asked = openai.classify(table.w, ["good", "bad"], model="gpt-4o-mini")
    with bb.budget(tokens=150_000) as budget:
        result = table.add_computed_column(x=asked)
    assert result.deferred > 0
    assert 100_000 < budget.tokens <= 150_000


def test_budget_error_does_not_cancel_paid_answers(openai, models):
    models.latency = 0.1
    table = table_of("t", 10)
    with bb.budget(calls=4) as budget, pytest.raises(BudgetError, match="4 of 4 calls"):
        table.select(x=chat(openai, table.w)).collect()
    assert budget.calls == models.count == 4
    assert len(table.select(x=chat(openai, table.w)).collect()) == 10
    assert models.count == 10


def test_rejected_row_does_not_cancel_paid_answers(openai, models):
    models.latency = 0.1
    models.script("ok", "ok", "policy")
    table = table_of("t", 10)
    with pytest.raises(ModelError, match="safety system"):
        table.select(x=chat(openai, table.w)).collect()
    request_count = models.count
    assert len(table.select(x=chat(openai, table.w)).collect()) == 10
    assert models.count == request_count + (10 - request_count) + 1


def test_failed_query_sends_no_further_requests(openai, models, session):
    session.close()
    endpoint = {"api_base": models.url, "max_concurrency": 2}
    bb.connect(session.settings.backend, vectors="exact:", models={"openai": endpoint})
    models.latency = 0.05
    models.script("policy")
    table = table_of("t", 40)
    with pytest.raises(ModelError, match="safety system"):
        table.select(x=chat(openai, table.w)).collect()
    assert models.count <= 4


def test_rows_that_share_a_request_count_as_one_call(openai, models):
    table = table_of("t", 10)
    table.set_budget(calls=2)
    embed = openai.embeddings.using(model="text-embedding-3-small", dimensions=8)
    plan = table.explain_column(v=embed(table.w))
    result = table.add_computed_column(v=embed(table.w))
    assert plan.calls == result.calls == models.count == 1
    assert spent("t")["requests"] == 1
    assert table.insert(w="other").deferred == 0
    assert table.insert(w="another").deferred == 1


def test_timed_out_answer_is_counted(openai, models, session):
    session.close()
    endpoint = {"api_base": models.url, "timeout": 5}
    bb.connect(session.settings.backend, vectors="exact:", models={"openai": endpoint})
    models.script("timeout")
    table = table_of("t", 1)
    with bb.budget(calls=5) as budget:
        table.add_computed_column(x=chat(openai, table.w))
    assert budget.calls == models.count == 2
    assert spent("t")["requests"] == 2
    assert bb.calls().collect()["estimated"] == [True]


def test_missing_schema_support_is_detected_once(openai, models):
    table = table_of("t", 6)
    asked = openai.extract(table.w, schema=Person, model="no-schema")
    table.filter(table.w == "w0").select(x=asked).collect()
    assert models.count == 2
    table.add_computed_column(x=asked)
    assert models.count == 2 + 5
    tried = [body for body in models.requests if "json_schema" in json.dumps(body)]
    assert len(tried) == 1


def test_older_ledger_is_upgraded_and_answers(openai, models, session):
    table = table_of("t", 3)
    table.set_budget(calls=4)
    table.add_computed_column(x=chat(openai, table.w))
    for column in ("requests", "estimated", "question"):
        cursor = session.ibis.raw_sql(f'ALTER TABLE bb_calls DROP COLUMN "{column}"')
        if session.ibis.name == "postgres":
            cursor.close()
    session.close()
    table = bb.connect(session.settings.backend, vectors="exact:").get_table("t")
    assert table.recompute("x").calls == 0
    assert table.insert([{"w": "one"}, {"w": "two"}]).deferred == 1
    assert sorted(map(str, bb.calls().collect()["requests"])) == ["1", "None", "None", "None"]


@pytest.mark.parametrize("reported", [2**63, -5])
def test_impossible_token_counts_are_replaced_by_estimates(openai, models, reported):
    models.counts = reported
    table = table_of("t", 2)
    with bb.budget(tokens=100_000) as budget:
        result = table.add_computed_column(x=chat(openai, table.w))
    assert result.errors == 0
    assert table.collect()["x"] == ["echo: w0", "echo: w1"]
    took = spent("t")
    assert 0 < took["tokens"] < 200
    assert 0 < took["usd"] < 0.01
    assert budget.tokens == took["tokens"]
    assert bb.calls().collect()["estimated"] == [True, True]
