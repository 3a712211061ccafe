"""Ledger look-up: answers are found by key, for few and many keys, written or pending."""

from __future__ import annotations

import ibis.expr.datatypes as dt
import pytest

from barbule.executor.ledger.answers import Answer

KNOWN = [f"{number:064x}" for number in range(40)]


def _answer(key: str, **more) -> Answer:
    return Answer(key, "f", "1", key[-2:], question="q", **more)


@pytest.fixture
def ledger(session):
    return session._engine.ledger


@pytest.mark.parametrize("count", [1, 2, 16, 17, 40])
@pytest.mark.parametrize("written", [True, False])
def test_look_up_finds_written_and_pending_answers(ledger, count, written):
    ledger.write([_answer(key) for key in KNOWN[:20]], dt.string)
    (ledger.write if written else ledger.write_behind)(
        [_answer(key) for key in KNOWN[20:30]], dt.string
    )
    ledger.write([_answer(key, error="ValueError: no") for key in KNOWN[30:]], dt.string)
    for start in range(0, 41 - count, 5):
        keys = KNOWN[start : start + count]
        expected = {key: key[-2:] for key in keys if key in KNOWN[:30]}
        assert ledger.look_up(keys, dt.string) == expected
        assert ledger.answered_keys(keys) == expected.keys()
        assert ledger.look_up([f"x{key}" for key in keys], dt.string) == {}


def test_tokens_are_found_for_few_and_many_keys(ledger):
    ledger.write([_answer(key, tokens_in=3, tokens_out=1) for key in KNOWN[:20]], dt.string)
    ledger.write([_answer(key, tokens_in=3, estimated=True) for key in KNOWN[20:]], dt.string)
    for keys in (KNOWN[:1], KNOWN[19:21], KNOWN):
        assert ledger.tokens(keys) == {key: (3, 1) for key in keys if key in KNOWN[:20]}
    assert ledger.tokens([]) == {}
