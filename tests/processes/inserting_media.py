"""Inserts an image and waits before the commit for a signal file."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import PIL.Image

import barbule as bb

FOLDER = Path(sys.argv[3])


@bb.udf(cache=False)
def waiting(n: int) -> int:
    """Signal that the image is in the store, and wait."""
    (FOLDER / "reached").touch()
    while not (FOLDER / "go on").exists():
        time.sleep(0.01)
    return n


def main(url: str, media: str) -> None:
    buffer = io.BytesIO()
    PIL.Image.new("L", (4, 4), 7).save(buffer, "PNG")
    with bb.connect(url, media=media, vectors="exact:") as session:
        table = session.create_table("t", {"n": bb.Int, "img": bb.Image})
        table.add_computed_column(waited=waiting(table.n))
        table.insert([{"n": 1, "img": buffer.getvalue()}])


if __name__ == "__main__":
    main(*sys.argv[1:3])
