"""Run programs one after the other in processes that have not imported barbule.

The server imports the libraries that a session imports, without barbule, and forks for each
program. A child starts like `python program.py`, without importing Ibis and Arrow again.

With an argument, the path of a program, it also imports the modules of barbule that are there
after that program: for programs that begin with its lines, whose first call comes after them.

It reads a line of JSON for each program: its `path`, the folder `cwd`, the variables `env`, and
the file `output` for what it prints. It answers with the exit code in a line.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from typing import Any

IMPORTED = """
import sys
import barbule
barbule.list_tables()
print(*(name for name in sys.modules if not name.startswith(("barbule", "__m"))))
"""


def main() -> None:
    """Serve until the input ends."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-c", IMPORTED],
            env={**os.environ, "BARBULE_HOME": home},
            capture_output=True,
            text=True,
            check=True,
        )
    for name in done.stdout.split():
        importlib.import_module(name)
    for begin in sys.argv[1:]:
        for name in _modules_after(begin):
            importlib.import_module(name)
    known = _modules_of_barbule()
    _answer("ready")
    for line in sys.stdin:
        child = os.fork()
        if not child:
            assert _modules_of_barbule() == known
            _run(json.loads(line))
        _, status = os.waitpid(child, 0)
        _answer(os.waitstatus_to_exitcode(status))


def _answer(value: object) -> None:
    sys.stdout.write(f"{value}\n")
    sys.stdout.flush()


def _modules_of_barbule() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "barbule"]


def _modules_after(program: str) -> list[str]:
    """Run a program in a child; return the modules that it leaves, in the order of their import."""
    ours, theirs = os.pipe()
    if not os.fork():
        runpy.run_path(program)
        os.write(theirs, " ".join(_modules_of_barbule()).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as told:
        names = told.read().split()
    os.wait()
    assert names, program
    return names


def _run(program: dict[str, Any]) -> None:
    """Run a program in this process like `python program.py`, and exit."""
    output = os.open(program["output"], os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(old, new)
    os.chdir(program["cwd"])
    os.environ.clear()
    os.environ.update(program["env"])
    sys.argv = [program["path"]]
    sys.path.insert(0, os.path.dirname(program["path"]))  # noqa: PTH120 - as Python does
    code = 0
    try:
        runpy.run_path(program["path"], run_name="__main__")
    except BaseException:  # noqa: BLE001 - any exit of a program
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
