"""Media store outages at any call: an operation succeeds or raises, and the next one works."""

from __future__ import annotations

import datetime
import errno
import io
import itertools
import os
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from PIL import Image

import barbule as bb
from barbule.errors import BarbuleError, StoreError
from barbule.tables.transaction.media_references import referenced_media

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from barbule.session import Session

FULL = bool(os.environ.get("BARBULE_TEST_FULL"))
STEPS = 1 if FULL else 5  # every n-th call of an operation
NONE = datetime.timedelta(0)
ERRORS = (
    OSError(errno.ENOSPC, "No space left on device"),
    PermissionError(errno.EACCES, "Permission denied"),
    TimeoutError("the server did not answer"),
    RuntimeError("InternalError: 500"),  # drivers raise arbitrary errors
    FileNotFoundError(errno.ENOENT, "The specified bucket does not exist"),
)


class Outage:
    """Lets the calls of a file system fail from one of them on."""

    def __init__(self) -> None:
        self.calls = 0
        self.first: int | None = None
        self.error: Exception = ERRORS[0]

    def begin(self, first: int, error: Exception) -> None:
        self.calls, self.first, self.error = 0, first, error

    def end(self) -> bool:
        """End the outage; return whether a call has failed."""
        failed = self.first is not None and self.calls >= self.first
        self.first = None
        return failed

    def __call__(self) -> None:
        self.calls += 1
        if self.first is not None and self.calls >= self.first:
            raise self.error


OUTAGE = Outage()


class Failing(LocalFileSystem):
    """A store elsewhere, in a folder of this machine, whose calls can fail."""

    protocol = "failing"
    cachable = False

    def _guarded(name: str) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **options: Any) -> Any:
            OUTAGE()
            return getattr(LocalFileSystem, name)(LocalFileSystem(), *args, **options)

        return call

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return LocalFileSystem._strip_protocol(path.removeprefix("failing://"))

    for _method in ("cat_file", "find", "info", "isfile", "ls", "makedirs", "mv", "pipe_file"):
        locals()[_method] = _guarded(_method)
    put_file, rm_file = _guarded("put_file"), _guarded("rm_file")


fsspec.register_implementation("failing", Failing, clobber=True)


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (shade % 256, shade // 256, 1)).save(buffer, "PNG")
    return buffer.getvalue()


def loaded(session: Session) -> list[tuple[Any, ...]]:
    """Read all rows with their images."""
    rows = session.get_table("t").order_by("n").collect()
    return [(row["n"], row["img"].getpixel((0, 0)), row["half"].size) for row in rows]


def stored(session: Session) -> set[str]:
    return {
        f"media:{stored_object.name}" for stored_object in session._engine.library.store.objects()
    }


@pytest.fixture
def populated(session: Session, tmp_path: Path, backend_url: str | None) -> Session:
    """Connect to a database whose store can fail, with a table of images."""
    opened = bb.connect(backend_url, vectors="exact:", media=f"failing://{tmp_path}/store")

    @bb.udf(cache=True)
    def half(img: bb.Image) -> bb.Image:
        return img.resize((2, 2))

    table = opened.create_table("t", {"n": bb.Int, "img": bb.Image})
    table.add_computed_column(half=half(table.img), on_error="null")
    table.insert([{"n": n, "img": png(n)} for n in range(3)])
    return opened


def insert(session: Session, turn: int) -> Any:
    return session.get_table("t").insert([{"n": n, "img": png(n)} for n in (turn, turn + 1)])


def insert_leniently(session: Session, turn: int) -> Any:
    return session.get_table("t").insert([{"n": turn, "img": png(turn)}], on_error="null")


def update(session: Session, turn: int) -> Any:
    table = session.get_table("t")
    return table.update({"img": png(turn)}, where=table.n == 1)


def upsert(session: Session, turn: int) -> Any:
    return session.get_table("t").upsert([{"n": 1, "img": png(turn)}], on="n")


def purge(session: Session, turn: int) -> Any:
    table = session.get_table("t")
    table.insert([{"n": turn, "img": png(turn)}])
    return table.delete(where=table.n == turn, purge=True)


def add_column(session: Session, turn: int) -> Any:
    table = session.get_table("t")
    return table.add_computed_column(drawn=table.img.rotate(turn % 360), stored=True)


def compact(session: Session, turn: int) -> Any:
    table = session.get_table("t")
    table.update({"img": png(turn)}, where=table.n == 0)
    return table.compact()


def collect(session: Session, turn: int) -> Any:
    return session.collect_media(grace=NONE)


def read(session: Session, turn: int) -> Any:
    cache = session._engine.library._cache.folder
    if cache.exists():
        cache.rename(cache.with_name(f"old-{turn}"))
    return [image.load() for image in session.get_table("t").collect()["img"]]


OPERATIONS = [
    insert,
    insert_leniently,
    update,
    upsert,
    purge,
    add_column,
    compact,
    collect,
    read,
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda function: function.__name__)
def test_outage_at_any_call_keeps_the_table_consistent(
    populated: Session, operation: Callable[[Session, int], Any]
):
    errors = itertools.cycle(ERRORS)
    for first in itertools.count(1, STEPS):
        turn = 1000 + 10 * first
        if operation is collect:
            populated._engine.library.store.put(png(turn), "png")
        before = loaded(populated)
        OUTAGE.begin(first, next(errors))
        try:
            operation(populated, turn)
            caught = None
        except BarbuleError as error:
            caught = error
        finally:
            failed = OUTAGE.end()
        assert caught is None or "the media store failing://" in str(caught)
        after = loaded(populated)
        if operation in {collect, read, add_column}:
            assert after == before
        insert(populated, turn + 5)
        assert {row[:1] for row in loaded(populated)} == {row[:1] for row in after} | {
            (turn + 5,),
            (turn + 6,),
        }
        table = populated.get_table("t")
        if "drawn" in table.columns:
            table.drop_column("drawn")
        table.delete(where=table.n >= 1000)  # so that each turn makes as many calls
        table.compact()
        populated.evict_calls(older_than=NONE)
        populated.collect_media(grace=NONE)
        assert stored(populated) == referenced_media(populated._engine)
        if not failed:
            assert first > 1
            return


@pytest.mark.parametrize(
    "operation", [insert, update, upsert], ids=lambda function: function.__name__
)
def test_failed_mutation_changes_nothing(
    populated: Session, operation: Callable[[Session, int], Any]
):
    before, versions = loaded(populated), len(populated.get_table("t").history())
    for error in ERRORS:
        OUTAGE.begin(1, error)
        with pytest.raises(StoreError, match=r"cannot be (read|written): .+\. Check that it"):
            operation(populated, 1000)
        OUTAGE.end()
        assert loaded(populated) == before
    assert len(populated.get_table("t").history()) == versions
    assert operation(populated, 1000).rows


def test_failed_purge_reports_remaining_files(populated: Session):
    table = populated.get_table("t")
    OUTAGE.begin(1, ERRORS[0])
    with pytest.raises(StoreError, match=r"The rows are removed.*collect_media\(grace="):
        table.delete(where=table.n == 1, purge=True)
    OUTAGE.end()
    assert [row[0] for row in loaded(populated)] == [0, 2]
    assert populated.collect_media(grace=NONE).files == 2
    assert stored(populated) == referenced_media(populated._engine)


def test_unwritable_store_folder_is_reported(session: Session):
    table = session.create_table("t", {"img": bb.Image})
    table.insert(img=png(1))
    root = session._engine.library.store.local_path(
        table.select(u=table.img.cast("string")).collect()[0, "u"]
    ).parent.parent
    aside = root.with_name("aside")
    root.rename(aside)
    root.write_bytes(b"no folder")
    for rows in ([{"img": png(2)}], [{"img": png(1)}]):
        with pytest.raises(
            StoreError, match=r"column 'img', row 0: the media store file://.* cannot"
        ):
            table.insert(rows)
        with pytest.raises(StoreError, match=r"the media store file://.* cannot"):
            table.insert(rows, on_error="null")
    root.unlink()
    aside.rename(root)
    table.insert(img=png(2))
    assert len([image.load() for image in table.collect()["img"]]) == 2
