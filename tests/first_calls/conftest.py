"""A database created by another process, and programs that open it in new processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import PIL.Image
import pytest

from fakes.films import film, tone
from media_files import make_pdf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent


BEGIN = """
import barbule as bb
from ibis import _
t = bb.get_table("things")
"""


class FreshProcesses:
    """Runs programs in processes that have not imported barbule, or what `begin` imports."""

    def __init__(self, *begin: str, **options: Any) -> None:
        command = [sys.executable, str(HERE / "fresh.py"), *begin]
        self._server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options
        )
        assert self._answer() == "ready"

    def run(self, program: Path, cwd: Path, **env: str) -> None:
        output = program.with_suffix(".output")
        todo: dict[str, Any] = {
            "path": str(program),
            "cwd": str(cwd),
            "env": {**os.environ, **env},
            "output": str(output),
        }
        print(json.dumps(todo), file=self._pipe(self._server.stdin), flush=True)
        code = self._answer()
        assert code == "0", output.read_text()

    def close(self) -> None:
        self._pipe(self._server.stdin).close()
        self._server.wait()
        self._pipe(self._server.stdout).close()

    def _answer(self) -> str:
        return self._pipe(self._server.stdout).readline().strip()

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


@pytest.fixture(scope="session")
def fresh_processes() -> Iterator[FreshProcesses]:
    processes = FreshProcesses()
    yield processes
    processes.close()


def _write_files(folder: Path) -> None:
    tone(folder / "tone.wav", 1.0, codec="pcm_s16le")
    film(folder / "film.mp4", 20, sound="aac")
    PIL.Image.new("RGB", (8, 6), (250, 0, 0)).save(folder / "picture.png")
    make_pdf(folder / "page.pdf", ["A barbule hooks."], title="Barbules")
    (folder / "note.md").write_text("# Feathers\n\nBarbules hook.\n\n# Down\n\nDown has none.\n")
    shutil.copy(HERE / "user_functions.py", folder)


@pytest.fixture(scope="session")
def database_files(
    fresh_processes: FreshProcesses, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Create a DuckDB database in another process; return the folders of its files and home."""
    folder = tmp_path_factory.mktemp("made")
    files, home = folder / "files", folder / "home"
    files.mkdir()
    _write_files(files)
    program = Path(shutil.copy(HERE / "make_database.py", files))
    fresh_processes.run(program, files, BARBULE_HOME=str(home), BARBULE_VECTORS="exact:")
    return files, home


@pytest.fixture(scope="session")
def begun_processes(
    database_files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FreshProcesses]:
    """Processes that have imported what the lines of BEGIN import, which run again."""
    folder = tmp_path_factory.mktemp("begun")
    files, home = database_files
    shutil.copytree(files, folder, dirs_exist_ok=True)
    shutil.copytree(home, folder / "home")
    program = folder / "begin.py"
    program.write_text(BEGIN)
    env = os.environ | {"BARBULE_HOME": str(folder / "home"), "BARBULE_VECTORS": "exact:"}
    processes = FreshProcesses(str(program), cwd=folder, env=env)
    yield processes
    processes.close()


@pytest.fixture
def processes(
    fresh_processes: FreshProcesses, backend_url: str | None, request: pytest.FixtureRequest
) -> FreshProcesses:
    """Return those of the module's `BEGUN`; on another database it imports other modules."""
    if getattr(request.module, "BEGUN", False) and backend_url is None:
        return request.getfixturevalue("begun_processes")
    return fresh_processes


@pytest.fixture
def run_fresh(
    processes: FreshProcesses, backend_url: str | None, tmp_path: Path
) -> Callable[[str], None]:
    """Return a function that runs a program in a new process, always in the same folder."""
    work = tmp_path / "first"
    work.mkdir()
    settings = {"BARBULE_HOME": str(tmp_path / "copy"), "BARBULE_VECTORS": "exact:"}
    if backend_url is not None:
        settings["BARBULE_BACKEND"] = backend_url

    def run(text: str) -> None:
        program = work / "program.py"
        program.write_text(text)
        processes.run(program, work, **settings)

    return run


@pytest.fixture
def run_with_database(
    database_files: tuple[Path, Path],
    run_fresh: Callable[[str], None],
    backend_url: str | None,
    tmp_path: Path,
) -> Callable[[str], None]:
    """Return the same function, with a copy of a database that another process created."""
    files, home = database_files
    shutil.copytree(files, tmp_path / "first", dirs_exist_ok=True)
    if backend_url is None:
        shutil.copytree(home, tmp_path / "copy")
    else:
        run_fresh((HERE / "make_database.py").read_text())
    return run_fresh
