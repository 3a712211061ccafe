"""Row files of at most one megabyte that contain or declare far more data than usual."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pdf_bombs import deflated

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTE = 1_000_000


def runs(path: Path, rows: int = 50_000_000) -> Path:
    """Write a Parquet file that repeats one number, in row groups of a few bytes."""
    most = 10_000_000
    with pq.ParquetWriter(path, pa.schema({"a": pa.int8()})) as writer:
        for _ in range(rows // most):
            writer.write_table(pa.table({"a": np.zeros(most, np.int8)}), most)
    return path


def missing(path: Path, rows: int = 200_000_000) -> Path:
    """Write a Parquet file of null values."""
    most = 50_000_000
    with pq.ParquetWriter(path, pa.schema({"a": pa.null()})) as writer:
        for _ in range(rows // most):
            writer.write_table(pa.table({"a": pa.nulls(most)}), most)
    return path


def long_text(path: Path, rows: int = 1_000_000, length: int = 1_000_000) -> Path:
    """Write a Parquet file with one long string in each row."""
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), ["b" * length])
    plain = pa.schema({"a": pa.string()})
    table = pa.table({"a": texts})
    pq.write_table(table, path, compression="zstd", store_schema=False)
    assert pq.read_schema(path) == plain
    return path


def long_texts_in_lists(path: Path, rows: int = 1000) -> Path:
    """Write a Parquet file of lists of one long string."""
    count = rows * 1000
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), ["b" * MEGABYTE])
    lists = pa.ListArray.from_arrays(pa.array(np.arange(0, count + 1, 1000, np.int32)), texts)
    pq.write_table(pa.table({"a": lists}), path, compression="zstd", store_schema=False)
    return path


def prefixes(path: Path, rows: int = 300_000) -> Path:
    """Write a Parquet file of equal strings with delta encoding of their prefixes."""
    texts = pa.array(["b" * 2000] * rows)
    pq.write_table(
        pa.table({"a": texts}), path, compression="zstd", use_dictionary=False,
        column_encoding={"a": "DELTA_BYTE_ARRAY"}, data_page_size=1 << 30, write_statistics=False,
    )  # fmt: skip
    return path


def large_page(path: Path, compression: str = "zstd") -> Path:
    """Write a Parquet file with a page that decompresses to hundreds of megabytes."""
    texts = pa.table({"a": ["b" * 400_000_000]})
    options = {"use_dictionary": False, "write_statistics": False}
    pq.write_table(texts, path, compression=compression, **options)
    return path


def lists(path: Path, items: int = 30_000_000) -> Path:
    """Write a Parquet file of one list of a huge number of equal items."""
    made = pa.ListArray.from_arrays(
        pa.array([0, items], pa.int32()), pa.array(np.zeros(items, np.int8))
    )
    pq.write_table(pa.table({"a": made}), path)
    return path


def claimed_columns(path: Path) -> Path:
    """Write a Parquet file whose footer declares a million columns."""
    pq.write_table(pa.table({"a": [1]}), path, write_statistics=False, store_schema=False)
    data = path.read_bytes()
    length = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - length : -8]
    # The list of row groups (field 4, a list of structs), and the list of columns in the first.
    place = footer.index(b"\x19\x1c\x19\x1c")
    claimed = b"\x19\x1c\x19\xfc" + b"\xbf\x84\x3d" + b"\x26\x08" * (MEGABYTE // 2 - 1000)
    footer = footer[:place] + claimed
    path.write_bytes(data[: -8 - length] + footer + struct.pack("<I", len(footer)) + b"PAR1")
    return path


def _message(table: pa.Table, **options) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as out:
        out.write_table(table)
    return sink.getvalue()


def arrow(path: Path, compression: str = "zstd") -> Path:
    """Write an Arrow file of buffers that decompress to a gigabyte."""
    zeros = pa.array(np.zeros(110_000_000, np.int64))
    path.write_bytes(_message(pa.table({"a": zeros}), compression=compression))
    return path


def arrow_stream(path: Path) -> Path:
    """Write an Arrow stream of buffers that decompress to a gigabyte."""
    zeros = pa.table({"a": pa.array(np.zeros(110_000_000, np.int64))})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with path.open("wb") as sink, pa.ipc.new_stream(sink, zeros.schema, options=options) as out:
        out.write_table(zeros)
    return path


def arrow_missing(path: Path) -> Path:
    """Write an Arrow file of the largest possible number of null values."""
    path.write_bytes(_message(pa.table({"a": pa.nulls((1 << 31) - 1)})))
    return path


def arrow_runs(path: Path) -> Path:
    """Write an Arrow file of one long string repeated in a huge number of rows."""
    ends = pa.array([100_000_000], pa.int32())
    made = pa.RunEndEncodedArray.from_arrays(ends, pa.array(["b" * 100_000]))
    path.write_bytes(_message(pa.table({"a": made})))
    return path


def arrow_texts(path: Path) -> Path:
    """Write an Arrow file with one long dictionary string in each row."""
    places = pa.array(np.zeros(8_000_000, np.int8))
    made = pa.DictionaryArray.from_arrays(places, ["b" * 900_000])
    path.write_bytes(_message(pa.table({"a": made}), compression="zstd"))
    return path


def arrow_views(path: Path) -> Path:
    """Write an Arrow file of a huge number of views of one long string."""
    count = 500_000
    length = 900_000
    text = b"b" * length
    view = struct.pack("<i4sii", length, text[:4], 0, 0)
    buffers = [None, pa.py_buffer(view * count), pa.py_buffer(text)]
    made = pa.Array.from_buffers(pa.string_view(), count, buffers)
    path.write_bytes(_message(pa.table({"a": made}), compression="zstd"))
    return path


def arrow_overlapping(path: Path) -> Path:
    """Write an Arrow file of many lists that share their items."""
    count, items = 300, 1_000_000
    made = pa.ListViewArray.from_arrays(
        pa.array(np.zeros(count, np.int32)),
        pa.array(np.full(count, items, np.int32)),
        pa.array(np.zeros(items, np.int8)),
    )
    path.write_bytes(_message(pa.table({"a": made}), compression="zstd"))
    return path


def arrow_again(path: Path) -> Path:
    """Write an Arrow file whose footer refers to one record batch repeatedly."""
    table = pa.table({"a": pa.array(np.zeros(1_000_000, np.int64))})
    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_file(sink, table.schema, options=options) as out:
        for _ in range(2000):
            out.write_table(table.slice(0, 1))
        out.write_table(table)
    data = bytearray(sink.getvalue())
    end = len(data) - 10
    begin = end - int.from_bytes(data[end : end + 4], "little")
    footer = data[begin:end]
    last = _blocks(footer)[-1]
    for place in _blocks(footer)[:-1]:
        footer[place : place + 24] = footer[last : last + 24]
    data[begin:end] = footer
    path.write_bytes(data)
    return path


def _blocks(footer: bytearray) -> list[int]:
    """Return the positions of the record batch entries in the footer of an Arrow file."""
    root = struct.unpack_from("<I", footer)[0]
    fields = root - struct.unpack_from("<i", footer, root)[0]
    at = root + struct.unpack_from("<H", footer, fields + 4 + 2 * 3)[0]
    start = at + struct.unpack_from("<I", footer, at)[0]
    count = struct.unpack_from("<I", footer, start)[0]
    return [start + 4 + 24 * number for number in range(count)]


def rows(path: Path, line: bytes, size: int, head: bytes = b"") -> Path:
    """Write a compressed text that repeats one line."""
    piece = line * max(1, (4 << 20) // len(line))
    count = size // len(piece)
    check = zlib.crc32(head)
    for _ in range(count):
        check = zlib.crc32(piece, check)
    length = (len(head) + count * len(piece)) & 0xFFFFFFFF
    data = deflated(piece, count, head=head)
    begin = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
    path.write_bytes(begin + data + struct.pack("<II", check, length))
    return path


_SHEET = b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_SHARED = (
    b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/'
    b'vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/>'
)


def sheet(path: Path, line: bytes, count: int, texts: bytes = b"") -> Path:
    """Write a workbook with a header row and one repeated row."""
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["a"])
    buffer = io.BytesIO()
    book.save(buffer)
    with zipfile.ZipFile(buffer) as made, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in made.namelist():
            data = made.read(name)
            if name == "xl/worksheets/sheet1.xml":
                begin, end = re.sub(rb"<dimension[^>]*>", b"", data).split(b"</sheetData>")
                data = begin + line * count + b"</sheetData>" + end
            if name == "[Content_Types].xml" and texts:
                data = data.replace(b"</Types>", _SHARED + b"</Types>")
            out.writestr(name, data)
        if texts:
            out.writestr("xl/sharedStrings.xml", b'<sst xmlns="%s">%s</sst>' % (_SHEET, texts))
    return path


SHEETS = {
    "cells": (b"<row><c/></row>", 10_000_000, b""),
    "far": (b'<row><c r="XFD1"/></row>', 2_000_000, b""),
    "gap": (b'<row r="99999999999"><c/></row>', 1, b""),
    "text": (
        b'<row><c t="s"><v>1</v></c></row>',
        500_000,
        b"<si><t>" + b"b" * 30_000 + b"</t></si>",
    ),
}
