"""A second process that runs operations of `world` on request, through a pipe.

It is started once, as imports take longer than an operation. A request is a line with a name and
arguments, and so is each reply.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from barbule.config import load_settings
from barbule.session import Session
from stepping import world
from stepping.stepper import outcome_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_PROGRAM = "import sys; sys.path[:0] = [sys.argv[1]]; from stepping import elsewhere; "
_PROGRAM += "elsewhere.serve(sys.argv[2])"


def opened(url: str, home: Path) -> Session:
    """Open a session on a copy of the database."""
    return Session(load_settings(backend=url, vectors="exact:", home=str(home)))


class Elsewhere:
    """Client of the second process.

    Parameters
    ----------
    home
        The home folder of both processes.
    """

    def __init__(self, home: Path) -> None:
        tests = Path(__file__).parents[1]
        self._process: subprocess.Popen[str] = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(tests), str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()  # it ends with its input

    @contextlib.contextmanager
    def on(self, url: str) -> Iterator[None]:
        """Open a session on a database in the second process."""
        self._request("open", url)
        try:
            yield
        finally:
            self._request("close")

    def run(self, operation: str) -> str:
        """Run an operation there and return its outcome."""
        return self._request("run", operation)

    def shown(self) -> dict[str, Any]:
        """Return the visible state of the database there."""
        return self._request("shown")

    def _request(self, *request: str) -> Any:
        print(json.dumps(request), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline() if self._process.stdout else ""
        assert answer, "the second process has ended"
        return json.loads(answer)


def serve(home: str) -> None:
    """Process requests from the standard input until it ends."""
    session: Session | None = None
    for line in sys.stdin:
        kind, *arguments = json.loads(line)
        answer: Any = None
        if kind == "open":
            session = opened(arguments[0], Path(home))
        elif kind == "run":
            answer = outcome_of(lambda: world.OPERATIONS[arguments[0]](session))  # noqa: B023
        elif kind == "shown":
            answer = world.shown(session)
        else:
            session.close()
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
