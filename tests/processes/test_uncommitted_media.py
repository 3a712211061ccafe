"""A process that has stored an image but not committed it is stopped or killed."""

from __future__ import annotations

import datetime
import io
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import PIL.Image
import pytest

import barbule as bb
import programs
from patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).with_name("inserting_media.py")
NONE = datetime.timedelta(0)


@pytest.fixture
def addresses(tmp_path: Path, backend_url: str | None) -> tuple[str, str]:
    return backend_url or f"duckdb://{tmp_path / 'app.duckdb'}", f"file://{tmp_path}/media"


@pytest.fixture
def inserting(tmp_path: Path, addresses: tuple[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process, and wait until its image is in the store."""
    command = [sys.executable, "-W", "error", str(PROGRAM), *addresses, str(tmp_path)]
    process = programs.Popen(command, stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (tmp_path / "reached").exists() and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("by", ["purge", "collect"])
def test_stopped_process_commits_no_row_without_media_file(tmp_path, addresses, inserting, by):
    url, media = addresses
    with bb.connect(url, media=media, vectors="exact:") as session:
        inserting.send_signal(signal.SIGSTOP)
        buffer = io.BytesIO()
        PIL.Image.new("L", (4, 4), 7).save(buffer, "PNG")
        if by == "purge":
            other = session.create_table("other", {"img": bb.Image})
            other.insert(img=buffer.getvalue())
            assert other.delete(purge=True).media == 1
        else:
            assert session.collect_media(grace=NONE).files == 1
    (tmp_path / "go on").touch()
    inserting.send_signal(signal.SIGCONT)
    _, errors = inserting.communicate(timeout=PATIENCE)
    assert inserting.returncode == 0, errors.decode()
    with bb.connect(url, media=media, vectors="exact:") as session:
        assert [image.getpixel((0, 0)) for image in session.get_table("t").collect()["img"]] == [7]


def test_uncommitted_media_of_killed_process_are_collected(addresses, inserting):
    url, media = addresses
    inserting.kill()
    inserting.wait()
    with bb.connect(url, media=media, vectors="exact:") as session:
        assert session.get_table("t").count().to_pyarrow().as_py() == 0
        # Within the grace period it may still be committed.
        assert session.collect_media().files == 0
        assert session.collect_media(grace=NONE).files == 1
        assert not list(session._engine.library.store.objects())
