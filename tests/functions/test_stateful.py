"""Classes as functions: created once, then called."""

from __future__ import annotations

import pytest

import barbule as bb
from barbule.errors import ExpressionError, FunctionError


@pytest.fixture
def words(session):
    table = bb.create_table("words", {"w": bb.String})
    table.insert([{"w": word} for word in ("a", "b", "c")])
    return table


def test_class_instance_is_created_once_and_reused(words):
    made = []

    @bb.udf
    class Tagger:
        def __init__(self, tag: str, times: int = 1):
            made.append(tag)
            self.tag = tag * times

        def __call__(self, text: str, end: str = "") -> str:
            return self.tag + text + end

    assert made == []
    words.add_computed_column(x=Tagger("#")(words.w))
    words.add_computed_column(y=Tagger("-", times=2)(words.w, end="."))
    words.insert(w="d")
    rows = words.order_by("w").collect()
    assert rows["x"] == ["#a", "#b", "#c", "#d"]
    assert rows["y"] == ["--a.", "--b.", "--c.", "--d."]
    assert made == ["#", "-"]
    assert Tagger("#")("z") == "#z"
    assert made == ["#", "-"]


def test_batch_and_async_classes(words):
    @bb.udf(batch_size=2)
    class Sizes:
        def __init__(self, plus: int):
            self.plus = plus

        def __call__(self, texts: list[str]) -> list[int]:
            return [len(text) + self.plus for text in texts]

    @bb.udf
    class Later:
        async def __call__(self, text: str) -> str:
            return text.upper()

    found = words.order_by("w").select(n=Sizes(4)(words.w), up=Later()(words.w)).collect()
    assert found["n"] == [5, 5, 5]
    assert found["up"] == ["A", "B", "C"]


def test_invalid_class_functions_are_rejected(words):
    with pytest.raises(ExpressionError, match="a udf must be a function"):
        bb.udf(type("Empty", (), {}))
    with pytest.raises(ExpressionError, match="cannot be distinguished from those of __call__"):

        @bb.udf
        class Same:
            def __init__(self, text: str): ...
            def __call__(self, text: str) -> str: ...

    @bb.udf
    class Broken:
        def __init__(self, path: str):
            raise OSError("no such model")

        def __call__(self, text: str) -> str: ...

    with pytest.raises(ExpressionError, match="missing a required argument: 'path'"):
        Broken()
    with pytest.raises(FunctionError, match="Broken failed: OSError: no such model"):
        words.select(x=Broken("p")(words.w)).collect()
