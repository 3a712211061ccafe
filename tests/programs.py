"""Programs in processes of their own that need not import barbule and LiteLLM first.

A drop-in for `subprocess` where the command is `[sys.executable, …]` and the test is not about a
start of Python, about imports or about memory: those start Python itself. A server, one for each
worker, has imported what a session imports and opens nothing. It forks for each program, and the
child runs it like Python, with exit handlers. The hash seed is that of the server.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import traceback
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Popen", "close", "prepare", "run"]

_HERE = Path(__file__)
_STATUS = struct.Struct("i")


class Popen(subprocess.Popen):
    """A program that is forked: its process id is that of the program, as are its signals."""

    def _execute_child(self, *given: Any) -> None:
        """Replace what starts a process, after the pipes are there and before they are used."""
        args, _, _, _, _, cwd, env = given[:7]
        read_in, write_in, read_out, write_out, read_error, write_error = given[10:16]
        assert args[0] == sys.executable, args
        ours, theirs = os.pipe()
        streams = [
            standard if end == -1 else end
            for standard, end in enumerate((read_in, write_out, write_error))
        ]
        program = {
            "args": [os.fspath(each) for each in args[1:]],
            "cwd": os.fspath(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
        }
        try:
            self.pid = _server().start(program, [*streams, theirs])
        finally:
            os.close(theirs)
            self._close_pipe_fds(read_in, write_in, read_out, write_out, read_error, write_error)
        self._child_created = True
        self._status = ours

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags & os.WNOHANG and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        told = os.read(self._status, _STATUS.size)
        os.close(self._status)
        assert told, "the server of programs has ended"
        return self.pid, _STATUS.unpack(told)[0]

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(blocking=False):
            try:
                pid, status = self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)
            finally:
                self._waitpid_lock.release()
        return self.returncode


if sys.platform != "linux":  # a fork of a process that has threads may hang elsewhere
    Popen = subprocess.Popen  # type: ignore[misc]


def run(
    args: Sequence[str | os.PathLike[str]],
    *,
    capture_output: bool = False,
    check: bool = False,
    timeout: float | None = None,
    input: Any = None,  # noqa: A002 - as subprocess.run
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Run a program to its end, like `subprocess.run`."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with Popen(args, **options) as process:
        try:
            out, err = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(args, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


class _Server:
    """The process that forks; it ends when this process closes its socket, or ends."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(_HERE), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=os.environ | {"HF_HUB_OFFLINE": "1"},
            )

    def start(self, program: dict[str, Any], streams: list[int]) -> int:
        data = json.dumps(program).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))]
        self._socket.sendmsg([struct.pack("I", len(data))], rights)
        self._socket.sendall(data)
        return _STATUS.unpack(_received(self._socket, _STATUS.size))[0]

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def _server() -> _Server:
    return _Server()


def prepare() -> None:
    """Wait until programs can start at once, where a test measures or sets a time."""
    run([sys.executable, "-c", ""], check=True)


def close() -> None:
    """End the server, if one was started."""
    if _server.cache_info().currsize:
        _server().close()
        _server.cache_clear()


def _received(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        assert part, "the server of programs has ended"
        data += part
    return data


# In the server


def _import_all() -> None:
    """Import what a session imports, by the names that a forked child tells."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"
    import importlib
    import tempfile

    import barbule  # noqa: F401

    ours, theirs = os.pipe()
    if not os.fork():
        os.close(ours)
        with tempfile.TemporaryDirectory() as home:
            import barbule as bb

            with bb.connect("duckdb://", vectors="exact:", home=home):
                table = bb.create_table("t", {"a": bb.Int, "b": bb.String})
                table.insert(a=1, b="x")
                table.filter(table.a == 1).collect()
        os.write(theirs, " ".join(sys.modules).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as told:
        names = told.read().split()
    os.wait()
    for name in names:
        with contextlib.suppress(ImportError):  # such as __mp_main__
            importlib.import_module(name)
    import litellm  # noqa: F401


def _serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork for each request; return the request in the child, and None at the end."""
    import signal

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the parents of programs
    while True:
        head, streams, *_ = socket.recv_fds(connection, 4, 8)
        if not head:
            return None
        request = json.loads(_received(connection, struct.unpack("I", head)[0]))
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            child = os.fork()
            if not child:
                connection.close()
                _take(streams)
                return request
            connection.sendall(_STATUS.pack(child))
            for each in (*streams[:-1], 0, 1, 2):
                with contextlib.suppress(OSError):
                    os.close(each)
            _, status = os.waitpid(child, 0)
            os.write(streams[-1], _STATUS.pack(status))
            os._exit(0)
        for each in streams:
            os.close(each)


def _take(streams: list[int]) -> None:
    *standard, status = streams
    for number, each in enumerate(standard):
        os.dup2(each, number)
    for each in (*standard, status):
        os.close(each)


def _begin(program: dict[str, Any]) -> None:
    """Run a program in this process like `python args…`, as its main module."""
    import runpy
    import types

    os.environ.clear()
    os.environ.update(program["env"])
    os.chdir(program["cwd"])
    args = program["args"]
    while args[0] in {"-W", "-u"}:
        if args.pop(0) == "-W":
            sys.warnoptions.append(args[0])
            warnings.simplefilter(args.pop(0))  # type: ignore[arg-type]
    if args[0] == "-m":
        sys.argv = args[1:]
        sys.path[0] = os.getcwd()  # noqa: PTH109
        runpy._run_module_as_main(args[1])
        return
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    if args[0] == "-c":
        sys.argv = ["-c", *args[2:]]
        sys.path[0] = ""
        code = compile(args[1], "<string>", "exec")
    else:
        path = args[0]
        sys.argv = args
        sys.path[0] = os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120
        main.__file__ = path
        code = compile(Path(path).read_bytes(), path, "exec")
    main.__builtins__ = __builtins__
    exec(code, main.__dict__)


def _exit_code(program: dict[str, Any]) -> int:
    try:
        _begin(program)
    except SystemExit as exit_:
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)  # noqa: T201 - as Python does
        return exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    except BaseException:  # noqa: BLE001 - any exit of a program
        traceback.print_exc()
        return 1
    return 0


def _end(code: int) -> None:
    """Exit as Python does, but without freeing modules: threads of libraries are not forked."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as connection, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of imports, and of a fork beside threads
        _import_all()
        request = _serve(connection)  # a child leaves the block
    if request:
        _end(_exit_code(request))


if __name__ == "__main__":
    _main()
