"""Vector search beside Pixeltable and LanceDB, in one run: time and recall at filters, building.

384 numbers a vector, in clusters and without; recall is measured against brute force. Beside that
what barbule promises of itself: searchable at once, joins in batches, old versions, memory.
"""

from __future__ import annotations

import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).parent / "peers"))

from sides import Side, interpreter
from vectors import SHARES, Vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = (10_000, 50_000, 100_000)
LARGE = 500_000  # without an index: to build one takes any of them minutes
# Beyond these sizes a side takes minutes to build; those without clusters are shown for recall.
MOST = {"barbule": 100_000, "lancedb": 100_000, "pixeltable": 50_000}
MOST_UNIFORM = {"barbule": 50_000, "lancedb": 50_000}
ROUNDS = 30
FEW_ROUNDS = 5

SLOWEST = "slowest filter, {:,} {} vectors, p50"
MISSING = "recall@10 shortfall, {:,} {} vectors (%)"
SHORT = "missing rows of the top 10, {:,} {} vectors (rows)"
BUILD = "index until searchable, {:,} vectors"
DRAIN = "background indexing relative to Chroma alone, {:,} vectors (%)"
WHOLE = "indexing until complete in Chroma relative to Pixeltable, {:,} vectors (%)"
JOIN = "join of 1,000 queries relative to separate searches, {:,} vectors (%)"
AT_ONCE = "rows not found right after their insert, {:,} vectors (of 10)"
OLD = "search 100 versions back relative to a scan in bare DuckDB, {:,} vectors (%)"
OLD_MISSING = "recall@10 shortfall 100 versions back, {:,} vectors (%)"
KEPT = "vectors kept in memory, {:,} vectors (MB)"

REACH = {
    **{SLOWEST.format(size, "clustered"): ms for size, ms in ((50_000, 10.0), (100_000, 25.0))},
    **{
        each: most
        for size in (*SIZES, LARGE)
        for each, most in (
            (MISSING.format(size, "clustered"), 2.0),
            (SHORT.format(size, "clustered"), 0.0),
            (SHORT.format(size, "uniform"), 0.0),
            (KEPT.format(size), 536.9),
        )
    },
    BUILD.format(50_000): 2000.0,
    DRAIN.format(50_000): 110.0,
    WHOLE.format(50_000): 50.0,
    JOIN.format(50_000): 20.0,
    AT_ONCE.format(50_000): 0.0,
    OLD.format(50_000): 130.0,
    OLD_MISSING.format(50_000): 0.0,
}
LIMITS: dict[str, float] = {}
DETAILS: dict[str, Any] = {}


class _Answers:
    """What a side answered at one filter."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.hits = self.wanted = self.short = 0

    def add(self, ms: float, found: list[int], right: set[int]) -> None:
        """Compare an answer with the right one."""
        self.times.append(ms)
        self.hits += len(right & set(found))
        self.wanted += len(right)
        self.short += len(right) - min(len(right), len(set(found)))

    def figures(self) -> dict[str, float]:
        """The figures, the first times left out: they warm up."""
        times = self.times[2:] or self.times
        recall = self.hits / self.wanted if self.wanted else 1.0
        return {"p50_ms": statistics.median(times), "recall": recall, "short": self.short}


def _searched(side: Side, place: int, rounds: int, vectors: Vectors) -> dict[str, float]:
    answers = _Answers()
    for _turn in range(rounds + 2):
        reply = side.ask(f"search_{place}")
        found = reply["answer"]
        answers.add(reply["ms"], found["found"], vectors.nearest(found["query"], SHARES[place]))
    return answers.figures()


def _old(side: Side, rounds: int, vectors: Vectors) -> dict[str, Any]:
    """Search a version 100 steps back and, by turns, have bare DuckDB scan the same rows."""
    versions = side.ask("versions")["ms"]
    old, scanned = _Answers(), _Answers()
    for _turn in range(rounds + 2):
        for answers, operation in ((old, "old"), (scanned, "scan")):
            reply = side.ask(operation)
            found = reply["answer"]
            answers.add(reply["ms"], found["found"], vectors.nearest(found["query"], 1.0))
    return {"versions": versions, "old": old.figures(), "scan": scanned.figures()}


def _side(name: str, vectors: Vectors, kind: str, rounds: int, **more: bool) -> dict[str, Any]:
    """Let one side insert, build and search."""
    with ExitStack() as stack:
        side = stack.enter_context(Side(name, "search", "--rows", str(len(vectors.rows))))
        if more.get("unindexed"):
            side.ask("unindexed")
        side.ask(kind)
        steps = (
            ("insert", "build") if name == "barbule" or not more.get("unindexed") else ("insert",)
        )
        found: dict[str, Any] = {step: side.ask(step)["ms"] for step in steps}
        own = name == "barbule" and not more.get("unindexed")
        if own:
            found["drain"] = side.ask("drain")["ms"]
        found["filters"] = {
            f"{share:.1%}": _searched(side, place, rounds, vectors)
            for place, share in enumerate(SHARES)
        }
        if name == "barbule":
            found["kept_mb"] = side.ask("kept")["answer"]
        if own and kind == "clustered":
            found["at_once"] = side.ask("at_once")["answer"]
            for step in ("join", "one_by_one", "chroma_alone"):
                found[step] = side.ask(step)["ms"]
            found |= _old(side, rounds, vectors)
        found["library"] = side.ask("library")["library"]
        return found


def _compared(
    size: int, kind: str, names: Sequence[str], rounds: int, **more: bool
) -> dict[str, Any]:
    """Let each side do it, one at a time."""
    vectors, found = Vectors(size, kind), {}
    for name in names:
        if interpreter(name) is None:
            print(f"{name} is not installed: run `nox -s peers`")
            continue
        found[name] = _side(name, vectors, kind, rounds, **more)
    return found


def _figures(size: int, kind: str, sides: dict[str, Any]) -> dict[str, float]:
    ours = sides["barbule"]
    filters = ours["filters"].values()
    figures = {
        SLOWEST.format(size, kind): max(each["p50_ms"] for each in filters),
        MISSING.format(size, kind): 100 * (1 - min(each["recall"] for each in filters)),
        SHORT.format(size, kind): sum(each["short"] for each in filters),
    }
    if kind == "clustered":
        figures[KEPT.format(size)] = ours["kept_mb"]
    if "join" in ours:
        figures |= {
            BUILD.format(size): ours["build"],
            DRAIN.format(size): 100 * ours["drain"] / ours["chroma_alone"],
            JOIN.format(size): 100 * ours["join"] / (10 * ours["one_by_one"]),
            AT_ONCE.format(size): ours["at_once"],
            OLD.format(size): 100 * ours["old"]["p50_ms"] / ours["scan"]["p50_ms"],
            OLD_MISSING.format(size): 100 * (1 - ours["old"]["recall"]),
        }
        if "pixeltable" in sides:
            whole = ours["build"] + ours["drain"]
            figures[WHOLE.format(size)] = 100 * whole / sides["pixeltable"]["build"]
    return figures


def measure(
    *, sizes: Sequence[int] = (*SIZES, LARGE), largest: int = LARGE, rounds: int = ROUNDS
) -> dict[str, float]:
    """Return milliseconds, percentages, megabytes and counts of rows."""
    figures: dict[str, float] = {}
    for size in (each for each in sizes if each <= largest):
        for kind, most in (("clustered", MOST), ("uniform", MOST_UNIFORM)):
            names = [name for name, limit in most.items() if size <= limit]
            if names:
                sides = _compared(size, kind, names, rounds)
            elif kind == "clustered":
                few = min(rounds, FEW_ROUNDS)
                sides = _compared(size, kind, ("barbule", "lancedb"), few, unindexed=True)
            else:
                continue
            DETAILS[f"{size} {kind}"] = sides
            figures |= _figures(size, kind, sides)
    LIMITS.update((label, REACH[label]) for label in figures if label in REACH)
    return figures
