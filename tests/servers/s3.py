"""An S3 server on loopback for the duration of a test session."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test-secret-0123456789",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextlib.contextmanager
def serving(status: Callable[[], str] = str) -> Iterator[str]:
    """Serve buckets in memory; yield the address, which the environment sets for clients.

    Parameters
    ----------
    status
        Returns a status such as "500 No" to respond with in place of the object, or "".
    """
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()  # blocks until it is ready
    answer = server._server.app

    def failing(environ: Any, start_response: Any) -> Any:
        if not (failure := status()):
            return answer(environ, start_response)
        start_response(failure, [("Content-Length", "0")])
        return []

    server._server.app = failing
    url = f"http://{host}:{port}"
    try:
        with mock.patch.dict(os.environ, {**_ENVIRONMENT, "AWS_ENDPOINT_URL": url}):
            yield url
    finally:
        server.stop()
