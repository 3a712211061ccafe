"""Missing media store files: reported by `changed()`, `check()` and query errors."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

import barbule as bb
from barbule.errors import MediaError


@pytest.fixture
def photos(session, tmp_path):
    table = bb.create_table("photos", {"n": bb.Int, "img": bb.Image})
    table.insert([{"n": n, "img": PIL.Image.new("L", (4 + n, 4))} for n in range(3)])
    return table


def delete_file(table, n, column="img"):
    (reference,) = table.filter(table.n == n).select(u=table[column].uri()).collect()["u"]
    return delete_object(table, reference)


def delete_object(table, reference):
    path = Path(table.op().source.library.store.local_path(reference))
    content = path.read_bytes()
    path.unlink()
    return path, content


def test_deleted_store_file_is_reported_as_changed(photos):
    path, content = delete_file(photos, 1)
    flags = photos.order_by("n").select(c=photos.img.changed()).collect()["c"]
    assert flags == [False, True, False]
    assert photos.filter(photos.img.changed()).collect()["n"] == [1]
    path.write_bytes(content[:-1])
    assert photos.filter(photos.img.changed()).collect()["n"] == [1]
    path.write_bytes(content)
    assert photos.filter(photos.img.changed()).collect()["n"] == []


def test_check_reports_missing_files(photos):
    view = bb.create_view("small", photos.filter(photos.n > 0).select("n", "img"))
    assert view.count().execute() == 2
    assert bb.check()
    path, content = delete_file(photos, 1)
    report = bb.check()
    assert not report
    assert not report.ok
    assert [loss.table for loss in report.media] == ["photos"]  # the view refers to the same file
    assert report.media[0].missing == (f"media:{path.name}",)
    assert "Check: problems found" in repr(report)
    assert f"photos: 1 file is not in the media store: media:{path.name}" in repr(report)
    path.write_bytes(content)
    assert bb.check().ok


def test_check_covers_older_versions_and_nested_cells(session):
    table = bb.create_table("t", {"n": bb.Int, "imgs": bb.Array(bb.Image)})
    table.insert(n=1, imgs=[PIL.Image.new("L", (3, 3)), None])
    (stored,) = table.select(u=table.imgs.cast("array<string>")[0]).collect()["u"]
    table.update({"imgs": None})
    path, _ = delete_object(table, stored)
    assert bb.check().media[0].missing == (f"media:{path.name}",)


@bb.udf
def area(image: bb.Image) -> int:
    return image.width * image.height


QUERIES = {
    "function": lambda t: t.select(x=area(t.img)),
    "header": lambda t: t.select(x=t.img.width()),
    "file": lambda t: t.select(x=t.img.sha256()),
    "filter": lambda t: t.filter(t.img.width() > 0),
    "renamed": lambda t: t.rename(pic="img").select(x=t.rename(pic="img").pic.height()),
    "aggregate": lambda t: t.agg(x=t.img.width().max()),
}


@pytest.mark.parametrize("query", QUERIES)
def test_query_error_names_table_column_and_row(query, photos):
    path, _ = delete_file(photos, 1)
    with pytest.raises(MediaError, match="is not in the media store") as caught:
        QUERIES[query](photos).collect()
    error = caught.value
    assert (error.table, error.column, error.row) == ("photos", "img", 1)
    assert path.name in str(error)


def test_error_over_two_columns_names_the_table(photos):
    photos.add_columns({"other": bb.Image})
    delete_file(photos, 1)
    with pytest.raises(MediaError, match=r"table 'photos', row 1: ") as caught:
        photos.select(x=photos.img.width() + photos.other.width().fill_null(0)).collect()
    assert caught.value.column is None
