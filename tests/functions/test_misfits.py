"""Arguments that functions, splitters and classes do not take: which were meant."""

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


MAKERS = {
    F.StringSplitter: ("text", "s"),
    F.DocumentSplitter: ("document", "d"),
    F.VideoSplitter: ("video", "v"),
    F.AudioSplitter: ("audio", "a"),
    F.FrameIterator: ("video", "v"),
}


@pytest.mark.parametrize("maker", MAKERS, ids=lambda kind: kind.__name__)
def test_makers_of_iterators_say_what_they_take(t, maker):
    source, column = MAKERS[maker]
    called = rf"{maker.__name__}\.create"
    with pytest.raises(ExpressionError, match=rf"{called}\(\) takes no argument") as caught:
        maker.create(**{f"{source}s": t[column]})
    assert caught.value.hint.startswith(f"Did you mean '{source}'? It is called as ")
    with pytest.raises(ExpressionError, match=rf"{called}\(\): missing .*'{source}'"):
        maker.create()
    with pytest.raises(ExpressionError, match=rf"{called}\(\): too many positional"):
        maker.create(t[column], None, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    with pytest.raises(ExpressionError, match=rf"Write {called}\(\.\.\.\)"):
        maker(t[column])
    with pytest.raises(TypeError, match="is not called itself"):
        maker()


def test_all_makers_are_tested():
    named = {name for name in dir(F) if name.endswith(("Splitter", "Iterator"))}
    assert named == {kind.__name__ for kind in MAKERS}


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
def test_a_misspelt_argument_of_a_function(t, ask, wrong, meant):
    with pytest.raises(ExpressionError, match=f"'{wrong}'") as caught:
        ask(t)
    assert f"Did you mean '{meant}'?" in caught.value.hint


def test_a_misspelt_argument_beside_any_other(t):
    with pytest.raises(ExpressionError, match="missing a required argument: 'messages'") as caught:
        F.openai.chat_completions(message=[], model="x")
    assert "Did you mean 'messages'?" in caught.value.hint


@pytest.mark.parametrize("kind", [Tagger, Upper])
def test_a_class_is_made_before_it_is_given_a_column(t, kind):
    name = kind.name.rpartition(".")[2]
    for given in (t.s, _.s, t, t.s.length()):
        with pytest.raises(ExpressionError, match=r"is a class, which is made of plain") as caught:
            kind(given)
        assert f"{name}(" in caught.value.hint
    t.insert(s="up")
    assert t.select(x=Upper()(t.s)).collect()["x"] == ["UP"]
    assert t.select(x=Tagger()(_.s)).collect()["x"] == ["#up"]
