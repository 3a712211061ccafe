"""Embedded Chroma directories: ownership and consistency."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from barbule.errors import VectorIndexError
from barbule.indexes.chroma.embedded import ChromaStore
from barbule.indexes.chroma.integrity import examine
from barbule.indexes.chroma.owner_lock import OwnerLock
from patience import PATIENCE

BATCH = 500


def vectors_of(commit, dimension=8):
    return np.random.default_rng(commit).normal(size=(BATCH, dimension)).astype(np.float32)


def drain(index, commit):
    """Insert the rows of one commit and update half of the rows of the previous one."""
    ids = np.arange(BATCH) + commit * BATCH
    index.upsert(ids, vectors_of(commit))
    index.upsert(ids[::2] - BATCH, vectors_of(commit)[::2] + 0.25)
    index.advance(commit)


def check_complete(index, up_to):
    """Every row of every commit up to the watermark is found by its own vector."""
    for commit in range(1, up_to + 1):
        ids = np.arange(BATCH) + commit * BATCH
        rows = vectors_of(commit)
        if commit < up_to:
            rows[::2] = vectors_of(commit + 1)[::2] + 0.25
            sample = slice(0, BATCH, 25)
        else:
            # A crash may have written the next vectors of the even rows already.
            sample = slice(1, BATCH, 50)
        nearest = [one.ids.tolist() for one in index.search(rows[sample], 1)]
        assert nearest == [[key] for key in ids[sample].tolist()]


def filled(path, commits):
    store = ChromaStore(path)
    index = store.open("t.v", 8, "l2")
    for commit in range(1, commits + 1):
        drain(index, commit)
    store.close()


def opened(path):
    store = ChromaStore(path)
    assert store.usable, store.reason
    return store, store.open("t.v", 8, "l2")


def run(program, *arguments, **options):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def test_synced_vectors_survive_close(tmp_path):
    filled(tmp_path / "v", 3)
    store, index = opened(tmp_path / "v")
    assert index.watermark == 3
    assert index.count() == 4 * BATCH - BATCH // 2
    check_complete(index, 3)
    store.close()
    with pytest.raises(VectorIndexError, match="closed"):
        index.search(np.ones(8), 1)
    assert index.watermark == -1


def test_closed_store_releases_its_directory(tmp_path):
    store, index = opened(tmp_path / "v")
    index.upsert([1], np.ones((1, 8)))
    index.advance(1)
    store.close()
    assert index.watermark == -1
    assert not store.usable
    for operation in (index.count, index.reset, lambda: store.drop("t.v")):
        with pytest.raises(VectorIndexError, match="closed"):
            operation()
    process = run(HOLDER, tmp_path / "v", stdin=subprocess.PIPE)
    assert process.communicate("\n", timeout=PATIENCE)[0].startswith("True")


def test_index_without_watermark_is_reopened_empty(tmp_path):
    store, index = opened(tmp_path / "v")
    index.upsert([1], np.ones((1, 8)))
    store.close()
    store, index = opened(tmp_path / "v")
    assert (index.watermark, index.count()) == (-1, 0)
    store.close()


def test_stores_of_one_process_share_a_directory(tmp_path):
    first, mine = opened(tmp_path / "v")
    second, theirs = opened(tmp_path / "v")
    mine.upsert([1], np.ones((1, 8)))
    mine.advance(2)
    assert (theirs.watermark, theirs.count()) == (2, 1)
    first.close()
    assert theirs.search(np.ones(8), 1)[0].ids.tolist() == [1]
    theirs.reset()
    second.close()
    store, index = opened(tmp_path / "v")
    assert index.count() == 0
    store.close()


def test_process_exit_without_close_leaves_index_clean(tmp_path):
    program = (
        "import sys, numpy as np; from barbule.indexes.chroma.embedded import ChromaStore; "
        "index = ChromaStore(sys.argv[1]).open('t.v', 8, 'l2'); "
        "index.upsert([1], np.ones((1, 8))); index.advance(1); index.upsert([2], np.ones((1, 8)))"
    )
    process = run(program, tmp_path / "v")
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    state = json.loads((tmp_path / "v" / "state.json").read_text())["indexes"]["t.v"]
    assert (state["dirty"], state["watermark"], state["count"]) == (False, 1, 2)


WRITER = """
import sys
sys.path[:0] = sys.argv[2:]
from test_chroma import drain, opened
store, index = opened(sys.argv[1])
commit = index.watermark
print("ready", commit, flush=True)
while commit < 400:
    commit = max(commit, 0) + 1
    drain(index, commit)
    print(commit, flush=True)
"""


def test_index_is_consistent_after_kill_while_writing(tmp_path):
    where = tmp_path / "v"
    chance = random.Random()
    for _ in range(2):
        process = run(WRITER, where, *Path(__file__).parents[:2])
        assert process.stdout.readline().startswith("ready")
        time.sleep(chance.uniform(0.1, 0.7))
        process.send_signal(signal.SIGKILL)
        output = process.communicate(timeout=PATIENCE)[0].split()
        store, index = opened(where)
        reached = index.watermark
        assert reached in {-1, *range(int(output[-1]) if output else 0, 401)}
        if reached == -1:
            assert index.count() == 0
        for commit in range(max(reached, 0) + 1, max(reached, 0) + 3):
            drain(index, commit)
        check_complete(index, index.watermark)
        store.close()


def garbage(file):
    size = file.stat().st_size
    file.write_bytes(np.random.default_rng(0).bytes(size))


def corrupt_graph(root):
    for file in root.glob("chroma-*/*/*.bin"):
        garbage(file)


def delete_graph(root):
    for file in root.glob("chroma-*/*/*"):
        file.unlink()


def corrupt_database(root):
    for file in root.glob("chroma-*/chroma.sqlite3"):
        garbage(file)


def delete_chroma(root):
    for folder in root.glob("chroma-*/"):
        shutil.rmtree(folder)


def corrupt_state(root):
    (root / "state.json").write_text('{"format": 1, "dire')


def falsify_count(root):
    state = json.loads((root / "state.json").read_text())
    state["indexes"]["t.v"]["count"] += 1
    (root / "state.json").write_text(json.dumps(state))


@pytest.mark.parametrize(
    "damage",
    [
        corrupt_graph,
        delete_graph,
        corrupt_database,
        delete_chroma,
        corrupt_state,
        falsify_count,
        shutil.rmtree,
    ],
)
def test_a_damaged_directory_becomes_an_empty_index(tmp_path, damage):
    where = tmp_path / "v"
    store, index = opened(where)
    ids = np.arange(6000)
    rows = np.random.default_rng(0).normal(size=(6000, 8)).astype(np.float32)
    index.upsert(ids, rows)
    index.advance(1)
    store.close()
    damage(where)
    store, index = opened(where)
    assert (index.watermark, index.count()) == (-1, 0)
    drain(index, 1)
    check_complete(index, 1)
    store.close()
    store, index = opened(where)
    assert index.watermark == 1
    check_complete(index, 1)
    store.close()


def test_directory_removed_in_use_is_recreated(tmp_path):
    where = tmp_path / "v"
    store, index = opened(where)
    drain(index, 1)
    shutil.rmtree(where)
    with pytest.raises(VectorIndexError, match="closed"):
        index.upsert([1], np.ones((1, 8)))
    assert index.watermark == -1
    assert store.usable
    index = store.open("t.v", 8, "l2")
    assert (index.watermark, index.count()) == (-1, 0)
    drain(index, 1)
    check_complete(index, 1)
    store.close()


def test_unwritable_state_file_raises(tmp_path):
    where = tmp_path / "v"
    store, index = opened(where)
    (where / "state.json").unlink()
    (where / "state.json").mkdir()
    with pytest.raises(VectorIndexError, match=r"state of the vector store .* cannot be written"):
        index.upsert([1], np.ones((1, 8)))
    store.close()


def test_unwritable_path_makes_store_unusable(tmp_path):
    (tmp_path / "file").write_text("")
    store = ChromaStore(tmp_path / "file" / "v")
    assert not store.usable
    assert "cannot be written" in store.reason
    with pytest.raises(VectorIndexError, match=r"not usable: .* cannot be written"):
        store.open("t.v", 8, "l2")
    store.close()


HOLDER = """
import sys
from barbule.indexes.chroma.embedded import ChromaStore
store = ChromaStore(sys.argv[1])
print(store.usable, store.reason, flush=True)
sys.stdin.readline()
"""


def test_second_process_gets_pid_of_directory_owner(tmp_path):
    store, index = opened(tmp_path / "v")
    process = run(HOLDER, tmp_path / "v", stdin=subprocess.PIPE)
    output = process.communicate("\n", timeout=PATIENCE)[0]
    assert output.startswith("False")
    assert f"belongs to the process {os.getpid()}" in output
    index.upsert([1], np.ones((1, 8)))
    store.close()


def test_ownership_is_released_when_owner_is_killed(tmp_path):
    process = run(HOLDER, tmp_path / "v", stdin=subprocess.PIPE)
    assert process.stdout.readline().startswith("True")
    store = ChromaStore(tmp_path / "v")
    assert not store.usable
    assert str(process.pid) in store.reason
    for operation in (lambda: store.open("t.v", 8, "l2"), lambda: store.drop("t.v")):
        with pytest.raises(VectorIndexError, match=f"belongs to the process {process.pid}"):
            operation()
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert store.usable
    store.close()


FORKER = """
import os, sys
from barbule.indexes.chroma.embedded import ChromaStore
store = ChromaStore(sys.argv[1])
assert store.usable
child = os.fork()
if child == 0:
    ok = not store.usable and "forked" in store.reason and not ChromaStore(sys.argv[1]).usable
    store.close()
    os._exit(0 if ok else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(code or not store.usable)
"""


def test_forked_child_cannot_use_store(tmp_path):
    process = run(FORKER, tmp_path / "v")
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


def test_owner_lock_is_shared_within_process(tmp_path):
    first, second = OwnerLock(tmp_path / "c"), OwnerLock(tmp_path / "c")
    assert first.holder() is None
    assert first.acquire()
    assert first.acquire()
    assert second.acquire()
    first.release()
    first.release()
    assert not first.valid()
    assert second.valid()
    assert second.holder() == os.getpid()
    (tmp_path / "c.lock").unlink()
    assert not second.valid()
    assert first.acquire()
    assert first.valid()
    second.release()
    assert first.valid()
    first.release()
    assert first.holder() is None


def test_examine_reports_intact_collections(tmp_path):
    filled(tmp_path / "v", 1)
    chroma = tmp_path / "v" / "chroma-1"
    examination = examine(chroma, ["bb-t_2ev-g1", "bb-absent-g1"])
    assert examination.opens
    assert examination.intact == {"bb-t_2ev-g1"}
