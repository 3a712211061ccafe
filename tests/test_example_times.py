"""The times that an example prints add up to the total."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def rag():
    sys.path.insert(0, str(EXAMPLES))
    try:
        spec = importlib.util.spec_from_file_location("example_rag", EXAMPLES / "rag.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(EXAMPLES))


def test_overlapping_spans_count_once(rag):
    assert rag.covered([]) == 0
    assert rag.covered([(0, 4), (1, 2), (3, 6), (8, 9)]) == 7
    assert rag.times((0, 10), [(0, 4), (1, 5)], [(3, 7)]) == (
        "10.0 s: 5.0 s language model, 2.0 s embedding, 3.0 s everything else"
    )


@given(st.data())
def test_parts_add_up_to_the_total(rag, data):
    whole = (0.0, data.draw(st.floats(0, 100)))
    moments = st.floats(*whole)
    spans = st.lists(st.tuples(moments, moments).map(lambda span: tuple(sorted(span))))
    line = rag.times(whole, data.draw(spans), data.draw(spans))
    total, *parts = map(float, re.findall(r"[\d.]+(?= s)", line))
    assert sum(parts) == pytest.approx(total)
    assert all(part >= 0 for part in parts)
