"""Bombs of each format: a file of up to one megabyte fails its cell within limits."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import struct
import subprocess
import sys
import tarfile
import textwrap
import zipfile
import zlib

import PIL.features
import PIL.Image
import pytest

import image_bombs
import pdf_bombs
import row_bombs
import stream_bombs
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
    """Write an Office file with a part of spaces."""
    types = f'<Types><Override ContentType="{MAIN.format(kind)}"/></Types>'
    return packed(path, {"[Content_Types].xml": types, "a.xml": b" " * 170_000_000})


def png(path, width, height, channels=1):
    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    colours = bytes((8, 6 if channels == 4 else 0, 0, 0, 0))
    head = struct.pack(">II", width, height) + colours
    rows = squeezed(b"\0", (channels * width + 1) * height + (1 << 20))
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return path


def patched(path, mark, place, content):
    """Write an image of 2 x 2 pixels and overwrite bytes after a marker, such as its size."""
    PIL.Image.new("RGB", (2, 2)).save(
        path, **({"lossless": True} if path.suffix == ".webp" else {})
    )
    data = bytearray(path.read_bytes())
    begin = data.index(mark) + len(mark) + place
    data[begin : begin + len(content)] = content
    path.write_bytes(data)
    return path


def webp(path, width=16_000, height=5_500):
    size = struct.pack("<I", width - 1 | height - 1 << 14)
    return patched(path, b"VP8L", 5, size)


def scans(path):
    """Write a progressive JPEG with thousands of scans over all pixels."""
    buffer = io.BytesIO()
    PIL.Image.new("L", (9000, 9000), 128).save(buffer, "JPEG", progressive=True, quality=1)
    parts = buffer.getvalue().removesuffix(b"\xff\xd9").split(b"\xff\xda")
    again = min(parts[1:], key=len)
    parts += [again] * ((MEGABYTE - len(buffer.getvalue())) // (len(again) + 2) - 1)
    path.write_bytes(b"\xff\xda".join(parts) + b"\xff\xd9")
    return path


def crc(data, polynomial, bits):
    rest = 0
    for byte in data:
        rest ^= byte << bits - 8
        for _ in range(8):
            rest = rest << 1 ^ (polynomial if rest >> bits - 1 else 0)
            rest &= (1 << bits) - 1
    return rest.to_bytes(bits // 8)


def flac(path):
    """Write a day of silence in identical frames of 65,535 samples."""
    head = b"\xff\xf8\x70\x08\x00\xff\xfe"
    head += crc(head, 0x07, 8)
    frame = head + b"\0\0\0"
    frame += crc(frame, 0x8005, 16)
    form = 48_000 << 44 | 15 << 36  # rate, one 16-bit channel, unknown number of samples
    info = b"\xff\xff\xff\xff" + bytes(6) + form.to_bytes(8) + bytes(16)
    path.write_bytes(b"fLaC\x80\0\0\x22" + info + frame * 70_000)
    return path


def weeks(path):
    """Write only the header of a sound that lasts weeks."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, 100, 100, 1, 8)
    most = 0xFFFFFF00
    head = b"RIFF" + struct.pack("<I", most) + b"WAVEfmt " + form
    path.write_bytes(head + b"data" + struct.pack("<I", most - 36))
    return path


def bmp(path):
    form = struct.pack("<IiiHHIIiiII", 40, 9400, 9400, 1, 32, 0, 0, 0, 0, 0, 0)
    path.write_bytes(b"BM" + struct.pack("<IHHI", 1000, 0, 0, 54) + form + bytes(1000))
    return path


def gif(path, width=60_000, height=2_900):
    """Write many frames of one pixel on a large canvas."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    path.write_bytes(head + frame * 60_000 + b";")
    return path


def picture(path, **options):
    PIL.Image.new("1", (20_000, 20_000)).save(path, **options)
    return path


def archive(path, compress, name, count):
    """Write a tar file of equal members in ten compressed streams."""
    path.write_bytes(compress(tarfile.TarInfo(name).tobuf() * (count // 10)) * 10)
    return path


def compressed(path, content, count):
    return row_bombs.rows(path, content, count * len(content))


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
    "a.webp": ("Image", webp),
    "a.jp2": (
        "Image",
        lambda path: patched(path, b"ihdr", 0, struct.pack(">II", 9400, 9400)),
    ),
    "a.jpg": ("Image", scans),
    "a.bmp": ("Image", bmp),
    "a.flac": ("Audio", flac),
    "a.wav": ("Audio", weeks),
    "a.tar.gz": ("webdataset", lambda path: archive(path, gzip.compress, "folder/", 100_000)),
    "a.tar.bz2": ("webdataset", lambda path: archive(path, bz2.compress, "a.txt", 300_000)),
    "a.csv.gz": ("rows", lambda path: compressed(path, b"a" * MEGABYTE, 900)),
    "b.json.gz": ("rows", lambda path: compressed(path, b" " * MEGABYTE, 200)),
    "c.json.gz": ("rows", lambda path: compressed(path, b'["' + b"a" * MEGABYTE, 200)),
    "a.jsonl.gz": ("rows", lambda path: compressed(path, b"a" * MEGABYTE, 200)),
    "b.json": ("rows", lambda path: text(path, f'[{{"a": {NESTED}')),
    "b.jsonl": ("rows", lambda path: text(path, f'{{"a": {NESTED}')),
    "b.csv.gz": ("rows Int", lambda path: row_bombs.rows(path, b"1\n", 900 << 20, b"a\n")),
    "c.csv.gz": ("rows Int", lambda path: row_bombs.rows(path, b"1\n", 60 << 20, b"a\n")),
    "c.jsonl.gz": ("rows", lambda path: row_bombs.rows(path, b"{}\n", 60 << 20)),
    "d.jsonl.gz": ("rows", lambda path: row_bombs.rows(path, b"[],", 60 << 20, b'{"a": [')),
    "d.json.gz": ("rows", lambda path: row_bombs.rows(path, b"{},", 60 << 20, b"[")),
    **{
        f"{name}.xlsx": (
            "rows String",
            lambda path, line=line, count=count, texts=texts: row_bombs.sheet(
                path, line, count, texts
            ),
        )
        for name, (line, count, texts) in row_bombs.SHEETS.items()
    },
    "a.parquet": ("rows Int", row_bombs.runs),
    "b.parquet": ("embedded", row_bombs.runs),
    "c.parquet": ("rows Int", row_bombs.missing),
    "d.parquet": ("rows String", row_bombs.long_text),
    "e.parquet": ("embedded", row_bombs.long_text),
    "f.parquet": ("rows", row_bombs.long_texts_in_lists),
    "g.parquet": ("rows String", row_bombs.prefixes),
    "h.parquet": ("rows String", row_bombs.large_page),
    "i.parquet": ("rows String", lambda path: row_bombs.large_page(path, "gzip")),
    "j.parquet": ("rows", row_bombs.lists),
    "k.parquet": ("rows", row_bombs.claimed_columns),
    "a.arrow": ("rows Int", row_bombs.arrow),
    "b.arrow": ("rows Int", row_bombs.arrow_stream),
    "c.arrow": ("rows Int", row_bombs.arrow_missing),
    "d.arrow": ("rows String", row_bombs.arrow_runs),
    "e.arrow": ("rows String", row_bombs.arrow_texts),
    "f.arrow": ("rows String", row_bombs.arrow_views),
    "g.arrow": ("rows", row_bombs.arrow_overlapping),
    "h.arrow": ("rows Int", row_bombs.arrow_again),
    "a.opus": ("Audio", stream_bombs.opus),
    "b.opus": ("Audio", stream_bombs.tiny_pages),
    "a.m4a": ("Audio", stream_bombs.claimed_samples),
    "a.avi": ("Video", stream_bombs.large_pictures),
    "b.webp": ("Image", image_bombs.webp_frames),
    "a.ico": ("Image", image_bombs.ico),
}

if PIL.features.check("avif"):
    BOMBS["a.avif"] = (
        "Image",
        lambda path: patched(path, b"ispe", 4, struct.pack(">II", 9400, 9400)),
    )

READING = """
    import json, pathlib, resource, sys, time, warnings
    import barbule as bb

    warnings.simplefilter("ignore")
    asked = {
        "Document": lambda t: t.m.text(),
        "Image": lambda t: t.m.rotate(90),
        "Video": lambda t: t.m.duration(),
        "Audio": lambda t: t.m.resample(8000),
    }

    def spent():
        usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    def most():
        # The reported peak of a child can include that of its parent, which may be large.
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
        if kind == "embedded":
            return bb.create_table(f"t{number}", bb.read_parquet(path))
        if kind.startswith("rows"):
            type_ = getattr(bb, kind.partition(" ")[2] or "Json")
            return bb.create_table(f"t{number}", {"a": type_}).insert(path)
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


def measured(tmp_path, given):
    """Read files in a process; return the message, seconds and peak bytes of each."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(READING), json.dumps(given)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    found = list(map(json.loads, done.stdout.splitlines()))
    assert len(found) == len(given), done.stderr
    return found


def test_bomb_of_each_format_stays_within_limits(tmp_path):
    paths = {name: make(tmp_path / name) for name, (_, make) in BOMBS.items()}
    assert all(path.stat().st_size <= MEGABYTE for path in paths.values())
    given = [(BOMBS[name][0], str(path)) for name, path in paths.items()]
    found = dict(zip(paths, measured(tmp_path, given), strict=True))
    silent = [name for name, (told, _, _) in found.items() if not told or name not in told]
    assert silent == []
    assert {name: each for name, each in found.items() if each[1] > 10 or each[2] > 1 << 30} == {}


def test_multi_frame_bombs_stay_within_limits(tmp_path):
    files = {
        "a.png": image_bombs.apng,
        "a.tif": image_bombs.pages,
        "b.tif": image_bombs.short_pages,
        "a.webp": lambda path: image_bombs.webp_frames(path, 16_000, 2_200),
        "a.m4a": stream_bombs.claimed_length,
        "a.mp3": stream_bombs.claimed_frames,
        "a.opus": stream_bombs.opus_of_weeks,
    }
    if PIL.features.check("avif"):
        files["a.avif"] = image_bombs.avif
    given = [
        ("Image" if name.split(".")[1] in IMAGES else "Audio", str(make(tmp_path / name)))
        for name, make in files.items()
    ]
    found = dict(zip(files, measured(tmp_path, given), strict=True))
    assert {name: each for name, each in found.items() if each[1] > 10 or each[2] > 1 << 30} == {}


IMAGES = frozenset(("png", "tif", "webp", "avif"))


def test_largest_allowed_image_rotates_within_a_gigabyte(tmp_path):
    path = png(tmp_path / "a.png", 9400, 9400, 4)
    ((told, seconds, most),) = measured(tmp_path, [("Image", str(path))])
    assert told is None
    assert seconds < 10
    assert most < 1 << 30
