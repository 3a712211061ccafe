"""Forecasts of `explain` against the calls that a query makes."""

from __future__ import annotations

from pathlib import Path

import pytest

import barbule as bb

CALLED: list = []


@bb.udf(cache=True)
def upper(text: str) -> str:
    CALLED.append(text)
    return text.upper()


@bb.udf
def plain(text: str) -> str:
    CALLED.append(text)
    return text


@pytest.fixture(autouse=True)
def reset_called():
    CALLED.clear()


@pytest.fixture
def openai(models, session):
    from barbule.functions import openai

    return openai


@pytest.fixture
def words(session):
    table = bb.create_table("words", {"w": bb.String, "n": bb.Int})
    table.insert([{"w": f"w{n % 40}", "n": n} for n in range(100)] + [{"w": None, "n": 100}])
    return table


def chat(openai, column, **params):
    messages = [{"role": "user", "content": column}]
    asked = openai.chat_completions(model="gpt-4o-mini", messages=messages, **params)
    return asked.choices[0].message.content


def exactly(query):
    """Compare the forecast of a query with what is called for it."""
    CALLED.clear()
    plan = query.explain()
    assert CALLED == []
    query.collect()
    assert plan.calls == len(CALLED)
    assert all(forecast.exact for forecast in plan.forecasts)
    return plan


def test_forecast_excludes_duplicates_filtered_rows_and_ledger_hits(words):
    assert exactly(words.filter(words.n < 10).select(x=upper(words.w))).calls == 10
    plan = exactly(words.select(x=upper(words.w)))
    assert "30 calls: 100 rows, 40 distinct, 10 in the ledger" in str(plan)
    (counted,) = plan.forecasts
    assert (counted.rows, counted.distinct, counted.hits, counted.calls) == (100, 40, 10, 30)
    assert exactly(words.select(x=upper(words.w))).calls == 0
    limited = words.order_by("n").limit(3).select(x=upper(words.w + "!"))
    assert exactly(limited).calls == 3


def test_forecast_of_uncached_functions_counts_each_row(words):
    assert exactly(words.select(x=plain(words.w))).calls == 100


def test_forecast_counts_equal_calls_of_a_query_once(words):
    query = words.select(x=upper(words.w), y=upper(words.w).length())
    assert exactly(query).calls == 40


def test_forecast_behind_another_call_is_an_upper_bound(words):
    filtered = words.filter(upper(words.w) == "W1")
    plan = filtered.select(x=upper(filtered.w + "!")).explain()
    assert [(forecast.calls, forecast.exact) for forecast in plan.forecasts] == [
        (40, True),
        (100, False),
    ]
    assert "at most 100 calls, depending on answers" in str(plan)
    assert "In all: at most 140 calls" in str(plan)
    filtered.collect()  # the answers of the filter are now in the ledger
    again = exactly(filtered.select(x=upper(filtered.w + "!")))
    assert [forecast.calls for forecast in again.forecasts] == [0, 1]


def test_forecast_includes_tokens_and_cost(openai, models, words):
    some = words.filter(words.n < 20).select(a=chat(openai, words.w, max_tokens=50))
    plan = some.explain()
    assert models.count == 0
    (counted,) = plan.forecasts
    low, expected, high = counted.tokens_out
    assert (counted.calls, low, expected, high) == (20, 20, 20 * 50, 20 * 50)
    least, usual, most = plan.usd
    assert usual == pytest.approx(counted.tokens_in * 0.15e-6 + expected * 0.6e-6)
    assert 0 < least < usual <= most
    some.collect()
    assert models.count == 20


def test_forecast_uses_answer_lengths_from_the_ledger(openai, models, words):
    words.filter(words.n < 5).select(chat(openai, words.w)).collect()
    answered = bb.calls().agg(n=bb.calls().tokens_out.mean()).collect()["n"][0]
    (counted,) = words.select(chat(openai, words.w)).explain().forecasts
    assert counted.calls == 35
    assert counted.tokens_out[1] == round(answered) * 35
    assert counted.tokens_out[2] == 16384 * 35


def test_forecast_uses_the_tokenizer(openai, models, session):
    import tiktoken

    text = "Barbules zip the strands of a feather into one vane."
    table = bb.create_table("t", [{"w": text}])
    embed = openai.embeddings.using(model="text-embedding-3-small", dimensions=8)
    (counted,) = table.select(embed(table.w)).explain().forecasts
    tokens = len(tiktoken.get_encoding("cl100k_base").encode(text))
    assert counted.tokens_in == tokens
    assert counted.usd == (pytest.approx(tokens * 0.02e-6),) * 3
    assert models.count == 0


def test_unknown_price_is_not_guessed(openai, models, words):
    asked = openai.chat_completions(
        model="of-my-own", messages=[{"role": "user", "content": words.w}]
    )
    plan = words.select(asked).explain()
    assert plan.forecasts[0].usd is None
    assert "price unknown" in str(plan)


def test_forecast_includes_prompt_tokens_of_functions(openai, models, words):
    few = words.filter(words.n == 0)
    bare = few.select(chat(openai, few.w)).explain().forecasts[0].tokens_in
    classified = few.select(openai.classify(few.w, ["good", "bad"], model="gpt-4o-mini")).explain()
    assert classified.forecasts[0].tokens_in > bare + 10
    assert models.count == 0


def test_forecast_assumes_a_typical_image_size(openai, models, session):
    from PIL import Image

    Image.new("RGB", (64, 64), "red").save("one.png")
    table = bb.create_table("images", {"img": bb.Image})
    table.insert([{"img": "one.png"}])
    asked = openai.vision(model="gpt-4o-mini", prompt="What is it?", image=table.img)
    (counted,) = table.select(asked).explain().forecasts
    assert counted.calls == 1
    assert counted.tokens_in > 50
    assert models.count == 0


def test_forecast_uses_the_length_of_audio(openai, models, session):
    from fakes.models_server import _speech

    for name, letters in (("one", 1000), ("two", 4000)):
        Path(f"{name}.wav").write_bytes(_speech({"input": "a" * letters}))
    table = bb.create_table("sounds", {"s": bb.Audio, "n": bb.Int})
    table.insert([{"s": "one.wav", "n": 1}, {"s": "two.wav", "n": 2}])
    messages = [{"role": "user", "content": ["What is said?", table.s]}]
    asked = openai.chat_completions(model="gpt-4o-audio-preview", messages=messages)
    one, two = (
        table.filter(table.n == n).select(asked).explain().forecasts[0].tokens_in for n in (1, 2)
    )
    assert 10 < one < two < 100
    assert models.count == 0


def test_forecast_of_many_rows_uses_a_sample(openai, models, session):
    table = bb.create_table("t", [{"w": f"word {n}"} for n in range(3000)])
    (counted,) = table.select(chat(openai, table.w)).explain().forecasts
    assert counted.calls == 3000
    assert not counted.counted
    assert 3000 * 8 < counted.tokens_in < 3000 * 13


def test_explain_column_forecasts_calls(words):
    plan = words.explain_column(x=upper(words.w), y=upper(words.w + "!"))
    assert words.columns == ("w", "n")
    assert plan.calls == 80
    result = words.add_computed_column(x=upper(words.w), y=upper(words.w + "!"))
    assert result.calls == 80
    assert "In all: 80 calls" in str(plan)


def test_forecast_of_similarity_search_counts_result_rows(openai, models, session):
    table = bb.create_table("t", [{"w": f"text {n}"} for n in range(20)])
    embed = openai.embeddings.using(model="text-embedding-3-small", dimensions=8)
    table.add_embedding_index("w", embedding=embed)
    models.reset()
    sim = table.w.similarity("text 7")
    query = table.order_by(sim, asc=False).limit(3).select(a=chat(openai, table.w))
    plan = query.explain()
    assert models.count == 0
    assert plan.calls == 3
    query.collect()
    assert models.count == 3
