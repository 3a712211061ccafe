"""Provider faults and duplicate prompts: the exact number of requests."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

import barbule as bb

ROWS = 300


@pytest.fixture
def ask(models, monkeypatch):
    """Return a function that calls a model for each row, with a timeout of five seconds."""
    from barbule.functions import openai

    with Path("barbule.toml").open("a") as file:
        file.write("timeout = 5.0\n")
    bb.connect(vectors="exact:")
    # Retries do not wait in this test.
    monkeypatch.setattr("barbule.models.rate_limits.backoff", lambda *_: 0.01)

    def column(table):
        messages = [{"role": "user", "content": table.q}]
        return openai.chat_completions(model="echo", messages=messages).choices[0].message.content

    return column


def prompts(models):
    return [body["messages"][-1]["content"] for body in models.requests]


def test_faults_are_retried_and_answered_rows_are_not_sent_again(models, ask):
    draw = random.Random(4)
    kinds = ["429", "500", "malformed", "disconnect", "timeout"]
    fates = [draw.choice(kinds) if draw.random() < 0.2 else "ok" for _ in range(3 * ROWS)]
    models.script(*fates)
    models.retry_after = 0.01
    table = bb.create_table("qa", [{"q": f"question {n}"} for n in range(ROWS)])
    done = table.add_computed_column(a=ask(table))
    assert done.errors == 0
    assert all(row["a"] == f"echo: {row['q']}" for row in table.collect())
    answered = set()
    for prompt, fate in zip(prompts(models), fates, strict=False):
        assert prompt not in answered
        if fate == "ok":
            answered.add(prompt)
    assert len(answered) == ROWS
    assert models.count > ROWS * 1.1  # some requests failed
    attempts = bb.calls().collect()["attempts"]
    assert sum(attempts) >= models.count  # a request can time out before it is sent


@pytest.mark.parametrize(("percent", "distinct"), [(0, 400), (50, 200), (90, 40)])
def test_requests_equal_distinct_prompts(models, ask, percent, distinct):
    rows = [{"q": f"question {n % distinct}"} for n in range(400)]
    random.Random(percent).shuffle(rows)
    table = bb.create_table("qa", rows)
    done = table.add_computed_column(a=ask(table))
    assert (done.calls, models.count) == (distinct, distinct)
    assert set(Counter(prompts(models)).values()) == {1}
    again = bb.create_table("other", rows)
    assert again.add_computed_column(a=ask(again)).hits == distinct
    assert models.count == distinct
