"""Whether a Chroma directory can be believed after a process died in it.

Owns the examination: it runs in a process of its own, since a query on a damaged graph may
crash or never return. Run as `python -m barbule.indexes.chroma.integrity PATH COLLECTION...`;
`examine`
does that and reads the answer. Nobody else may have the directory open meanwhile.
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

__all__ = ["Verdict", "examine"]

_START_SECONDS = 60.0
_COLLECTION_SECONDS = 60.0
_SAMPLE = 256
_FOUND_SHARE = 0.9
"""Of the sampled vectors that must find themselves. An intact graph finds all of them, one
that two processes wrote about 0.78."""


@dataclass(frozen=True)
class Verdict:
    """What an examination found.

    Attributes
    ----------
    opens
        Whether the directory can be opened at all.
    sound
        The collections that can be believed.
    """

    opens: bool
    sound: frozenset[str]


def examine(
    path: str | os.PathLike[str],
    collections: Iterable[str],
    *,
    timeout: float = _COLLECTION_SECONDS,
) -> Verdict:
    """Examine collections of a Chroma directory in a process of its own.

    Parameters
    ----------
    path
        The Chroma directory.
    collections
        Names of collections.
    timeout
        Seconds that each may take, beyond the start of the process.

    Returns
    -------
    Verdict
        What cannot be told counts as damaged.
    """
    left = sorted(collections)
    sound: set[str] = set()
    while True:
        lines = _run(path, left, _START_SECONDS + timeout * len(left))
        if not any("opened" in line for line in lines):
            return Verdict(opens=False, sound=frozenset())
        told = {line["collection"]: line["sound"] for line in lines if "sound" in line}
        sound.update(name for name, well in told.items() if well is True)
        # The process died in the first one that it did not report on; that one is damaged.
        left = [name for name in left if name not in told][1:]
        if not left:
            return Verdict(opens=True, sound=frozenset(sound))


def _run(path: str | os.PathLike[str], names: list[str], timeout: float) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "barbule.indexes.chroma.integrity", os.fspath(path), *names]
    # This package may have been found by a path that only this process knows.
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
    except subprocess.TimeoutExpired as late:
        output = late.stdout or b""
    except OSError:
        output = b""
    return [line for line in map(_parse, output.splitlines()) if line]


def _parse(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        # The last line of a process that was killed while writing it.
        return {}
    return found if isinstance(found, dict) else {}


def main(arguments: list[str]) -> int:
    """Print one line of JSON when the directory is open, then one for each collection."""
    path, *names = arguments
    _limit(Path(path))
    import chromadb
    from chromadb.config import Settings

    settings = Settings(anonymized_telemetry=False, _env_file=None)
    client = chromadb.PersistentClient(path, settings=settings)
    client.count_collections()
    _tell({"opened": True})
    for name in names:
        try:
            sound, reason = _is_sound(client.get_collection(name, embedding_function=None)), ""
        except BaseException as error:  # noqa: BLE001 - others' code may raise anything
            sound, reason = False, f"{type(error).__name__}: {error}"
        _tell({"collection": name, "sound": sound, "reason": reason})
    client.close()
    return 0


def _tell(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)  # noqa: T201 - printing is its purpose


def _limit(path: Path) -> None:
    """Bound what a damaged header can ask for; one was seen to claim 632 GB."""
    import resource

    on_disk = sum(file.stat().st_blocks * 512 for file in path.rglob("*") if file.is_file())
    allowed = 4 * on_disk + 8 * 2**30
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = allowed if hard == resource.RLIM_INFINITY else min(allowed, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _is_sound(collection: Any) -> bool:
    """Return whether vectors spread over the collection are there and find themselves."""
    import numpy as np

    count = collection.count()
    metric = collection.configuration_json["hnsw"]["space"]
    if count == 0:
        return True
    step = max(count // 4, 1)
    looked = found = 0
    for offset in range(0, count, step):
        page = collection.get(limit=_SAMPLE // 4, offset=offset, include=["embeddings"])
        vectors = np.asarray(page["embeddings"], dtype=np.float32)
        if not page["ids"] or len(vectors) != len(page["ids"]):
            return False
        if not np.isfinite(vectors).all():
            return False
        answer = collection.query(query_embeddings=vectors, n_results=1, include=["distances"])
        best = np.array([row[0] if row else np.inf for row in answer["distances"]])
        # Another vector may be as near (an equal one), or under "ip" nearer.
        own = 1 - np.einsum("ij,ij->i", vectors, vectors) if metric == "ip" else 0.0
        found += int((best <= own + 1e-3 * (1 + np.abs(own))).sum())
        looked += len(vectors)
    return found >= _FOUND_SHARE * looked


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
