"""A Chroma server on loopback for the duration of a test."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from barbule.indexes.stores import open_store
from patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

__all__ = ["chroma_server"]


@contextmanager
def chroma_server(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Start a server; return its URL and a function that stops it."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "from chromadb.cli.cli import app; app()"
    arguments = ["run", "--path", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def stop() -> None:
        process.terminate()
        process.wait(PATIENCE)

    url = f"chroma+http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield url, stop
    finally:
        if process.poll() is None:
            stop()


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        store = open_store(url)
        if store.usable:
            store.close()
            return
        assert time.monotonic() < deadline, store.reason
        assert process.poll() is None
        time.sleep(0.1)
