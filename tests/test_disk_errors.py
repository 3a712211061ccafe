"""Disks that are full, files that may not be written: said in our words, and nothing half done."""

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
def room(size):
    """Let no file become larger, as on a disk that is full."""
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


def test_a_database_whose_disk_is_full(tmp_path):
    with bb.connect(f"duckdb:///{tmp_path}/app.duckdb", vectors="exact:"):
        table = bb.create_table("t", {"a": bb.Int})
        table.insert(a=1)
        with (
            room(2 << 20),
            pytest.raises(DiskError, match=r"app\.duckdb' cannot be written: .*too large") as e,
        ):
            table.insert(rows(600_000))
        assert "Make room" in e.value.hint
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
def test_no_more_is_asked_where_answers_cannot_be_written(column_of, count, models, tmp_path):
    Path("barbule.toml").write_text(
        f'[models.openai]\napi_base = "{models.url}"\nmax_concurrency = 4\n'
    )
    url = f"duckdb:///{tmp_path}/app.duckdb"
    with bb.connect(url, vectors="exact:"):
        table = bb.create_table("t", [{"x": f"{n} {'long' * 500}"} for n in range(count)])
        value = column_of(table)
        # Both the file and what DuckDB writes beside it have as good as no room.
        full = max(each.stat().st_size for each in tmp_path.glob("app.duckdb*")) + 60_000
        sent = []
        for _ in range(2):
            with room(full), pytest.raises(DiskError, match=r"table 't', column 'a': .*large"):
                table.add_computed_column(a=value)
            sent.append(len(models.requests))
        table.add_computed_column(a=value)
        assert table.filter(table.a.isnull()).count().execute() == 0
    asked = [each.get("input") or [each["messages"]] for each in models.requests]
    texts = [json.dumps(text) for question in asked for text in question]
    assert len(texts) == len(set(texts)) == count  # nothing was asked twice
    assert sent[0] < len(models.requests) / 2


def test_a_session_that_cannot_write_its_answers_ends(tmp_path, caplog):
    @bb.udf(cache=True, version="1", name="long_text_of_a_number")
    def long(n: int) -> str:
        return f"{n}" * 5_000

    with bb.connect(f"duckdb:///{tmp_path}/app.duckdb", vectors="exact:") as session:
        table = bb.create_table("t", [{"n": n} for n in range(1000, 1100)])
        full = max(each.stat().st_size for each in tmp_path.glob("app.duckdb*")) + 10_000
        with room(full):
            assert len(table.select(a=long(table.n)).collect()) == 100
            session.close()
    assert "answers that were computed are not in the call ledger" in caplog.text
    with bb.connect(f"duckdb:///{tmp_path}/app.duckdb", vectors="exact:"):
        assert bb.get_table("t").count().execute() == 100


def test_a_media_store_whose_disk_is_full(session):
    table = bb.create_table("photos", {"img": bb.Image})
    with (
        room(SMALL),
        pytest.raises(StoreError, match=r"the media store ") as caught,
    ):
        table.insert(img=noise())
    assert caught.value.table == "photos"
    assert table.count().execute() == 0
    table.insert(img=noise())
    assert table.collect()[0, "img"].size == (400, 400)


def test_a_media_store_below_what_is_no_folder(tmp_path):
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
    """Return a table of which each form takes more room than there is."""
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
def test_exports_to_a_disk_that_is_full_leave_nothing(form, written, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    target = out / "a"
    with room(SMALL), pytest.raises(DiskError, match=r"out/a' cannot be written: .*too large"):
        WRITERS[form](written, str(target))
    assert list(out.iterdir()) == []
    WRITERS[form](written, str(target))
    assert target.exists()


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "embedded", "tar"])
def test_a_failed_export_keeps_the_file_that_was_there(form, written, tmp_path):
    target = tmp_path / "a"
    target.write_text("former")
    with room(SMALL), pytest.raises(DiskError, match="cannot be written"):
        WRITERS[form](written, target)
    assert target.read_text() == "former"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_spreadsheet_on_a_disk_that_is_full(written, tmp_path):
    target = tmp_path / "a.xlsx"
    target.write_text("former")
    with room(SMALL), pytest.raises(DiskError, match=r"a\.xlsx' cannot be written: .*too large"):
        written.to_xlsx(target)
    assert target.read_text() == "former"
    with pytest.raises(DataError, match=r"a\.xlsx' is a file, so"):
        written.to_xlsx(target / "a")
    gc.collect()  # openpyxl fails once more when what it left is let go


@pytest.mark.parametrize("form", sorted(WRITERS.keys() - {"xlsx"}))
def test_exports_below_what_is_no_folder(form, written, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"file' is a file, so .* (be written into it|be a folder)"):
        WRITERS[form](written, tmp_path / "file" / "a")


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "xlsx"])
def test_exports_into_the_home_of_a_user_who_does_not_exist(form, written):
    with pytest.raises(MediaError, match=r"~nosuchuser.*a user that does not exist"):
        WRITERS[form](written, "~nosuchuser/a")


def test_exports_into_the_own_home(written, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    written.to_csv("~/a.csv")
    assert (tmp_path / "a.csv").stat().st_size > SMALL


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the platform has no pipes")
def test_what_is_no_file_is_not_replaced(tmp_path):
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
def test_places_in_the_home_of_a_user_who_does_not_exist(places, tmp_path, monkeypatch):
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
def test_a_database_whose_file_is_damaged(tmp_path, name):
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


def test_a_database_is_opened_anew_after_it_could_not_be_read(tmp_path):
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
