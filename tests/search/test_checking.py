"""What `check` finds and repairs; a failing index never returns wrong results."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import barbule as bb
import programs
from barbule.indexes.chroma.embedded import ChromaStore
from servers.chroma import chroma_server

from .conftest import LENGTH, filled, nearest, texts_of

ROWS = 300


def top(table, query="query", k=5):
    return table.order_by(table.text.similarity(query), asc=False).limit(k).collect()["text"]


@pytest.fixture
def url(tmp_path):
    return f"chroma://{tmp_path / 'chroma'}"


@pytest.fixture
def by_index(monkeypatch):
    """Keep no vectors in memory, so that searches use the index."""
    Path("barbule.toml").write_text("[search]\nmax_matrix_bytes = 0\n")


def _index(session):
    engine = session._engine
    record = engine.catalog.find("chunks")
    return engine.indexing.usable(record, record.indexes[0])


def test_check_reports_complete_index(url, embed):
    session = bb.connect(vectors=url)
    filled(embed, ROWS)

    found = session.check()

    assert found.ok
    assert [(each.rows, each.missing, each.extra) for each in found.indexes] == [(ROWS, 0, 0)]
    assert "Check: no problems found" in repr(found)
    assert f"{ROWS} vectors, complete" in repr(found)


def test_check_repairs_missing_and_extra_vectors(url, embed, by_index):
    session = bb.connect(vectors=url)
    chunks = filled(embed, ROWS)
    session._engine.indexing.wait()
    index = _index(session)
    index.delete(index.ids()[:7])
    index.upsert([10**6, 10**6 + 1], [[1.0] * LENGTH] * 2)

    seen = session.check(repair=False)
    mended = session.check()

    assert not seen
    assert (seen.indexes[0].missing, seen.indexes[0].extra) == (7, 2)
    assert not mended.ok
    assert mended
    assert "7 missing, 2 extra, repaired" in repr(mended)
    assert session.check().ok
    assert top(chunks) == nearest(texts_of(ROWS), "query", 5)


def test_check_repairs_wrong_vectors(url, embed, by_index):
    session = bb.connect(vectors=url)
    chunks = filled(embed, ROWS)
    session._engine.indexing.wait()
    index = _index(session)
    ids = index.ids()
    index.upsert(ids, [[float(n % 7 + 1), *[1e-6] * (LENGTH - 1)] for n in range(len(ids))])

    assert session.check().indexes[0].unfound > 0
    assert session.check().ok
    assert top(chunks) == nearest(texts_of(ROWS), "query", 5)


def _remove(folder):
    shutil.rmtree(folder)


def _corrupt(folder):
    for file in folder.rglob("*"):
        if file.is_file() and not file.name.endswith(".lock"):
            file.write_bytes(b"\xff" * max(100, file.stat().st_size))


@pytest.mark.parametrize("damage", [_remove, _corrupt])
def test_damaged_index_directory_is_rebuilt(url, embed, tmp_path, damage, by_index):
    bb.connect(vectors=url)
    filled(embed, ROWS)
    bb.connect("duckdb://", vectors="exact:").close()
    damage(tmp_path / "chroma")

    session = bb.connect(vectors=url)
    chunks = session.get_table("chunks")

    assert top(chunks) == nearest(texts_of(ROWS), "query", 5)
    assert session.check()
    assert session.check().ok
    assert top(chunks) == nearest(texts_of(ROWS), "query", 5)


def test_search_survives_removal_of_index_directory(url, embed, tmp_path, by_index):
    session = bb.connect(vectors=url)
    chunks = filled(embed, ROWS)
    session._engine.indexing.wait()
    assert top(chunks) == nearest(texts_of(ROWS), "query", 5)
    shutil.rmtree(tmp_path / "chroma")

    chunks.insert([{"n": ROWS, "text": "query"}])

    assert top(chunks)[0] == "query"


def test_index_directory_that_is_a_file_is_reported(embed, tmp_path):
    folder = tmp_path / "locked"
    folder.write_text("a file where the directory should be")
    session = bb.connect(vectors=f"chroma://{folder}")
    chunks = filled(embed, ROWS)

    assert top(chunks) == nearest(texts_of(ROWS), "query", 5)
    found = session.check()
    assert not found
    assert "is not available" in repr(found)
    assert "Check: problems found" in repr(found)
    assert stat.S_ISREG(folder.stat().st_mode)


READ_ONLY = """
import sys
import barbule as bb

url, vectors = sys.argv[1:]
session = bb.connect(url, vectors=vectors)
table = session.get_table("points")
first = table.order_by(table.v.similarity([0, 2.0]), asc=False).limit(1).collect()["n"]
table.insert(n=2, v=[-1, 0])
later = table.order_by(table.v.similarity([-2.0, 0]), asc=False).limit(1).collect()["n"]
print(first, later, session.check())
"""


def _file_mode_prefix() -> list[str]:
    """Return a command prefix that applies file modes to root too."""
    if os.geteuid() != 0:
        return []
    program = shutil.which("setpriv")
    if program is None:
        pytest.skip("root ignores file modes, and setpriv is not installed")
    without = "-dac_override,-dac_read_search"
    return [program, "--bounding-set", without, "--inh-caps", without]


def test_search_works_with_read_only_index_directory(tmp_path, by_index):
    folder = tmp_path / "chroma"
    address, url = f"chroma://{folder}", f"duckdb:///{tmp_path}/app.duckdb"
    with bb.connect(url, vectors=address) as session:
        table = session.create_table("points", {"n": bb.Int, "v": bb.Vector(2)})
        table.insert([{"n": 0, "v": [1, 0]}, {"n": 1, "v": [0, 1]}])
        table.add_embedding_index("v")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    command = [*_file_mode_prefix(), sys.executable, "-c", READ_ONLY, url, address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    assert done.stdout.startswith("[1] [2]"), done.stderr
    assert "cannot be written" in done.stdout


def test_search_survives_stop_of_index_server(embed, tmp_path, by_index):
    with chroma_server(tmp_path / "server") as (address, stop):
        session = bb.connect(vectors=address)
        chunks = filled(embed, ROWS)
        session._engine.indexing.wait()
        assert session.check().ok
        assert top(chunks) == nearest(texts_of(ROWS), "query", 5)
        stop()

        assert top(chunks, "after") == nearest(texts_of(ROWS), "after", 5)
        chunks.insert([{"n": ROWS, "text": "query"}])
        assert top(chunks)[0] == "query"
        assert not session.check()


def test_search_works_when_another_process_owns_directory(url, embed, tmp_path, by_index):
    owner = ChromaStore(tmp_path / "chroma")
    program = (
        "import sys, barbule as bb; s = bb.connect(vectors=sys.argv[1]); "
        "t = bb.create_table('t', {'v': bb.Vector(2)}); t.insert([{'v': [1, 0]}, {'v': [0, 1]}]); "
        "t.add_embedding_index('v'); "
        "print(t.order_by(t.v.similarity([0, 2.0]), asc=False).limit(1).collect()['v']); "
        "print(repr(s.check()))"
    )
    assert owner.usable
    done = programs.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, check=True
    )
    owner.close()
    assert "belongs to the process" in done.stdout
    assert "[0.0, 1.0]" in done.stdout.replace("array(", "").replace("0.,", "0.0,")


def test_exact_search_has_no_index_to_check(embed):
    session = bb.connect(vectors="exact:")
    filled(embed, 5)
    assert session.check()
    assert session.check().indexes == ()
