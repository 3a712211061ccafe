"""Databases that version 0.1.0 has made open, and go on as if this version had made them.

They are in `tests/former`, which says how they were made.
"""

from __future__ import annotations

import lzma

import pytest

import barbule as bb
from barbule.catalog import migrations
from former import functions as own
from former.make import DUCKDB, POSTGRES

TABLES = ("asks", "films", "letters", "newest")


@pytest.fixture
def former_url(backend_name, tmp_path, request):
    """Give the URL of a copy of the database."""
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
    assert own.CALLED == []


def test_nothing_in_it_is_stale(former):
    own.adding(1), own.adding(10), own.marking(own.Marker("*")), own.since(bb.get_table("films"))
    for name in TABLES:
        assert bb.get_table(name).stale() == []


def test_it_is_brought_to_the_format_of_this_version(former, former_url):
    identity = former._engine.catalog.identity
    assert identity.former_keys
    former.close()
    again = bb.connect(former_url, vectors="exact:")
    assert again._engine.catalog.identity == identity
    meta = {row["key"]: row["value"] for row in again._engine.catalog._rows("bb_meta")}
    assert meta["format"] == str(migrations.FORMAT)
