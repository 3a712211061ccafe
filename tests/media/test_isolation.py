"""Isolated reading: documents from outside are read in worker processes with limits."""

from __future__ import annotations

import functools
import http.server
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

import barbule as bb
import hostile_readers as readers
import pdf_bombs
from barbule.config import MediaSettings
from barbule.errors import BarbuleError, MediaError
from barbule.media import isolation as module
from barbule.media.documents import read_document, validate_document
from barbule.media.isolation import Isolation, isolated
from media_files import make_pdf
from patience import PATIENCE

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds memory")


@pytest.fixture
def reader_pool(tmp_path):
    isolation = Isolation(MediaSettings(isolate=True), tmp_path)
    with isolation.entered():
        yield isolation
    isolation.close()


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.md").write_text("# Feathers\n\nA barbule hooks.")
    return tmp_path / "a.md"


def ended(pid):
    """Return whether a process has ended and been reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_one_process_reads_many_files_and_ends_with_the_session(reader_pool, file):
    pids = {isolated(readers.pid, file) for _ in range(5)}
    assert len(pids) == 1
    assert pids != {os.getpid()}
    reader_pool.close()
    assert ended(*pids)


def test_isolated_result_equals_in_process_result(reader_pool, file, tmp_path):
    pdf = make_pdf(tmp_path / "a.pdf", ["Feathers", "A barbule hooks."], title="Birds")
    results = [(validate_document(path), read_document(path)) for path in (file, pdf)]
    token = module._CURRENT.set(None)
    assert [(validate_document(path), read_document(path)) for path in (file, pdf)] == results
    module._CURRENT.reset(token)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (readers.crash, "cannot be read in .* of memory: its process was killed by SIGABRT"),
        pytest.param(readers.swell, "cannot be read in .* of memory", marks=LINUX),
    ],
)
def test_crashed_process_fails_its_file_and_is_replaced(reader_pool, file, read, message):
    first = isolated(readers.pid, file)
    with pytest.raises(MediaError, match=rf"a\.md {message}") as caught:
        isolated(read, file)
    assert "max_memory" in caught.value.hint
    assert ended(first)
    assert isolated(readers.pid, file) != first


@pytest.mark.parametrize("read", [readers.spin, readers.wait])
def test_reader_is_stopped_at_its_time_limit(read, file, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_START_SECONDS", 1.0)
    reader_pool = Isolation(MediaSettings(isolate=True, max_seconds=1.0), tmp_path)
    with reader_pool.entered():
        first = isolated(readers.pid, file)
        start = time.monotonic()
        with pytest.raises(MediaError, match=r"a\.md takes more than 1 s to read") as caught:
            isolated(read, file)
        assert time.monotonic() - start < PATIENCE
        assert "max_seconds" in caught.value.hint
        assert isolated(readers.pid, file) != first
    reader_pool.close()


def test_killed_idle_process_is_replaced(reader_pool, file):
    first = isolated(readers.pid, file)
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while reader_pool._processes._idle[0].is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert isolated(readers.pid, file) != first


def test_errors_are_returned_unchanged(reader_pool, file):
    with pytest.raises(MediaError, match=r"a\.md is wrong\. Mend it\."):
        isolated(readers.refuse, file)
    with pytest.raises(Exception, match="by zero") as caught:
        isolated(readers.fail, file)
    assert type(caught.value).__name__ == "ZeroDivisionError"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_forked_child_uses_its_own_processes(reader_pool, file):
    mine = isolated(readers.pid, file)
    child = os.fork()
    if child == 0:
        other = isolated(readers.pid, file)
        reader_pool.close()
        os._exit(0 if other != mine and ended(other) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert isolated(readers.pid, file) == mine


@pytest.mark.parametrize("name", pdf_bombs.ALL)
@LINUX
def test_pdf_bomb_fails_only_its_cell(name, tmp_path):
    bad, good = pdf_bombs.ALL[name](tmp_path / "bad.pdf"), make_pdf(tmp_path / "good.pdf", ["a"])
    assert bad.stat().st_size < 1_000_000
    with bb.connect(home=tmp_path / "home"):
        table = bb.create_table("docs", {"doc": bb.Document}, media_validation="on_read")
        table.insert([{"doc": bad}, {"doc": good}])
        table.add_computed_column(text=table.doc.text(), on_error="null")
        rows = table.select("text", error=table.text.error).collect()
        assert rows["text"] == [None, "a"]
        assert "bad.pdf cannot be read in" in str(rows[0, "error"])


@LINUX
def test_self_referencing_pdf_form_is_not_inserted(session, tmp_path):
    bad = pdf_bombs.form_of_itself(tmp_path / "bad.pdf")
    with pytest.raises(MediaError, match=r"bad\.pdf cannot be read in") as caught:
        bb.create_table("docs", {"doc": bb.Document}).insert(doc=bad)
    assert (caught.value.table, caught.value.column, caught.value.row) == ("docs", "doc", 0)


@pytest.fixture
def url(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.csv").write_text("feather,hooks\n" * 100_000)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/a.csv"
        server.shutdown()
        thread.join()


@LINUX
@pytest.mark.parametrize(
    ("isolate", "refused"),
    [("", {"url"}), ("isolate = true", {"url", "file"}), ("isolate = false", set())],
    ids=["default", "true", "false"],
)
def test_configuration_selects_isolated_sources(isolate, refused, monkeypatch, tmp_path, url):
    monkeypatch.chdir(tmp_path)
    Path("barbule.toml").write_text(f"[media]\nallow_private = true\nmax_memory = 1\n{isolate}\n")
    file = tmp_path / "served" / "a.csv"
    with bb.connect(home=tmp_path / "home"):
        table = bb.create_table("docs", {"doc": bb.Document}, media_validation="on_read")
        for name, source in {"url": url, "file": file}.items():
            table.delete()
            table.insert(doc=source)
            query = table.select(text=table.doc.text(), pages=table.doc.page_count())
            if name in refused:
                with pytest.raises(BarbuleError, match=r"cannot be read in .* bytes of memory"):
                    query.collect()
            else:
                assert "hooks" in query.collect()[0, "text"]
