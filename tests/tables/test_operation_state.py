"""What an operation knows is its own: nobody else sees what it prepares, on whichever thread."""

from __future__ import annotations

import dataclasses
import gc
import threading

import pytest

import barbule as bb
from barbule.catalog.pending import PendingCatalog
from barbule.errors import BarbuleError
from barbule.executor.engine import Engine
from barbule.tables.commit import run_transaction
from barbule.tables.transaction.isolation import NothingToDo
from barbule.tables.transaction.operations import operating


@pytest.fixture
def numbers(session):
    return session.create_table("numbers", [{"n": number} for number in range(4)])


def test_function_of_a_transaction_sees_the_committed_tables(session, numbers):
    seen = []

    @bb.udf
    def look(n: int) -> int:
        table = session.get_table("numbers")
        seen.append((session.list_tables(), table.columns, table.n.max().to_pyarrow().as_py()))
        return n + 1

    numbers.add_computed_column(next=look(numbers.n))
    assert seen == [(["numbers"], ("n",), 3)] * 4
    assert session.get_table("numbers").columns == ("n", "next")


def test_functions_called_for_a_view_see_no_half_made_view(session, numbers):
    seen = []

    @bb.udf
    def look(n: int) -> int:
        seen.append(tuple(session.list_tables()))
        return n

    session.create_view("view", numbers.select("n", m=look(numbers.n)))
    assert set(seen) == {("numbers",)}


def test_transaction_reads_its_own_structure_and_others_do_not(session, numbers):
    engine = session._engine
    record = engine.record(numbers.op())

    def prepare(transaction):
        column = record.column("n")
        renamed = record.replace_column(column, dataclasses.replace(column, name="m"))
        transaction.put_record(renamed)
        own = transaction.engine.leaf(record.id)
        assert own.schema.names == ("m",)
        assert transaction.engine.arrow(own.to_expr()).column_names == ["m"]
        assert numbers.columns == ("n",)
        columns = []
        other = threading.Thread(target=lambda: columns.append(numbers.columns))
        other.start()
        other.join()
        assert columns == [("n",)]
        assert engine.leaf(record.id).schema.names == ("n",)
        raise NothingToDo

    with pytest.raises(NothingToDo):
        run_transaction(engine, "rename column", prepare, since=engine.catalog.head)
    assert numbers.columns == ("n",)
    assert numbers.insert(n=7).rows == 1


def test_writes_of_a_transaction_print_as_a_list(session, numbers):
    engine = session._engine
    shown = []

    def prepare(transaction):
        record = engine.record(numbers.op())
        rows = engine.arrow(engine.leaf(record.id, hidden=True).to_expr().select("_rid"))
        transaction.end_rows(record, rows.column("_rid").slice(0, 2))
        transaction.drop_storage(record)
        shown.extend(map(repr, transaction.writes))
        raise NothingToDo

    with pytest.raises(NothingToDo):
        run_transaction(engine, "delete", prepare, since=engine.catalog.head)
    assert shown == ["<drop storage: numbers>", "<end 2 rows: numbers>"]


def test_budget_is_the_one_at_the_entrance_of_the_operation(session, numbers):
    @bb.udf(cache=True)
    def double(n: int) -> int:
        return 2 * n

    with bb.budget(calls=2) as spent:
        done = numbers.add_computed_column(double=double(numbers.n))
    assert (done.calls, done.deferred, spent.calls) == (2, 2, 2)
    with pytest.raises(BarbuleError, match="2 of 2 calls"), spent:
        numbers.select(again=double(numbers.n + 100)).collect()


def test_operations_of_two_threads_count_their_own_calls(session, numbers):
    started = threading.Barrier(2, timeout=60)

    @bb.udf(cache=True, version="1")
    def slow(n: int) -> int:
        if n in {100, 200}:
            started.wait()
        return n

    others = session.create_table("others", [{"n": 200}, {"n": 201}])
    numbers.insert(n=100)
    counts = {}

    def add(table):
        counts[table.get_name()] = table.add_computed_column(same=slow(table.n)).calls

    threads = [threading.Thread(target=add, args=(table,)) for table in (numbers, others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == {"numbers": 5, "others": 2}


def test_library_of_an_operation_shares_all_parts_but_its_records(session):
    engine = session._engine
    with operating(engine) as (own, objects):
        parts, own_parts = vars(engine.library), vars(own.library)
        assert own.library.objects is objects
        assert own.library.store is not engine.library.store
        differing = {name for name in parts if parts[name] is not own_parts.get(name)}
        assert differing == {"_origin", "objects", "store"}
        reference = own.library.store.put(b"barbs", "txt")
        assert objects.required() == {reference.removeprefix("media:")}


def test_nothing_keeps_the_engine_of_an_operation(session, numbers):
    """Plans and expressions that are kept belong to the committed state."""

    @bb.udf
    def following(n: int) -> int:
        return n + 1

    numbers.add_computed_column(next=following(numbers.n))
    view = session.create_view("view", numbers.filter(numbers.n > 1).mutate(twice=numbers.next * 2))
    session.create_view("sums", view.group_by("twice").agg(count=view.count()))
    numbers.insert(n=7)
    numbers.update({"n": 9}, where=numbers.n == 7)
    numbers.upsert({"n": 9}, on="n")
    numbers.rename_column("next", "following")
    numbers.delete(numbers.n == 9)
    gc.collect()
    engines = [each for each in gc.get_objects() if isinstance(each, Engine)]
    own = [each for each in engines if each.backend is session._engine.backend]
    assert own == [session._engine]
    pending = [each for each in gc.get_objects() if isinstance(each, PendingCatalog)]
    assert not [each for each in pending if each.metadata is session._engine.catalog.metadata]
