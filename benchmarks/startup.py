"""What a newcomer waits for: the import, and the first table in a fresh home.

Each figure is the median over fresh processes, so nothing is warm but the file system's cache.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile

ROUNDS = 9
LIMITS = {"import barbule beyond ibis": 300.0, "first create_table in a fresh home": 500.0}

_PROGRAM = """
import json, sys, time
start = time.perf_counter(); import ibis
after_ibis = time.perf_counter(); import barbule as bb
after_barbule = time.perf_counter()
bb.create_table("films", {"name": bb.String, "revenue": bb.Float})
end = time.perf_counter()
heavy = [name for name in ("litellm", "chromadb", "pandas", "PIL") if name in sys.modules]
print(json.dumps([after_ibis - start, after_barbule - after_ibis, end - after_barbule, heavy]))
"""


def _once() -> tuple[float, float, float]:
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM],
            env={"HOME": home, "BARBULE_HOME": home, "PATH": ""},
            cwd=home,
            capture_output=True,
            text=True,
            check=True,
        )
    *times, heavy = json.loads(done.stdout)
    if heavy:
        raise SystemExit(f"loaded before they are used: {', '.join(heavy)}")
    return tuple(each * 1000 for each in times)


def measure() -> dict[str, float]:
    """Return medians in milliseconds."""
    _once()  # fills the file system's cache and compiles what has changed
    ibis, barbule, table = zip(*(_once() for _ in range(ROUNDS)), strict=True)
    return {
        "import ibis": statistics.median(ibis),
        "import barbule beyond ibis": statistics.median(barbule),
        "first create_table in a fresh home": statistics.median(table),
    }
