"""Creates the databases in this folder. They were created by version 0.1.0 and stay as they are:

    PYTHONPATH=<source of version 0.1.0>/src:tests python tests/former/make.py

`version_0_1_0.duckdb.xz` is the DuckDB file, `version_0_1_0.sql.xz` the output of
`pg_dump --inserts` for a Postgres database, both compressed with xz.
"""

from __future__ import annotations

import lzma
import os
import socket
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DUCKDB = HERE / "version_0_1_0.duckdb.xz"
POSTGRES = HERE / "version_0_1_0.sql.xz"


def fill(url: str | None) -> None:
    """Create tables, views and ledger answers with the functions of `former.functions`."""
    import barbule as bb
    from barbule.functions import openai
    from former import functions as own

    session = bb.connect(url, vectors="exact:")
    films = bb.create_table("films", [{"name": "Up", "year": 2009}, {"name": "Coco", "year": 2017}])
    films.add_computed_column(
        loud=own.shout(films.name),
        size=own.measured(films.year),
        back=own.reversed_text(films.name),
        plus_one=own.adding(1)(films.year),
        plus_ten=own.adding(10)(films.year),
        marked=own.marking(own.Marker("*"))(films.name),
        twice=own.Repeat(2)(films.name),
        inline=films.year + 1,
    )
    films.add_embedding_index("name", embedding=own.embed)
    asks = bb.create_table("asks", [{"year": 2010}])
    asks.add_computed_column(newer=own.since(films)(asks.year))
    asks.add_computed_column(
        said=openai.chat_completions(
            model="gpt-4o-mini", messages=[{"role": "user", "content": "Hello."}]
        )
        .choices[0]
        .message.content
    )
    bb.create_view("letters", films, iterator=own.letters(films.name))
    bb.create_view("newest", films.agg(year=films.year.max()))
    asked = {"name": "add", "arguments": {"n": 1}}
    message = {"choices": [{"message": {"tool_calls": [{"function": asked}]}}]}
    tooled = bb.create_table("tooled", [{"said": message}])
    tooled.add_computed_column(x=bb.invoke_tools(bb.tools(own.adding(1)), tooled.said))
    films.insert(name="Alien", year=1979)
    films.checkpoint("three films")
    session.close()


def _duckdb(home: Path) -> None:
    fill(f"duckdb:///{home / 'made.duckdb'}")
    DUCKDB.write_bytes(_compressed((home / "made.duckdb").read_bytes()))


def _postgres() -> None:
    from servers import postgres

    server = postgres.start()
    try:
        with server.database() as url:
            fill(url)
            command = ["pg_dump", "--inserts", "--no-owner", "--no-privileges"]
            address = url.replace("postgres://", "postgresql://")
            done = subprocess.run([*command, address], check=True, capture_output=True)
        # Lines with a backslash are psql commands.
        lines = done.stdout.splitlines(keepends=True)
        text = b"".join(line for line in lines if not line.startswith((b"\\", b"--")))
        POSTGRES.write_bytes(_compressed(text))
    finally:
        server.stop()


def _compressed(data: bytes) -> bytes:
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def main() -> None:
    """Create both databases."""
    from fakes.models_server import FakeModels

    with tempfile.TemporaryDirectory() as folder, FakeModels() as models:
        os.environ["LOGNAME"], socket.gethostname = "ada", lambda: "host"
        os.environ |= {"HOME": folder, "BARBULE_HOME": folder, "OPENAI_API_KEY": "sk-test"}
        os.chdir(folder)
        Path("barbule.toml").write_text(f'[models.openai]\napi_base = "{models.url}"\n')
        _duckdb(Path(folder))
        _postgres()


if __name__ == "__main__":
    main()
