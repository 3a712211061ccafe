"""Files that rows come from: Parquet, CSV, JSON, Excel and Arrow, by path, glob and URL."""

from __future__ import annotations

import bz2
import gzip
import json
import subprocess
import sys
from pathlib import Path

import fsspec
import openpyxl
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import barbule as bb
from barbule.errors import BarbuleError, DataError
from barbule.media.library import MediaLibrary
from barbule.tables.sources import read_batches, read_rows
from barbule.tables.sources.files import json as json_files

SCHEMA = bb.types.schema({"name": bb.String, "revenue": bb.Float, "year": bb.Int})
ROWS = [
    {"name": '007, ü\n"x"' if n == 4 else f"0{n}", "revenue": n / 2 if n % 3 else None, "year": n}
    for n in range(10)
]  # fmt: skip


@pytest.fixture
def library(tmp_path):
    return MediaLibrary(str(tmp_path / "media"), tmp_path / "cache")


def _excel(path: str) -> None:
    book = openpyxl.Workbook()
    book.active.append(list(ROWS[0]))
    for row in ROWS:
        book.active.append(list(row.values()))
        book.active.append([])
    book.create_sheet("other").append(["nmae"])
    book.save(path)


def _arrow_stream(path: str) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


FRAME = pd.DataFrame(ROWS)
CSV = FRAME.to_csv(index=False).encode()
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
WRITERS = {
    "a.parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=3),
    "polars.parquet": lambda path: pl.DataFrame(ROWS).write_parquet(path),
    "a.csv": lambda path: Path(path).write_bytes(CSV),
    "bom.CSV": lambda path: Path(path).write_bytes(b"\xef\xbb\xbf" + CSV),
    "crlf.csv": lambda path: FRAME.to_csv(path, index=False, lineterminator="\r\n"),
    "quoted.csv": lambda path: FRAME.to_csv(path, index=False, quoting=2),
    "a.csv.gz": lambda path: Path(path).write_bytes(gzip.compress(CSV)),
    "a.csv.bz2": lambda path: Path(path).write_bytes(bz2.compress(CSV)),
    "a.tsv": lambda path: FRAME.to_csv(path, index=False, sep="\t"),
    "a.json": lambda path: Path(path).write_text(json.dumps(ROWS)),
    "indented.json": lambda path: Path(path).write_text(json.dumps(ROWS, indent=3)),
    "lines.json": lambda path: Path(path).write_bytes(LINES),
    "a.jsonl": lambda path: Path(path).write_bytes(LINES.replace(b"\n", b"\n\n")),
    "a.ndjson.gz": lambda path: Path(path).write_bytes(gzip.compress(LINES)),
    "a.feather": lambda path: pyarrow.feather.write_feather(pa.Table.from_pylist(ROWS), path),
    "a.arrow": _arrow_stream,
    "a.xlsx": _excel,
    "xlsxwriter.xlsx": lambda path: FRAME.to_excel(path, index=False, engine="xlsxwriter"),
}


def _write(name: str) -> str:
    WRITERS[name](name)
    return name


@pytest.mark.parametrize("size", [1, 4, 65536])
@pytest.mark.parametrize("name", WRITERS)
def test_file_is_read_in_batches(name, size, library):
    batches = list(read_batches(_write(name), SCHEMA, "films", library, size=size))
    assert [row for batch in batches for row in batch.to_pylist()] == ROWS
    assert all(0 < batch.num_rows <= size for batch in batches)


def test_path_object_and_home_path_are_accepted(tmp_path, library):
    _write("a.csv")
    assert read_rows(Path("a.csv"), SCHEMA, "films", library).to_pylist() == ROWS
    Path("a.csv").rename(tmp_path / "home.csv")
    assert read_rows("~/home.csv", SCHEMA, "films", library).num_rows == 10


def test_glob_reads_all_files_in_order(library):
    for part in ("data/b", "data/a", "data/deep/c"):
        Path(part).parent.mkdir(parents=True, exist_ok=True)
        Path(f"{part}.csv").write_text(f"name\n{part}\n")
    Path("data/d.jsonl").write_text('{"name": "d"}\n')
    for pattern, expected in [
        ("data/*.csv", ["data/a", "data/b"]),
        ("data/**/*.csv", ["data/a", "data/b", "data/deep/c"]),
        ("data/[bd].*", ["data/b", "d"]),
        (Path("data/?.csv"), ["data/a", "data/b"]),
    ]:
        actual = read_rows(pattern, SCHEMA, "films", library)
        assert actual["name"].to_pylist() == expected


def test_file_name_may_contain_glob_characters(library):
    Path("a[1].csv").write_text("year\n1\n")
    assert read_rows("a[1].csv", SCHEMA, "films", library)["year"].to_pylist() == [1]


@pytest.mark.parametrize("name", WRITERS)
def test_a_url_of_fsspec_is_read(name, library):
    content = Path(_write(name)).read_bytes()
    memory = fsspec.filesystem("memory")
    memory.pipe(f"/films/{name}", content)
    memory.pipe(f"/films/more/{name}", content)
    try:
        assert read_rows(f"memory://films/{name}", SCHEMA, "t", library).to_pylist() == ROWS
        both = read_batches("memory://films/**/" + name, SCHEMA, "t", library, size=7)
        assert [row for batch in both for row in batch.to_pylist()] == ROWS * 2
        with pytest.raises(DataError, match=r"there is no file 'memory://films/none\.csv'"):
            read_rows("memory://films/none.csv", SCHEMA, "t", library)
        with pytest.raises(DataError, match=r"no file matches 'memory://films/\*\.none'"):
            read_rows("memory://films/*.none", SCHEMA, "t", library)
    finally:
        memory.rm("/films", recursive=True)


# CSV: the schema of the table gives the types


def _csv(text: str, kind, library):
    Path("a.csv").write_text(f"c,d\n{text}\n")
    schema = bb.types.schema({"c": kind, "d": bb.String})
    return read_rows("a.csv", schema, "t", library)["c"].to_pylist()


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("007,", bb.String, "007"),
        (",x", bb.String, None),
        ('"",x', bb.String, ""),
        ("NA,", bb.String, "NA"),
        ("null,", bb.String, "null"),
        (" a ,", bb.String, " a "),
        ("007,", bb.Int, 7),
        ("-3,", "int8", -3),
        (" 3 ,", bb.Int, 3),
        ("3.0,", bb.Int, 3),
        (",x", bb.Int, None),
        ("18446744073709551615,", "uint64", 2**64 - 1),
        ("1e3,", bb.Float, 1000.0),
        ("inf,", bb.Float, float("inf")),
        ("true,", bb.Bool, True),
        ("F,", bb.Bool, False),
        ("0,", bb.Bool, False),
        ("1.50,", "decimal(6, 2)", "1.50"),
        ("2024-01-02 03:04:05.5,", bb.Timestamp, "2024-01-02 03:04:05.500000"),
        ("2024-01-02T03:04:05+01:00,", bb.Timestamp, "2024-01-02 02:04:05"),
        ("2024-01-02,", bb.Timestamp, "2024-01-02 00:00:00"),
        ("2024-01-02T03:04:05,", "timestamp('UTC')", "2024-01-02 03:04:05+00:00"),
        ("2024-01-02,", bb.Date, "2024-01-02"),
        ("03:04:05,", bb.Time, "03:04:05"),
        ("12345678-1234-5678-1234-567812345678,", bb.UUID, "12345678-1234-5678-1234-567812345678"),
        ('"{""a"": 1}",', bb.Json, '{"a": 1}'),
        ('"[1, 2.5]",', bb.Vector(2), [1.0, 2.5]),
        ('"{""a"": 1}",', bb.Struct({"a": bb.Int}), {"a": 1}),
    ],
)
def test_csv_field_is_converted(text, kind, expected, library):
    (actual,) = _csv(text, kind, library)
    plain = (bool, int, float, list, dict, str, type(None))
    assert (actual if isinstance(actual, plain) else str(actual)) == expected


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("x,", bb.Int, "'x' is not a number"),
        ("1_000,", bb.Int, "'1_000' is not a number"),
        ("1.5,", bb.Int, "1.5 is not an integer"),
        ("9223372036854775808,", bb.Int, "9223372036854775808 is too large"),
        ('"1,5",', bb.Float, "'1,5' is not a number"),
        ("yes,", bb.Bool, "neither true nor false"),
        ("2024-02-30,", bb.Date, "day is out of range"),
        ("noon,", bb.Time, "Invalid isoformat"),
        ("1.555,", "decimal(6, 2)", "lose data"),
        ("nope,", bb.UUID, "badly formed"),
        ("nope,", bb.Json, "not valid JSON"),
        ("nope,", bb.Vector(2), "Expecting value"),
        ("[1],", bb.Vector(2), "it has 1 items, not 2"),
        ("x,", bb.Binary, "bytes in files must be base64"),
    ],
)
def test_invalid_csv_field_is_refused(text, kind, message, library):
    with pytest.raises(DataError, match=message) as caught:
        _csv(f",\n{text}", kind, library)
    assert (caught.value.table, caught.value.column, caught.value.row) == ("t", "c", 1)
    assert "(in 'a.csv', row 1)" in str(caught.value)
    assert "(value: " in str(caught.value)


def test_error_names_row_of_source_and_of_file(library):
    Path("1.csv").write_text("year\n1\n2\n3\n")
    Path("2.csv").write_text("year\n4\nfive\n")
    batches = read_batches("?.csv", SCHEMA, "films", library, size=2)
    with pytest.raises(DataError, match=r"column 'year', row 4: .*\(in '2.csv', row 1\)") as caught:
        list(batches)
    assert caught.value.row == 4
    assert caught.value.value == "five"


@pytest.mark.parametrize("name", ["a.parquet", "a.json", "a.jsonl", "a.xlsx", "a.feather"])
def test_invalid_value_error_names_row_and_file(name, library):
    schema = bb.types.schema({"name": bb.String, "revenue": bb.Float, "year": "decimal(2, 2)"})
    _write(name)
    with pytest.raises(DataError, match=rf"'year', row \d: .*\(in '{name}', row \d\)") as caught:
        list(read_batches(name, schema, "films", library, size=4))
    assert caught.value.row is not None


@pytest.mark.parametrize("suffix", ["parquet", "csv", "tsv", "jsonl", "json", "xlsx", "feather"])
def test_unknown_column_in_file_is_refused_before_first_batch(suffix, library):
    frame = pd.DataFrame({"nmae": ["x"]})
    for position, part in enumerate([frame.rename(columns={"nmae": "name"}), frame]):
        name = f"{position}.{suffix}"
        match suffix:
            case "parquet":
                part.to_parquet(name)
            case "csv" | "tsv":
                part.to_csv(name, index=False, sep="\t" if suffix == "tsv" else ",")
            case "json" | "jsonl":
                part.to_json(name, orient="records", lines=suffix == "jsonl")
            case "xlsx":
                part.to_excel(name, index=False)
            case "feather":
                part.to_feather(name)
    message = rf"table 'films', column 'nmae'.*no such data column.*in '1.{suffix}'"
    batches = read_batches(f"?.{suffix}", SCHEMA, "films", library)
    with pytest.raises(DataError, match=message):
        next(batches)
    with pytest.raises(DataError, match=message):
        next(read_batches(f"1.{suffix}", SCHEMA, "films", library))


# Files that cannot be read


def _cut(name: str, keep: float = 0.5) -> bytes:
    content = Path(_write(name)).read_bytes()
    return content[: int(len(content) * keep)]


def _damaged() -> bytes:
    content = bytearray(Path(_write("a.parquet")).read_bytes())
    content[4:40] = b"\xff" * 36
    return bytes(content)


BROKEN = {
    "cut.parquet": (lambda: _cut("a.parquet"), "cannot be read: .*Parquet"),
    "empty.parquet": (lambda: b"", "cannot be read: .*Parquet"),
    "text.parquet": (lambda: b"name\nUp\n" * 10, "cannot be read: .*Parquet"),
    "damaged.parquet": (_damaged, "cannot be read"),
    "cut.feather": (lambda: _cut("a.feather"), "cannot be read"),
    "cut.arrow": (lambda: _cut("a.arrow", 0.7), "cannot be read"),
    "cut.csv.gz": (lambda: _cut("a.csv.gz"), "cannot be read"),
    "text.csv.gz": (lambda: CSV, "cannot be read"),
    "cut.xlsx": (lambda: _cut("a.xlsx"), "cannot be read: File is not a zip"),
    "text.xlsx": (lambda: CSV, "cannot be read: File is not a zip"),
    "empty.csv": (lambda: b"", "the file is empty"),
    "blank.csv": (lambda: b"name,,year\n1,2,3\n", "column 2 has no name"),
    "twice.csv": (lambda: b"name,name\n1,2\n", "column 'name': the column is given twice"),
    "long.csv": (lambda: b'name,year\n"a\nb",1\nx,2,3\n',
                 r"line 4 .* has 3 fields, .* has 2.*'x,2,3'"),
    "short.csv": (lambda: b"name,year\na,1\nx\n",
                  r"line 3 .* has 1 fields, but the first line has 2"),
    "latin.csv": (lambda: b"name\na\nb\ncaf\xe9\n", "is not UTF-8: byte 12, in line 4.*latin-1"),
    "header.csv": (lambda: b"nam\xe9\na\n", "is not UTF-8: byte 3, in line 1"),
    "wide.csv": (lambda: CSV.decode().encode("utf-16"), "is not UTF-8: byte 0, in line 1"),
    "far.csv": (lambda: b"name\n" + b"abcdefg\n" * 200_000 + b"\xff\n",
                "is not UTF-8: byte 1600005, in line 200002"),
    "latin.jsonl": (lambda: b'{"name": "a"}\n{"name": "\xe9"}\n',
                    "is not UTF-8: byte 24, in line 2"),
    "latin.json": (lambda: b'[{"name": "\xe9"}]', "is not UTF-8: byte 11, in line 1"),
    "cut.jsonl": (lambda: LINES[:-20], "line 10 .* is not valid JSON"),
    "cut.json": (lambda: b'[{"name": "a"},\n {"name": "b"', "line 2 .* is not valid JSON"),
    "open.json": (lambda: b'[{"name": "a"},\n',
                  "line 2 .* is not valid JSON: the list does not end"),
    "wrong.json": (lambda: b'{"name": "a"}\n{name: "b"}\n', "line 2 .* is not valid JSON"),
    "scalars.json": (lambda: b"[1, 2]",
                     "row 0: a row must be a mapping .*not an int.*scalars.json"),
    "lists.jsonl": (lambda: b'{"name": "a"}\n["b"]\n',
                    "row 1: a row must be a mapping .*not a list"),
    "mixed.json": (lambda: b'[{"year": 1}, {"year": "two"}]',
                   r"column 'year', row 1: .*got str.*\(in 'mixed.json', row 1\).*'two'"),
    "nothing.xlsx": (lambda: _sheet([]), "first row of the first sheet does not have a name"),
    "headless.xlsx": (lambda: _sheet([[None, None], ["a", 1]]),
                      "does not have a name for each column"),
    "gap.xlsx": (lambda: _sheet([["name", None, "year"], ["a", 2, 1]]), "does not have a name for"),
    "beyond.xlsx": (lambda: _sheet([["name"], ["a"], ["b", 7]]), "in a column that the first row"),
}  # fmt: skip


def _sheet(rows: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save("made.xlsx")
    return Path("made.xlsx").read_bytes()


@pytest.mark.parametrize("name", BROKEN)
def test_unreadable_file_raises(name, library):
    make, message = BROKEN[name]
    Path(name).write_bytes(make())
    with pytest.raises(BarbuleError, match=message) as caught:
        list(read_batches(name, SCHEMA, "films", library))
    assert isinstance(caught.value, DataError)
    assert caught.value.table == "films"
    assert name in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("missing.csv", r"there is no file 'missing.csv'"),
        ("no/folder/*.csv", r"no file matches 'no/folder/\*.csv'"),
        (Path("missing.csv"), "there is no file 'missing.csv'"),
        ("Inside Out", r"there is no file 'Inside Out'.*insert\(name=…\)"),
        ("", "there is no file ''"),
        ("folder", r"'folder' is a folder.*'folder/\*.parquet'"),
        ("a.txt", r"file name 'a.txt' has no supported suffix.*\.parquet"),
        ("noname", "file name 'noname' has no supported suffix"),
        ("a.parquet.gz", "file name 'a.parquet.gz' has no supported suffix"),
        ("old.xls", "file name 'old.xls' has no supported suffix"),
        ("nosuch://bucket/a.csv", "'nosuch://bucket/a.csv' cannot be reached"),
    ],
)
def test_invalid_file_source_raises(source, message, library):
    Path("folder").mkdir()
    for name in ("a.txt", "noname", "a.parquet.gz", "old.xls"):
        Path(name).touch()
    with pytest.raises(DataError, match=f"^table 'films': .*{message}") as caught:
        list(read_batches(source, SCHEMA, "films", library))
    assert caught.value.hint


def test_a_private_address_is_not_fetched(library):
    with pytest.raises(BarbuleError, match=r"private|loopback"):
        list(read_batches("http://127.0.0.1:9/a.csv", SCHEMA, "films", library))


def test_an_error_shows_no_password(library):
    with pytest.raises(BarbuleError) as caught:
        list(read_batches("nosuch://me:secret@host/a.csv", SCHEMA, "films", library))
    assert "secret" not in str(caught.value)
    assert "host/a.csv" in str(caught.value)


@pytest.mark.parametrize("name", ["h.csv", "h.tsv", "h.parquet", "h.xlsx", "h.jsonl", "h.json"])
def test_file_without_rows_yields_no_batch(name, library):
    empty = pd.DataFrame({"name": pd.Series([], dtype=str)})
    if name.endswith("parquet"):
        empty.to_parquet(name)
    elif name.endswith("xlsx"):
        empty.to_excel(name, index=False)
    else:
        Path(name).write_text("name\n" if "sv" in name else "[]" if name == "h.json" else "")
    assert list(read_batches(name, SCHEMA, "films", library)) == []


def test_csv_file_may_end_after_header(library):
    Path("a.csv").write_text("name,year")
    assert list(read_batches("a.csv", SCHEMA, "films", library)) == []


def test_json_is_read_in_chunks(library, monkeypatch):
    monkeypatch.setattr(json_files, "_READ_CHARACTERS", 7)
    for name in ("a.json", "indented.json", "lines.json"):
        assert read_rows(_write(name), SCHEMA, "films", library).to_pylist() == ROWS


def test_a_large_file_needs_little_memory(tmp_path):
    """8 columns of 2M rows are 130 MB in memory; the readers keep far less."""
    program = """
import resource, sys
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.parquet as pq
import barbule as bb
from barbule.media.library import MediaLibrary
from barbule.tables.sources import read_batches

part = pa.table({f"c{n}": np.random.default_rng(n).random(500_000) for n in range(8)})
with pq.ParquetWriter("a.parquet", part.schema) as writer:
    for _ in range(4):
        writer.write_table(part)
schema = bb.types.schema({f"c{n}": bb.Float for n in range(8)})
library = MediaLibrary("memory://m", Path("cache"))
next(read_batches("a.parquet", schema, "t", library))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(batch.num_rows for batch in read_batches("a.parquet", schema, "t", library))
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
assert rows == 2_000_000
assert grown < 90, grown
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_list_of_paths_is_read_in_its_order(tmp_path):
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_bytes(CSV)
    films = bb.create_table("listed", SCHEMA)
    assert films.insert([tmp_path / "b.csv", str(tmp_path / "a.csv")]).rows == 20
    assert films.insert([f"{tmp_path}/?.csv"]).rows == 20
    with pytest.raises(DataError, match=r"there is no file '.*none.csv'"):
        films.insert([tmp_path / "a.csv", tmp_path / "none.csv"])
    with pytest.raises(DataError, match="a row must be a mapping of column names to values"):
        films.insert(["Up", "Coco"])
    assert films.count().execute() == 40


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_size_of_json_object_in_file_is_limited(session, tmp_path, name):
    table = bb.create_table("t", {"a": bb.Json})
    with (tmp_path / name).open("w") as file:
        file.write('{"a": 1}\n{"a": "')
        for _ in range(66):
            file.write("a" * (1 << 20))
        file.write('"}\n')
    with pytest.raises(DataError, match=rf"object on line 2 of '.*{name}' has more than"):
        table.insert(tmp_path / name)
    assert table.count().to_pyarrow().as_py() == 0


@pytest.mark.parametrize("name", ["a.csv.gz", "a.csv.bz2", "a.csv.zst", "a.csv.lz4"])
def test_highly_compressed_file_is_read(session, tmp_path, name):
    codec = {"gz": "gzip", "zst": "zstd"}.get(name[6:], name[6:])
    with pa.CompressedOutputStream(str(tmp_path / name), codec) as file:
        file.write(b"a\n" + b"7\n" * 100_000)
    table = bb.create_table("t", {"a": bb.Int})
    assert table.insert(tmp_path / name).rows == 100_000
    assert table.a.sum().to_pyarrow().as_py() == 700_000
