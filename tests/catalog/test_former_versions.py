"""Databases of version 0.1.0 open and work like databases of this version.

They are in `tests/former`, which describes how they were created.
"""

from __future__ import annotations

import lzma

import pytest

import barbule as bb
from barbule.catalog import migrations
from former import functions as own
from former.make import DUCKDB, POSTGRES

TABLES = ("asks", "films", "letters", "newest", "tooled")


@pytest.fixture
def former_url(backend_name, tmp_path, request):
    """Return the URL of a copy of the database."""
    if backend_name == "duckdb":
        path = tmp_path / "former.duckdb"
        path.write_bytes(lzma.decompress(DUCKDB.read_bytes()))
        yield f"duckdb:///{path}"
        return
    import psycopg

    with request.getfixturevalue("postgres").database() as url:
        with psycopg.connect(url.replace("postgres://", "postgresql://")) as connection:
            connection.execute(lzma.decompress(POSTGRES.read_bytes()))
        yield url
        bb.connect("duckdb://")


@pytest.fixture
def former(former_url):
    own.CALLED.clear()
    return bb.connect(former_url, vectors="exact:")


def test_a_database_of_version_0_1_0_is_read(former):
    films = bb.get_table("films")
    assert bb.list_tables() == list(TABLES)
    assert films.order_by("name").drop("back").collect() == [
        {
            "name": name,
            "year": year,
            "loud": f"{name.upper()}!",
            "size": f"{2 * year} m",
            "plus_one": year + 1,
            "plus_ten": year + 10,
            "marked": f"*{name}",
            "twice": name * 2,
            "inline": year + 1,
        }
        for name, year in (("Alien", 1979), ("Coco", 2017), ("Up", 2009))
    ]
    assert films.at(1).count().to_pyarrow().as_py() == 2
    assert films.at("three films").count().to_pyarrow().as_py() == 3
    assert bb.get_table("asks").collect() == [
        {"year": 2010, "newer": [{"name": "Coco"}], "said": "echo: Hello."}
    ]
    assert bb.get_table("letters").count().to_pyarrow().as_py() == 6
    assert bb.get_table("tooled").collect()["x"] == [{"add": [2]}]
    assert own.CALLED == []


def test_database_of_version_0_1_0_has_no_stale_cells(former):
    own.adding(1), own.adding(10), own.marking(own.Marker("*")), own.since(bb.get_table("films"))
    for name in TABLES:
        assert bb.get_table(name).stale() == []


def test_database_is_migrated_to_current_format(former, former_url):
    identity = former._engine.catalog.metadata.identity
    assert identity.former_keys
    former.close()
    again = bb.connect(former_url, vectors="exact:")
    assert again._engine.catalog.metadata.identity == identity
    meta = {
        row["key"]: row["value"] for row in again._engine.catalog.metadata._read_rows("bb_meta")
    }
    assert meta["format"] == str(migrations.FORMAT)


def test_former_ledger_answers_are_reused(former, former_url):
    films = bb.get_table("films")
    own.adding(1), own.adding(10), own.marking(own.Marker("*"))
    calls = bb.calls()
    calls = calls.filter(~calls.function.endswith(".embed"))
    call_count = calls.count().to_pyarrow().as_py()
    films.insert([{"name": "Coco", "year": 1979}, {"name": "Up", "year": 2017}])
    assert own.CALLED == []
    rows = films.filter(films.year.isin([1979, 2017])).order_by("name", "year").collect()
    assert rows["loud"] == ["ALIEN!", "COCO!", "COCO!", "UP!"]
    assert rows["plus_ten"] == [1989, 1989, 2027, 2027]
    assert rows["size"] == ["3958 m", "3958 m", "4034 m", "4034 m"]
    films.insert(name="Brave", year=2012)
    assert sorted(map(str, own.CALLED)) == [
        "('add', 2012)", "('add', 2012)", "('measured', 2012)", "('shout', 'Brave')",
    ]  # fmt: skip
    assert calls.count().to_pyarrow().as_py() == call_count + 4
    assert films.stale() == []


def test_former_model_answers_are_reused_without_request(former_url, tmp_path, monkeypatch):
    # No server is running: a call that is not in the ledger raises.
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    endpoint = {"openai": {"api_base": "http://127.0.0.1:9/v1"}}
    bb.connect(former_url, vectors="exact:", models=endpoint)
    asks = bb.get_table("asks")
    own.since(bb.get_table("films"))
    asks.insert(year=1980)
    assert asks.order_by("year").collect()["said"] == ["echo: Hello."] * 2
    assert asks.order_by("year").collect()["newer"][0] == [{"name": "Up"}, {"name": "Coco"}]


def test_former_answer_is_not_reused_for_ambiguous_function(former):
    def marked(marker):
        @bb.udf(cache=True)
        def mark(text: str) -> str:
            return marker.put(text)

        return mark

    mark = marked(own.Marker("*"))
    assert not mark.former_version_is_unique
    assert own.adding(1).former_version_is_unique
    assert own.measured.former_version_is_unique
