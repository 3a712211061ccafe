"""Catalog records of tables and their atomic publication."""

from __future__ import annotations

import dataclasses
import datetime

import pytest

import barbule as bb
from barbule.backends.base import FOREVER
from barbule.backends.opening import open_backend
from barbule.catalog import migrations
from barbule.catalog.records import Column, Index, Label, TableRecord, View
from barbule.catalog.store import Catalog
from barbule.errors import ConfigurationError, TableNotFoundError, VersionError

RECORD = TableRecord(
    id=1,
    name="my.films",
    columns=(
        Column(0, "name", bb.String(nullable=False)),
        Column(1, 'od"d', bb.Image()),
        Column(4, "loud", bb.String(), "stored", '{"format":1}'),
        Column(5, "bb_embedding_5", bb.Vector(3), "stored", "{}", hidden=True),
    ),
    indexes=(Index("name_embed", 0, 5, "cosine"),),
    view=View(base=7, query="{}", items=None),
    next_column=6,
)


@pytest.fixture
def backend():
    opened = open_backend("duckdb://")
    yield opened
    opened.disconnect()


@pytest.fixture
def catalog(backend):
    return Catalog(backend)


def _put(catalog, backend, record, operation="create table"):
    from barbule.catalog.records import Version

    pending = catalog.begin(operation)
    pending.records[record.id] = record
    done = Version(record.id, 0, 0, "", 0, 0, False)
    number = catalog.next_version(record.id, catalog.head + 1, pending, done)
    pending.new_versions[record.id] = number
    with backend.transaction():
        commit = catalog.write(pending, seconds=0.5)
    catalog.publish(pending, commit)
    return commit


def test_table_record_round_trips():
    assert TableRecord.from_json(RECORD.to_json()) == RECORD
    plain = TableRecord(2, "t", (Column(0, "a", bb.Int()),), next_column=1)
    assert TableRecord.from_json(plain.to_json()) == plain
    assert isinstance(TableRecord.from_json(RECORD.to_json()).columns[1].dtype, bb.Image)


def test_catalog_is_rebuilt_from_commit_rows(catalog, backend):
    _put(catalog, backend, RECORD)
    _put(catalog, backend, dataclasses.replace(RECORD, name="renamed"), "rename")
    catalog.add_label(Label(1, "good", 0))
    assert backend.tables() == {"bb_meta", "bb_commits", "bb_labels"}
    commits = backend.ibis.con.execute(
        "SELECT id, operation FROM bb_commits ORDER BY id"
    ).fetchall()
    assert commits == [(1, "create table"), (2, "rename"), (3, "label")]
    again = Catalog(backend)
    assert again.history(1) == catalog.history(1)
    assert again.versions(1) == catalog.versions(1)
    assert [version.operation for version in again.versions(1)] == ["create table", "rename"]
    assert [again.commit(n) for n in (1, 2, 3)] == [catalog.commit(n) for n in (1, 2, 3)]
    assert (again.head, again.labels(1)) == (3, {"good": 0})


def test_table_record_is_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError, match="name"):
        RECORD.name = "other"
    more = RECORD.with_columns(Column(6, "x", bb.Int()), without=("loud",))
    assert [column.id for column in more.columns] == [0, 1, 5, 6]
    assert (more.next_column, RECORD.next_column) == (7, 6)


def test_column_ids_are_not_reused():
    less = RECORD.with_columns(without=("bb_embedding_5",))
    assert less.next_column == 6
    assert RECORD.column("nope") is None
    assert RECORD.column_by_id(4).physical == "c4"


def test_pending_record_is_visible_to_its_transaction_only(catalog):
    pending = catalog.begin("create table")
    pending.put(RECORD)
    assert pending.record(1) == RECORD
    assert pending.find("my.films") == RECORD
    assert pending.next_table_id() == 2
    with pytest.raises(TableNotFoundError, match="with the number 1"):
        catalog.record(1)
    assert catalog.head == 0


def test_second_catalog_reads_commits(catalog, backend):
    first = _put(catalog, backend, RECORD)
    _put(catalog, backend, dataclasses.replace(RECORD, name="renamed"), "rename")
    catalog.add_label(Label(1, "base", 0))
    catalog.add_label(Label(1, "base", 1))
    again = Catalog(backend)
    assert again.head == catalog.head == 4  # labels are commits too
    assert again.record(1).name == "renamed"
    assert again.record(1, commit=1) == RECORD
    assert again.find("my.films") is None
    assert again.versions(1) == catalog.versions(1)
    assert again.labels(1) == {"base": 1}
    assert again.commit(1).at == first.at
    assert again.next_table_id() == 2


def test_version_resolves_by_number_label_and_timestamp(catalog, backend):
    first = _put(catalog, backend, RECORD)
    second = _put(catalog, backend, RECORD, "insert")
    catalog.add_label(Label(1, "base", 0))
    assert catalog.resolve(1, 1).version == 1
    assert catalog.resolve(1, "base").version == 0
    assert catalog.resolve(1, second.at).version == 1
    assert catalog.resolve(1, second.at - datetime.timedelta(microseconds=1)).version == 0
    with pytest.raises(VersionError, match="no version"):
        catalog.resolve(1, first.at - datetime.timedelta(seconds=1))
    with pytest.raises(VersionError, match="there is no version 2"):
        catalog.resolve(1, 2)


def test_dropped_table_is_not_found_and_its_id_not_reused(catalog, backend):
    _put(catalog, backend, RECORD)
    _put(
        catalog, backend, dataclasses.replace(RECORD, dropped=True, compacted=FOREVER), "drop table"
    )
    assert catalog.tables() == []
    with pytest.raises(TableNotFoundError, match=r"'my.films' has been dropped or replaced"):
        catalog.record(1)
    with pytest.raises(TableNotFoundError, match=r"'my.films' has been dropped or replaced"):
        catalog.record(1, commit=1)
    assert catalog.next_table_id() == 2


def test_later_table_does_not_exist_at_earlier_commit(catalog, backend):
    _put(catalog, backend, RECORD)
    _put(catalog, backend, dataclasses.replace(RECORD, id=2, name="later"))
    with pytest.raises(TableNotFoundError, match="'later' did not exist at that version"):
        catalog.record(2, commit=1)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("99", "has the format 99, and this version of barbule supports formats up to 4"),
        ("2", "has the format '2', which this version of barbule cannot read"),
        ("draft", "has the format 'draft', which this version of barbule cannot read"),
    ],
)
def test_a_database_of_an_unknown_format_is_refused(catalog, backend, number, message):
    backend.ibis.con.execute("UPDATE bb_meta SET value = ? WHERE key = 'format'", [number])
    with pytest.raises(ConfigurationError, match=message):
        Catalog(backend)


def test_database_of_older_format_is_migrated(catalog, backend):
    backend.ibis.con.execute("DELETE FROM bb_meta WHERE key <> 'format'")
    backend.ibis.con.execute("UPDATE bb_meta SET value = '3' WHERE key = 'format'")
    migrated = Catalog(backend)
    meta = dict(backend.ibis.con.execute("SELECT key, value FROM bb_meta").fetchall())
    assert meta["format"] == str(migrations.FORMAT)
    assert migrated.metadata.identity == migrations.Identity(meta["database"], former_keys=True)
    assert Catalog(backend).metadata.identity == migrated.metadata.identity


def test_databases_have_distinct_identities(catalog, backend):
    other = open_backend("duckdb://")
    assert (
        Catalog(other).metadata.identity
        != catalog.metadata.identity
        == Catalog(backend).metadata.identity
    )
    assert not catalog.metadata.identity.former_keys
    other.disconnect()
