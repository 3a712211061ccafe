"""The DuckDB adapter by itself: rows, names, transactions and connections."""

from __future__ import annotations

import datetime
import threading

import duckdb
import ibis
import ibis.expr.schema as sch
import pyarrow as pa
import pytest
from tests.backends.adapter_parts import check_parts

import barbule as bb
from barbule.backends.base import (
    FOREVER,
    FROM,
    RID,
    TO,
    Backend,
)
from barbule.backends.duckdb import DuckDBBackend
from barbule.backends.duckdb.connection import DuckDBConnection
from barbule.backends.duckdb.connections.shared_file import DuckDBFile
from barbule.backends.duckdb.errors import raise_keyboard_interrupt
from barbule.backends.duckdb.ibis import IbisCompiler
from barbule.backends.duckdb.reader import DuckDBReader
from barbule.backends.duckdb.row_store import DuckDBRowStore
from barbule.backends.duckdb.sql import table_rewrite
from barbule.backends.duckdb.sql.statements import insert_relation
from barbule.backends.opening import open_backend
from barbule.errors import ConfigurationError, DiskError, UnsupportedError
from barbule.extensions import unfulfilled

ODD = ["select", 'qu"ote', "it's", "two words", "naïve 表", "a.b", "; DROP TABLE t; --"]
LIFE = {RID: "int64", FROM: "int64", TO: "int64"}


@pytest.fixture
def backend():
    opened = open_backend("duckdb://")
    yield opened
    opened.disconnect()


def _rows(backend, name: str, schema: dict[str, str]) -> list[dict[str, object]]:
    leaf = backend.table(name, sch.Schema(schema)).to_expr()
    return backend.arrow(leaf, {}).to_pylist()


def _live_table(backend, name: str = "t", columns: dict[str, str] | None = None) -> dict[str, str]:
    schema = {**LIFE, **(columns or {"x": "int64"})}
    backend.create_table(name, sch.Schema(schema))
    rows = {RID: [0, 1, 2], FROM: [1, 1, 1], TO: [FOREVER] * 3}
    backend.append(name, pa.table(rows))
    return schema


def test_append_matches_columns_by_name_and_fills_nulls(backend):
    schema = {"a": "int64", "b": "string", "c": "array<float32>"}
    backend.create_table("t", sch.Schema(schema))
    backend.append("t", pa.table({"b": ["x"], "a": pa.array([1], pa.int8())}))
    assert _rows(backend, "t", schema) == [{"a": 1, "b": "x", "c": None}]


@pytest.mark.parametrize("in_turn", [True, False])
def test_insert_uses_several_threads_only_for_full_batches(backend, in_turn):
    rows = pa.table({"a": range(100), "b": [[n] for n in range(100)]})
    backend.create_table("t", sch.Schema({"a": "int64", "b": "array<int64>", "c": "string"}))
    cursor = backend.cursor
    cursor.execute("SET threads = 2")
    cursor.register("given", rows)
    statement = insert_relation("t", ("a", "b"), "given", in_turn=in_turn)
    ((_, plan),) = cursor.execute(f"EXPLAIN {statement}").fetchall()
    assert ("BATCH_INSERT" in plan) is not in_turn
    cursor.execute(statement)
    assert cursor.execute("SELECT a, b, c FROM t").fetchall() == [
        (n, [n], None) for n in range(100)
    ]


def test_appended_rows_keep_their_order(backend):
    backend.create_table("t", sch.Schema({"a": "int64"}))
    for start in (0, 1000):
        backend.append("t", pa.table({"a": range(start, start + 1000)}))
    assert [row["a"] for row in _rows(backend, "t", {"a": "int64"})] == list(range(2000))


def test_write_ahead_log_is_not_checkpointed_at_each_insert(tmp_path):
    opened = open_backend(f"duckdb:///{tmp_path}/x.duckdb")
    opened.create_table("t", sch.Schema({"a": "string"}))
    rows = pa.table({"a": ["x" * 100] * 100_000})
    for _ in range(3):
        opened.append("t", rows)
    log = (tmp_path / "x.duckdb.wal").stat().st_size
    opened.disconnect()
    assert log > rows.nbytes * 2.5
    assert not (tmp_path / "x.duckdb.wal").exists()


@pytest.mark.parametrize("name", ODD)
def test_any_name_is_quoted_in_every_statement(backend, name):
    schema = {**LIFE, name: "string"}
    backend.create_table("t", sch.Schema({"a": "int64"}))
    backend.create_table(name, sch.Schema({**LIFE, "x": "int64"}))
    backend.add_column(name, name, ibis.dtype("string"))
    backend.insert(name, [{RID: 0, FROM: 1, TO: FOREVER, name: name}])
    backend.append(name, pa.table({RID: [1], FROM: [1], TO: [FOREVER], name: ["y"]}))
    backend.fill_column(name, name, pa.table({RID: [1], name: ["filled"]}))
    backend.end_rows(name, [0], 5)
    assert sorted(_rows(backend, name, schema), key=lambda row: row[RID]) == [
        {RID: 0, FROM: 1, TO: 5, name: name},
        {RID: 1, FROM: 1, TO: FOREVER, name: "filled"},
    ]
    backend.delete_rows(name, {name: name})
    assert [row[RID] for row in _rows(backend, name, schema)] == [1]
    assert backend.tables() == {"t", name}
    backend.drop_table(name)
    assert backend.tables() == {"t"}


def test_values_never_become_sql(backend):
    backend.create_table("t", sch.Schema({"k": "string", "v": "string"}))
    nasty = ["it's", '"; DROP TABLE t; --', "\\", "%s {0} $1", "a\nb", ""]
    backend.insert("t", [{"k": str(n), "v": text} for n, text in enumerate(nasty)])
    assert [row["v"] for row in _rows(backend, "t", {"v": "string"})] == nasty
    backend.delete_rows("t", {"v": nasty[1]})
    assert len(_rows(backend, "t", {"v": "string"})) == len(nasty) - 1


def test_insert_round_trips_timestamps_numbers_and_nulls(backend):
    schema = {"at": "timestamp('UTC')", "n": "int64", "f": "boolean", "s": "string"}
    backend.create_table("t", sch.Schema(schema))
    moment = datetime.datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=datetime.UTC)
    row = {"at": moment, "n": 2**63 - 1, "f": False, "s": None}
    backend.insert("t", [row])
    assert _rows(backend, "t", schema) == [row]


def test_create_table_replaces_leftover_table(backend):
    _live_table(backend)
    backend.create_table("t", sch.Schema({"z": "string"}))
    assert _rows(backend, "t", {"z": "string"}) == []
    backend.drop_table("not there")


def test_add_column_replaces_leftover_column(backend):
    schema = _live_table(backend)
    backend.add_column("t", "y", ibis.dtype("int64"))
    backend.fill_column("t", "y", pa.table({RID: [0], "y": [7]}))
    backend.add_column("t", "y", ibis.dtype("string"))
    assert [row["y"] for row in _rows(backend, "t", {**schema, "y": "string"})] == [None] * 3


def test_end_rows_ends_live_rows_only(backend):
    schema = _live_table(backend)
    backend.end_rows("t", [0, 1], 4)
    backend.append("t", pa.table({RID: [0], FROM: [4], TO: [FOREVER]}))
    backend.end_rows("t", pa.array([1, 99], pa.int64()), 9)
    lives = sorted((row[RID], row[FROM], row[TO]) for row in _rows(backend, "t", schema))
    assert lives == [(0, 1, 4), (0, 4, FOREVER), (1, 1, 4), (2, 1, FOREVER)]


def test_fill_column_sets_live_rows_only(backend):
    schema = _live_table(backend)
    backend.end_rows("t", [0], 4)
    backend.append("t", pa.table({RID: [0], FROM: [4], TO: [FOREVER]}))
    backend.fill_column("t", "x", pa.table({RID: [0, 1], "x": [10, None]}))
    result = {(row[RID], row[TO]): row["x"] for row in _rows(backend, "t", schema)}
    assert result == {(0, 4): None, (0, FOREVER): 10, (1, FOREVER): None, (2, FOREVER): None}


def test_transaction_is_atomic(backend):
    schema = _live_table(backend)
    before = _rows(backend, "t", schema)

    def change() -> None:
        backend.create_table("other", sch.Schema({"a": "int64"}))
        backend.add_column("t", "y", ibis.dtype("int64"))  # first, as DuckDB requires
        backend.append("t", pa.table({RID: [9], FROM: [2], TO: [FOREVER]}))
        backend.end_rows("t", [0], 2)

    def fail() -> None:
        with backend.transaction():
            change()
            assert len(_rows(backend, "t", {**schema, "y": "int64"})) == 4
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert _rows(backend, "t", schema) == before
    assert backend.tables() == {"t"}
    with backend.transaction():
        change()
    assert len(_rows(backend, "t", {**schema, "y": "int64"})) == 4
    assert backend.tables() == {"t", "other"}


def test_backend_is_usable_after_rollback(backend):
    backend.create_table("t", sch.Schema({"a": "int64"}))
    with pytest.raises(Exception, match="nope"), backend.transaction():
        backend.append("nope", pa.table({"a": [1]}))
    with backend.transaction():
        backend.append("t", pa.table({"a": [1]}))
    assert _rows(backend, "t", {"a": "int64"}) == [{"a": 1}]


def test_uncommitted_rows_are_invisible_to_other_threads(backend):
    schema = _live_table(backend)
    counts: list[int] = []

    def look() -> None:
        counts.append(len(_rows(backend, "t", schema)))

    def from_another_thread() -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    with backend.transaction():
        backend.append("t", pa.table({RID: [9], FROM: [2], TO: [FOREVER]}))
        from_another_thread()
    from_another_thread()
    assert counts == [3, 4]


def test_separate_connection_commits_independently(backend):
    backend.create_table("ledger", sch.Schema({"a": "int64"}))
    separate = backend.separate()

    def fail() -> None:
        with backend.transaction():
            backend.create_table("t", sch.Schema({"a": "int64"}))
            separate.append("ledger", pa.table({"a": [1]}))
            raise RuntimeError("rolled back")

    with pytest.raises(RuntimeError, match="rolled back"):
        fail()
    assert _rows(backend, "ledger", {"a": "int64"}) == [{"a": 1}]
    assert backend.tables() == separate.tables() == {"ledger"}
    with separate.transaction():
        separate.append("ledger", pa.table({"a": [2]}))
        assert len(_rows(backend, "ledger", {"a": "int64"})) == 1
    assert len(_rows(backend, "ledger", {"a": "int64"})) == 2


def _numbers(backend, count: int) -> ibis.Table:
    schema = sch.Schema({"n": "int64"})
    backend.create_table("numbers", schema)
    backend.append("numbers", pa.table({"n": range(count)}))
    return backend.table("numbers", schema).to_expr().order_by("n")


@pytest.mark.parametrize("writing", [False, True])
def test_batches_return_all_rows_in_order(backend, writing):
    query = _numbers(backend, 10_000)
    if writing:
        with backend.transaction():
            backend.append("numbers", pa.table({"n": range(10_000, 12_000)}))
            batches = list(backend.batches(query, {}, 2048))
    else:
        batches = list(backend.batches(query, {}, 2048))
    result = pa.Table.from_batches(batches).column("n").to_pylist()
    assert result == list(range(12_000 if writing else 10_000))
    assert max(batch.num_rows for batch in batches) <= 2048


def test_other_queries_may_run_between_two_batches(backend):
    query = _numbers(backend, 10_000)
    total = 0
    for batch in backend.batches(query, {}, 2048):
        total += batch.num_rows
        assert backend.arrow(query.limit(1), {}).num_rows == 1
        backend.append("numbers", pa.table({"n": [-1]}))
    assert total == 10_000


def test_closed_batches_do_not_block_drop_table(backend):
    batches = backend.batches(_numbers(backend, 10_000), {}, 2048)
    next(batches)
    batches.close()
    backend.drop_table("numbers")
    assert backend.tables() == set()


def test_staged_tables_are_readable_only_in_their_query(backend):
    leaf = backend.table("bb_stage", sch.Schema({"a": "int64"})).to_expr()
    staged = {"bb_stage": pa.table({"a": [1, 2]})}
    assert backend.arrow(leaf.filter(leaf.a > 1), staged).to_pylist() == [{"a": 2}]
    assert next(iter(backend.batches(leaf, staged, 10))).num_rows == 2
    assert backend.tables() == set()
    with pytest.raises(Exception, match="bb_stage"):
        backend.arrow(leaf, {})


def test_in_memory_tables_of_a_query_are_staged(backend):
    query = _numbers(backend, 5).join(ibis.memtable(pa.table({"n": [3, 9]})), "n")
    assert backend.arrow(query, {}).to_pylist() == [{"n": 3}]
    assert [batch.to_pylist() for batch in backend.batches(query, {}, 10)] == [[{"n": 3}]]


def test_result_types_match_ibis_schema(backend):
    query = _numbers(backend, 3)
    typed = query.mutate(
        total=query.n.sum().over(ibis.window()), small=ibis.literal(1, "int8"), x=ibis.literal(0.7)
    )
    rows = backend.arrow(typed, {})
    assert rows.schema.equals(typed.schema().to_pyarrow())
    assert rows.column("x").to_pylist() == [0.7] * 3


@pytest.mark.parametrize(("metric", "expected"), [("cosine", 0.6), ("ip", 3.0), ("l2", -(20**0.5))])
def test_similarity_is_larger_for_nearer_vectors(backend, metric, expected):
    kind = ibis.dtype("array<float32, 2>")
    schema = sch.Schema({"a": kind, "b": kind})
    backend.create_table("v", schema)
    backend.append("v", pa.table({"a": [[3.0, 4.0]], "b": [[1.0, 0.0]]}))
    leaf = backend.table("v", schema).to_expr()
    value = backend.similarity(leaf.a.op(), leaf.b.op(), metric).to_expr()
    result = backend.arrow(leaf.select(s=value), {}).column("s").to_pylist()
    assert result == [pytest.approx(expected, rel=1e-6)]


def test_unsupported_expression_is_refused(backend):
    query = _numbers(backend, 3)
    with pytest.raises(UnsupportedError, match=r"DuckDB cannot run this expression.*@bb\.udf"):
        backend.compile(query.select(x=query.n.cast("string").authority()))
    assert "numbers" in backend.compile(query)


def test_missing_folders_of_home_are_created(tmp_path):
    file = tmp_path / "deep" / "er" / "app.duckdb"
    backend = open_backend(f"duckdb://{file}", home=tmp_path / "deep")
    backend.create_table("t", sch.Schema({"a": "int64"}))
    backend.append("t", pa.table({"a": [1]}))
    backend.disconnect()
    again = open_backend(f"duckdb://{file}")
    assert isinstance(again, DuckDBBackend)
    assert _rows(again, "t", {"a": "int64"}) == [{"a": 1}]
    again.disconnect()


def test_unreadable_database_is_named(tmp_path):
    (tmp_path / "text.duckdb").write_text("this is no database" * 100)
    with pytest.raises(DiskError, match=r"text\.duckdb' cannot be read: .*not a valid DuckDB"):
        open_backend(f"duckdb://{tmp_path / 'text.duckdb'}")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot be opened"):
        open_backend(f"duckdb://{tmp_path / 'file' / 'below.duckdb'}")
    with pytest.raises(ConfigurationError, match="there is no backend for 'oracle'"):
        open_backend("oracle://x")


def test_threads_have_separate_connections(backend):
    connections: list[object] = []
    thread = threading.Thread(target=lambda: connections.append(backend.ibis.con))
    thread.start()
    thread.join()
    assert connections[0] is not backend.ibis.con
    assert backend.ibis.con is backend.ibis.con


@pytest.mark.parametrize("kind", ["string", "binary", "array<string>"])
def test_large_column_is_aligned_with_ended_rows(backend, monkeypatch, kind):
    """Strings of more than 2 GiB in total exceed Arrow's usual offsets, so these are not used."""
    monkeypatch.setattr(table_rewrite, "_MIN_BYTES", 0)
    monkeypatch.setattr(table_rewrite, "_MAX_OFFSET_BYTES", 0)
    backend.create_table("t", sch.Schema({RID: "int64", FROM: "int64", TO: "int64"}))
    lives = {RID: [0, 1, 1, 2], FROM: [1, 1, 2, 2], TO: [FOREVER, 2, FOREVER, FOREVER]}
    backend.append("t", pa.table(lives))
    texts = ["two", "one", None]
    cells = {"string": texts, "binary": [t and t.encode() for t in texts]}.get(
        kind, [t and [t] for t in texts]
    )
    rows = pa.table({RID: [2, 1, 0], "x": pa.array(cells)})
    stored = backend.table("t", sch.Schema({RID: "int64", TO: "int64"})).to_expr()
    aligned = table_rewrite.align_to_rows(backend.arrow(stored, {}), rows, "x")
    if kind == "array<string>":
        assert aligned is None
    else:
        assert aligned.schema.field("x").type in (pa.large_string(), pa.large_binary())
    with backend.transaction():
        backend.add_columns("t", {"x": ibis.dtype(kind)}, {"x": rows})
    stored_leaf = backend.table("t", sch.Schema({**dict.fromkeys((RID, TO), "int64"), "x": kind}))
    result = backend.arrow(stored_leaf.to_expr(), {}).to_pylist()
    assert [row["x"] for row in result] == [cells[2], None, cells[1], cells[0]]


def test_database_in_missing_folder_is_refused(tmp_path, monkeypatch):
    for url in (f"duckdb://{tmp_path}/no/dir/x.duckdb", f"{tmp_path}/no/dir/x.duckdb"):
        with pytest.raises(
            ConfigurationError, match=r"no folder '.*/no/dir' for the .*'x\.duckdb'"
        ):
            bb.connect(url, vectors="exact:")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"there is no folder .*mkdir\(parents=True\)"):
        bb.connect("no/x.duckdb")
    assert not (tmp_path / "no").exists()
    (tmp_path / "yes").mkdir()
    bb.connect(f"duckdb://{tmp_path}/yes/x.duckdb", vectors="exact:")
    bb.create_table("t", {"n": int})
    home = tmp_path / "deep" / "home"
    assert bb.connect(home=str(home), vectors="exact:").list_tables() == []
    assert list(home.iterdir())


def test_driver_interrupt_becomes_keyboard_interrupt():
    with pytest.raises(KeyboardInterrupt), raise_keyboard_interrupt():
        raise RuntimeError("Query interrupted")
    with pytest.raises(KeyboardInterrupt), raise_keyboard_interrupt():
        raise duckdb.InterruptException("INTERRUPT Error: Interrupted!")
    with pytest.raises(RuntimeError, match="other"), raise_keyboard_interrupt():
        raise RuntimeError("other")


def test_statement_of_stored_tables_is_compiled_once_for_all_databases(backend, monkeypatch):
    schema = sch.Schema({"a": "int64", "of_this_test": "string"})
    compiled = []
    compile_query = IbisCompiler.compile
    monkeypatch.setattr(
        IbisCompiler,
        "compile",
        lambda self, query: compiled.append(query) or compile_query(self, query),
    )
    other = open_backend("duckdb://")
    try:
        for number, database in enumerate((backend, other)):
            database.create_table("t", schema)
            database.append("t", pa.table({"a": [number]}))
            rows = database.table("t", schema).to_expr()
            result = database.arrow(rows.filter(rows.a >= 0), {})
            assert result.column("a").to_pylist() == [number]
    finally:
        other.disconnect()
    assert len(compiled) == 1


@pytest.fixture
def parts():
    """Yield a connection, a reader and a row store that no adapter combines."""
    connection = DuckDBConnection(DuckDBFile.shared(None, 1.0))
    reader = DuckDBReader(connection)
    yield connection, reader, DuckDBRowStore(connection, reader)
    connection.disconnect()


def test_parts_of_the_adapter_work_without_it(parts):
    check_parts(*parts)


def test_message_names_the_protocols_of_which_a_backend_lacks_members(parts):
    connection, _, store = parts
    assert unfulfilled(store, Backend).startswith(
        "(DuckDBRowStore) lacks name, many_writers, use, check_writable, "
    )
    reader, row_store = unfulfilled(connection, Backend).split("; ")
    assert reader.startswith("(DuckDBConnection) lacks has_infinite_floats, ibis, table, tables, ")
    assert reader.endswith(", similarity, first_unstorable of Reader")
    assert row_store.startswith("create_table, drop_table, ")
    assert row_store.endswith(", delete_with_values of RowStore")
