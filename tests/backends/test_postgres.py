"""The Postgres adapter: addresses, connections and storage forms."""

from __future__ import annotations

import datetime
import decimal
import gc
import subprocess
import sys
import threading

import ibis
import ibis.expr.schema as sch
import psycopg
import pyarrow as pa
import pytest
from tests.backends.adapter_parts import check_parts

import programs
from barbule.backends.base import (
    FOREVER,
    FROM,
    RID,
    TO,
    Backend,
)
from barbule.backends.opening import open_backend
from barbule.backends.postgres import PostgresBackend
from barbule.backends.postgres.connection import PostgresConnection
from barbule.backends.postgres.connections.address import read_address
from barbule.backends.postgres.connections.pool import ConnectionPool
from barbule.backends.postgres.reader import PostgresReader
from barbule.backends.postgres.row_store import PostgresRowStore
from barbule.errors import (
    ConfigurationError,
    DataError,
    LockedError,
    UnreachableError,
    UnsupportedError,
)
from barbule.extensions import unfulfilled
from patience import PATIENCE


@pytest.fixture
def url(postgres):
    with postgres.schema() as url:
        yield url


@pytest.fixture
def backend(url):
    opened = open_backend(url)
    yield opened
    opened.disconnect()


def _leaf(backend, name, columns):
    return backend.table(name, sch.Schema(columns)).to_expr()


def _create_table(backend, columns, rows):
    schema = sch.Schema(columns)
    backend.create_table("t", schema)
    backend.append("t", pa.Table.from_pylist(rows, schema.to_pyarrow()))
    return backend.table("t", schema).to_expr()


# Addresses


def test_both_schemes_open_the_adapter(url):
    for address in (url, url.replace("postgres://", "postgresql://")):
        backend = open_backend(address)
        assert isinstance(backend, PostgresBackend)
        assert backend.many_writers
        backend.disconnect()


def test_backend_derived_from_postgres_keeps_its_class(url):
    class Crow(PostgresBackend):
        name = "crow"

    opened = Crow.open(url)
    separate = opened.separate()
    assert (type(opened), type(separate)) == (Crow, Crow)
    assert unfulfilled(opened, Backend) is None
    opened.disconnect()


def test_parts_of_the_adapter_work_without_it(url):
    connection = PostgresConnection(ConnectionPool(read_address(url, 1.0)))
    reader = PostgresReader(connection)
    store = PostgresRowStore(connection, reader)
    check_parts(connection, reader, store)
    connection.disconnect()


def test_url_holds_settings_of_barbule_and_libpq(url, postgres):
    address = read_address(f"{url}&lock_timeout=2.5&connect_timeout=7", 60)
    assert address.lock_timeout == 2.5
    assert "connect_timeout=7" in address.conninfo
    assert "lock_timeout=2500" in address.conninfo
    assert read_address(url, 60).lock_timeout == 60


@pytest.mark.parametrize(
    "bad",
    [
        "postgres://me:hush-hush@host:port/db",
        "postgres://me:hush-hush@[::1/db",
        "postgres://me:hush-hush@host/db?lock_timeout=soon",
        "postgres://me:hush-hush@host/db?lock_timeout=-1",
        "postgres://me:hush-hush@host/db?oops",
    ],
)
def test_a_bad_url_is_refused_without_its_password(bad):
    with pytest.raises(ConfigurationError, match=r"is invalid|number of seconds") as caught:
        open_backend(bad)
    assert "hush" not in str(caught.value)


def test_no_message_shows_the_password(url, postgres):
    wrong = url.replace("pass%25word", "hush-hush")
    with pytest.raises(ConfigurationError, match="authentication failed") as caught:
        open_backend(wrong)
    assert "hush" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"nobody\.invalid|cannot be opened") as caught:
        open_backend("postgres://me:hush-hush@127.0.0.1:1/db")
    assert "hush" not in str(caught.value)
    backend = open_backend(url)
    assert "pass" not in repr(backend)
    assert "pass" not in repr(backend._connections.address)
    backend.disconnect()


def test_postgres_schemas_hold_separate_databases(postgres):
    with postgres.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute('CREATE SCHEMA "Other ""one"""')
        first, other = open_backend(url), open_backend(f"{url}?schema=Other+%22one%22")
        first.create_table("t", sch.Schema({"a": "int64"}))
        other.create_table("u", sch.Schema({"a": "int64"}))
        assert (first.tables(), other.tables()) == ({"t"}, {"u"})
        with first.write_lock(), other.write_lock():  # each has its own write lock
            assert other.ibis.current_database == 'Other "one"'
        first.disconnect()
        other.disconnect()


# Connections


def test_connections_of_ended_threads_are_reused(backend):
    backend.create_table("t", sch.Schema({"a": "int64"}))
    for _ in range(30):
        thread = threading.Thread(target=lambda: (backend.tables(), backend.ibis.list_tables()))
        thread.start()
        thread.join()
    gc.collect()
    count = backend.thread_connection.rows(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
        "current_setting('application_name')"
    )
    assert count[0][0] <= 5


def _end_connection(backend, url):
    pid = backend.thread_connection.rows("SELECT pg_backend_pid()")[0][0]
    other = open_backend(url)
    other.thread_connection.rows(f"SELECT pg_terminate_backend({pid})")
    other.disconnect()


def test_lost_connection_is_replaced(backend, url):
    leaf = _create_table(backend, {"a": "int64"}, [{"a": 1}])
    _end_connection(backend, url)
    assert backend.arrow(leaf, {}).to_pylist() == [{"a": 1}]


def test_lost_transaction_raises_and_is_rolled_back(backend, url):
    leaf = _create_table(backend, {"a": "int64"}, [{"a": 1}])

    def change():
        with backend.transaction():
            backend.insert("t", [{"a": 2}])
            _end_connection(backend, url)
            backend.arrow(leaf, {})

    with pytest.raises(UnreachableError, match=r"connection to .* was lost"):
        change()
    assert backend.arrow(leaf, {}).to_pylist() == [{"a": 1}]


def test_closed_backend_is_refused(url):
    backend = open_backend(url)
    backend.disconnect()
    backend.disconnect()
    with pytest.raises(ConfigurationError, match="session is closed"):
        backend.tables()


def test_transaction_with_swallowed_error_is_not_committed(backend):
    leaf = _create_table(backend, {"a": "int64"}, [])

    def swallow():
        with backend.transaction():
            backend.append("t", pa.table({"a": [1]}))
            with pytest.raises(DataError, match="out of range"):
                backend.arrow(leaf.select(x=leaf.a + (2**63 - 1)), {})

    with pytest.raises(DataError, match="so the transaction was rolled back"):
        swallow()
    assert backend.arrow(leaf, {}).num_rows == 0


def test_lock_timeout_refuses_change_of_locked_table(backend, url):
    _create_table(backend, {"a": "int64"}, [{"a": 1}])
    impatient = open_backend(f"{url}&lock_timeout=0.2")
    with backend.transaction():
        backend.append("t", pa.table({"a": [2]}))
        with pytest.raises(LockedError, match="lock timeout"):
            impatient.drop_table("t")
    impatient.drop_table("t")
    impatient.disconnect()


_WRITER = """
import sys
import pyarrow as pa, ibis.expr.schema as sch
from barbule.backends.opening import open_backend
backend, me = open_backend(sys.argv[1], 60), int(sys.argv[2])
leaf = backend.table("t", sch.Schema({"_rid": "int64"})).to_expr()
for _ in range(25):
    with backend.write_lock(), backend.transaction():
        rid = backend.arrow(leaf.count().as_table(), {}).column(0)[0].as_py()
        row = {"_rid": [rid], "_from": [1], "_to": [2**63 - 1], "who": [me]}
        backend.append("t", pa.table(row))
backend.disconnect()
"""


def test_concurrent_processes_lose_no_row(backend, url):
    leaf = _create_table(backend, {RID: "int64", FROM: "int64", TO: "int64", "who": "int64"}, [])
    writers = [
        programs.Popen([sys.executable, "-c", _WRITER, url, str(number)]) for number in range(3)
    ]
    assert [writer.wait(timeout=PATIENCE) for writer in writers] == [0] * 3
    rows = backend.arrow(leaf, {})
    assert sorted(rows[RID].to_pylist()) == list(range(75))
    assert sorted(rows["who"].to_pylist()) == sorted(list(range(3)) * 25)


def test_write_lock_of_killed_process_is_released(backend, url):
    script = (
        "import sys; from barbule.backends.opening import open_backend\n"
        "with open_backend(sys.argv[1]).write_lock(): print('held', flush=True); sys.stdin.read()"
    )
    with programs.Popen(
        [sys.executable, "-c", script, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
    with backend.write_lock():
        assert backend.tables() == set()


# Streams


def test_stream_memory_is_bounded(backend):
    _create_table(backend, {"n": "int64", "s": "string"}, [])
    backend.thread_connection.run(
        "INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 300000) AS i"
    )
    query = _leaf(backend, "t", {"n": "int64", "s": "string"})

    def peak() -> tuple[int, int]:
        before, most, rows = pa.total_allocated_bytes(), 0, 0
        for batch in backend.batches(query, {}, 10_000):
            rows += batch.num_rows
            most = max(most, pa.total_allocated_bytes() - before)
        return rows, most

    assert pa.total_allocated_bytes() < 40_000_000
    for writing in (False, True):
        if writing:
            with backend.transaction():
                rows, most = peak()
        else:
            rows, most = peak()
        assert rows == 300_000
        assert most < 20_000_000  # of 65 MB


def test_streams_of_one_transaction_are_independent(backend):
    schema = {"n": "int64"}
    query = _create_table(backend, schema, [{"n": n} for n in range(100)]).order_by("n")
    staged_leaf = _leaf(backend, "bb_given", schema)
    joined = query.join(staged_leaf, "n").order_by("n")
    many = {"bb_given": pa.table({"n": range(100)})}
    others = {"bb_given": pa.table({"n": range(90, 200)})}
    with backend.transaction():
        pairs = [
            (a["n"], b["n"])
            for batch in backend.batches(joined, many, 10)
            for other in backend.batches(joined, others, 5)
            for a, b in [(batch.to_pylist()[0], other.to_pylist()[0])]
        ]
    assert pairs == [(a, b) for a in range(0, 100, 10) for b in (90, 95)]


# Storage forms


def test_names_too_long_for_postgres_stay_distinct(backend):
    first, second = "é" * 60 + "1", "é" * 60 + "2"
    leaf = _create_table(backend, {first: "int64", second: "int64"}, [{first: 1, second: 2}])
    assert backend.arrow(leaf, {}).to_pylist() == [{first: 1, second: 2}]
    summed = leaf.mutate(**{"n" * 200: leaf[first] + leaf[second]}).filter(leaf[second] == 2)
    assert backend.arrow(summed, {}).column("n" * 200).to_pylist() == [3]


def test_cell_that_postgres_cannot_store_is_named(backend):
    _create_table(backend, {"a": "int64", "s": "string"}, [])
    with pytest.raises(DataError, match=r"column 's', row 1: .*NUL.*\(value: 'x\\x00y'\)"):
        backend.append("t", pa.table({"a": [1, 2], "s": ["fine", "x\0y"]}))
    with pytest.raises(DataError, match=r"column 'a': .*do not fit a column of type bigint"):
        backend.append("t", pa.table({"a": ["one"]}))


def test_rows_that_are_too_wide_are_refused(backend):
    columns = {f"c{n}": "string" for n in range(1000)}
    backend.create_table("t", sch.Schema(columns))
    with pytest.raises(UnsupportedError, match="too large for Postgres: row is too big"):
        backend.append("t", pa.Table.from_pylist([dict.fromkeys(columns, "x" * 100)]))
    with pytest.raises(UnsupportedError, match=r"too large for Postgres.*1600 columns"):
        backend.create_table("u", sch.Schema({f"c{n}": "int8" for n in range(2000)}))


def test_json_in_struct_can_be_queried(backend):
    kind = "struct<j: json, more: array<struct<k: json>>>"
    leaf = _create_table(
        backend, {"s": kind}, [{"s": {"j": '{"a": [1, 2]}', "more": [{"k": '{"b": "x"}'}]}}]
    )
    query = leaf.select(a=leaf.s.j["a"][1].int, b=leaf.s.more[0].k["b"].str)
    assert backend.arrow(query, {}).to_pylist() == [{"a": 2, "b": "x"}]
    backend.add_column("t", RID, ibis.dtype("int64"))
    assert backend.arrow(leaf, {}).to_pylist()[0]["s"]["j"] == '{"a": [1, 2]}'


def test_fill_column_keeps_json_in_struct(backend):
    life = {RID: "int64", FROM: "int64", TO: "int64"}
    kind = "struct<j: json>"
    _create_table(backend, {**life, "s": kind}, [{RID: 0, FROM: 1, TO: FOREVER}])
    leaf = _leaf(backend, "t", {"s": kind})
    arrow_schema = sch.Schema({RID: "int64", "s": kind}).to_pyarrow()
    backend.fill_column("t", "s", pa.Table.from_pylist([{RID: 0, "s": {"j": "[7]"}}], arrow_schema))
    assert backend.arrow(leaf.select(x=leaf.s.j[0].int), {}).to_pylist() == [{"x": 7}]


def test_struct_and_array_expressions_match_duckdb(backend):
    row = {
        "s": {"x": 1, "y": "one"},
        "a": [3, 1, None],
        "d": [[1], [2, 3]],
        "m": {"k": 5}.items(),
    }
    columns = {
        "s": "struct<x: int64, y: string>",
        "a": "array<int64>",
        "d": "array<array<int64>>",
        "m": "map<string, int64>",
    }
    row["m"] = list(row["m"])
    t = _create_table(backend, columns, [row])
    duck = ibis.duckdb.connect()
    other = duck.create_table("t", pa.Table.from_pylist([row], sch.Schema(columns).to_pyarrow()))

    def parts(t):
        return {
            "field": t.s.y.upper(),
            "whole": t.s,
            "made": ibis.struct({"a": t.a, "s": t.s, "n": t.s.x / 4}),
            "literal": ibis.literal({"p": [1, 2], "q": None}, "struct<p: array<int64>, q: string>"),
            "index": t.a[-1],
            "slice": t.a[:2],
            "length": t.d.length(),
            "mapped": t.a.map(lambda element: element + 1),
            "filtered": t.a.filter(lambda element: element > 1),
            "inner": t.d.map(lambda element: element[0]),
            "nested": t.d.map(lambda element: element.map(lambda one: one * 2)),
            "kept": t.d.filter(lambda element: element.length() > 1),
            "contains": t.a.contains(3),
            "has": t.d.contains([2, 3]),
            "joined": t.a.concat(t.d[1]),
            "outer": ibis.array([t.d[1], t.d[0]]),
            "flat": t.d.flatten(),
            "get": t.m.get("k"),
            "keys": t.m.keys(),
            "equal": t.s == ibis.struct({"x": 1, "y": "one"}),
        }

    for name, value in parts(t).items():
        result = backend.arrow(t.select(v=value), {}).to_pylist()
        expected = other.select(v=parts(other)[name]).to_pyarrow().to_pylist()
        assert result == expected, name


def test_collect_and_last_of_arrays(backend):
    t = _create_table(
        backend,
        {"k": "int64", "a": "array<int64>"},
        [{"k": 1, "a": [1]}, {"k": 1, "a": [2, 3]}, {"k": 2, "a": None}],
    )
    grouped = t.group_by("k").agg(
        all=t.a.collect(order_by=t.a), last=t.a.last(order_by=t.a), any=t.k.arbitrary()
    )
    assert backend.arrow(grouped.order_by("k"), {}).to_pylist() == [
        {"k": 1, "all": [[1], [2, 3]], "last": [2, 3], "any": 1},
        {"k": 2, "all": None, "last": None, "any": 2},
    ]


def test_numeric_results_have_ibis_types(backend):
    t = _create_table(
        backend,
        {"i": "int64", "n": "decimal(10, 2)", "u": "uint64"},
        [{"i": 1, "n": decimal.Decimal("1.25"), "u": 2**64 - 1}, {"i": 2, "n": None, "u": None}],
    )
    query = t.agg(
        total=t.i.sum(), mean=t.i.mean(), n=t.n.sum(), big=t.u.max(), share=(t.n / 3).max()
    )
    rows = backend.arrow(query, {})
    assert rows.schema.types == query.schema().to_pyarrow().types
    row = rows.to_pylist()[0]
    assert (row["total"], row["mean"], row["big"]) == (3, 1.5, 2**64 - 1)
    assert row["n"] == decimal.Decimal("1.25")
    assert float(row["share"]) == pytest.approx(1.25 / 3, abs=1e-2)


def test_timestamp_difference_and_date_with_time_zone(backend):
    moment = datetime.datetime(2024, 3, 1, 12, tzinfo=datetime.UTC)
    t = _create_table(backend, {"at": "timestamp('UTC')"}, [{"at": moment}])
    query = t.select(
        apart=t.at - ibis.timestamp("2024-02-28 12:00:00", timezone="UTC"), day=t.at.date()
    )
    row = backend.arrow(query, {}).to_pylist()[0]
    assert row == {"apart": datetime.timedelta(days=2), "day": datetime.date(2024, 3, 1)}


# Methods of Ibis


def test_ibis_methods_work_on_backend(backend):
    leaf = _create_table(
        backend,
        {"n": "int64", "s": "struct<x: int64>", "u": "uuid"},
        [{"n": 1, "s": {"x": 2}, "u": "0a1b2c3d-4e5f-6789-abcd-ef0123456789"}],
    )
    reader = backend.ibis
    frame = leaf.to_pandas()
    assert (frame["n"][0], frame["s"][0]) == (1, {"x": 2})
    assert str(frame["u"][0]) == "0a1b2c3d-4e5f-6789-abcd-ef0123456789"
    assert leaf.n.max().to_pyarrow().as_py() == 1
    assert leaf.n.to_pyarrow().to_pylist() == [1]
    assert leaf.drop("u").to_polars().shape == (1, 2)
    assert leaf.to_pyarrow_batches(chunk_size=1).read_all().num_rows == 1
    assert reader.list_tables() == ["t"]
    assert reader.table("t").n.execute().tolist() == [1]
    assert reader.sql("SELECT n + 1 AS m, s FROM t").to_pyarrow().to_pylist() == [
        {"m": 2, "s": '{"x": 2}'}
    ]
    assert reader.raw_sql("SELECT 5").fetchall() == [(5,)]
    number = ibis.param("int64")
    assert leaf.filter(leaf.n == number).count().execute(params={number: 1}) == 1
    assert leaf.to_pandas(limit=0).shape == (0, 3)


def test_written_files_match_duckdb(backend, tmp_path):
    moment = datetime.datetime(2024, 1, 5, 12, 5)  # noqa: DTZ001 - without a zone
    rows = [{"n": n, "s": 'it\'s, "q"', "at": moment} for n in range(5000)]
    leaf = _create_table(backend, {"n": "int64", "s": "string", "at": "timestamp"}, rows)
    other = ibis.duckdb.connect().create_table("t", pa.Table.from_pylist(rows))
    for verb in ("to_csv", "to_json"):
        getattr(leaf.order_by("n"), verb)(tmp_path / "ours")
        getattr(other.order_by("n"), verb)(tmp_path / "theirs")
        assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    leaf.order_by("n").to_csv(tmp_path / "few", limit=2, header=False)
    assert len((tmp_path / "few").read_text().splitlines()) == 2


def test_schema_of_sql_over_staged_rows(backend):
    leaf = _leaf(backend, "bb_given", {"n": "int64"})
    for count in (3, 1000):
        with backend.staging({"bb_given": pa.table({"n": range(count)})}) as reader:
            schema = reader._get_sql_string_view_schema(
                name="v", table=leaf, query="SELECT n * 1.5 AS x, n::text AS y FROM v"
            )
        assert dict(schema) == {"x": ibis.dtype("decimal"), "y": ibis.dtype("string")}
    assert backend.tables() == set()
