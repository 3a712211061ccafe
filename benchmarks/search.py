"""Vector search beside LanceDB: time and recall at filters, building, joins, in one run.

384 numbers a vector, in clusters and without; recall is measured against brute force.
"""

from __future__ import annotations

import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).parent / "peers"))

from sides import Side, interpreter
from vectors import SHARES, K, Vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = (10_000, 50_000, 100_000)
KINDS = ("clustered", "uniform")
ROUNDS = 30
SLOWEST = "slowest filter, {:,} {} vectors, p50"
RECALL = "recall@10 that is missing, {:,} {} vectors (%)"
BUILD = "index until it can be searched, {:,} vectors"
JOIN = "1,000 queries joined to one by one, {:,} vectors (%)"
DRAIN = "index in the background to Chroma alone, {:,} vectors (%)"
REACH = {
    SLOWEST.format(50_000, "clustered"): 10.0,
    SLOWEST.format(100_000, "clustered"): 25.0,
    RECALL.format(50_000, "clustered"): 2.0,
    RECALL.format(100_000, "clustered"): 2.0,
    BUILD.format(50_000): 2000.0,
    JOIN.format(50_000): 20.0,
    DRAIN.format(50_000): 110.0,
}
LIMITS: dict[str, float] = {}
DETAILS: dict[str, Any] = {}


def _searched(side: Side, place: int, rounds: int, vectors: Vectors) -> dict[str, float]:
    times, hits, wanted = [], 0, 0
    for turn in range(rounds + 2):
        reply = side.ask(f"search_{place}")
        answer = reply["answer"]
        right = vectors.nearest(answer["query"], SHARES[place])
        hits += len(right & set(answer["found"]))
        wanted += min(K, len(right))
        if turn > 1:  # the first ones warm up
            times.append(reply["ms"])
    return {"p50_ms": statistics.median(times), "recall": hits / wanted if wanted else 1.0}


def _measured(size: int, kind: str, rounds: int) -> dict[str, Any]:
    """Let each side insert, build and search, one at a time."""
    vectors, found = Vectors(size, kind), {}
    for name in ("barbule", "lancedb"):
        if interpreter(name) is None:
            print(f"{name} is not installed: run `nox -s peers`")
            continue
        with ExitStack() as stack:
            side = stack.enter_context(Side(name, "search", "--rows", str(size)))
            side.ask(kind)
            times = {step: side.ask(step)["ms"] for step in ("insert", "build", "drain")}
            filters = {
                f"{share:.1%}": _searched(side, place, rounds, vectors)
                for place, share in enumerate(SHARES)
            }
            more = ("join", "one_by_one", "chroma_alone") if kind == "clustered" else ()
            times |= {step: side.ask(step)["ms"] for step in more}
            found[name] = {**times, "filters": filters}
    return found


def measure(
    *,
    sizes: Sequence[int] = SIZES,
    largest: int = SIZES[-1],
    rounds: int = ROUNDS,
) -> dict[str, float]:
    """Return milliseconds and percentages."""
    figures: dict[str, float] = {}
    for size in (each for each in sizes if each <= largest):
        for kind in KINDS:
            sides = _measured(size, kind, rounds)
            ours = sides["barbule"]
            by_filter = ours["filters"].values()
            figures[SLOWEST.format(size, kind)] = max(each["p50_ms"] for each in by_filter)
            worst = min(each["recall"] for each in by_filter)
            figures[RECALL.format(size, kind)] = 100 * (1 - worst)
            if kind == "clustered":
                figures[BUILD.format(size)] = ours["build"]
                figures[JOIN.format(size)] = 100 * ours["join"] / (10 * ours["one_by_one"])
                figures[DRAIN.format(size)] = 100 * ours["drain"] / ours["chroma_alone"]
            DETAILS[f"{size} {kind}"] = sides
    LIMITS.update((label, REACH[label]) for label in figures if label in REACH)
    return figures
