"""Run the benchmarks and write their results to benchmarks/results/.

    python benchmarks/run.py [name ...]

Each benchmark is a module beside this one with a function `measure() -> dict[str, float]`
(milliseconds, medians) and `LIMITS`, what a figure should stay under.
"""

from __future__ import annotations

import importlib
import json
import platform
import sys
from pathlib import Path

HERE = Path(__file__).parent
BENCHMARKS = ["startup", "rag"]


def main(names: list[str]) -> None:
    sys.path.insert(0, str(HERE))
    (HERE / "results").mkdir(exist_ok=True)
    for name in names or BENCHMARKS:
        module = importlib.import_module(name)
        figures = module.measure()
        for label, value in figures.items():
            limit = module.LIMITS.get(label)
            word = "" if limit is None else "ok" if value <= limit else "OVER"
            verdict = f"  (reach {limit:.0f}: {word})" if word else ""
            print(f"{name:10} {label:40} {value:9.1f} ms{verdict}")
        machine = {"python": platform.python_version(), "machine": platform.machine()}
        record = {"figures_ms": figures, "reach_ms": module.LIMITS, **machine}
        (HERE / "results" / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
