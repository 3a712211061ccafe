"""Invalid names, SQL, paths and files: BarbuleError instead of errors of other libraries."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import duckdb
import ibis
import pytest
from PIL import Image

import barbule as bb
from barbule.errors import (
    BarbuleError,
    ConfigurationError,
    DataError,
    ExpressionError,
    MediaError,
    SchemaError,
)

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
def test_names_with_invalid_characters_are_rejected(session, give, name):
    table = bb.create_table("t", [{"a": 1}])
    with pytest.raises(SchemaError, match="contains NUL or half of a surrogate pair"):
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
        ("SELECT FROM WHERE (", "this SQL cannot be parsed"),
        (7, "takes a string"),
    ],
)
def test_sql_other_than_one_select_is_rejected(session, query, reason):
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
def test_sql_select_runs(session, query):
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
def test_path_in_an_unknown_user_home_is_rejected(session, use):
    table = bb.create_table("t", {"im": bb.Image})
    with pytest.raises(MediaError, match=r"~nosuchuser.*a user that does not exist"):
        use(table)


@pytest.mark.parametrize(
    "url", ["http://xn--/x.png", "http://..a/x.png", "http://" + "ä" * 80 + ".example/x.png"]
)
def test_invalid_host_names_are_rejected(session, url):
    table = bb.create_table("t", {"im": bb.Image})
    with pytest.raises(MediaError, match=r"is not a valid URL|cannot be resolved"):
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
def test_invalid_coco_records_are_rejected(session, tmp_path, content):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    (tmp_path / "c.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"c\.json"):
        bb.read_coco(tmp_path / "c.json")


def test_nested_coco_is_rejected_and_null_sections_are_accepted(session, tmp_path):
    (tmp_path / "c.json").write_text("[" * 100_000)
    with pytest.raises(BarbuleError, match=r"c\.json' cannot be read"):
        bb.read_coco(tmp_path / "c.json")
    (tmp_path / "c.json").write_text(
        json.dumps({"images": [ONE], "annotations": None, "categories": None})
    )
    assert len(list(bb.read_coco(tmp_path / "c.json"))) == 1


@pytest.mark.never("postgres", reason="strings with the character NUL", raises=DataError)
def test_constants_with_nul_are_supported(session):
    table = bb.create_table("t", {"s": bb.String, "n": bb.Int})
    table.insert([{"s": "a\0b", "n": 1}, {"s": "ab", "n": 2}, {"s": "\0", "n": 3}])
    assert table.filter(table.s == "a\0b").collect()["n"] == [1]
    assert sorted(table.filter(table.s.isin(["\0", "ab"])).collect()["n"]) == [2, 3]
    assert table.update({"s": "c\0\0'd"}, where=table.s == "\0").rows == 1
    assert table.update({"s": table.s + "\0"}, where=table.s == "ab").rows == 1
    assert sorted(table.collect()["s"]) == ["a\0b", "ab\0", "c\0\0'd"]
    table.add_columns({"d": bb.String})
    assert table.select(d=ibis.literal("\0x")).limit(1).collect()["d"] == ["\0x"]


def test_constant_with_a_lone_surrogate_is_rejected(session):
    table = bb.create_table("t", [{"s": "a"}])
    for use in (
        lambda: table.filter(table.s == "a\ud800").collect(),
        lambda: table.select(t=table.s + "\udfff").collect(),
        lambda: table.update({"s": table.s + "\ud800"}),
    ):
        with pytest.raises(DataError, match="holds half of a surrogate pair"):
            use()
    assert table.collect()["s"] == ["a"]


@pytest.mark.parametrize(
    "changes", ["{garbage", "[1, 2]", "{}", '{"records": [{"id": 1}], "versions": []}', "7", ""]
)
def test_damaged_catalog_is_reported(tmp_path, changes):
    url = f"duckdb:///{tmp_path}/app.duckdb"
    with bb.connect(url, vectors="exact:"):
        bb.create_table("t", [{"a": 1}])
    with duckdb.connect(str(tmp_path / "app.duckdb")) as database:
        former = database.execute("SELECT changes FROM bb_commits WHERE id = 1").fetchall()
        database.execute("UPDATE bb_commits SET changes = ? WHERE id = 1", [changes])
    with pytest.raises(ConfigurationError, match="commit 1 of the catalog cannot be read"):
        bb.connect(url, vectors="exact:")
    with duckdb.connect(str(tmp_path / "app.duckdb")) as database:
        database.execute("UPDATE bb_commits SET changes = ? WHERE id = 1", former[0])
    with bb.connect(url, vectors="exact:"):
        assert bb.get_table("t").collect()["a"] == [1]


@pytest.mark.parametrize("missing", ["1", "2", "2, 3"])
def test_missing_catalog_commits_are_reported(tmp_path, missing):
    url = f"duckdb:///{tmp_path}/app.duckdb"
    with bb.connect(url, vectors="exact:"):
        table = bb.create_table("t", [{"a": 1}])
        for number in range(2, 6):
            table.insert(a=number)
    shutil.copy(tmp_path / "app.duckdb", tmp_path / "copy.duckdb")
    with duckdb.connect(str(tmp_path / "app.duckdb")) as database:
        database.execute(f"DELETE FROM bb_commits WHERE id IN ({missing})")
    with pytest.raises(ConfigurationError, match=f"commits of the catalog are .*: {missing}\\."):
        bb.connect(url, vectors="exact:")
    with bb.connect(f"duckdb:///{tmp_path}/copy.duckdb", vectors="exact:"):
        assert sorted(bb.get_table("t").collect()["a"]) == [1, 2, 3, 4, 5]


def test_type_of_a_newer_version_is_reported(tmp_path):
    url = f"duckdb:///{tmp_path}/app.duckdb"
    with bb.connect(url, vectors="exact:"):
        bb.create_table("t", [{"a": 1}])
    with duckdb.connect(str(tmp_path / "app.duckdb")) as database:
        database.execute("UPDATE bb_commits SET changes = replace(changes, 'Int64', 'Int65')")
    with (
        pytest.raises(BarbuleError, match=r"Int65"),
        bb.connect(url, vectors="exact:"),
    ):
        bb.get_table("t").collect()


def test_csv_line_length_is_limited(session, tmp_path):
    table = bb.create_table("t", {"a": bb.String})
    with gzip.open(tmp_path / "a.csv.gz", "wb") as file:
        for _ in range(20):
            file.write(b"a" * (1 << 20))
    with pytest.raises(DataError, match=r"a\.csv\.gz"):
        table.insert(tmp_path / "a.csv.gz")
    (tmp_path / "b.csv").write_text("a" * 200_000 + "\n1\n")
    with pytest.raises(DataError, match=r"b\.csv"):
        table.insert(tmp_path / "b.csv")
