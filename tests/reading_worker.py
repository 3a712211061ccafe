"""Reads documents in a separate process, so that a crash of a native library ends only that one.

A line on stdin is the path of a file; the reply is a line of JSON with the outcome, the memory
and the open files.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from pathlib import Path

from barbule.errors import MediaError
from barbule.media.chunking import split_document
from barbule.media.documents import read_document, validate_document


def outcome(path: Path) -> dict[str, object]:
    """Validate, read and split a file, as an insert and a view do."""
    said = []
    for use in (validate_document, read_document):
        try:
            found = use(path)
        except MediaError as error:
            said.append(str(error))
        except BaseException:  # noqa: BLE001 - including a Rust panic
            return {"escaped": traceback.format_exc()}
    if len(said) < 2 and not isinstance(found, str):
        chunks = split_document(found, separators=["\n\n", "."], chunk_size=300, overlap=50)
        chunks += split_document(found, separators="heading,sentence,token_limit", limit=100)
        if any(not chunk.text.strip() for chunk in chunks):
            return {"escaped": "a chunk is empty"}
    return {"said": said}


def held() -> dict[str, int]:
    """Return the memory in kilobytes and the open files, where the system reports them."""
    gc.collect()
    status = Path("/proc/self/status")
    if not status.exists():
        return {"kilobytes": 0, "files": 0}
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return {
        "kilobytes": int(lines["VmRSS"].split()[0]),
        "files": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
    }


def main() -> None:
    for line in sys.stdin:
        found = outcome(Path(line.rstrip("\n")))
        sys.stdout.write(json.dumps({**found, **held()}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
