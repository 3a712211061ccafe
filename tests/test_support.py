"""The page on differences between backends matches the declarations on tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = ("tests/tables", "tests/views", "tests/backends/test_contract.py")


def test_page_matches_the_declarations(tmp_path):
    page = tmp_path / "backends.md"
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    options = ["--backends=duckdb,postgres", f"--support={page}"]
    subprocess.run([*command, *options, *TESTS], check=True, cwd=ROOT, capture_output=True)
    assert page.read_text() == (ROOT / "docs" / "backends.md").read_text(), "run: nox -s support"
