"""Deletion from the media store never removes files that a concurrent commit refers to."""

from __future__ import annotations

import datetime
import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

import barbule as bb
from barbule.config import load_settings
from barbule.errors import ConflictError, FunctionError
from barbule.session import Session
from gates import Gate

if TYPE_CHECKING:
    from collections.abc import Iterator

NONE = datetime.timedelta(0)


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), shade).save(buffer, "PNG")
    return buffer.getvalue()


def shades(table: Any, column: str = "img") -> list[int]:
    return sorted(image.getpixel((0, 0)) for image in table.collect()[column])


def stored(session: Session) -> set[str]:
    return {stored_object.name for stored_object in session._engine.library.store.objects()}


def opened(url: str | None, **options: Any) -> Session:
    """Open a second session."""
    return Session(load_settings(backend=url, vectors="exact:", **options))


@pytest.fixture
def other(session: Session, backend_url: str | None) -> Iterator[Session]:
    """Open a session without shared memory, as in another process."""
    with opened(backend_url) as second:
        yield second


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def table(session: Session, gate: Gate) -> Any:
    """Create a table of images whose inserts can be paused before the commit."""

    @bb.udf(cache=False, version="1")
    def waits(n: int) -> int:
        gate()
        return n

    new_table = session.create_table("t", {"n": bb.Int, "img": bb.Image})
    new_table.add_computed_column(same=waits(new_table.n))
    return new_table


def test_failed_insert_keeps_files_of_a_concurrent_commit(session, other, gate, table):
    failing = Gate()

    @bb.udf(cache=False, version="1")
    def fails(n: int) -> int:
        failing()
        raise ValueError(n)

    broken = other.create_table("broken", {"n": bb.Int, "img": bb.Image})
    broken.add_computed_column(none=fails(broken.n))
    failing.start(lambda: broken.insert(n=1, img=png(7)))  # stores it first
    gate.start(lambda: table.insert(n=1, img=png(7)))
    assert isinstance(failing.finish(), FunctionError)
    assert gate.finish().rows == 1
    assert shades(table) == [7]


@pytest.mark.parametrize("first", ["their failure", "our commit"])
def test_new_column_keeps_files_of_a_failed_insert(session, other, first):
    failing, slow = Gate(), Gate()

    @bb.udf(cache=False, version="1")
    def fails(n: int) -> int:
        failing()
        raise ValueError(n)

    @bb.udf(cache=False, version="1")
    def drawn(n: int) -> bb.Image:
        picture = Image.new("L", (4, 4), n)
        slow()
        return picture

    table = session.create_table("t", {"n": bb.Int})
    table.insert(n=7)
    broken = other.create_table("broken", {"n": bb.Int})
    broken.add_computed_column(img=drawn(broken.n))
    broken.add_computed_column(none=fails(broken.n + broken.img.width()))
    failing.start(lambda: broken.insert(n=7))
    if first == "their failure":
        slow.start(lambda: table.add_computed_column(img=drawn(table.n)))
        assert isinstance(failing.finish(), FunctionError)
        assert slow.finish()
    else:
        table.add_computed_column(img=drawn(table.n))
        assert isinstance(failing.finish(), FunctionError)
    assert shades(session.get_table("t")) == [7]


@pytest.mark.parametrize("change", ["content", "rows of a table", "update", "upsert"])
def test_purge_keeps_files_of_a_concurrent_commit(session, other, gate, table, change):
    old = other.create_table("old", {"n": bb.Int, "img": bb.Image})
    old.insert([{"n": 1, "img": png(7)}, {"n": 2, "img": png(8)}])
    if change == "update":
        table.insert(n=1, img=png(1))
    work = {
        "content": lambda: table.insert([{"n": 1, "img": png(7)}]),
        "rows of a table": lambda: table.insert(session.get_table("old")),
        "update": lambda: table.update({"img": png(7), "n": 2}),
        "upsert": lambda: table.upsert([{"n": 1, "img": png(7)}], on="n"),
    }[change]
    done = gate.during(work, lambda: old.delete(where=old.n == 1, purge=True))
    assert done.rows == 1
    # Rows read from a table are those at the time of the commit.
    assert shades(table) == [8 if change == "rows of a table" else 7]


def test_collection_keeps_files_of_a_concurrent_commit(session, other, gate, table):
    def collect() -> None:
        assert other.collect_media(grace=NONE).files == 1
        assert not stored(session)

    gate.during(lambda: table.insert(n=1, img=png(7)), collect)
    assert shades(table) == [7]


def test_file_deleted_during_an_insert_is_stored_again(session, other, table):
    class Deleting(dict):
        """A row whose access deletes the file of the previous row."""

        def __getitem__(self, name: str) -> Any:
            if name == "img":
                other.collect_media(grace=NONE)
            return super().__getitem__(name)

    table.insert([Deleting(n=1, img=png(7)), Deleting(n=2, img=png(8))])
    assert shades(table) == [7, 8]


def test_single_use_source_ends_in_a_conflict(session, other, gate, table):
    source = ({"n": n, "img": png(7)} for n in range(1))
    failed = gate.during(lambda: table.insert(source), lambda: other.collect_media(grace=NONE))
    assert isinstance(failed, ConflictError)
    assert "was deleted from the media store while rows were read" in str(failed)
    assert table.count().to_pyarrow().as_py() == 0
    table.insert(n=1, img=png(7))
    assert shades(table) == [7]


def test_large_source_ends_in_a_conflict(session, other, table, monkeypatch):
    monkeypatch.setattr("barbule.tables.verbs.rows.insert.BATCH_ROWS", 2)

    def rows() -> Iterator[dict[str, Any]]:
        yield from ({"n": n, "img": png(n)} for n in range(2))
        yield {"n": 2, "img": png(2)}
        other.collect_media(grace=NONE)
        yield from ({"n": n, "img": png(n)} for n in range(3, 8))

    with pytest.raises(ConflictError, match="was deleted from the media store"):
        table.insert(rows())
    table.insert([{"n": n, "img": png(n)} for n in range(8)])
    assert shades(table) == list(range(8))


def test_answer_with_a_deleted_file_is_called_again(session):
    calls = []

    @bb.udf(cache=True)
    def drawn(n: int) -> list[bb.Image]:
        calls.append(n)
        return [Image.new("L", (4, 4), n), Image.new("L", (4, 4), n + 1)]

    table = session.create_table("t", {"n": bb.Int})
    table.add_computed_column(img=drawn(table.n))
    table.insert(n=7)
    table.insert(n=7)
    assert calls == [7]
    store = session._engine.library.store
    for name in stored(session):
        store.delete(name)
    table.insert(n=7)
    table.insert(n=7)
    assert calls == [7, 7]
    assert [[image.getpixel((0, 0)) for image in images] for images in table.collect()["img"]] == [
        [7, 8]
    ] * 4


def test_process_stores_a_file_again_that_another_deleted(tmp_path):
    url, media = f"duckdb://{tmp_path}/app.duckdb", f"memory://{tmp_path.name}/media"
    with opened(url, media=media) as one, opened(url, media=media) as other:
        table = one.create_table("t", {"img": bb.Image})
        table.insert(img=png(7))
        there = other.get_table("t")
        assert there.delete(purge=True).media == 1
        table.insert(img=png(7))
        assert stored(one)
        one._engine.library._cache.folder.rename(tmp_path / "gone")
        assert shades(table) == [7]


def test_shared_store_keeps_files_of_other_databases(tmp_path):
    media = f"file://{tmp_path}/shared"
    with (
        opened(f"duckdb://{tmp_path}/a.duckdb", media=media) as one,
        opened(f"duckdb://{tmp_path}/b.duckdb", media=media) as other,
    ):
        ours = one.create_table("t", {"img": bb.Image})
        theirs = other.create_table("t", {"img": bb.Image})

        def rows() -> Iterator[dict[str, Any]]:
            yield {"img": png(8)}
            raise OSError("no more")

        ours.insert(img=png(7))
        theirs.insert(img=png(7))
        done = ours.delete(purge=True)
        assert (done.media, done.media_kept) == (0, 1)
        assert shades(theirs) == [7]
        with pytest.raises(OSError, match="no more"):
            ours.insert(rows())
        assert shades(theirs) == [7]


def test_in_memory_databases_share_no_store():
    with opened("duckdb://") as one, opened("duckdb://") as other:
        table = one.create_table("t", {"img": bb.Image})
        table.insert(img=png(7))
        purged = other.create_table("t", {"img": bb.Image})
        purged.insert(img=png(7))
        assert purged.delete(purge=True).media == 1
        assert stored(one)
        assert not stored(other)


def test_deletions_release_the_lock_between_batches(session, other, table, monkeypatch):
    monkeypatch.setattr(
        "barbule.tables.transaction.media_references._MAX_LOCK_SECONDS", 0.0
    )  # one file per lock
    old = other.create_table("old", {"n": bb.Int, "img": bb.Image})
    old.insert([{"n": n, "img": png(n)} for n in range(5)])
    store = other._engine.library.store
    delete = store.delete
    turns = []

    def between(name: str, **options: Any) -> bool:
        turns.append(name)
        return delete(name, **options)

    monkeypatch.setattr(store, "delete", between)
    versions = old.history()
    assert old.delete(purge=True).media == 5
    assert len(turns) == 5
    assert len(old.history()) == len(versions) + 2  # deletion of files adds no version
