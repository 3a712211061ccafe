"""Images: insert, thumbnails and header properties, beside a loop over PIL and Pixeltable.

All in one run, one after the other in turns. Figures are milliseconds; they are held against
shares of what the bare loop takes. The peak of memory is taken in processes of their own.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "peers"))

from pictures import write_pictures
from sides import Side, interpreter

IMAGES, HEADERS = 1000, 10_000
ROUNDS = 3
SIDES = ("barbule", "bare", "pixeltable")
INSERT = "insert {:,} PNGs of 512², each checked"
THUMBNAILS = "thumbnail column of {:,} PNGs"
PROPERTIES = "width, height, format of {:,} JPEGs"
GROWS = "additional peak memory for four times as many images (MB)"
SHARES = {"insert": 0.6, "thumbnails": 0.65}  # of what the bare loop takes
HEADER = 0.2  # milliseconds
LIMITS = {GROWS: 32.0}
DETAILS: dict[str, Any] = {}


def present(sides: tuple[str, ...] = SIDES) -> list[str]:
    """Return the sides that are installed; say which are not."""
    for name in sides:
        if interpreter(name) is None:
            print(f"{name} is not installed: run `nox -s peers`")
    return [name for name in sides if interpreter(name) is not None]


def in_turns(
    sides: list[Side], operations: tuple[str, ...], rounds: int
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, Any]]]:
    """Let the sides do each operation in turns; return median milliseconds, and the answers."""
    for side in sides:
        side.ask("warm")
    times, answers = {}, {}
    for operation in operations:
        taken: dict[str, list[float]] = {side.name: [] for side in sides}
        answers[operation] = {}
        for _ in range(rounds):
            for side in sides:
                reply = side.ask(operation)
                taken[side.name].append(reply["ms"])
                answers[operation][side.name] = reply["answer"]
        times[operation] = {name: statistics.median(each) for name, each in taken.items()}
    return times, answers


def peak(folder: Path) -> float:
    """Return the most memory that a process of its own takes for the pictures of a folder."""
    with Side("barbule", "media", "--folder", str(folder)) as side:
        side.ask("warm")
        return side.ask("memory")["answer"]


def measure(
    *, images: int = IMAGES, headers: int = HEADERS, rounds: int = ROUNDS
) -> dict[str, float]:
    """Return barbule's medians in milliseconds; `DETAILS` holds those of every side."""
    labels = {
        "insert": INSERT.format(images),
        "thumbnails": THUMBNAILS.format(images),
        "headers": PROPERTIES.format(headers),
    }
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        work = Path(name)
        few, many = work / "few", work / "many"
        few.mkdir()
        many.mkdir()
        write_pictures(few / "png", images // 4, "png", 512)
        write_pictures(many / "png", images, "png", 512)
        write_pictures(many / "jpg", headers, "jpg", 256)
        peaks = {len(list(each.glob("png/*"))): peak(each) for each in (few, many)}
        options = ("media", "--folder", str(many))
        sides = [stack.enter_context(Side(each, *options)) for each in present()]
        libraries = {side.name: side.ask("library")["library"] for side in sides}
        times, answers = in_turns(sides, tuple(labels), rounds)
    for operation, each in answers.items():
        if any(answer != each["barbule"] for answer in each.values()):
            raise SystemExit(f"the sides differ at {operation}: {each}")
    for operation, share in SHARES.items():
        LIMITS[labels[operation]] = share * times[operation]["bare"]
    LIMITS[labels["headers"]] = HEADER * headers
    DETAILS.update(
        rounds=rounds,
        libraries=libraries,
        sides_ms={labels[name]: each for name, each in times.items()},
        peak_mb=peaks,
    )
    grown = max(peaks.values()) - min(peaks.values())
    return {**{labels[name]: each["barbule"] for name, each in times.items()}, GROWS: grown}
