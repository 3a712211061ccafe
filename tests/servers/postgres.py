"""A Postgres server on loopback for the tests, run from installed binaries.

Owns the start from `initdb` to a running server, and a fresh database per test. The server stops
with the process that started it, even after a kill, and removes its files.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CannotStartError", "PostgresServer", "start"]

_PASSWORD = "pass%word/@1"  # characters that must be escaped in a URL
_ESCAPED = "pass%25word%2F%401"
# A test server may lose its data, so fsync is off.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "log_min_messages": "fatal",
}
_START_SECONDS = 120
# Waits for the end of its input, which occurs when the tests end, even after a kill.
_KEEPER = """
folder=$1; shift
"$@" & server=$!
cat > /dev/null
kill -INT $server 2> /dev/null
wait $server
rm -rf "$folder"
"""


_COPY = """
DO $$
DECLARE each text;
BEGIN
    FOR each IN SELECT tablename FROM pg_tables WHERE schemaname = '{template}' LOOP
        EXECUTE format('CREATE TABLE {name}.%I (LIKE {template}.%I INCLUDING ALL)', each, each);
        EXECUTE format('INSERT INTO {name}.%I SELECT * FROM {template}.%I', each, each);
    END LOOP;
END $$
"""


class CannotStartError(Exception):
    """No server can be started here; the message gives the reason."""


def _program(name: str) -> str:
    """Find a Postgres program; on Debian they are not on the path."""
    found = shutil.which(name)
    if found is None:
        places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
        found = str(places[0]) if places else None
    if found is None:
        raise CannotStartError(f"{name} is not installed (Debian's package is postgresql)")
    return found


def _owner() -> dict[str, Any]:
    """Return the user that runs the server, which does not run as root."""
    if os.geteuid() != 0:
        return {}
    import pwd

    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise CannotStartError("there is no user 'postgres' or 'nobody' to run the server as")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class PostgresServer:
    """A running server.

    Attributes
    ----------
    port
        On 127.0.0.1.
    """

    port: int
    _keeper: subprocess.Popen[bytes]
    _connection: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database; the password in it holds characters to escape."""
        return f"postgres://tester:{_ESCAPED}@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Create a database or a copy of one, yield its URL, and drop it."""
        name = f"test_{uuid.uuid4().hex}"
        # A file copy takes a third of the time of a copy through the log.
        self._run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.url(name)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def schema(self, template: str | None = None) -> Iterator[str]:
        """Create a schema or a copy of its tables, yield its URL, and drop it.

        This takes a tenth of the time of a database.
        """
        name = f"test_{uuid.uuid4().hex}"
        self._run(f"CREATE SCHEMA {name}")
        if template is not None:
            self._run(_COPY.format(name=name, template=template))
        try:
            yield f"{self.url()}?schema={name}"
        finally:
            self._run(f"DROP SCHEMA {name} CASCADE")

    def _run(self, statement: str) -> None:
        import psycopg

        with self._lock:
            if self._connection is None:
                options = "-c lock_timeout=120000"  # reports a test that left a lock
                self._connection = psycopg.connect(self.url(), autocommit=True, options=options)
            self._connection.execute(statement)

    def stop(self) -> None:
        """Stop the server and remove its files."""
        if self._connection is not None:
            self._connection.close()
        if self._keeper.stdin:
            self._keeper.stdin.close()
        self._keeper.wait(timeout=PATIENCE)


def start() -> PostgresServer:
    """Start a server in its own folder.

    Raises
    ------
    CannotStartError
        When Postgres or psycopg is not installed, or the server does not come up.
    """
    try:
        import psycopg
    except ImportError as error:
        raise CannotStartError(f"psycopg cannot be imported: {error}") from error
    for _ in range(3):  # another program can take the port first
        server = _launch(_program("initdb"), _program("postgres"), _owner())
        if _comes_up(server, psycopg):
            return server
        server.stop()
    raise CannotStartError("the server does not come up")


def _launch(initdb: str, postgres: str, owner: dict[str, Any]) -> PostgresServer:
    # Not pytest's folder, which the server's user cannot access.
    folder = Path(tempfile.mkdtemp(prefix="barbule-postgres-"))
    if "user" in owner:
        os.chown(folder, owner["user"], owner["group"])
    _make_cluster(initdb, folder, owner)
    settings = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
    port = _free_port()
    command = [postgres, "-D", str(folder / "data"), "-p", str(port), *settings]
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", _KEEPER, "keeper", str(folder), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # otherwise Ctrl-C would stop it before its clean-up
        **owner,
    )
    return PostgresServer(port, keeper)


def _make_cluster(initdb: str, folder: Path, owner: dict[str, Any]) -> None:
    secret = folder / "password"
    secret.write_text(_PASSWORD)
    secret.chmod(0o644)
    made = subprocess.run(
        [
            initdb,
            *("--pgdata", str(folder / "data"), "--username", "tester", "--pwfile", str(secret)),
            *("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        **owner,
    )
    if made.returncode:
        shutil.rmtree(folder)
        raise CannotStartError(f"initdb fails: {made.stderr.strip().splitlines()[-1:]}")


def _comes_up(server: PostgresServer, psycopg) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            psycopg.connect(server.url(), connect_timeout=60).close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return True
    return False
