"""`import barbule` and the first table load no heavy packages."""

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


def test_import_loads_no_heavy_package():
    assert not _loaded("import barbule") & HEAVY


def test_first_table_loads_no_heavy_package():
    program = "import barbule as bb; bb.create_table('films', {'name': bb.String, 'n': bb.Int})"
    assert not _loaded(program) & HEAVY


def test_first_table_loads_no_ibis_backend():
    program = "import barbule as bb; bb.create_table('films', {'name': bb.String})"
    assert "ibis.backends.duckdb" not in _loaded(program)
