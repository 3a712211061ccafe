from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

import barbule as bb
from barbule.errors import ConfigurationError, MediaError
from barbule.media.storage.file_cache import FileCache
from fakes.web import serving
from patience import PATIENCE


def names(cache):
    return sorted(path.name for path in cache.folder.rglob("*") if path.is_file())


def aged(cache, name, seconds):
    moment = time.time() - seconds
    os.utime(cache.folder / name, (moment, moment))


def test_least_recently_used_files_are_evicted_first(tmp_path):
    cache = FileCache(tmp_path, 400)
    for position, name in enumerate("abc"):
        cache.keep(name, [b"x" * 100])
        aged(cache, name, 1000 - position)
    cache.find("a")
    cache.keep("d", [b"x" * 150])
    assert names(cache) == ["a", "c", "d"]


def test_files_in_use_stay_beyond_the_limit(tmp_path):
    cache = FileCache(tmp_path, 100)
    for name in "abc":
        cache.keep(name, [b"x" * 100])
    assert names(cache) == ["a", "b", "c"]


def test_files_of_other_processes_and_sessions_count(tmp_path):
    FileCache(tmp_path).keep("sub/old", [b"x" * 300])
    aged(FileCache(tmp_path), "sub/old", 500)
    cache = FileCache(tmp_path, 350)
    cache.keep("new", [b"x" * 100])
    assert names(cache) == ["new"]


def test_incomplete_file_is_not_kept(tmp_path):
    def pieces():
        yield b"half"
        raise MediaError("the connection is gone.")

    cache = FileCache(tmp_path, 1000)
    with pytest.raises(MediaError, match="gone"):
        cache.keep("a", pieces())
    assert names(cache) == []
    assert cache.find("a") is None


def test_evicted_file_is_fetched_again(tmp_path):
    requests = []

    def answer(path):
        requests.append(path)
        return (200, "text/plain", path.encode() * 100)

    Path("barbule.toml").write_text("[media]\nallow_private = true\ncache_bytes = 1000\n")
    bb.connect(vectors="exact:")
    table = bb.create_table("t", {"n": bb.Int, "doc": bb.Document})
    with serving(answer) as url:
        table.insert([{"n": n, "doc": f"{url}/{n}.txt"} for n in range(4)])
        assert sorted(requests) == [f"/{n}.txt" for n in range(4)]
        copies = [Path(copy) for copy in table.order_by("n").collect()["doc"]]
        for copy in copies:
            os.utime(copy, (1, 1))
        table.insert(n=9, doc=f"{url}/9.txt")
        assert sum(copy.exists() for copy in copies) == 0
        assert Path(table.order_by("n").collect()[0, "doc"]).read_text() == "/0.txt" * 100


def test_files_are_fetched_concurrently(tmp_path):
    together = threading.Barrier(8, timeout=PATIENCE)  # breaks if files are fetched one by one

    def answer(path):
        together.wait()
        return (200, "text/plain", b"barbs")

    Path("barbule.toml").write_text("[media]\nallow_private = true\n")
    bb.connect(vectors="exact:")
    table = bb.create_table("t", {"doc": bb.Document})
    with serving(answer) as url:
        table.insert([{"doc": f"{url}/{n}.txt"} for n in range(16)])


@pytest.mark.parametrize(
    ("key", "value"), [("cache_bytes", "0"), ("timeout", "-1"), ("time_limit", '"x"')]
)
def test_invalid_settings_are_named(key, value):
    Path("barbule.toml").write_text(f"[media]\n{key} = {value}\n")
    with pytest.raises(ConfigurationError, match=rf"media\.{key} must be"):
        bb.connect()
