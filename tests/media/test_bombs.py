"""Of each format a file of at most a megabyte that would take a machine: it fails its cell."""

from __future__ import annotations

import bz2
import gzip
import json
import struct
import subprocess
import sys
import tarfile
import textwrap
import zipfile
import zlib

import PIL.Image
import pytest

import pdf_bombs
from pdf_bombs import squeezed

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds memory")

MEGABYTE = 1_000_000
MAIN = "application/vnd.openxmlformats-officedocument.{}.main+xml"


def text(path, content):
    path.write_text(content)
    return path


def packed(path, parts):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def office(path, kind):
    """Write an Office file with a part of blanks."""
    types = f'<Types><Override ContentType="{MAIN.format(kind)}"/></Types>'
    return packed(path, {"[Content_Types].xml": types, "a.xml": b" " * 170_000_000})


def png(path, width, height):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">II", width, height) + b"\x08\0\0\0\0"
    rows = squeezed(b"\0", (width + 1) * height)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def gif(path, width=60_000, height=2_900):
    """Write very many frames of one pixel on a large canvas."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    path.write_bytes(head + frame * 60_000 + b";")
    return path


def picture(path, **options):
    PIL.Image.new("1", (20_000, 20_000)).save(path, **options)
    return path


def archive(path, opener, name, count):
    with opener(path, "wb") as stream:
        member = tarfile.TarInfo(name).tobuf()
        for _ in range(count // 1000):
            stream.write(member * 1000)
    return path


def compressed(path, content, count):
    with gzip.open(path, "wb") as file:
        for _ in range(count):
            file.write(content)
    return path


NESTED = "[" * 400_000
WIDE = f"{'|a' * 4000}|\n{'|-' * 4000}|\n" + "|\n" * 400_000
ENTITIES = "".join(
    f'<!ENTITY b{number} "{f"&b{number - 1};" * 10}">' for number in range(1, 10)
)  # fmt: skip

BOMBS = {
    "a.pdf": ("Document", pdf_bombs.form_of_itself),
    "b.pdf": ("Document", pdf_bombs.packed_twice),
    "a.docx": ("Document", lambda path: office(path, "wordprocessingml.document")),
    "a.pptx": ("Document", lambda path: office(path, "presentationml.presentation")),
    "a.xlsx": ("Document", lambda path: office(path, "spreadsheetml.sheet")),
    "a.epub": (
        "Document",
        lambda path: packed(path, {"META-INF/container.xml": b" " * 170_000_000}),
    ),
    "a.html": ("Document", lambda path: text(path, "<html>" + "<table>" * 120_000)),
    "a.md": ("Document", lambda path: text(path, WIDE)),
    "a.csv": ("Document", lambda path: text(path, "a" * 100_000 + ",b\n" + "1,1\n" * 200_000)),
    "a.json": ("Document", lambda path: text(path, NESTED)),
    "a.xml": ("Document", lambda path: text(path, "<a>" * 140_000 + "</a>" * 140_000)),
    "b.xml": (
        "Document",
        lambda path: text(path, f'<!DOCTYPE a [<!ENTITY b0 "c">{ENTITIES}]><a>&b9;</a>'),
    ),
    "a.png": ("Image", lambda path: png(path, 20_000, 20_000)),
    "a.gif": ("Image", gif),
    "a.tif": ("Image", lambda path: picture(path, compression="group4")),
    "b.gif": ("Video", gif),
    "a.tar.gz": ("webdataset", lambda path: archive(path, gzip.open, "folder/", 100_000)),
    "a.tar.bz2": ("webdataset", lambda path: archive(path, bz2.open, "a.txt", 300_000)),
    "a.csv.gz": ("rows", lambda path: compressed(path, b"a" * MEGABYTE, 900)),
    "b.json.gz": ("rows", lambda path: compressed(path, b" " * MEGABYTE, 200)),
    "c.json.gz": ("rows", lambda path: compressed(path, b'["' + b"a" * MEGABYTE, 200)),
    "a.jsonl.gz": ("rows", lambda path: compressed(path, b"a" * MEGABYTE, 200)),
    "b.json": ("rows", lambda path: text(path, f'[{{"a": {NESTED}')),
    "b.jsonl": ("rows", lambda path: text(path, f'{{"a": {NESTED}')),
}

READING = """
    import json, pathlib, resource, sys, time, warnings
    import barbule as bb

    warnings.simplefilter("ignore")
    asked = {
        "Document": lambda t: t.m.text(),
        "Image": lambda t: t.m.rotate(90),
        "Video": lambda t: t.m.duration(),
    }

    def spent():
        usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    def most():
        # What the system tells of this process includes what started it, which may be large.
        status = pathlib.Path("/proc/self/status")
        if not status.exists():
            return max(
                resource.getrusage(each).ru_maxrss
                for each in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
            )
        own = int(status.read_text().split("VmHWM:")[1].split()[0])
        return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)

    def read(kind, path, number):
        if kind == "webdataset":
            return bb.create_table(f"t{number}", bb.read_webdataset(path))
        if kind == "rows":
            return bb.create_table(f"t{number}", {"a": bb.Json}).insert(path)
        column = {"m": getattr(bb, kind)}
        checked = "on_write" if kind == "Video" else "on_read"
        table = bb.create_table(f"t{number}", column, media_validation=checked)
        table.insert(m=path)
        return table.select(x=asked[kind](table)).collect()["x"]

    with bb.connect("duckdb://"):
        for number, (kind, path) in enumerate(json.loads(sys.argv[1])):
            before, told = spent(), None
            try:
                read(kind, path, number)
            except bb.errors.BarbuleError as error:
                told = str(error)
            print(json.dumps([told, spent() - before, most() * 1024]), flush=True)
"""


def test_each_format_has_bounds(tmp_path):
    paths = {name: make(tmp_path / name) for name, (_, make) in BOMBS.items()}
    assert all(path.stat().st_size <= MEGABYTE for path in paths.values())
    given = [(BOMBS[name][0], str(path)) for name, path in paths.items()]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(READING), json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    found = dict(zip(paths, map(json.loads, done.stdout.splitlines()), strict=False))
    assert found.keys() == paths.keys(), done.stderr
    silent = [name for name, (told, _, _) in found.items() if not told or name not in told]
    assert silent == []
    assert {name: each for name, each in found.items() if each[1] > 10 or each[2] > 1 << 30} == {}
