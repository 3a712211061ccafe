"""What a side speaks: the name of an operation a line on stdin, its time as a JSON line on stdout.

Whole numbers may follow the name. A side is a class over `(home, films)`, or over its home and the
address of a model server, or the pictures of a folder, with a method for each operation that it
has. A method prepares and returns two functions: the work, which is timed, and what takes the
result of the work to the answer, by which the parent sees that all sides did the same.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from films import Films
from pictures import Pictures

Work = tuple[Callable[[], Any], Callable[[Any], Any]]


def stay_here() -> None:
    """Refuse what would leave the machine, whatever a library may want to report."""

    def refuse(event: str, args: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            address = args[1]
            if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
                raise PermissionError(f"a benchmark connects to {address[0]}")

    sys.addaudithook(refuse)


def measure(prepare: Callable[[], Work]) -> dict[str, Any]:
    """Time one operation."""
    work, answer = prepare()
    gc.collect()
    start, used = time.perf_counter(), time.process_time()
    result = work()
    took = (time.perf_counter() - start) * 1000
    used = (time.process_time() - used) * 1000
    return {"ms": took, "cpu_ms": used, "answer": answer(result)}


def reply(side: Any, operation: str) -> dict[str, Any]:
    """Do what is asked for; an operation that the side does not have takes no time."""
    if operation == "library":
        return {"library": f"{side.library} {version(side.library)}"}
    name, *arguments = operation.split()
    prepare = getattr(side, name, None)
    if prepare is None:
        return {"ms": None}
    return measure(partial(prepare, *map(int, arguments)))


def serve(side: type, argv: list[str] | None = None) -> None:
    """Answer until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--server", help="the address of a model server")
    parser.add_argument("--folder", type=Path, help="of pictures and videos")
    parser.add_argument("--files", help="the folder of documents")
    options = parser.parse_args(argv)
    # What a library prints is no part of the protocol.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    stay_here()
    pictures = Pictures(options.folder) if options.folder else None
    given = pictures or options.server or options.files
    instance = side(options.home, given or Films(options.rows))
    try:
        for line in sys.stdin:
            print(json.dumps(reply(instance, line.strip())), file=replies, flush=True)
    finally:
        instance.close()
