"""Odd names, statements, paths and files: what is wrong with them is said in our words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

import barbule as bb
from barbule.errors import BarbuleError, DataError, ExpressionError, MediaError, SchemaError

NOBODY = "~nosuchuser/x"


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "\0"])
@pytest.mark.parametrize(
    "give",
    [
        lambda t, name: t.checkpoint(name),
        lambda _, name: bb.snapshot(name),
        lambda _, name: bb.create_table(name, [{"a": 1}]),
        lambda _, name: bb.create_table(f"folder.{name}", [{"a": 1}]),
        lambda _, name: bb.create_table("other", {name: bb.Int}),
        lambda t, name: bb.create_view(name, t),
        lambda t, name: t.branch(name),
        lambda t, name: t.add_columns({name: bb.Int}),
        lambda t, name: t.rename_column("a", name),
    ],
    ids=["label", "snapshot", "table", "folder", "column", "view", "branch", "added", "renamed"],
)
def test_names_that_no_database_takes(session, give, name):
    table = bb.create_table("t", [{"a": 1}])
    with pytest.raises(SchemaError, match="holds a NUL or half of a character"):
        give(table, name)
    assert bb.get_table("t").collect()["a"] == [1]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("DELETE FROM t", "this is DELETE"),
        ("INSERT INTO t VALUES (2)", "this is INSERT"),
        ("UPDATE t SET a = 2", "this is UPDATE"),
        ("DROP TABLE t", "this is DROP"),
        ("CREATE TABLE u AS SELECT 1", "this is CREATE"),
        ("SELECT 1; DELETE FROM t", "this is 2 statements"),
        ("", "this is nothing"),
        ("-- none", "this is nothing"),
        ("SELECT FROM WHERE (", "cannot be read"),
        (7, "takes a text"),
    ],
)
def test_sql_is_one_select(session, query, reason):
    table = bb.create_table("t", [{"a": 1}])
    with pytest.raises(ExpressionError, match=reason):
        table.sql(query)


@pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")
@pytest.mark.parametrize(
    "query",
    [
        "SELECT a FROM t;",
        "WITH u AS (SELECT a FROM t) SELECT a FROM u",
        "SELECT a FROM t WHERE FALSE UNION ALL SELECT a FROM t",
        "(SELECT a FROM t)",
    ],
)
def test_sql_that_gives_rows_runs(session, query):
    assert bb.create_table("t", [{"a": 1}]).sql(query).collect()["a"] == [1]


@pytest.mark.parametrize(
    "use",
    [
        lambda t: t.insert(im=f"{NOBODY}.png"),
        lambda t: t.insert(im=Path(f"{NOBODY}.png")),
        lambda t: t.insert(f"{NOBODY}.csv"),
        lambda _: bb.read_folder(NOBODY),
        lambda _: bb.read_parquet(f"{NOBODY}.parquet"),
        lambda _: bb.read_webdataset(f"{NOBODY}.tar"),
        lambda _: bb.read_coco(f"{NOBODY}.json"),
        lambda t: t.to_folder(NOBODY),
        lambda t: t.to_webdataset(f"{NOBODY}.tar"),
        lambda t: t.to_parquet(f"{NOBODY}.parquet", embed_media=True),
    ],
)
def test_the_home_of_a_user_who_does_not_exist(session, use):
    table = bb.create_table("t", {"im": bb.Image})
    with pytest.raises(MediaError, match=r"~nosuchuser.*a user that does not exist"):
        use(table)


@pytest.mark.parametrize(
    "url", ["http://xn--/x.png", "http://..a/x.png", "http://" + "ä" * 80 + ".example/x.png"]
)
def test_hosts_that_have_no_name(session, url):
    table = bb.create_table("t", {"im": bb.Image})
    with pytest.raises(MediaError, match=r"is not a valid URL|is not known"):
        table.insert(im=url)


ONE = {"id": 1, "file_name": "a.png"}
BOX = {"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 1}
KINDS = [{"id": 1, "name": "bird"}]


@pytest.mark.parametrize(
    "content",
    [
        {"images": [{**ONE, "id": [1]}]},
        {"images": [{**ONE, "id": {"a": 1}}], "annotations": [{"image_id": {"a": 1}}]},
        {"images": [1]},
        {"images": [ONE], "annotations": [1]},
        {"images": [ONE], "annotations": {"a": 1}},
        {"images": [ONE], "categories": [{"id": [1], "name": "x"}]},
        {"images": [ONE], "categories": [1]},
        {"images": [ONE], "annotations": [{**BOX, "image_id": [1]}], "categories": KINDS},
        {"images": [ONE], "annotations": [{**BOX, "category_id": [1]}], "categories": KINDS},
        {"images": [ONE], "annotations": [{**BOX, "area": "x"}], "categories": KINDS},
        {"images": [ONE], "annotations": [{**BOX, "area": None}], "categories": KINDS},
    ],
    ids=json.dumps,
)
def test_odd_records_of_coco(session, tmp_path, content):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"c\.json"):
        bb.read_coco(tmp_path / "c.json")


def test_coco_of_brackets_and_of_nulls(session, tmp_path):
    (tmp_path / "c.json").write_text("[" * 100_000)
    with pytest.raises(BarbuleError, match=r"c\.json' cannot be read"):
        bb.read_coco(tmp_path / "c.json")
    (tmp_path / "c.json").write_text(
        json.dumps({"images": [ONE], "annotations": None, "categories": None})
    )
    assert len(list(bb.read_coco(tmp_path / "c.json"))) == 1
