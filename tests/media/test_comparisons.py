"""Comparison of media columns: a path matches the file that an insert of it refers to."""

from __future__ import annotations

import pathlib

import pytest
from ibis import _
from PIL import Image

import barbule as bb
from barbule.errors import ExpressionError

URL = "https://example.org/a.png"


@pytest.fixture
def t(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    session = bb.connect("duckdb://", vectors="exact:")
    pathlib.Path("pics").mkdir()
    for name in "ab":
        Image.new("RGB", (2, 2)).save(f"pics/{name}.png")
        pathlib.Path(f"{name}.md").write_text(name)
    kinds = {"n": bb.Int, "img": bb.Image, "doc": bb.Document, "s": bb.Struct({"img": bb.Image})}
    table = session.create_table("t", kinds, media_validation="on_read")
    table.insert(
        [
            {"n": 1, "img": "pics/a.png", "doc": "a.md", "s": {"img": "pics/a.png"}},
            {"n": 2, "img": pathlib.Path("pics/b.png"), "doc": "b.md", "s": None},
            {"n": 3, "img": URL, "doc": None, "s": None},
            {"n": 4, "img": None, "doc": None, "s": None},
        ]
    )
    return table


def _matching_rows(t, predicate):
    return t.filter(predicate).order_by("n").collect()["n"]


@pytest.mark.parametrize(
    "shape", [str, pathlib.Path, lambda path: str(pathlib.Path(path).resolve())]
)
def test_path_matches_its_file(t, shape):
    a, b = shape("pics/a.png"), shape("./pics/b.png")
    assert _matching_rows(t, t.img == a) == [1]
    assert _matching_rows(t, a == t.img) == [1]
    assert _matching_rows(t, _.img == a) == [1]
    assert _matching_rows(t, t.img != a) == [2, 3]
    assert _matching_rows(t, t.img.isin([a, b, URL])) == [1, 2, 3]
    assert _matching_rows(t, t.img.notin((a, URL))) == [2]
    assert _matching_rows(t, t.img.identical_to(a)) == [1]
    assert _matching_rows(t, t.s.img == a) == [1]
    assert _matching_rows(t, t.doc == shape("b.md")) == [2]


def test_urls_and_missing_files_are_compared_literally(t):
    assert _matching_rows(t, t.img == URL) == [3]
    assert _matching_rows(t, t.img == "pics/none.png") == []
    assert _matching_rows(t, t.img == "") == []
    assert _matching_rows(t, t.img == t.s.img) == [1]
    assert _matching_rows(t, t.img == None) == [4]  # noqa: E711 - as Ibis has it


def test_cases_nullif_and_fill_null_accept_paths(t):
    row = t.order_by("n")
    assert row.select(x=t.img.cases(("pics/a.png", 1), (URL, 2), else_=0)).collect()["x"] == [
        1, 0, 2, 0
    ]  # fmt: skip
    empty = row.select(x=t.img.nullif("pics/a.png").isnull()).collect()["x"]
    assert empty == [True, False, False, True]
    filled = t.filter(t.n == 4).select(x=t.img.fill_null("pics/a.png")).collect()[0, "x"]
    assert filled == str(pathlib.Path("pics/a.png").absolute())


def test_update_and_delete_accept_paths(t):
    assert t.update({"n": 10}, where=t.img == "pics/a.png").rows == 1
    assert t.delete(where=t.img.isin(["pics/b.png"])).rows == 1
    assert t.order_by("n").collect()["n"] == [3, 4, 10]


def test_stored_predicate_keeps_the_absolute_path(t, tmp_path, monkeypatch):
    mine = t.filter(t.img == "pics/a.png")
    monkeypatch.chdir(tmp_path / "pics")
    assert mine.collect()["n"] == [1]
    assert _matching_rows(t, t.img == "a.png") == [1]


@pytest.mark.parametrize("content", [b"x", bytearray(b"x"), Image.new("L", (1, 1))])
def test_content_is_rejected_as_a_reference(t, content):
    for compare in (lambda: t.img == content, lambda: t.img.isin([content])):
        with pytest.raises(ExpressionError, match=r"compared by reference.*sha256\(\)"):
            compare()
