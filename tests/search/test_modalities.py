"""Indexes on columns of each kind, also of views; queries of other kinds; refusals."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import ColumnNotFoundError, ExpressionError, TableExistsError

from .conftest import LENGTH, filled, nearest, texts_of, vector_of

COLOURS = {"red": (220, 20, 30), "green": (20, 200, 40), "blue": (10, 30, 230)}


@bb.udf(batch_size=4)
def colour(images: list[bb.Image]) -> list[bb.Vector(3)]:
    return [np.asarray(image.convert("RGB"), "float32").mean(axis=(0, 1)) for image in images]


@bb.udf(batch_size=4)
def colour_named(texts: list[str]) -> list[bb.Vector(3)]:
    return [COLOURS.get(text.split()[-1], (1, 1, 1)) for text in texts]


@bb.udf
def by_bytes(file: bb.Document) -> bb.Vector(LENGTH):
    return vector_of(Path(file).read_bytes().decode("latin-1"))


@bb.udf
def by_sound(file: bb.Audio) -> bb.Vector(LENGTH):
    return vector_of(Path(file).read_bytes().decode("latin-1"))


@bb.udf
def by_frames(file: bb.Video) -> bb.Vector(LENGTH):
    return vector_of(Path(file).read_bytes().decode("latin-1"))


def picture(name):
    return Image.new("RGB", (4, 4), COLOURS[name])


@pytest.fixture
def pictures(session):
    table = bb.create_table("pictures", {"name": bb.String, "img": bb.Image})
    table.insert([{"name": name, "img": picture(name)} for name in COLOURS])
    return table


def best(table, query, column="img", shown="name", **options):
    sim = table[column].similarity(query, **options)
    return table.order_by(sim, asc=False).limit(1).collect()[0, shown]


# Text queries on images


def test_images_are_found_by_text_and_by_image(pictures):
    pictures.add_embedding_index("img", image_embed=colour, string_embed=colour_named)

    assert best(pictures, "something blue") == "blue"
    assert best(pictures, picture("green")) == "green"
    assert best(pictures, np.full((3, 3, 3), COLOURS["red"], "uint8")) == "red"


def test_text_finds_images_after_reconnect(pictures, session):
    pictures.add_embedding_index("img", embedding=colour, string_embed=colour_named)
    pictures.rename_column("img", "photo")
    settings = session.settings
    session.close()

    again = bb.connect(settings.backend, vectors="exact:").get_table("pictures")

    assert best(again, "blue", "photo") == "blue"


def test_texts_of_another_table_find_images(pictures):
    pictures.add_embedding_index("img", image_embed=colour, string_embed=colour_named)
    asked = bb.create_table("asked", {"words": bb.String})
    asked.insert([{"words": "one in green"}, {"words": "one in red"}])

    pairs = pictures.img.nearest(asked.words, k=1).order_by("words").collect()

    assert pairs["name"] == ["green", "red"]


def test_images_find_texts(session):
    table = bb.create_table("t", {"text": bb.String})
    table.insert([{"text": f"it is {name}"} for name in COLOURS])
    table.add_embedding_index("text", string_embed=colour_named, image_embed=colour)

    assert best(table, picture("blue"), "text", "text") == "it is blue"
    assert best(table, "so red", "text", "text") == "it is red"


def test_text_query_finds_rows_of_vector_column(session, embed):
    table = bb.create_table("t", {"n": bb.Int, "v": bb.Vector(LENGTH)})
    table.insert([{"n": n, "v": vector_of(text)} for n, text in enumerate(texts_of(9))])
    table.add_embedding_index("v", string_embed=embed)

    assert best(table, "text number 4", "v", "n") == 4
    assert best(table, vector_of("text number 7"), "v", "n") == 7


@bb.udf
def unannotated(value) -> bb.Vector(3):
    return COLOURS[value] if isinstance(value, str) else np.asarray(value).mean(axis=(0, 1))


@bb.udf
def anything(value: Any) -> bb.Vector(3):
    return COLOURS[value] if isinstance(value, str) else np.asarray(value).mean(axis=(0, 1))


@pytest.mark.parametrize("either", [unannotated, anything])
def test_embedding_without_input_type_takes_text_and_images(pictures, either):
    pictures.add_embedding_index("img", embedding=either)

    assert best(pictures, "green") == "green"
    assert best(pictures, picture("blue")) == "blue"


# Documents, sounds, videos


@pytest.fixture
def files(tmp_path):
    for n in range(3):
        (tmp_path / f"{n}.md").write_text(f"# Chapter {n}")
        with wave.open(str(tmp_path / f"{n}.wav"), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes([n, 0]) * 800)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "ending", "function"), [(bb.Document, "md", by_bytes), (bb.Audio, "wav", by_sound)]
)
def test_files_are_found_by_files(session, files, kind, ending, function, embed):
    table = bb.create_table("t", {"n": bb.Int, "file": kind})
    table.insert([{"n": n, "file": str(files / f"{n}.{ending}")} for n in range(3)])
    table.add_embedding_index("file", embedding=function, string_embed=embed)
    asked = files / f"1.{ending}"

    assert best(table, asked, "file", "n") == 1
    assert best(table, str(asked), "file", "n") == 1
    assert best(table, asked.read_bytes(), "file", "n") == 1
    found = table.select(s=table.file.similarity("words about it")).collect()["s"]
    assert len(found) == 3


def test_videos_are_found_by_videos(session, tmp_path):
    av = pytest.importorskip("av")
    paths = []
    for n in range(2):
        paths.append(str(tmp_path / f"{n}.mp4"))
        with av.open(paths[-1], "w") as container:
            stream = container.add_stream("mpeg4", rate=5)
            stream.width = stream.height = 32
            for _ in range(4):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), n * 99, "uint8"))
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    table = bb.create_table("t", {"n": bb.Int, "film": bb.Video})
    table.insert([{"n": n, "film": path} for n, path in enumerate(paths)])
    table.add_embedding_index("film", embedding=by_frames)

    assert best(table, paths[1], "film", "n") == 1
    with pytest.raises(ExpressionError, match="takes videos, not a string"):
        best(table, "a grey film", "film", "n")


# Several indexes on one column, and another embedding


@bb.udf(batch_size=8)
def reverse(texts: list[str]) -> list[bb.Vector(LENGTH)]:
    return [vector_of(text[::-1]) for text in texts]


def test_index_is_selected_by_name(session, embed):
    chunks = filled(embed, 9)
    chunks.add_embedding_index("text", string_embed=reverse, name="back", metric="l2")

    assert best(chunks, "text number 3", "text", "n", index="text_embed") == 3
    assert best(chunks, "text number 3", "text", "n", idx="back") == 3
    with pytest.raises(ExpressionError, match="several embedding indexes: text_embed, back"):
        best(chunks, "text number 3", "text", "n")


def test_replacing_index_changes_embedding(store, embed):
    chunks = filled(embed, 9, name="main")
    old = chunks.checkpoint("old")
    before = chunks.select(v=chunks.text.embedding()).collect()["v"]

    result = chunks.add_embedding_index(
        "text", string_embed=reverse, name="main", if_exists="replace"
    )

    assert (result.rows, result.calls) == (9, 9)
    after = chunks.order_by("n").select(v=chunks.text.embedding()).collect()["v"]
    np.testing.assert_allclose(after, [vector_of(text[::-1]) for text in texts_of(9)])
    assert best(chunks, "text number 5", "text", "n") == 5
    then = chunks.at(old)
    np.testing.assert_allclose(then.select(v=then.text.embedding()).collect()["v"], before)
    assert chunks.diff(old, chunks.checkpoint("new")).drift["main"].count().execute() == 9


def test_if_exists_policy_of_add_embedding_index(session, embed):
    chunks = filled(embed, 4)
    with pytest.raises(TableExistsError, match="an embedding index 'text_embed' already"):
        chunks.add_embedding_index("text", string_embed=embed)
    version = chunks.history()[0, "version"]
    assert chunks.add_embedding_index("text", string_embed=embed, if_exists="ignore").rows == 0
    assert chunks.history()[0, "version"] == version
    again = chunks.add_embedding_index("text", string_embed=embed, if_exists="replace")
    assert (again.rows, again.calls, again.hits) == (4, 0, 4)


# Stored vectors as a column


def test_embedding_method_returns_stored_vectors(session, embed):
    chunks = filled(embed, 6)
    embed.asked.clear()

    rows = chunks.where(chunks.n > 2).select(chunks.n, v=chunks.text.embedding()).collect()
    lengths = chunks.mutate(v=chunks.text.embedding()).filter(ibis._.v.length() == LENGTH)

    for row in rows:
        np.testing.assert_allclose(row["v"], vector_of(f"text number {row['n']}"), rtol=1e-6)
    assert lengths.count().execute() == 6
    assert embed.asked == []


def test_embedding_method_reads_versions_and_branches(session, embed):
    chunks = filled(embed, 3)
    chunks.checkpoint("old")
    branch = chunks.branch("other")
    chunks.update({"text": "new"}, where=chunks.n == 1)

    for seen, text in ((chunks, "new"), (chunks.at("old"), "text number 1")):
        (v,) = seen.where(seen.n == 1).select(v=seen.text.embedding()).collect()["v"]
        np.testing.assert_allclose(v, vector_of(text), rtol=1e-6)
    assert branch.select(v=branch.text.embedding()).count().execute() == 3


def test_embedding_method_without_index_is_refused(session, embed):
    chunks = filled(embed, 3)
    with pytest.raises(ExpressionError, match="no embedding index"):
        chunks.n.embedding()
    with pytest.raises(ColumnNotFoundError, match=r"'other'.*Its indexes: 'text_embed'"):
        chunks.text.embedding(idx="other")
    with pytest.raises(ExpressionError, match="needs a column of a table"):
        chunks.select(up=chunks.text.upper()).up.embedding()
    with pytest.raises(ExpressionError, match="the vectors of an index"):
        chunks.add_computed_column(v=chunks.text.embedding())


# Views


def test_a_view_indexes_a_column_of_its_base(store, embed):
    base = bb.create_table("base", {"n": bb.Int, "text": bb.String})
    base.insert([{"n": n, "text": text} for n, text in enumerate(texts_of(12))])
    view = bb.create_view("view", base.where(base.n >= 6))
    view.add_embedding_index("text", string_embed=embed)
    kept = [text for n, text in enumerate(texts_of(12)) if n >= 6]

    def top(query, k=3):
        return view.order_by(view.text.similarity(query), asc=False).limit(k).collect()["text"]

    assert top("query") == nearest(kept, "query", 3)
    base.insert(n=50, text="query")
    base.update({"text": "gone"}, where=base.n == 7)
    base.delete(where=base.n == 8)
    kept = [text for text in kept if text not in {"text number 7", "text number 8"}]
    assert top("query", 9) == nearest([*kept, "gone", "query"], "query", 9)
    base.rename_column("text", "words")
    assert best(view, "query", "words", "n") == 50
    assert view.select(v=view.words.embedding()).count().execute() == 6
    view.drop_embedding_index("words")
    with pytest.raises(ExpressionError, match="no embedding index"):
        best(view, "query", "words", "n")


def test_view_and_base_index_vector_columns(store):
    base = bb.create_table("base", {"n": bb.Int, "v": bb.Vector(2)})
    base.insert([{"n": n, "v": [np.cos(n), np.sin(n)]} for n in range(6)])
    view = bb.create_view("view", base.where(base.n >= 2))
    view.add_embedding_index("v")
    base.add_computed_column(w=base.v)
    base.add_embedding_index("w")

    assert best(view, [np.cos(1), np.sin(1)], "v", "n") == 2
    assert best(base, [np.cos(1), np.sin(1)], "w", "n") == 1
    base.insert(n=9, v=[np.cos(1), np.sin(1)])
    assert best(view, [np.cos(1), np.sin(1)], "v", "n") == 9


# Refused combinations


def test_query_of_unsupported_kind_is_refused(pictures, embed):
    pictures.add_embedding_index("img", image_embed=colour)
    chunks = filled(embed, 3)

    with pytest.raises(ExpressionError, match=r"takes images, not a string\..*string_embed="):
        best(pictures, "a red one")
    with pytest.raises(ExpressionError, match=r"takes strings, not an image\..*image_embed="):
        best(chunks, picture("red"), "text", "n")
    with pytest.raises(ExpressionError, match="takes images, not a string"):
        pictures.img.nearest(chunks.text).collect()
    with pytest.raises(ExpressionError, match="is not an image"):
        best(pictures, np.zeros((2, 2, 7), "uint8"))


def test_mismatched_embedding_functions_are_refused(pictures, embed):
    with pytest.raises(ExpressionError, match=r"takes string, not image"):
        pictures.add_embedding_index("img", embedding=embed)
    with pytest.raises(
        ExpressionError, match=r"image needs an embedding.*string_embed= embeds queries"
    ):
        pictures.add_embedding_index("img", string_embed=embed)
    with pytest.raises(
        ExpressionError, match=rf"string_embed= returns vectors of length {LENGTH}, "
    ):
        pictures.add_embedding_index("img", image_embed=colour, string_embed=embed)
    with pytest.raises(ExpressionError, match=r"embedding= and image_embed= both embed"):
        pictures.add_embedding_index("img", embedding=colour, image_embed=colour)
    with pytest.raises(
        ExpressionError, match=r"string needs an embedding.*image_embed= embeds queries"
    ):
        pictures.add_embedding_index("name", image_embed=colour)
    assert pictures.history()[0, "operation"] == "insert"


def test_embedding_class_must_be_instantiated(session):
    @bb.udf
    class Embedder:
        def __init__(self, scale: float) -> None:
            self.scale = scale

        def __call__(self, text: str) -> bb.Vector(2):
            return [self.scale, float(len(text))]

    table = bb.create_table("t", {"text": bb.String})
    table.insert([{"text": "a"}, {"text": "long text"}])
    with pytest.raises(ExpressionError, match=r"Create an instance first: pass MyEmbedding"):
        table.add_embedding_index("text", string_embed=Embedder)
    table.add_embedding_index("text", string_embed=Embedder(2.0), metric="l2")

    assert best(table, "b", "text", "text") == "a"
