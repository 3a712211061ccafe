"""Forecasts of `explain` against the counts of a model server.

The server counts tokens as providers do. The texts differ in length, and some occur in several
rows.
"""

from __future__ import annotations

import json
from datetime import date  # noqa: TC003 - pydantic reads it

import pydantic
import pytest
import tiktoken
from ibis import _
from PIL import Image

import barbule as bb

SENTENCE = "barbs branch from the shaft and their barbules hook into one vane of a feather"
WORDS = SENTENCE.split()


class Film(pydantic.BaseModel):
    title: str
    year: int
    good: bool
    released: date


@bb.udf
def search(query: str, limit: int) -> str:
    """Search for films.

    Parameters
    ----------
    query
        What to search for.
    limit
        How many films to give at most.
    """
    return query * limit


@pytest.fixture
def openai(models, session):
    from barbule.functions import openai

    models.tokenizer = lambda text: len(tiktoken.get_encoding("o200k_base").encode(text))
    return openai


@pytest.fixture
def texts(session):
    rows = [{"n": n, "w": text(n % 30)} for n in range(40)] + [{"n": 40, "w": None}]
    return bb.create_table("texts", rows)


@pytest.fixture
def images(session):
    for n in range(4):
        Image.new("RGB", (64, 64), (n, 0, 0)).save(f"{n}.png")
    table = bb.create_table("images", {"img": bb.Image})
    table.insert([{"img": f"{n}.png"} for n in range(4)])
    return table


def text(n):
    return " ".join(WORDS[(n + k) % len(WORDS)] for k in range(20 + 5 * (n % 7))) + f" {n}."


def about(column):
    return [
        {"role": "system", "content": "You answer questions about feathers, in short."},
        {"role": "user", "content": column},
    ]


def extracted(openai, t):
    return openai.extract(t.w, schema=Film, model="gpt-4o-mini")


def classified(openai, t):
    labels = {"feathers": "about birds", "films": "about films", "other": "all else"}
    return openai.classify(t.w, labels, model="gpt-4o-mini")


def filtered(openai, t):
    return openai.filter("{text} is about birds", text=t.w, model="gpt-4o-mini")


def scored(openai, t):
    return openai.analyze_sentiment(t.w, model="gpt-4o-mini")


def summarized(openai, t):
    return openai.summarize(t.w, max_words=30, model="gpt-4o-mini")


def translated(openai, t):
    return openai.translate(t.w, "French", model="gpt-4o-mini")


def bounded(openai, t):
    return openai.chat_completions(model="gpt-4o-mini", messages=about(t.w), max_tokens=40)


def with_tools(openai, t):
    return openai.chat_completions(
        model="gpt-4o-mini", messages=about(t.w), tools=bb.tools(search), max_tokens=90
    )


def embedded(openai, t):
    return openai.embeddings(t.w, model="text-embedding-3-small", dimensions=8)


def several_labels(openai, t):
    return openai.classify(t.w, ["a", "b", "c"], several=True, model="gpt-4o-mini")


QUERIES = [
    extracted,
    classified,
    filtered,
    scored,
    summarized,
    translated,
    bounded,
    with_tools,
    embedded,
    several_labels,
]


def answer_of(body):
    """Answer as long as one would expect."""
    asked = body["messages"][-1]["content"]
    if "response_format" in body:
        film = {"title": "Up in the air", "year": 2009, "good": True, "released": "2009-05-29"}
        return json.dumps(film)
    if body["messages"][0]["content"].startswith("Translate"):
        return asked
    return " ".join((WORDS * 9)[: 26 if body.get("max_tokens") is None else 32])


def took():
    calls = bb.calls()
    (row,) = calls.agg(
        requests=calls.requests.sum().fill_null(0),
        tokens_in=calls.tokens_in.sum().fill_null(0),
        usd=calls.usd.sum().fill_null(0.0),
    ).collect()
    return row


def compare(models, query, tolerance, *, priced=True):
    """Explain a query, run it, and compare; how long free answers are is not known before."""
    before, former_count = took(), models.count
    plan = query.explain()
    assert models.count == former_count
    query.collect()
    after = took()
    assert plan.calls == models.count - former_count == after["requests"] - before["requests"]
    (forecast,) = plan.forecasts
    tokens_in = after["tokens_in"] - before["tokens_in"]
    assert forecast.tokens_in == pytest.approx(tokens_in, rel=tolerance)
    if priced:
        assert plan.usd[1] == pytest.approx(after["usd"] - before["usd"], rel=tolerance)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.__name__)
def test_forecast_of_tokens_and_cost_matches_the_server(openai, models, texts, query):
    if query in (extracted, summarized, translated, bounded):
        models.content = answer_of
    asked = query(openai, texts)
    compare(models, texts.filter(_.n < 12).select(x=asked), 0.2, priced=query is not with_tools)
    compare(models, texts.select(x=asked), 0.05)
    assert texts.select(x=asked).explain().calls == 0


def test_forecast_of_image_cost_matches_the_server(openai, models, images):
    models.content = lambda _body: " ".join(WORDS[:9])
    asked = openai.vision("What is it?", images.img, model="gpt-4o-mini", max_tokens=10)
    compare(models, images.limit(2).select(x=asked), 0.2)
    compare(models, images.select(x=asked), 0.05)
