from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import barbule as bb


@pytest.fixture
def photos(tmp_path):
    """Make a folder of pictures in two formats, with one in a folder below."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    Image.new("RGB", (6, 4), "red").save(folder / "a.jpg")
    Image.new("RGB", (5, 5), "green").save(folder / "b.png")
    Image.new("RGB", (3, 2), "blue").save(folder / "more" / "c.jpg")
    (folder / ".hidden").write_text("no picture")
    return folder


@pytest.fixture
def album(session, photos):
    """Make a table of them: by path, and one from the store."""
    table = bb.create_table(
        "album", {"n": bb.Int, "title": bb.String, "img": bb.Image, "score": bb.Float}
    )
    table.insert(
        [
            {"n": 1, "title": "red, ☃", "img": photos / "a.jpg", "score": 0.5},
            {"n": 2, "title": None, "img": Image.new("L", (2, 2), 7), "score": None},
            {"n": 3, "title": "", "img": None, "score": -1.0},
        ]
    )
    return table


def contents(table, column="img"):
    """Return the bytes of a media column, in order of n."""
    library = table.op().source.library
    rows = table.order_by("n").select(u=table[column].cast("string")).collect()["u"]
    return [
        None if reference is None else Path(library.path(reference)).read_bytes()
        for reference in rows
    ]
