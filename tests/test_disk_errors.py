"""Full disks and unwritable files: clear errors and no partial results."""

from __future__ import annotations

import contextlib
import gc
import json
import os
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest

import barbule as bb
from barbule.errors import ConfigurationError, DataError, DiskError, MediaError, StoreError
from barbule.functions import openai
from barbule.locations import write_atomically

resource = pytest.importorskip("resource", reason="the platform bounds no files")
SMALL = 100_000


@contextlib.contextmanager
def file_size_limit(size):
    """Limit the size of files, as on a full disk."""
    _, hard = former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def noise(side=400):
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    return PIL.Image.fromarray(pixels)


def rows(count):
    return pa.table({"a": np.random.default_rng(1).integers(0, 1 << 60, count)})


def test_full_database_disk_is_reported(tmp_path):
    with bb.connect(f"duckdb:///{tmp_path}/app.duckdb", vectors="exact:"):
        table = bb.create_table("t", {"a": bb.Int})
        table.insert(a=1)
        with (
            file_size_limit(2 << 20),
            pytest.raises(DiskError, match=r"app\.duckdb' cannot be written: .*too large") as e,
        ):
            table.insert(rows(600_000))
        assert "Free disk space" in e.value.hint
        assert table.collect()["a"] == [1]
        table.insert(a=2)
        assert table.collect()["a"] == [1, 2]
    with bb.connect(f"duckdb:///{tmp_path}/app.duckdb", vectors="exact:"):
        assert bb.get_table("t").count().execute() == 2


def answers_of(table):
    return (
        openai.chat_completions(model="echo", messages=[{"role": "user", "content": table.x}])
        .choices[0]
        .message.content.cast(str)
    )


def vectors_of(table):
    return openai.embeddings(table.x, model="text-embedding-3-small", dimensions=64)


@pytest.mark.parametrize(
    ("column_of", "count"), [(answers_of, 300), (vectors_of, 3000)], ids=["chat", "embeddings"]
)
def test_calls_stop_when_answers_cannot_be_written(column_of, count, models, tmp_path):
    Path("barbule.toml").write_text(
        f'[models.openai]\napi_base = "{models.url}"\nmax_concurrency = 4\n'
    )
    url = f"duckdb:///{tmp_path}/app.duckdb"
    with bb.connect(url, vectors="exact:"):
        table = bb.create_table("t", [{"x": f"{n} {'long' * 500}"} for n in range(count)])
        value = column_of(table)
        # The file and DuckDB's log beside it have almost no room.
        full = max(each.stat().st_size for each in tmp_path.glob("app.duckdb*")) + 60_000
        sent = []
        for _ in range(2):
            with (
                file_size_limit(full),
                pytest.raises(DiskError, match=r"table 't', column 'a': .*large"),
            ):
                table.add_computed_column(a=value)
            sent.append(len(models.requests))
        table.add_computed_column(a=value)
        assert table.filter(table.a.isnull()).count().execute() == 0
    asked = [each.get("input") or [each["messages"]] for each in models.requests]
    texts = [json.dumps(text) for question in asked for text in question]
    assert len(texts) == len(set(texts)) == count  # no call was repeated
    assert sent[0] < len(models.requests) / 2


def test_close_warns_of_unwritten_answers(tmp_path, caplog):
    @bb.udf(cache=True, version="1", name="long_text_of_a_number")
    def long(n: int) -> str:
        return f"{n}" * 5_000

    with bb.connect(f"duckdb:///{tmp_path}/app.duckdb", vectors="exact:") as session:
        table = bb.create_table("t", [{"n": n} for n in range(1000, 1100)])
        full = max(each.stat().st_size for each in tmp_path.glob("app.duckdb*")) + 10_000
        with file_size_limit(full):
            assert len(table.select(a=long(table.n)).collect()) == 100
            session.close()
    assert "computed answers could not be written to the call ledger" in caplog.text
    with bb.connect(f"duckdb:///{tmp_path}/app.duckdb", vectors="exact:"):
        assert bb.get_table("t").count().execute() == 100


def test_full_media_store_disk_is_reported(session):
    table = bb.create_table("photos", {"img": bb.Image})
    with (
        file_size_limit(SMALL),
        pytest.raises(StoreError, match=r"the media store ") as caught,
    ):
        table.insert(img=noise())
    assert caught.value.table == "photos"
    assert table.count().execute() == 0
    table.insert(img=noise())
    assert table.collect()[0, "img"].size == (400, 400)


def test_media_store_below_a_file_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with bb.connect("duckdb://", media=str(tmp_path / "file" / "media")):
        table = bb.create_table("photos", {"img": bb.Image})
        with pytest.raises(StoreError, match="the media store "):
            table.insert(img=noise(2))


WRITERS = {
    "csv": lambda t, path: t.to_csv(path),
    "json": lambda t, path: t.to_json(path),
    "parquet": lambda t, path: t.to_parquet(path),
    "xlsx": lambda t, path: t.to_xlsx(path),
    "embedded": lambda t, path: t.to_parquet(path, embed_media=True),
    "tar": lambda t, path: t.to_webdataset(path),
    "folder": lambda t, path: t.to_folder(path),
    "coco": lambda t, path: t.to_coco(path),
}
BOXES = "array<struct<label: string, x: float64, y: float64, width: float64, height: float64>>"
BOX = {"label": "bird", "x": 1.0, "y": 1.0, "width": 2.0, "height": 2.0}


@pytest.fixture
def written(session):
    """Return a table whose exports exceed the available room."""
    table = bb.create_table("photos", {"img": bb.Image, "text": bb.String, "boxes": BOXES})
    letters = np.random.default_rng(2).integers(0x20, 0x7E, 300_000, dtype=np.uint8)
    texts = [letters[start:][:30_000].tobytes().decode() for start in range(0, 300_000, 30_000)]
    images = [noise(), *[None] * (len(texts) - 1)]
    table.insert(
        [
            {"img": image, "text": text, "boxes": [BOX]}
            for image, text in zip(images, texts, strict=True)
        ]
    )
    return table


@pytest.mark.parametrize("form", sorted(WRITERS.keys() - {"xlsx"}))
def test_failed_export_leaves_no_file(form, written, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    target = out / "a"
    with (
        file_size_limit(SMALL),
        pytest.raises(DiskError, match=r"out/a' cannot be written: .*too large"),
    ):
        WRITERS[form](written, str(target))
    assert list(out.iterdir()) == []
    WRITERS[form](written, str(target))
    assert target.exists()


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "embedded", "tar"])
def test_failed_export_keeps_the_previous_file(form, written, tmp_path):
    target = tmp_path / "a"
    target.write_text("former")
    with file_size_limit(SMALL), pytest.raises(DiskError, match="cannot be written"):
        WRITERS[form](written, target)
    assert target.read_text() == "former"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_failed_xlsx_export_keeps_the_previous_file(written, tmp_path):
    target = tmp_path / "a.xlsx"
    target.write_text("former")
    with (
        file_size_limit(SMALL),
        pytest.raises(DiskError, match=r"a\.xlsx' cannot be written: .*too large"),
    ):
        written.to_xlsx(target)
    assert target.read_text() == "former"
    with pytest.raises(DataError, match=r"a\.xlsx' is a file, so"):
        written.to_xlsx(target / "a")
    gc.collect()  # openpyxl raises again when its leftovers are collected


@pytest.mark.parametrize("form", sorted(WRITERS.keys() - {"xlsx"}))
def test_export_below_a_file_is_rejected(form, written, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file' is a file, so .* (be written into it|be a folder)"):
        WRITERS[form](written, tmp_path / "file" / "a")


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "xlsx"])
def test_export_to_an_unknown_user_home_is_rejected(form, written):
    with pytest.raises(MediaError, match=r"~nosuchuser.*a user that does not exist"):
        WRITERS[form](written, "~nosuchuser/a")


def test_export_to_the_own_home_works(written, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    written.to_csv("~/a.csv")
    assert (tmp_path / "a.csv").stat().st_size > SMALL


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no pipes")
def test_pipe_is_written_in_place(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with write_atomically(pipe) as file:
        file.write(b"abc")
    assert os.read(reading, 10) == b"abc"
    os.close(reading)
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    "places",
    [
        {"backend": "~nosuchuser/a.duckdb"},
        {"backend": "duckdb://~nosuchuser/a.duckdb"},
        {"home": "~nosuchuser/a"},
        {"media": "~nosuchuser/a"},
    ],
    ids=str,
)
def test_locations_in_an_unknown_user_home_are_rejected(places, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"a user that does not exist.*~nosuchuser"):
        bb.connect(**places)
    assert list(tmp_path.rglob("~*")) == []


DAMAGES = {
    "cut in half": lambda data: data[: len(data) // 2],
    "cut to its first page": lambda data: data[:3000],
    "another beginning": lambda data: bytes(4096) + data[4096:],
    "another header": lambda data: data[:4096] + bytes(8192) + data[12288:],
    "other pages": lambda data: data[:12300] + bytes(len(data) - 12300),
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged_database_file_is_reported(tmp_path, name):
    file = tmp_path / "app.duckdb"
    url = f"duckdb:///{file}"
    with bb.connect(url, vectors="exact:"):
        bb.create_table("t", rows(50_000))
    whole = file.read_bytes()
    file.write_bytes(damaged := DAMAGES[name](whole))
    with (
        pytest.raises(DiskError, match=r"app\.duckdb' cannot be read") as caught,
        bb.connect(url, vectors="exact:", lock_timeout=600),
    ):
        bb.get_table("t").collect()
    assert "damaged" in caught.value.hint
    assert file.read_bytes() == damaged
    file.write_bytes(whole)
    with bb.connect(url, vectors="exact:"):
        assert bb.get_table("t").count().execute() == 50_000


def test_restored_database_opens_after_a_damaged_one(tmp_path):
    file = tmp_path / "app.duckdb"
    copies = {}
    for count in (50_000, 40_000):
        with bb.connect(f"duckdb:///{file}", vectors="exact:"):
            bb.create_table("t", rows(count))
        copies[count] = file.read_bytes()
        file.unlink()
    file.write_bytes(DAMAGES["cut in half"](copies[50_000]))
    with pytest.raises(DiskError, match="cannot be read"):
        bb.connect(f"duckdb:///{file}", vectors="exact:")
    file.write_bytes(copies[40_000])
    with bb.connect(f"duckdb:///{file}", vectors="exact:"):
        assert len(bb.get_table("t").collect()) == 40_000
