"""`import barbule` stays light, and so does the first table."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"litellm", "chromadb", "pandas", "PIL", "pyarrow", "pydantic", "fsspec"}


def _loaded(program: str) -> set[str]:
    program += "\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_import_loads_nothing_heavy():
    assert not _loaded("import barbule") & HEAVY


def test_the_first_table_loads_nothing_heavy():
    program = "import barbule as bb; bb.create_table('films', {'name': bb.String, 'n': bb.Int})"
    assert not _loaded(program) & HEAVY


def test_no_ibis_backend_is_loaded_for_the_first_table():
    program = "import barbule as bb; bb.create_table('films', {'name': bb.String})"
    assert "ibis.backends.duckdb" not in _loaded(program)
