"""Run the benchmarks and write their results to benchmarks/results/.

    python benchmarks/run.py [name ...] [--rounds 3] [--largest 1000000] [--gigabytes 1]
        [--share 0.1]

Each benchmark is a module beside this one with a function `measure() -> dict[str, float]`
(milliseconds, medians; a label that ends in another unit in parentheses is in that unit) and
`LIMITS`, what a figure should stay under. `DETAILS`, where it has them, go into the results too.
The options make a run smaller, for the benchmarks that take them.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
import platform
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = [
    "startup",
    "tables",
    "growth",
    "structure",
    "images",
    "documents",
    "video",
    "search",
    "load",
    "models",
    "rag",
]


def run(name: str, results: Path, **options: float) -> None:
    """Run one benchmark, print its figures and write its record."""
    module = importlib.import_module(name)
    known = inspect.signature(module.measure).parameters
    figures = module.measure(**{key: each for key, each in options.items() if key in known})
    for label, value in figures.items():
        unit = "" if label.endswith(")") else " ms"
        limit = module.LIMITS.get(label)
        word = "" if limit is None else "ok" if value <= limit else "OVER"
        verdict = f"  (reach {limit:.1f}: {word})" if word else ""
        print(f"{name:10} {label:52} {value:9.1f}{unit}{verdict}", flush=True)
    record = {
        "figures_ms": figures,
        "reach_ms": module.LIMITS,
        **getattr(module, "DETAILS", {}),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
    }
    results.mkdir(exist_ok=True)
    (results / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=BENCHMARKS)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--largest", type=int, help="the most rows of the growing table")
    parser.add_argument("--share", type=float, help="of the rows for which calls are counted")
    parser.add_argument("--images", type=int, help="how many are inserted and made small")
    parser.add_argument("--headers", type=int, help="how many are only looked at")
    parser.add_argument("--gigabytes", type=float, help="of the file that is inserted")
    options = vars(parser.parse_args(argv))
    sys.path.insert(0, str(HERE))
    for name in options.pop("names"):
        run(name, HERE / "results", **{key: each for key, each in options.items() if each})


if __name__ == "__main__":
    main(sys.argv[1:])
