"""Misspelt or missing arguments of functions, splitters and classes: errors with a suggestion."""

from __future__ import annotations

import pytest
from ibis import _

import barbule as bb
from barbule.errors import ExpressionError

F = bb.functions
SCHEMA = {
    "s": bb.String,
    "v": bb.Video,
    "a": bb.Audio,
    "d": bb.Document,
    "img": bb.Image,
}


@pytest.fixture
def t(session):
    return session.create_table("t", SCHEMA)


FACTORIES = {
    F.StringSplitter: ("text", "s"),
    F.DocumentSplitter: ("document", "d"),
    F.VideoSplitter: ("video", "v"),
    F.AudioSplitter: ("audio", "a"),
    F.FrameIterator: ("video", "v"),
}


@pytest.mark.parametrize("factory", FACTORIES, ids=lambda kind: kind.__name__)
def test_iterator_factories_report_their_arguments(t, factory):
    source, column = FACTORIES[factory]
    called = rf"{factory.__name__}\.create"
    with pytest.raises(ExpressionError, match=rf"{called}\(\) takes no argument") as caught:
        factory.create(**{f"{source}s": t[column]})
    assert caught.value.hint.startswith(f"Did you mean '{source}'? Its signature is ")
    with pytest.raises(ExpressionError, match=rf"{called}\(\): missing .*'{source}'"):
        factory.create()
    with pytest.raises(ExpressionError, match=rf"{called}\(\): too many positional"):
        factory.create(t[column], None, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    with pytest.raises(ExpressionError, match=rf"Write {called}\(\.\.\.\)"):
        factory(t[column])
    with pytest.raises(TypeError, match="cannot be called"):
        factory()


def test_all_iterator_factories_are_tested():
    named = {name for name in dir(F) if name.endswith(("Splitter", "Iterator"))}
    assert named == {kind.__name__ for kind in FACTORIES}


@bb.udf
def plus(number: int, other: int = 1) -> int:
    return number + other


@bb.udf
class Tagger:
    def __init__(self, tag: str = "#"):
        self.tag = tag

    def __call__(self, text: str) -> str:
        return self.tag + text


@bb.udf
class Upper:
    def __call__(self, text: str) -> str:
        return text.upper()


@pytest.mark.parametrize(
    ("ask", "wrong", "meant"),
    [
        (lambda _: plus(1, othre=2), "othre", "other"),
        (lambda t: plus(numbr=t.s.length()), "numbr", "number"),
        (lambda t: t.img.resize(sizes=[1, 2]), "sizes", "size"),
        (lambda t: F.image.resize(t.img, sizes=[1, 2]), "sizes", "size"),
        (lambda _: Tagger(tga="x"), "tga", "tag"),
        (lambda _: Tagger("x").using(txt="x"), "txt", "text"),
    ],
)
def test_misspelt_argument_gets_a_suggestion(t, ask, wrong, meant):
    with pytest.raises(ExpressionError, match=f"'{wrong}'") as caught:
        ask(t)
    assert f"Did you mean '{meant}'?" in caught.value.hint


def test_misspelt_argument_among_extra_ones_gets_a_suggestion(t):
    with pytest.raises(ExpressionError, match="missing a required argument: 'messages'") as caught:
        F.openai.chat_completions(message=[], model="x")
    assert "Did you mean 'messages'?" in caught.value.hint


@pytest.mark.parametrize("kind", [Tagger, Upper])
def test_class_called_with_a_column_is_rejected_with_a_hint(t, kind):
    name = kind.name.rpartition(".")[2]
    for given in (t.s, _.s, t, t.s.length()):
        with pytest.raises(
            ExpressionError, match=r"is a class, whose __init__ takes plain"
        ) as caught:
            kind(given)
        assert f"{name}(" in caught.value.hint
    t.insert(s="up")
    assert t.select(x=Upper()(t.s)).collect()["x"] == ["UP"]
    assert t.select(x=Tagger()(_.s)).collect()["x"] == ["#up"]
