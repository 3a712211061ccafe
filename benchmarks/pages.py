"""Write the figures of benchmarks/results/ into docs/benchmarks.md, and draw the plot of growth.

    python benchmarks/pages.py

Needs matplotlib (`requirements/plot.txt`).
"""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
SIDES = {
    "barbule": "barbule",
    "duckdb": "bare DuckDB",
    "pixeltable": "Pixeltable",
    "lancedb": "LanceDB",
    "daft": "Daft",
}
COLORS = {"barbule": "#b3541e", "duckdb": "#3b6ea5"}


def _read(name: str) -> dict[str, Any]:
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def _ms(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def tables(record: dict[str, Any]) -> str:
    """Write the figures of all sides."""
    sides = [name for name in SIDES if name in record["libraries"]]
    lines = [
        _row([f"{record['rows']:,} rows, ms", *map(SIDES.get, sides), "target", "met"]),
        _row(["---", *["---:"] * len(sides), "---:", "---"]),
    ]
    for label, each in record["sides_ms"].items():
        reach = record["reach_ms"][label]
        lines.append(
            _row(
                [
                    label,
                    *(_ms(each.get(name)) for name in sides),
                    _ms(reach),
                    "yes" if each["barbule"] <= reach else "no",
                ]
            )
        )
    versions = ", ".join(record["libraries"].values())
    where = f"Python {record['python']}, {record['cores']} cores"
    return "\n".join([*lines, "", f"Measured with {versions}; {where}."])


def growth(record: dict[str, Any]) -> str:
    """Write how many times as long barbule takes as bare DuckDB, by size."""
    sizes = list(record["by_size_ms"])
    lines = [
        _row(["times bare DuckDB", *(f"{int(size):,} rows" for size in sizes), "target"]),
        _row(["---", *["---:"] * (len(sizes) + 1)]),
    ]
    for operation, label in record["labels"].items():
        times = [record["by_size_ms"][size][operation] for size in sizes]
        reach = next(
            limit for name, limit in record["reach_ms"].items() if name.startswith(f"{label}, ")
        )
        ratios = [f"{each['barbule'] / each['duckdb']:.2f}" for each in times]
        lines.append(_row([label, *ratios, f"{reach:g}"]))
    rest = [
        f"- {label}: {value:,.1f}{'' if label.endswith(')') else ' ms'}"
        f" (target: under {record['reach_ms'][label]:,.0f})"
        for label, value in record["figures_ms"].items()
        if label in record["reach_ms"] and "times bare DuckDB" not in label
    ]
    return "\n".join([*lines, "", *rest])


def structure(record: dict[str, Any]) -> str:
    """Write the times of each curve, and how many times the largest structure takes."""
    lines = [
        _row(["operation, at sizes", "ms", "ratio", "target", "met"]),
        _row(["---", "---:", "---:", "---:", "---"]),
    ]
    for curve in record["curves"]:
        ratio, reach = record["figures_ms"][curve["ratio"]], record["reach_ms"][curve["ratio"]]
        lines.append(
            _row(
                [
                    curve["label"].format(" / ".join(curve["ms"])),
                    " / ".join(map(_ms, curve["ms"].values())),
                    f"{ratio:.1f}",
                    f"{reach:g}",
                    "yes" if ratio <= reach else "no",
                ]
            )
        )
    built = next(label for label in record["reach_ms"] if label.startswith("write "))
    ratio, reach = record["figures_ms"][built], record["reach_ms"][built]
    met = "yes" if ratio <= reach else "no"
    lines.append(_row([built.removesuffix(" (times)"), "–", f"{ratio:.2f}", f"{reach:g}", met]))
    where = f"Python {record['python']}, {record['cores']} cores"
    return "\n".join([*lines, "", f"{where}."])


def models(record: dict[str, Any]) -> str:
    """Write what was measured of functions and models, and what it should stay under."""
    others = {"LiteLLM alone": record["litellm_alone_ms"]}
    if peer := record.get("pixeltable"):
        others[peer["library"]] = peer["ms"]
    lines = [
        _row(["", "barbule", *others, "target", "met"]),
        _row(["---", *["---:"] * (len(others) + 2), "---"]),
    ]
    for label, value in record["figures_ms"].items():
        reach = record["reach_ms"].get(label)
        name = label if label.endswith(")") else f"{label} (ms)"
        cells = [_ms(each.get(label)) for each in others.values()]
        held = ["–", ""] if reach is None else [_ms(reach), "yes" if value <= reach else "no"]
        lines.append(_row([name, f"{value:,.2f}" if value < 10 else _ms(value), *cells, *held]))
    return "\n".join([*lines, "", f"Python {record['python']}, {record['cores']} cores."])


def media(images: dict[str, Any], video: dict[str, Any]) -> str:
    """Write the figures of images and videos, of all sides, and what memory they take."""
    names = {"barbule": "barbule", "bare": "bare PIL, PyAV", "pixeltable": "Pixeltable"}
    sides = [name for name in names if name in images["libraries"]]
    share = next(value for label, value in video["reach_ms"].items() if label.endswith("(%)"))
    reach = images["reach_ms"] | {
        label: each["bare"] * share / 100 for label, each in video["sides_ms"].items()
    }
    lines = [
        _row(["ms", *map(names.get, sides), "target", "met"]),
        _row(["---", *["---:"] * len(sides), "---:", "---"]),
    ]
    for label, each in (images["sides_ms"] | video["sides_ms"]).items():
        shown = [_ms(each.get(name)) for name in sides]
        reached = "yes" if each["barbule"] <= reach[label] else "no"
        lines.append(_row([label, *shown, _ms(reach[label]), reached]))
    memory = [
        f"- {label}: {value:,.0f} (target: under {record['reach_ms'][label]:,.0f})"
        for record in (images, video)
        for label, value in record["figures_ms"].items()
        if label.endswith("(MB)")
    ]
    versions = ", ".join(images["libraries"].values())
    where = f"Python {images['python']}, {images['cores']} cores"
    return "\n".join([*lines, "", *memory, "", f"Measured with {versions}; {where}."])


def search(record: dict[str, Any]) -> str:
    """Write time and recall by filter, side by side, and what barbule is held to."""
    parts = []
    for key, sides in record.items():
        size, _, kind = key.partition(" ")
        if kind in {"clustered", "uniform"}:
            parts.append(_by_filter(int(size), kind, sides))
    lines = [
        _row(["barbule", "measured", "target", "met"]),
        _row(["---", "---:", "---:", "---"]),
    ]
    for label, value in record["figures_ms"].items():
        reach = record["reach_ms"].get(label)
        if reach is not None:
            word = "yes" if value <= reach else "no"
            lines.append(_row([label, f"{value:,.1f}", f"{reach:,.0f}", word]))
    used = dict.fromkeys(
        side["library"]
        for sides in record.values()
        if isinstance(sides, dict)
        for side in sides.values()
        if isinstance(side, dict) and "library" in side
    )
    where = f"Python {record['python']}, {record['cores']} cores"
    return "\n\n".join([*parts, "\n".join(lines), f"Measured with {', '.join(used)}; {where}."])


def _by_filter(size: int, kind: str, sides: dict[str, Any]) -> str:
    names = [name for name in SIDES if name in sides]
    lines = [
        _row([f"{size:,} {kind} vectors, ms (recall@10)", *map(SIDES.get, names)]),
        _row(["---", *["---:"] * len(names)]),
    ]
    steps = {"insert": "insert", "build": "index until searchable"}
    for step, label in steps.items():
        lines.append(_row([label, *(_ms(sides[name].get(step)) for name in names)]))
    for share in sides["barbule"]["filters"]:
        found = [sides[name]["filters"][share] for name in names]
        cells = [f"{_ms(each['p50_ms'])} ({each['recall']:.2f})" for each in found]
        lines.append(_row([f"top 10, filter keeps {share}", *cells]))
    return "\n".join(lines)


def load(record: dict[str, Any]) -> str:
    """Write what readers and writers do at once, side by side, and what barbule is held to."""
    names = [name for name in SIDES if name in record]
    lines = [
        _row(["readers and writers", *(f"{SIDES[n]}: reads/s, search p50" for n in names)]),
        _row(["---", *["---:"] * len(names)]),
    ]
    for label in (each for each in record["barbule"] if " and " in each):
        cells = []
        for name in names:
            counted = record[name][label]
            reads = statistics.median(each["reads_per_s"] for each in counted)
            search = statistics.median(each["p50_ms"]["search"] for each in counted)
            cells.append(f"{reads:,.0f}, {_ms(search)} ms")
        lines.append(_row([label, *cells]))
    lines += ["", _row(["barbule", "measured", "target", "met"])]
    lines.append(_row(["---", "---:", "---:", "---"]))
    for label, value in record["figures_ms"].items():
        reach = record["reach_ms"][label]
        held = [f"{value:,.1f}", f"{reach:,.1f}", "yes" if value <= reach else "no"]
        lines.append(_row([label, *held]))
    versions = ", ".join(record[name]["library"] for name in names)
    where = f"Python {record['python']}, {record['cores']} cores"
    return "\n".join([*lines, "", f"Measured with {versions}; {where}."])


def documents(record: dict[str, Any]) -> str:
    """Write what splitting takes beside the bare libraries, and the views of all sides."""
    lines = [
        _row([f"{record['characters']:,} characters", "barbule", "target", "met"]),
        _row(["---", "---:", "---:", "---"]),
    ]
    for label, value in record["figures_ms"].items():
        if label.startswith("view"):
            continue
        reach = record["reach_ms"].get(label)
        held = ["–", ""] if reach is None else [_ms(reach), "yes" if value <= reach else "no"]
        lines.append(_row([label, _ms(value), *held]))
    sides = list(record["libraries"])
    lines += [
        "",
        _row([f"a view of {record['view_characters']:,} characters, ms", *map(SIDES.get, sides)]),
        _row(["---", *["---:"] * len(sides)]),
    ]
    for label, each in record["views"].items():
        times = (each[side]["ms"] if side in each else None for side in sides)
        lines.append(_row([label, *map(_ms, times)]))
    versions = ", ".join(record["libraries"].values())
    where = f"Python {record['python']}, {record['cores']} cores"
    return "\n".join([*lines, "", f"Measured with {versions}; {where}."])


_SHOWN = (  # what the README shows: record, label in the record, label in the README
    ("tables", "insert from a DataFrame", "insert 100,000 rows from a DataFrame"),
    (
        "tables",
        "where and collect half of the rows",
        "filter and return 50,000 rows as Python objects",
    ),
    ("tables", "group by, 1,000 groups", "group by, 1,000 groups"),
    ("tables", "update a tenth of the rows", "update 10,000 rows"),
    (
        "tables",
        "Python function of a batch, stored",
        "add a column computed by a batch Python function",
    ),
    ("images", "insert 1,000 PNGs of 512², each checked", "insert 1,000 images, each checked"),
    ("images", "thumbnail column of 1,000 PNGs", "add a column of thumbnails"),
)
_SEARCHED = "50000 clustered"


def readme(images: dict[str, Any], tables: dict[str, Any], search: dict[str, Any]) -> str:
    """Write the short table of the README, with figures of all libraries."""
    names = ["barbule", "pixeltable", "lancedb", "daft"]
    records = {"images": images, "tables": tables}
    lines = [
        _row(["milliseconds", *map(SIDES.get, names)]),
        _row(["---", *["---:"] * len(names)]),
    ]
    for record, label, shown in _SHOWN:
        each = records[record]["sides_ms"][label]
        lines.append(_row([shown, *(_ms(each.get(name)) for name in names)]))
    found = search[_SEARCHED]
    built = (_ms(found[name]["build"]) if name in found else "–" for name in names)
    lines.append(_row(["index 50,000 vectors until they can be searched", *built]))
    cells = []
    for name in names:
        filters = list(found[name]["filters"].values()) if name in found else []
        slowest = max((each["p50_ms"] for each in filters), default=None)
        recall = min((each["recall"] for each in filters), default=1.0)
        cells.append("–" if slowest is None else f"{_ms(slowest)} ({recall:.2f})")
    label = "find the 10 nearest vectors: slowest of several filters (lowest recall, see below)"
    lines.append(_row([label, *cells]))
    return "\n".join(lines)


def plot(record: dict[str, Any], path: Path) -> None:
    """Draw the time of each operation over the number of rows."""
    mpl.rcParams["svg.hashsalt"] = "barbule"
    mpl.rcParams["font.size"] = 9
    figure, axes = plt.subplots(2, 2, figsize=(8, 6), sharex=True, layout="constrained")
    sizes = [int(size) for size in record["by_size_ms"]]
    for axis, (operation, label) in zip(axes.flat, record["labels"].items(), strict=True):
        for side, color in COLORS.items():
            times = [record["by_size_ms"][str(size)][operation][side] for size in sizes]
            axis.plot(sizes, times, "o-", color=color, label=SIDES[side], markersize=4)
        axis.set(xscale="log", yscale="log", title=label)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel("milliseconds")
    for axis in axes[1]:
        axis.set_xlabel("rows")
    axes[0, 0].legend(frameon=False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, metadata={"Date": None, "Creator": "matplotlib"})
    plt.close(figure)


def _placed(page: str, name: str, text: str) -> str:
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
    return re.sub(pattern, lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page, flags=re.DOTALL)


WRITERS: dict[str, tuple[Any, ...]] = {
    "tables": (tables, "tables"),
    "growth": (growth, "growth"),
    "structure": (structure, "structure"),
    "models": (models, "models"),
    "media": (media, "images", "video"),
    "search": (search, "search"),
    "load": (load, "load"),
}


def main() -> None:
    page = DOCS / "benchmarks.md"
    text = page.read_text()
    for name, (write, *records) in WRITERS.items():
        # What was not measured stays as it is.
        if all((HERE / "results" / f"{each}.json").exists() for each in records):
            text = _placed(text, name, write(*map(_read, records)))
    if (HERE / "results" / "documents.json").exists():
        text = _placed(text, "documents", documents(_read("documents")))
    page.write_text(text)
    short = HERE.parent / "README.md"
    records = [_read(name) for name in ("images", "tables", "search")]
    short.write_text(_placed(short.read_text(), "measured", readme(*records)))
    plot(_read("growth"), DOCS / "images" / "growth.svg")


if __name__ == "__main__":
    main()
