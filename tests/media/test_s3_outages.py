"""S3 media store whose server returns errors: reported as an outage, then usable again."""

from __future__ import annotations

import datetime
import io
import uuid
from typing import TYPE_CHECKING

import pytest
from PIL import Image

import barbule as bb
from barbule.errors import StoreError
from servers import s3

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("s3fs")
pytest.importorskip("moto")


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4), shade).save(buffer, "PNG")
    return buffer.getvalue()


class Server:
    """The status that the server returns instead of the object."""

    status = ""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with s3.serving(lambda: made.status):
        yield made


@pytest.mark.parametrize("status", ["500 Failure", "503 Slow Down", "403 Forbidden"])
def test_failing_s3_server_is_reported_and_recovers(
    server: Server, status: str, monkeypatch: pytest.MonkeyPatch
):
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    bucket = f"b{uuid.uuid4().hex[:20]}"
    s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True).mkdir(bucket)
    session = bb.connect(vectors="exact:", media=f"s3://{bucket}/media")
    table = session.create_table("t", {"n": bb.Int, "img": bb.Image})
    table.insert([{"n": n, "img": png(n)} for n in range(2)])
    cache = session._engine.library._cache.folder

    server.status = status
    message = (
        rf"the media store s3://{bucket}/media cannot be (read|written|listed): .*\. Check that"
    )
    with pytest.raises(StoreError, match=message):
        table.insert([{"n": 2, "img": png(2)}])
    with pytest.raises(StoreError, match=message):
        table.update({"img": png(3)}, where=table.n == 1)
    with pytest.raises(StoreError, match=message):
        session.collect_media(grace=datetime.timedelta(0))
    cache.rename(cache.with_name("aside"))
    with pytest.raises(StoreError, match=message):
        [each.load() for each in table.collect()["img"]]
    with pytest.raises(StoreError, match=r"The rows are removed"):
        table.delete(where=table.n == 1, purge=True)

    server.status = ""
    assert session.collect_media(grace=datetime.timedelta(0)).files == 1
    table.insert([{"n": 2, "img": png(2)}])
    found = table.order_by("n").collect()
    assert [each.getpixel((0, 0)) for each in found["img"]] == [0, 2]
