"""Types of the decorators as a type checker reports them; `nox -s types` checks this file."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - barbule evaluates annotations
from typing import TypedDict, assert_type

import barbule as bb
from barbule.functions.function import Function
from barbule.functions.language_models.tools import Tool, Tools
from barbule.functions.parameters.stateful import Stateful
from barbule.functions.uda import Aggregation


class Word(TypedDict):
    """A row of an iterator."""

    word: str


class Marker:
    """A function with state."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __call__(self, text: str) -> str:
        """Mark a text."""
        return self.mark + text


class Longest:
    """An aggregate."""

    def __init__(self) -> None:
        self.text = ""

    def update(self, text: str) -> None:
        """Take the text of one row."""
        self.text = max(self.text, text, key=len)

    def value(self) -> str:
        """Return the result."""
        return self.text


@bb.udf
def shout(text: str) -> str:
    """Convert to upper case."""
    return text.upper()


@bb.udf(retries=2, return_type=str)
async def whisper(text: str) -> str:
    """Convert to lower case."""
    return text.lower()


@shout.overload
def shout_number(number: int) -> str:
    """Convert a number to a string."""
    return f"{number}!"


@bb.iterator
def words(text: str) -> Iterator[Word]:
    """List the words of a text."""
    for word in text.split():
        yield {"word": word}


@bb.query(version="1")
def films_after(year: int) -> object:
    """Return a query."""
    return year


assert_type(shout, Function)
assert_type(whisper, Function)
assert_type(shout_number, Function)
assert_type(words, Function)
assert_type(films_after, Function)
assert_type(shout.using(text="a"), Function)
assert_type(bb.udf(len), Function)
assert_type(bb.udf(lambda text: text, return_type=str), Function)
assert_type(bb.udf(Marker), Stateful)
assert_type(bb.udf(version="1")(Marker), Stateful)
assert_type(bb.udf(Marker)("*"), Function)
assert_type(bb.uda(Longest), Aggregation)
assert_type(bb.uda(return_type=str)(Longest), Aggregation)
assert_type(bb.tool(shout, name="shout"), Tool)
assert_type(bb.tools(shout, words), Tools)
assert_type(bb.functions.image.resize, Function)
assert_type(bb.functions.audio.clip, Function)
