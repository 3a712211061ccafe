"""Slow S3 as a media store and as a source: each request ends at its time limit."""

from __future__ import annotations

import io
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest
from PIL import Image

import barbule as bb
from barbule.errors import DataError, MediaError, StoreError
from barbule.media.storage.media_store import MediaStore
from servers import s3
from servers.slow import SlowWay, slow_way

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("s3fs")
pytest.importorskip("moto")

LIMIT = 0.5
SOON = 10  # seconds, below the limits of the client itself
MESSAGE = r"no complete answer arrived within 0\.5 s, the time_limit in \[media\]"
LARGE = bytes(range(256)) * 40_000


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), shade).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def server() -> Iterator[SlowWay]:
    with (
        s3.serving() as url,
        slow_way(urlsplit(url).port) as way,
        pytest.MonkeyPatch.context() as m,
    ):
        m.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{way.port}")
        yield way


@pytest.fixture
def way(server: SlowWay) -> Iterator[SlowWay]:
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    yield server
    server.pace = None
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(way: SlowWay) -> str:
    import s3fs

    name = f"b{uuid.uuid4().hex[:20]}"
    s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True).mkdir(name)
    return name


@contextmanager
def soon() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SOON


class Given(NamedTuple):
    store: MediaStore
    known: str
    file: Path


@contextmanager
def limited() -> Iterator[None]:
    file = Path("barbule.toml")
    file.write_text(f"[media]\ntime_limit = {LIMIT}\n")
    yield
    file.unlink()


OPERATIONS = {
    "put": lambda given: given.store.put(b"new", "txt"),
    "put large": lambda given: given.store.put(LARGE, "txt"),
    "put file": lambda given: given.store.put_file(given.file, "txt"),
    "open": lambda given: given.store.open(given.known),
    "local path": lambda given: given.store.local_path(given.known),
    "exists": lambda given: given.store.exists(given.known),
    "list": lambda given: list(given.store.objects()),
    "delete": lambda given: given.store.delete(given.known),
    "users": lambda given: given.store.users(),
}
# Operations whose request or response fits in the part that is still sent succeed.
UNAFFECTED = {
    "unread": set(OPERATIONS) - {"put large", "put file"},
    "cut": {"exists", "delete", "put", "put large", "put file"},
    "dripping body": {"exists", "delete", "put", "put large", "put file"},
}
SLOW = [
    (pace, name)
    for pace in ("silent", "dripping", "cut", "dripping body", "unread")
    for name in OPERATIONS
    if name not in UNAFFECTED.get(pace, ())
]


@pytest.mark.parametrize(("pace", "name"), SLOW)
def test_store_request_ends_at_its_time_limit(
    way: SlowWay, bucket: str, tmp_path: Path, pace: str, name: str
):
    def opened(limit: float = LIMIT) -> MediaStore:
        made = tmp_path / uuid.uuid4().hex
        return MediaStore(
            f"s3://{bucket}/media", cache_dir=made, user="duckdb:///a", time_limit=limit
        )

    known = opened(60).put(b"barbs" * 100, "txt")
    store, file = opened(), tmp_path / "large.bin"
    file.write_bytes(LARGE[::-1])

    way.pace = pace
    with soon(), pytest.raises(StoreError, match=rf"cannot be (read|written|listed): .*{MESSAGE}"):
        OPERATIONS[name](Given(store, known, file))
    way.pace = None
    OPERATIONS[name](Given(opened(60), known, file))


@pytest.mark.parametrize("pace", ["silent", "dripping"])
def test_timed_out_operation_changes_nothing(way: SlowWay, bucket: str, pace: str):
    place = f"s3://{bucket}/media"
    with bb.connect(vectors="exact:", media=place) as session:
        table = session.create_table("t", {"n": bb.Int, "img": bb.Image})
        table.insert([{"n": n, "img": png(n)} for n in range(2)])

    way.pace = pace
    with limited(), bb.connect(vectors="exact:", media=place) as session:
        table = session.get_table("t")
        with soon(), pytest.raises(StoreError, match=MESSAGE):
            table.insert([{"n": 2, "img": png(2)}])
        with soon(), pytest.raises(StoreError, match=MESSAGE):
            table.update({"img": png(3)}, where=table.n == 1)
    way.pace = None
    with bb.connect(vectors="exact:", media=place) as session:
        table = session.get_table("t")
        assert table.order_by("n").collect()["n"] == [0, 1]
        table.insert([{"n": 2, "img": png(2)}])
        found = table.order_by("n").collect()["img"]
        assert [each.getpixel((0, 0)) for each in found] == [0, 1, 2]


@pytest.mark.parametrize("pace", ["silent", "dripping", "cut", "dripping body"])
def test_row_source_request_ends_at_its_time_limit(way: SlowWay, bucket: str, pace: str):
    import s3fs

    files = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    files.pipe_file(f"{bucket}/rows/a.csv", b"n\n" + b"1\n" * 500)
    files.pipe_file(f"{bucket}/rows/a.png", png(1))
    rows = f"s3://{bucket}/rows"

    way.pace = pace
    with limited(), bb.connect(vectors="exact:") as session:
        table = session.create_table("t", {"n": bb.Int})
        images = session.create_table("images", {"image": bb.Image})
        for source in (f"{rows}/a.csv", f"{rows}/*.csv"):
            with soon(), pytest.raises(DataError, match=rf"/rows/(a|\*)\.csv.*{MESSAGE}"):
                table.insert(source)
        with soon(), pytest.raises(DataError, match=rf"/rows/\*\.png.*{MESSAGE}"):
            images.insert(session.read_folder(f"{rows}/*.png"))
        with (
            soon(),
            pytest.raises(MediaError, match=r"a\.png was not downloaded within 0\.5 s.*time_limit"),
        ):
            images.insert(image=f"{rows}/a.png")
    way.pace = None
    with bb.connect(vectors="exact:") as session:
        table, images = session.get_table("t"), session.get_table("images")
        table.insert(f"{rows}/*.csv")
        images.insert(image=f"{rows}/a.png")
        assert (table.count().execute(), images.count().execute()) == (500, 1)
