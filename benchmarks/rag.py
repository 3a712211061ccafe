"""The example that answers questions from documents: how long it takes, and what of it is ours.

Everything but model and embedding time is the library's own, imports of LiteLLM and Chroma
included. One run in a fresh home, and a second one that asks the models nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "rag.py"
LIMITS = {"first run": 60_000.0, "first run, without the models": 5_000.0}

_LINE = re.compile(r"([\d.]+) s: .* s language model, .* s embedding, ([\d.]+) s everything else")


def _run(home: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--home", home], capture_output=True, text=True, check=True
    )
    total, rest = _LINE.search(done.stdout).groups()  # type: ignore[union-attr]
    return float(total) * 1000, float(rest) * 1000


def measure() -> dict[str, float]:
    """Return milliseconds."""
    with tempfile.TemporaryDirectory() as home:
        first, again = _run(home), _run(home)
    return {
        "first run": first[0],
        "first run, without the models": first[1],
        "second run, no model asked": again[0],
    }
