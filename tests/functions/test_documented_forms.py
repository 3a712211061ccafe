"""Forms of functions as the public documentation shows them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator  # noqa: TC003 - read at run time
from pathlib import Path
from typing import TypedDict

import ibis
import PIL.Image
import pytest

import barbule as bb


@bb.udf
def shout(text: str) -> str:
    return text.upper() + "!"


@bb.udf
async def fetch(url: str) -> dict:
    await asyncio.sleep(0)
    return {"url": url, "status": 200}


@bb.udf(batch_size=32)
def embed(texts: list[str]) -> list[bb.Vector(384)]:
    return [[float(len(text)), *[0.0] * 383] for text in texts]


@bb.udf(batch_size=4, return_type=bb.ArrayType(dtype=bb.String))
def caption(images: list) -> list:
    return [f"{image.width} wide" for image in images]


@bb.udf(on_error="null", retries=3, timeout=30, cache=True, version="2")
def robust(image: bb.Image):
    if image.width > 4:
        raise ValueError("too wide")
    return {"width": image.width}


CREATED: list[str] = []


@bb.udf
class Captioner:
    def __init__(self, model_id: str):
        CREATED.append(model_id)
        self.model_id = model_id

    def __call__(self, image: bb.Image) -> str:
        return f"{self.model_id}: {image.height} high"


@bb.uda
class Longest:
    def __init__(self):
        self.text = ""

    def update(self, text: str) -> None:
        self.text = max(self.text, text, key=len)

    def value(self) -> str:
        return self.text


class Word(TypedDict):
    word: str


@bb.iterator
def words(text: str) -> Iterator[Word]:
    for word in text.split():
        yield {"word": word}


@pytest.fixture
def films(session):
    return bb.create_table(
        "films", [{"name": "Up", "genre": "a"}, {"name": "Inside Out", "genre": "a"}]
    )


@pytest.fixture
def images(session):
    table = bb.create_table("images", {"img": bb.Image})
    table.insert([{"img": PIL.Image.new("RGB", (width, 2))} for width in (3, 9)])
    return table


def test_plain_async_and_batch_functions(films, images):
    found = films.order_by("name").select(
        films.name, loud=shout(films.name), got=fetch(films.name), vector=embed(films.name)
    )
    row = found.collect()[1]
    assert (row["loud"], row["got"]) == ("UP!", {"url": "Up", "status": 200})
    assert len(row["vector"]) == 384
    assert embed(films.name).type() == bb.Vector(384)
    assert caption(images.img).type().is_string()
    images.add_computed_column(caption=caption(images.img))
    assert sorted(images.collect()["caption"]) == ["3 wide", "9 wide"]


def test_on_error_null_leaves_failed_cells_null(images):
    images.add_computed_column(x=robust(images.img))
    rows = images.select("x", why=images.x.error.message).collect()
    assert sorted(rows, key=str) == [
        {"x": None, "why": "too wide"},
        {"x": {"width": 3}, "why": None},
    ]


def test_class_function_is_created_once(images):
    captioner = Captioner("small")
    assert CREATED == []
    images.add_computed_column(a=captioner(images.img), b=Captioner("small")(images.img))
    assert images.collect()["b"] == ["small: 2 high"] * 2
    assert CREATED == ["small"]


def test_aggregates_iterators_and_queries(films):
    assert films.group_by("genre").agg(x=Longest(films.name)).collect()["x"] == ["Inside Out"]
    over = films.mutate(x=Longest(films.name).over(ibis.window(group_by=films.genre)))
    assert set(over.collect()["x"]) == {"Inside Out"}
    chunks = bb.create_view("chunks", films, iterator=words(films.name))
    chunks.add_embedding_index("word", embedding=embed, metric="l2")

    @bb.query
    def top_chunks(query: str, top_k: int = 3):
        sim = chunks.word.similarity(query)
        return chunks.order_by(sim, asc=False).limit(top_k).select(chunks.word)

    assert top_chunks("xxxxxx", 1).collect()["word"] == ["Inside"]
    films.add_computed_column(near=top_chunks(films.name, top_k=1))
    assert films.order_by("name").collect()["near"] == [[{"word": "Inside"}], [{"word": "Up"}]]


def test_calls_nest_and_work_in_every_clause(films):
    other = bb.create_table("other", [{"loud": "UP!", "n": 1}])
    long = films.filter(shout(films.name).length() > 3).select("name").collect()
    assert long["name"] == ["Inside Out"]
    assert films.select(x=shout(shout(films.name))).limit(1).collect()["x"] in (
        ["UP!!"],
        ["INSIDE OUT!!"],
    )
    by = films.group_by(loud=shout(films.genre)).agg(n=films.name.count()).collect()
    assert by == [{"loud": "A!", "n": 2}]
    joined = films.join(other, shout(films.name) == other.loud).select("name", "n").collect()
    assert joined == [{"name": "Up", "n": 1}]
    assert films.order_by(shout(films.name).length()).collect()["name"] == ["Up", "Inside Out"]
    assert films.agg(x=shout(films.name.max())).collect()["x"] == ["UP!"]


def test_containers_of_expressions_and_fixed_arguments(films):
    @bb.udf
    def say(messages: list, mark: str = ".") -> str:
        return messages[0]["content"] + mark

    asked = say.using(mark="?")
    found = films.select(x=asked([{"role": "user", "content": films.name}])).collect()["x"]
    assert sorted(found) == ["Inside Out?", "Up?"]


CELLS = '''
import linecache
import barbule as bb


def run_cell(text, number):
    """Run a cell as notebooks do: compiled by itself, its text kept for tracebacks."""
    name = f"<cell {number}>"
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    exec(compile(text, name, "exec"), globals())


CELL = """
@bb.udf
def shout(text: str) -> str:
    return text.upper() + "%s"
"""
bb.connect(vectors="exact:")
run_cell(CELL % "!", 1)
assert shout.name == "notebook.shout", shout.name
words = bb.create_table("words", [{"w": "a"}])
words.add_computed_column(loud=shout(words.w))
run_cell(CELL % "!", 2)
assert len(words.stale()) == 0
run_cell(CELL % "?", 3)
assert words.stale()["column"] == ["loud"]
words.insert(w="b")
print(sorted(words.collect()["loud"]), words.recompute(where="stale").rows, len(words.stale()))
'''


def test_notebook_cells_define_functions():
    Path("notebook.py").write_text(CELLS)
    command = [sys.executable, "notebook.py"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "['A!', 'B?'] 2 0"
