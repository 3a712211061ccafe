"""Create the database that programs of other processes open.

The configuration sets its location. The files that its cells refer to are in the working folder.
"""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from pathlib import Path

import PIL.Image
from user_functions import embed, shout

import barbule as bb

HERE = Path.cwd()

t = bb.create_table(
    "things",
    {
        "n": bb.Int,
        "name": bb.String,
        "score": bb.Float,
        "flag": bb.Bool,
        "moment": bb.Timestamp,
        "day": bb.Date,
        "clock": bb.Time,
        "key": bb.UUID,
        "raw": bb.Binary,
        "price": "decimal(10, 2)",
        "meta": bb.Json,
        "words": bb.Array(bb.String),
        "place": bb.Vector(2),
        "inner": bb.Struct({"a": bb.Int, "img": bb.Image}),
        "boxes": bb.Array(
            bb.Struct(
                {"label": bb.String, **dict.fromkeys(("x", "y", "width", "height"), bb.Float)}
            )
        ),
        "img": bb.Image,
        "audio": bb.Audio,
        "video": bb.Video,
        "doc": bb.Document,
        "note": bb.Document,
        "small": "int16",
    },
)
red = PIL.Image.new("RGB", (8, 6), (250, 0, 0))
t.insert(
    n=1,
    name="one",
    score=0.5,
    flag=True,
    moment=datetime.datetime(2026, 1, 31, 9, 30),  # noqa: DTZ001 - the column has no zone
    day=datetime.date(2026, 1, 31),
    clock=datetime.time(9, 30),
    key=uuid.UUID(int=7),
    raw=b"raw",
    price=Decimal("1.25"),
    meta={"a": {"b": [1, 2]}, "lang": "en"},
    words=["barb", "barbule"],
    place=[1.0, 0.0],
    inner={"a": 1, "img": red},
    boxes=[{"label": "cat", "x": 1.0, "y": 1.0, "width": 2.0, "height": 2.0}],
    img=red,
    audio=str(HERE / "tone.wav"),
    video=str(HERE / "film.mp4"),
    doc=str(HERE / "page.pdf"),
    note=str(HERE / "note.md"),
    small=3,
)
t.insert(n=2, name="two")
t.add_computed_column(
    double=t.n * 2,
    wide=t.img.width(),
    formatted=bb.functions.string.format("{0}!", t.name),
    lang=t.meta.lang.str,
    loud=shout(t.name),
)
t.add_embedding_index("place")
t.add_embedding_index("name", string_embed=embed)
t.checkpoint("first")
t.insert(n=3, name="three")

docs = bb.create_table("docs", {"doc": bb.Document})
docs.insert(doc=str(HERE / "note.md"))
chunks = bb.create_view(
    "chunks",
    docs,
    iterator=bb.functions.DocumentSplitter.create(document=docs.doc, separators="heading"),
)
few = bb.create_view("few", t.where(t.n < 3).select("n", "img", "meta"))
bb.create_table("folder.other", {"n": bb.Int, "img": bb.Image})
bb.snapshot("release-1")
