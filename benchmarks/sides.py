"""The sides of a benchmark: one process each, with the environment of what it measures.

A side is a program of `peers/` that speaks the protocol of `peers/serve.py`. Those of a peer run
in the environment that `nox -s peers` makes for it; barbule and bare DuckDB run in this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent
PEERS = ("pixeltable", "lancedb", "daft")
OURS = ("barbule", "duckdb")
BARE = "bare"  # the libraries below, in a loop

# Nothing reports home, nothing looks for a configuration of the person who runs this.
QUIET = {
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "true",
    "DAFT_ANALYTICS_ENABLED": "0",
    "DAFT_PROGRESS_BAR": "0",
    "LANCE_LOG": "error",
    "PIXELTABLE_VERBOSITY": "0",
    "HF_HUB_OFFLINE": "1",
}


def interpreter(name: str) -> Path | None:
    """Return the Python that has what a side measures; None where it is not installed.

    `BARBULE_PEERS` names the folder of the environments, `.nox` when it is not set.
    """
    if name in {*OURS, BARE}:
        return Path(sys.executable)
    folder = Path(os.environ.get("BARBULE_PEERS", HERE.parent / ".nox"))
    python = folder / f"peers-{name}" / "bin" / "python"
    return python if python.exists() else None


class Side:
    """A running side, with a fresh home, or that of another one which has ended.

    What it says on stderr is kept in its home, for when it fails.
    """

    def __init__(
        self,
        name: str,
        program: str,
        *options: str,
        folder: tempfile.TemporaryDirectory[str] | None = None,
    ) -> None:
        self.name = name
        self.folder = folder or tempfile.TemporaryDirectory(
            prefix=f"{name}-", ignore_cleanup_errors=True
        )
        python = interpreter(name)
        if python is None:
            raise SystemExit(f"{name} is not installed: run `nox -s peers`")
        home = self.folder.name
        environment = {"HOME": home, "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": home, **QUIET}
        self.notes = Path(home, "stderr.txt").open("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [python, HERE / "peers" / f"{name}_{program}.py", home, *options],
            env=environment,
            cwd=home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.notes,
            text=True,
        )

    def begin(self, operation: str) -> None:
        """Let it do an operation, and do not wait for it."""
        self.process.stdin.write(operation + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def ask(self, operation: str) -> dict[str, Any]:
        """Let it do an operation; its reply holds `ms`, None when it has no such operation."""
        try:
            self.begin(operation)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.process.wait()
            self.notes.seek(0)
            raise SystemExit(f"{self.name} failed at {operation}:\n{self.notes.read()[-3000:]}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()
        self.notes.close()
        self.folder.cleanup()
