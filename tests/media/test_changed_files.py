"""`changed()`: detects changed source files; an update stores the new content."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

import barbule as bb
from fakes.web import serving


def png(shade=1, size=(4, 4)):
    buffer = io.BytesIO()
    Image.new("L", size, shade).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def album(session, tmp_path):
    for n in range(3):
        (tmp_path / f"{n}.png").write_bytes(png(n))
    table = bb.create_table("album", {"n": bb.Int, "img": bb.Image})
    table.add_computed_column(w=table.img.width())
    table.insert([{"n": n, "img": tmp_path / f"{n}.png"} for n in range(3)])
    table.insert(n=3, img=png(3))
    return table


def changed_rows(table, column="img"):
    return table.filter(table[column].changed()).order_by("n").collect()["n"]


def test_changed_and_deleted_files_are_reported(album, tmp_path):
    assert changed_rows(album) == []
    (tmp_path / "0.png").write_bytes(png(9))
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").touch()
    assert changed_rows(album) == [0, 1]
    flags = album.order_by("n").select(c=album.img.changed()).collect()["c"]
    assert flags == [True, True, False, False]


def test_change_of_equal_size_or_time_is_detected(session, tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("hooks")
    table = bb.create_table("t", {"n": bb.Int, "doc": bb.Document})
    table.insert(n=1, doc=path)
    path.write_text("holds")
    state = path.stat()
    assert changed_rows(table, "doc") == [1]
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns - 10**9))
    assert changed_rows(table, "doc") == [1]


def test_update_takes_the_new_content_and_recomputes(album, tmp_path):
    (tmp_path / "0.png").write_bytes(png(9, (7, 7)))
    assert album.order_by("n").collect()["w"] == [4, 4, 4, 4]
    done = album.update({"img": album.img}, where=album.img.changed())
    assert done.rows == 1
    assert changed_rows(album) == []
    assert album.order_by("n").collect()["w"] == [7, 4, 4, 4]
    assert album.at(3).order_by("n").collect()["w"] == [4, 4, 4, 4]


def test_state_is_recorded_per_row_on_write(album, tmp_path):
    (tmp_path / "0.png").write_bytes(png(9))
    album.insert(n=5, img=tmp_path / "0.png")
    assert changed_rows(album) == [0]
    album.update({"n": 6}, where=album.n == 5)  # records no new state of the file
    assert changed_rows(album) == [0]
    album.upsert([{"n": 0, "img": tmp_path / "0.png"}], on="n")
    assert changed_rows(album) == []


def test_views_joins_versions_and_branches_report_changes(album, tmp_path):
    view = bb.create_view("few", album.where(album.n < 2))
    other = bb.create_table("names", {"n": bb.Int, "name": bb.String})
    other.insert([{"n": n, "name": str(n)} for n in range(4)])
    (tmp_path / "0.png").write_bytes(png(9))
    assert view.select(c=view.img.changed()).collect()["c"] == [True, False]
    assert changed_rows(album.join(other, "n").select("n", "name", "img")) == [0]
    assert changed_rows(album.filter(album.n > -1).order_by("n").limit(2)) == [0]
    assert changed_rows(album.at(3)) == [0]
    branch = album.branch("other")
    assert changed_rows(branch) == [0]
    branch.update({"img": branch.img}, where=branch.img.changed())
    assert changed_rows(branch) == []
    assert changed_rows(album) == [0]
    album.rename_column("img", "picture")
    assert changed_rows(album, "picture") == [0]


def test_urls_are_requested_again(tmp_path):
    content = {"/a.png": png(1), "/b.png": png(2)}

    def answer(path):
        return (200, "image/png", content[path]) if path in content else (404, "text/plain", b"no")

    Path("barbule.toml").write_text("[media]\nallow_private = true\n")
    bb.connect(vectors="exact:")
    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image})
    table.add_computed_column(w=table.img.width())
    with serving(answer) as url:
        table.insert([{"n": n, "img": f"{url}/{name}.png"} for n, name in enumerate("ab")])
        assert changed_rows(table) == []
        content["/a.png"] = png(5, (8, 8))
        assert table.order_by("n").collect()[0, "img"].size == (4, 4)
        assert changed_rows(table) == [0]
        table.update({"img": table.img}, where=table.img.changed())
        assert table.order_by("n").collect()["w"] == [8, 4]
        assert changed_rows(table) == []
        del content["/b.png"]
        assert changed_rows(table) == [1]


def test_changed_is_null_without_a_recorded_state(session, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    table = bb.create_table("t", {"img": bb.Image}, media_validation="on_read")
    table.insert(img=tmp_path / "a.png")
    table.add_computed_column(small=table.img.resize((2, 2)))
    flags = table.select(a=table.img.changed(), b=table.small.changed()).collect()
    assert flags == [{"a": None, "b": None}]


def test_changed_follows_added_dropped_and_converted_columns(session, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    table = bb.create_table("t", {"n": bb.Int, "img": bb.Image})
    table.add_columns({"more": bb.Image})
    table.insert(n=1, img=tmp_path / "a.png", more=tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(png(7))
    assert changed_rows(table) == changed_rows(table, "more") == [1]
    table.drop_column("img")
    assert table.columns == ("n", "more")
    table.change_type("more", bb.String)
    table.insert(n=2, more="any text")
    assert table.count().to_pyarrow().as_py() == 2


def test_recorded_state_is_not_visible_in_the_table(album):
    assert album.columns == ("n", "img", "w")
    assert album.to_pyarrow().column_names == ["n", "img", "w"]
    assert album.errors().count().to_pyarrow().as_py() == 0
    assert album.diff(1, 3).schema.lines() == []
    assert bb.calls().count().to_pyarrow().as_py() == 0
