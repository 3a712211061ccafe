"""Images: insert, thumbnails and header properties, beside a bare loop over PIL in the same run.

Figures are milliseconds; the limits of the first two are shares of what the bare loop takes.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import PIL.Image

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES, HEADERS = 1000, 10_000
ROUNDS = 3
INSERT = "insert 1,000 PNGs of 512² with validation"
THUMBNAILS = "thumbnail column of them"
PROPERTIES = "width, height, format of 10k JPEGs"
INSERT_SHARE, THUMBNAIL_SHARE = 0.6, 0.65
LIMITS = {PROPERTIES: 2000.0}


def _pictures(folder: Path, count: int, suffix: str, side: int) -> list[Path]:
    """Write files like photographs; a few differ, the rest are copies of them."""
    folder.mkdir()
    kinds = []
    for number in range(20):
        layers = [
            PIL.Image.effect_noise((side // 32, side // 32), 40 + number).resize((side, side))
            for _ in range(3)
        ]
        kinds.append(folder / f"kind{number}.{suffix}")
        PIL.Image.merge("RGB", layers).save(kinds[-1])
    paths = []
    for number in range(count):
        paths.append(folder / f"{number}.{suffix}")
        shutil.copy(kinds[number % len(kinds)], paths[-1])
    return paths


def _milliseconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def _decode_all(paths: list[Path]) -> None:
    for path in paths:
        with PIL.Image.open(path) as image:
            image.load()


def _thumbnails(paths: list[Path], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for path in paths:
        with PIL.Image.open(path) as image:
            image.thumbnail((128, 128))
            image.save(folder / path.name)


def _ours(pngs: list[Path], jpegs: list[Path]) -> dict[str, float]:
    """Measure in a database of its own, so that nothing is known of the files."""
    import barbule as bb

    with tempfile.TemporaryDirectory() as folder:
        os.environ["BARBULE_HOME"] = folder
        session = bb.connect(f"duckdb:///{folder}/images.duckdb", vectors="exact:")
        photos = session.create_table("photos", {"img": bb.Image})
        photos.insert([{"img": pngs[0]}])  # what is loaded on first use is no part of it
        photos.select(x=photos.img.rotate(90).width()).collect()
        photos.delete()
        headers = session.create_table("headers", {"img": bb.Image})
        headers.insert([{"img": path} for path in jpegs])
        img = headers.img
        properties = headers.select(w=img.width(), h=img.height(), f=img.format())
        figures = {
            INSERT: _milliseconds(lambda: photos.insert([{"img": path} for path in pngs])),
            THUMBNAILS: _milliseconds(
                lambda: photos.add_computed_column(thumb=photos.img.thumbnail((128, 128)))
            ),
            PROPERTIES: _milliseconds(properties.collect),
        }
        session.close()
        return figures


def measure() -> dict[str, float]:
    """Return the medians in milliseconds."""
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        pngs = _pictures(work / "png", IMAGES, "png", 512)
        jpegs = _pictures(work / "jpg", HEADERS, "jpg", 256)
        for _ in range(ROUNDS):
            bare = {
                "bare PIL loop: open and decode": _milliseconds(lambda: _decode_all(pngs)),
                "bare PIL loop: thumbnails, saved": _milliseconds(
                    lambda: _thumbnails(pngs, work / "thumbnails")
                ),
            }
            rounds.append({**bare, **_ours(pngs, jpegs)})
    figures = {label: statistics.median(each[label] for each in rounds) for label in rounds[0]}
    LIMITS[INSERT] = INSERT_SHARE * figures["bare PIL loop: open and decode"]
    LIMITS[THUMBNAILS] = THUMBNAIL_SHARE * figures["bare PIL loop: thumbnails, saved"]
    return figures
