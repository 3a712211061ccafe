"""A second process that does operations of `world` when it is told to, through a pipe.

It is started once: importing takes longer than an operation. A line asks for something, by name
and with arguments, and a line answers.
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
_PROGRAM += "elsewhere.answer_all(sys.argv[2])"


def opened(url: str, home: Path) -> Session:
    """Open a session on a copy of the database."""
    return Session(load_settings(backend=url, vectors="exact:", home=str(home)))


class Elsewhere:
    """The second process, as the first one sees it.

    Parameters
    ----------
    home
        The folder in which both keep what is not in the database.
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
        """Have a session on a database there meanwhile."""
        self._ask("open", url)
        try:
            yield
        finally:
            self._ask("close")

    def run(self, operation: str) -> str:
        """Do an operation there and return its outcome."""
        return self._ask("run", operation)

    def shown(self) -> dict[str, Any]:
        """Return what the database shows there."""
        return self._ask("shown")

    def _ask(self, *question: str) -> Any:
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline() if self._process.stdout else ""
        assert answer, "the second process has ended"
        return json.loads(answer)


def answer_all(home: str) -> None:
    """Answer the lines of the standard input until it ends."""
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
