"""The check of a Chroma directory after its process has died.

It runs in a separate process, since a query on a damaged graph may crash or never return: `python
-m barbule.indexes.chroma.integrity PATH COLLECTION...`, whose output `examine` reads. No other
process may have the directory open in the meantime.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chromadb.api.models.Collection import Collection

__all__ = ["Examination", "examine"]

_START_SECONDS = 60.0
_COLLECTION_SECONDS = 60.0
_SAMPLE_ROWS = 256
_PAGES = 4  # over which the sample is spread
_MIN_RECALL = 0.9
"""The share of the sampled vectors that have to find themselves. In an intact graph all do, in one
that two processes have written about 0.78."""


@dataclass(frozen=True)
class Examination:
    """The result of an examination.

    Attributes
    ----------
    opens
        Whether the directory can be opened at all.
    intact
        The collections that are not damaged.
    """

    opens: bool
    intact: frozenset[str]


def examine(
    path: str | os.PathLike[str],
    collections: Iterable[str],
    *,
    timeout: float = _COLLECTION_SECONDS,
) -> Examination:
    """Check collections of a Chroma directory in a separate process.

    Parameters
    ----------
    path
        The Chroma directory.
    collections
        Names of collections.
    timeout
        Maximum seconds for each, beyond the start of the process.

    Returns
    -------
    Examination
        Collections without a report count as damaged.
    """
    remaining = sorted(collections)
    intact: set[str] = set()
    while True:
        lines = _run(path, remaining, _START_SECONDS + timeout * len(remaining))
        if not any("opened" in line for line in lines):
            return Examination(opens=False, intact=frozenset())
        reports = {line["collection"]: line["intact"] for line in lines if "intact" in line}
        intact.update(name for name, is_intact in reports.items() if is_intact is True)
        # The process died in the first collection without a report; that one is damaged.
        remaining = [name for name in remaining if name not in reports][1:]
        if not remaining:
            return Examination(opens=True, intact=frozenset(intact))


def _run(path: str | os.PathLike[str], names: list[str], timeout: float) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "barbule.indexes.chroma.integrity", os.fspath(path), *names]
    # The path of this package may be known to this process only.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        output = subprocess.run(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            timeout=timeout,
            check=False,
        ).stdout
    except subprocess.TimeoutExpired as expired:
        output = expired.stdout or b""
    except OSError:
        output = b""
    return [line for line in map(_parse, output.splitlines()) if line]


def _parse(line: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(line)
    except ValueError:
        # The last line of a process that was killed while writing it.
        return {}
    return parsed if isinstance(parsed, dict) else {}


def main(arguments: list[str]) -> int:
    """Print one line of JSON when the directory is open, then one for each collection."""
    path, *names = arguments
    _limit_memory(Path(path))
    import chromadb
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False, _env_file=None)
    client = chromadb.PersistentClient(path, settings=settings)
    client.count_collections()
    _print_line({"opened": True})
    for name in names:
        try:
            intact, reason = _is_intact(client.get_collection(name, embedding_function=None)), ""
        except BaseException as error:  # noqa: BLE001 - Chroma may raise anything
            intact, reason = False, f"{type(error).__name__}: {error}"
        _print_line({"collection": name, "intact": intact, "reason": reason})
    client.close()
    return 0


def _print_line(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201 - its parent process reads it


def _limit_memory(path: Path) -> None:
    """Limit the memory that a damaged header can allocate; one has claimed 632 GB."""
    import resource

    on_disk = sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())
    allowed = 4 * on_disk + 8 * 2**30
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = allowed if hard == resource.RLIM_INFINITY else min(allowed, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _is_intact(collection: Collection) -> bool:
    """Return whether a sample of the vectors exists and finds itself."""
    import numpy as np

    count = collection.count()
    metric = collection.configuration_json["hnsw"]["space"]
    if count == 0:
        return True
    step = max(count // _PAGES, 1)
    sampled = hits = 0
    for offset in range(0, count, step):
        page = collection.get(limit=_SAMPLE_ROWS // _PAGES, offset=offset, include=["embeddings"])
        vectors = np.asarray(page["embeddings"], dtype=np.float32)
        if not page["ids"] or len(vectors) != len(page["ids"]):
            return False
        if not np.isfinite(vectors).all():
            return False
        result = collection.query(query_embeddings=vectors, n_results=1, include=["distances"])
        best = np.array([row[0] if row else np.inf for row in result["distances"]])
        # Another vector may be equal, or nearer by "ip".
        own = 1 - np.einsum("ij,ij->i", vectors, vectors) if metric == "ip" else 0.0
        hits += int((best <= own + 1e-3 * (1 + np.abs(own))).sum())
        sampled += len(vectors)
    return hits >= _MIN_RECALL * sampled


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
