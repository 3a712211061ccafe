"""Budgets: calls within a budget are made, further calls are deferred, and spending is reported."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from ibis import _

import barbule as bb
from barbule.errors import BudgetError, ConfigurationError

CALLED: list = []


@bb.udf(cache=True)
def upper(text: str) -> str:
    CALLED.append(text)
    return text.upper()


@bb.udf(cache=True)
async def upper_async(text: str) -> str:
    CALLED.append(text)
    await asyncio.sleep(0.001)
    return text.upper()


@bb.udf(cache=True, batch_size=1)
def upper_batch(texts: list[str]) -> list[str]:
    CALLED.extend(texts)
    return [text.upper() for text in texts]


@bb.udf
def plain(text: str) -> str:
    return text


@bb.udf(cache=True, on_error="null")
def failing(text: str) -> str:
    if text != "w9":
        raise ValueError("no")
    return text


@pytest.fixture(autouse=True)
def reset_called():
    CALLED.clear()


@pytest.fixture
def words(session):
    return table_of("words")


def table_of(name, count=10):
    return bb.create_table(name, [{"w": f"w{n}"} for n in range(count)])


@pytest.fixture
def openai(models, session):
    from barbule.functions import openai

    return openai


def chat(openai, column, **params):
    messages = [{"role": "user", "content": column}]
    asked = openai.chat_completions(model="gpt-4o-mini", messages=messages, **params)
    return asked.choices[0].message.content


@pytest.mark.parametrize("function", [upper, upper_async, upper_batch], ids=lambda f: f.name)
def test_calls_beyond_the_budget_are_deferred(words, function):
    with bb.budget(calls=4) as spent:
        result = words.add_computed_column(x=function(words.w))
    assert (result.errors, result.deferred, spent.calls) == (0, 6, 4)
    assert sorted(CALLED) == ["w0", "w1", "w2", "w3"]
    assert words.filter(words.x.notnull()).count().to_pyarrow().as_py() == 4
    reasons = words.errors().select("type", "column").distinct().collect()
    assert reasons == [{"type": "deferred", "column": "x"}]
    left = words.filter(words.x.error["type"] == "deferred")
    assert left.count().to_pyarrow().as_py() == 6


def test_deferred_calls_are_computed_later(words):
    with bb.budget(calls=4):
        words.add_computed_column(x=upper(words.w), y=upper(words.w).length())
    with bb.budget(calls=5):
        result = words.recompute("x", where="deferred")
    assert (result.rows, result.deferred) == (6, 1)
    done = words.recompute(where="deferred")
    assert done.deferred == 0
    assert sorted(CALLED) == [f"w{n}" for n in range(10)]
    assert sorted(words.collect()["x"]) == [f"W{n}" for n in range(10)]
    assert words.collect()["y"] == [2] * 10
    assert words.recompute(where="deferred").rows == 0
    assert words.errors().count().to_pyarrow().as_py() == 0


def test_insert_reports_deferred_cells(words, caplog):
    words.add_computed_column(x=upper(words.w))
    with bb.budget(calls=1), caplog.at_level(logging.WARNING, "barbule"):
        result = words.insert([{"w": "a"}, {"w": "b"}, {"w": "w0"}])
    assert (result.rows, result.calls, result.hits, result.deferred) == (3, 1, 1, 1)
    assert "deferred=1" in repr(result)
    (message,) = caplog.messages
    assert message == (
        "words: 1 cell was deferred because the budget is spent; "
        'recompute(..., where="deferred") continues.'
    )


def test_ledger_answers_cost_nothing(words):
    words.select(upper(words.w)).collect()
    with bb.budget(calls=0) as spent:
        result = words.add_computed_column(x=upper(words.w))
    assert (result.hits, result.deferred, spent.calls) == (10, 0, 0)


def test_query_beyond_the_budget_raises(words):
    with bb.budget(calls=3), pytest.raises(BudgetError, match=r"the budget: 3 of 3 calls spent"):
        words.select(x=upper(words.w)).collect()
    assert len(CALLED) == 3
    assert len(words.select(x=upper(words.w)).collect()) == 10
    assert len(CALLED) == 10


def test_uncached_functions_cost_nothing(words):
    with bb.budget(calls=0):
        assert words.add_computed_column(x=plain(words.w)).deferred == 0


def test_failed_calls_cost_nothing(words):
    with bb.budget(calls=1) as spent:
        result = words.add_computed_column(x=failing(words.w))
    assert (result.errors, result.deferred, spent.calls) == (9, 0, 1)


def test_deferred_inner_calls_defer_the_outer_call(words):
    with bb.budget(calls=4):
        result = words.add_computed_column(x=plain(upper(words.w)))
    assert result.deferred == 6
    assert words.recompute("x", where="deferred").deferred == 0
    assert sorted(words.collect()["x"]) == [f"W{n}" for n in range(10)]


def test_nested_budgets_both_apply(words):
    with bb.budget(calls=5) as outer:
        with bb.budget(calls=3) as inner:
            assert words.add_computed_column(x=upper(words.w)).deferred == 7
        assert words.recompute("x", where="deferred").deferred == 5
    assert (outer.calls, inner.calls) == (5, 3)


def test_session_budget_comes_from_settings(tmp_path):
    Path("barbule.toml").write_text("[budget]\ncalls = 4\n")
    bb.connect(vectors="exact:")
    words = table_of("words")
    assert words.add_computed_column(x=upper(words.w)).deferred == 6
    with pytest.raises(BudgetError, match="the session's budget: 4 of 4 calls"):
        words.select(upper(words.w + "!")).collect()


def test_table_budget_survives_reopen(words, session):
    words.set_budget(calls=4)
    assert words.add_computed_column(x=upper(words.w)).deferred == 6
    session.close()
    words = bb.connect(session.settings.backend, vectors="exact:").get_table("words")
    assert words.insert(w="z").deferred == 1
    words.set_budget(calls=2)  # counts from here
    assert words.recompute("x", where="deferred").deferred == 5
    words.set_budget()
    assert words.recompute("x", where="deferred").deferred == 0
    other = table_of("other")
    assert other.add_computed_column(x=upper(other.w)).deferred == 0


def test_view_columns_are_deferred(words):
    with bb.budget(calls=4):
        view = bb.create_view("v", words, computed_columns={"x": upper(words.w)})
    assert view.errors().count().to_pyarrow().as_py() == 6
    assert view.recompute("x", where="deferred").rows == 6
    assert sorted(view.collect()["x"]) == [f"W{n}" for n in range(10)]


def test_model_requests_stop_at_the_call_cap(openai, models, words):
    with bb.budget(calls=7) as spent:
        result = words.add_computed_column(a=chat(openai, words.w))
    assert (models.count, result.deferred, spent.calls) == (7, 3, 7)
    assert words.recompute("a", where="deferred").deferred == 0
    assert models.count == 10
    assert sorted(words.collect()["a"]) == [f"echo: w{n}" for n in range(10)]


def test_bounded_answers_never_exceed_the_cost_cap(openai, models, words):
    price = 10 * 0.6e-6 + 9 * 0.15e-6  # the reservation of one request
    cap = 5 * price
    with bb.budget(usd=cap) as spent:
        result = words.add_computed_column(a=chat(openai, words.w, max_tokens=10))
    assert 0 < spent.usd <= cap
    assert 5 <= models.count < 10 or result.deferred == 0
    assert models.count == 10 - result.deferred == spent.calls


def test_token_cap_counts_input_and_output(openai, models, words):
    with bb.budget(tokens=1000) as spent:
        words.add_computed_column(a=chat(openai, words.w, max_tokens=5))
    total = bb.calls().agg(n=(_.tokens_in + _.tokens_out).sum()).collect()["n"][0]
    assert spent.tokens == total
    models.reset()
    with bb.budget(tokens=3):
        assert words.add_computed_column(b=chat(openai, words.w + "?", max_tokens=5)).deferred == 10
    assert models.count == 0


def test_unbounded_answers_run_one_at_a_time_near_the_cap(openai, models, words):
    # The longest answer exceeds the budget: a call is made if its expected usage fits.
    with bb.budget(tokens=2000) as spent:
        assert words.add_computed_column(a=chat(openai, words.w)).deferred == 0
    assert models.count == 10
    assert spent.tokens < 2000


def test_request_for_many_rows_counts_as_one_call(openai, models, words):
    embed = openai.embeddings.using(model="text-embedding-3-small", dimensions=8)
    with bb.budget(calls=1) as spent:
        assert words.add_computed_column(v=embed(words.w)).deferred == 0
    assert spent.calls == models.count == 1


def test_index_creation_beyond_the_budget_raises(openai, models, words):
    embed = openai.embeddings.using(model="text-embedding-3-small", dimensions=8)
    with bb.budget(calls=0), pytest.raises(BudgetError, match="0 of 0 calls"):
        words.add_embedding_index("w", embedding=embed)
    assert models.count == 0


def test_retries_count_as_one_call(openai, models, words):
    models.script("429", "500", "ok")
    with bb.budget(calls=10) as spent:
        assert words.add_computed_column(a=chat(openai, words.w)).deferred == 0
    assert spent.calls == 10


@pytest.mark.parametrize("cap", [{"usd": -1}, {"calls": "ten"}, {"tokens": float("nan")}])
def test_invalid_caps_are_rejected(cap):
    with pytest.raises(ConfigurationError, match="must be a number of 0 or above"):
        bb.budget(**cap)
