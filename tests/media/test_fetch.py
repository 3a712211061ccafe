from __future__ import annotations

import http.server
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
import time
import uuid
from contextlib import contextmanager

import fsspec
import pytest

from barbule.errors import MediaError
from barbule.media.fetching.fetcher import Fetcher
from barbule.media.fetching.host_addresses import is_public
from patience import PATIENCE
from servers.dripping import dripping

BODY = b"barbules " * 5000


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = self.path.partition("?")[0].strip("/")
        with self.server.lock:
            self.server.requests.append(
                (self.path, self.headers["Host"], self.headers["Authorization"])
            )
            times = sum(path == self.path for path, *_ in self.server.requests)
        getattr(self, f"answer_{name.split('.')[0].split('-')[0]}")(name, times)

    def send(self, status, body=BODY, **headers):
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for key, value in headers.items():
            if value is not None:
                self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def answer_image(self, name, times):
        self.send(200, Content_Type="image/png")

    def answer_note(self, name, times):
        self.send(200, Content_Type="text/plain; charset=utf-8")

    def answer_missing(self, name, times):
        self.send(404)

    def answer_flaky(self, name, times):
        self.send(503 if times < 3 else 200)

    def answer_down(self, name, times):
        self.send(500)

    def answer_endless(self, name, times):
        # No length is declared, so only counting bytes can stop it.
        self.close_connection = True
        self.send(200, BODY * 10, Content_Length=None)

    def answer_cut(self, name, times):
        self.close_connection = True
        self.send(200, BODY[:100] if times < 2 else BODY, Content_Length=str(len(BODY)))

    def answer_slow(self, name, times):
        self.server.stop_waiting.wait(PATIENCE)
        self.send(200)

    def answer_drip(self, name, times):
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        for _ in range(100):
            if self.server.stop_waiting.wait(0.05):
                return
            self.wfile.write(b"x")

    def answer_hop(self, name, times):
        left = int(name.split("-")[1])
        target = f"/hop-{left - 1}" if left > 1 else "/image.png"
        self.send(302, b"", Location=target)

    def answer_lag(self, name, times):
        self.server.stop_waiting.wait(0.1)
        self.send(302, b"", Location=f"/lag-{int(name.split('-')[1]) - 1}")

    def answer_to(self, name, times):
        self.send(301, b"", Location=self.path.partition("?")[2])

    def log_message(self, *args):
        pass


@contextmanager
def serving(context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.lock, server.stop_waiting = [], threading.Lock(), threading.Event()
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.stop_waiting.set()
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server():
    with serving() as running:
        running.url = f"http://127.0.0.1:{running.server_port}"
        yield running


@pytest.fixture
def fetcher(tmp_path):
    return Fetcher(True, len(BODY) * 2, tmp_path / "cache", timeout=60)


def leftovers(fetcher):
    return [path for path in fetcher._cache_dir.rglob("*") if path.is_file()]


def test_local_files_are_used_in_place(tmp_path, fetcher):
    path = tmp_path / "a b.txt"
    path.write_text("x")
    assert fetcher.local_path(str(path)) == path
    assert fetcher.local_path(path.as_uri()) == path
    with pytest.raises(MediaError, match=r"gone\.txt does not exist"):
        fetcher.local_path(str(tmp_path / "gone.txt"))
    with pytest.raises(MediaError, match="is a directory"):
        fetcher.local_path(str(tmp_path))


def test_url_is_fetched_once(server, fetcher):
    path = fetcher.local_path(f"{server.url}/image?size=large")
    assert path.read_bytes() == BODY
    assert path.suffix == ".png"
    assert fetcher.local_path(f"{server.url}/image?size=large#part") == path
    assert fetcher.local_path(f"{server.url}/image?size=small") != path
    assert len(server.requests) == 2


def test_name_suffix_refines_a_vague_content_type(server, fetcher):
    assert fetcher.local_path(f"{server.url}/note.md").suffix == ".md"
    assert fetcher.local_path(f"{server.url}/note").suffix == ".txt"


def test_host_and_credentials_are_sent_to_the_checked_address(server, fetcher):
    fetcher.local_path(f"http://me:pw@localhost:{server.server_port}/image")
    (_, host, authorization) = server.requests[0]
    assert host == f"localhost:{server.server_port}"
    assert authorization == "Basic bWU6cHc="


def test_error_status_is_reported_without_secrets(server, fetcher):
    address = f"127.0.0.1:{server.server_port}"
    with pytest.raises(MediaError, match=r"missing.*the server returned status 404") as caught:
        fetcher.local_path(f"http://me:hunter2@{address}/missing?token=hunter3")
    assert "hunter" not in str(caught.value)
    assert not caught.value.retryable
    assert len(server.requests) == 1
    assert leftovers(fetcher) == []


def test_server_errors_are_retried(server, fetcher):
    assert fetcher.local_path(f"{server.url}/flaky").read_bytes() == BODY
    assert len(server.requests) == 3
    with pytest.raises(MediaError, match="the server returned status 500") as caught:
        fetcher.local_path(f"{server.url}/down")
    assert caught.value.retryable
    assert len(server.requests) == 6


def test_truncated_response_is_retried_and_leaves_no_file(server, fetcher):
    path = fetcher.local_path(f"{server.url}/cut")
    assert path.read_bytes() == BODY
    assert leftovers(fetcher) == [path]


def test_size_limit_applies_while_streaming(server, tmp_path):
    small = Fetcher(True, 1000, tmp_path / "cache")
    for name in ("image", "endless"):
        with pytest.raises(MediaError, match="is larger than 1000 bytes"):
            small.local_path(f"{server.url}/{name}")
    assert leftovers(small) == []


def test_timeout_is_reported(server, tmp_path):
    hasty = Fetcher(True, 1000, tmp_path / "cache", timeout=0.2)
    start = time.monotonic()
    with pytest.raises(MediaError, match="timeout"):
        hasty.local_path(f"{server.url}/slow")
    assert time.monotonic() - start < PATIENCE


DRIPS = {
    "status": (b"", b"H"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "header": (b"HTTP/1.1 200 OK\r\nx: ", b"y"),
    "refusal": (b"HTTP/1.1 503 Later\r\n", b"x: y\r\n"),
    "redirect": (b"HTTP/1.1 302 Found\r\nLocation: /again\r\n", b"x: y\r\n"),
}


def _expect_time_limit(tmp_path, url):
    fetcher = Fetcher(True, 10**6, tmp_path / "cache", timeout=60, time_limit=0.5)
    started = time.monotonic()
    with pytest.raises(MediaError, match=r"was not downloaded within 0\.5 s.*time_limit"):
        fetcher.local_path(url)
    assert time.monotonic() - started < 10
    assert leftovers(fetcher) == []


@pytest.mark.parametrize("drip", DRIPS)
def test_slow_headers_hit_the_time_limit(tmp_path, drip):
    with dripping(*DRIPS[drip]) as url:
        _expect_time_limit(tmp_path, f"{url}/a.png")


def test_slow_tls_headers_hit_the_time_limit(tmp_path, secure):
    with dripping(*DRIPS["headers"], secure) as url:
        _expect_time_limit(tmp_path, f"{url.replace('127.0.0.1', 'localhost')}/a.png")


SLOW_OBJECT = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\nLast-Modified: Tue, 01 Dec 2026 00:00:00 GMT\r\n"
)


@pytest.mark.parametrize("drip", [*DRIPS, "body"])
def test_slow_s3_responses_hit_the_time_limit(tmp_path, monkeypatch, drip):
    s3fs = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test-secret-0123456789")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    head, piece = (SLOW_OBJECT + b"\r\n", b"a") if drip == "body" else DRIPS[drip]
    with dripping(head, piece) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        _expect_time_limit(tmp_path, "s3://bucket/a.png")
    s3fs.S3FileSystem.clear_instance_cache()


def test_redirects_share_one_time_limit(server, tmp_path):
    fetcher = Fetcher(True, 10**6, tmp_path, timeout=60, time_limit=0.3)
    with pytest.raises(MediaError, match=r"was not downloaded within 0\.3 s"):
        fetcher.local_path(f"{server.url}/lag-5")


def test_slow_body_hits_the_time_limit(server, tmp_path):
    fetcher = Fetcher(True, 10**6, tmp_path, timeout=60, time_limit=0.3)
    with pytest.raises(MediaError, match=r"drip was not downloaded within 0\.3 s.*time_limit"):
        fetcher.local_path(f"{server.url}/drip")
    assert leftovers(fetcher) == []


def test_refresh_replaces_the_cached_file(server, fetcher):
    first = fetcher.local_path(f"{server.url}/image.png")
    first.write_bytes(b"old")
    assert fetcher.local_path(f"{server.url}/image.png").read_bytes() == b"old"
    assert fetcher.local_path(f"{server.url}/image.png", refresh=True).read_bytes() == BODY
    assert len(leftovers(fetcher)) == 1


def test_unreachable_and_unknown_hosts_are_reported(fetcher):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(MediaError, match="is unreachable"):
        fetcher.local_path(f"http://127.0.0.1:{port}/x")
    with pytest.raises(MediaError, match=r"host a\.invalid cannot be resolved"):
        fetcher.local_path("http://a.invalid/x")


def test_redirects_are_limited(server, fetcher):
    assert fetcher.local_path(f"{server.url}/hop-5").suffix == ".png"
    with pytest.raises(MediaError, match="redirects more than 5 times"):
        fetcher.local_path(f"{server.url}/hop-6")
    with pytest.raises(MediaError, match="not http or https"):
        fetcher.local_path(f"{server.url}/to?file:///etc/passwd")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0.0.0.0",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "[::1]",
        "[fe80::1]",
        "[fd00::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
    ],
)
def test_private_addresses_are_rejected(tmp_path, host):
    fetcher = Fetcher(False, 1000, tmp_path, timeout=0.5)
    with pytest.raises(MediaError, match="has a private or reserved address"):
        fetcher.local_path(f"http://{host}/latest")


def test_every_redirect_is_checked(server, tmp_path, monkeypatch):
    # An allowed loopback address replaces a public one, which is unreachable here.
    monkeypatch.setattr(
        "barbule.media.fetching.fetcher.is_public", lambda a: str(a) == "127.0.0.1" or is_public(a)
    )
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    fetcher = Fetcher(False, len(BODY), tmp_path)
    assert fetcher.local_path(f"{server.url}/image").read_bytes() == BODY
    with pytest.raises(MediaError, match="private or reserved"):
        fetcher.local_path(f"{server.url}/to?http://127.0.0.2:{server.server_port}/image")
    assert [path for path, *_ in server.requests][-1].startswith("/to")


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """Return a TLS context for a server on localhost that clients trust."""
    if not shutil.which("openssl"):
        pytest.skip("openssl makes the certificate")
    subprocess.run(
        shlex.split(
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem "
            "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
        ),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    return context


def test_certificates_are_checked_for_the_host_name(fetcher, secure):
    with serving(secure) as server:
        path = fetcher.local_path(f"https://localhost:{server.server_port}/image")
        assert path.read_bytes() == BODY
        with pytest.raises(MediaError, match="is unreachable"):
            fetcher.local_path(f"https://127.0.0.1:{server.server_port}/image")


def test_data_uris_are_decoded(fetcher):
    path = fetcher.local_path("data:image/png;base64,YmFyYnM=")
    assert (path.read_bytes(), path.suffix) == (b"barbs", ".png")
    assert fetcher.local_path("data:,a%20barb").read_bytes() == b"a barb"
    with pytest.raises(MediaError, match="not valid base64"):
        fetcher.local_path("data:image/png;base64,***")
    with pytest.raises(MediaError, match="has no content"):
        fetcher.local_path("data:image/png")
    with pytest.raises(MediaError, match="is larger than"):
        fetcher.local_path("data:," + "x" * (len(BODY) * 2 + 1))


def test_bucket_objects_are_fetched_and_refreshed(fetcher):
    name = f"memory://{uuid.uuid4().hex}/a.webp"
    with fsspec.open(name, "wb") as file:
        file.write(b"one")
    path = fetcher.local_path(name)
    assert (path.read_bytes(), path.suffix) == (b"one", ".webp")
    assert fetcher.local_path(name) == path
    with fsspec.open(name, "wb") as file:
        file.write(b"two!")
    assert fetcher.local_path(name).read_bytes() == b"two!"
    with pytest.raises(MediaError, match="does not exist"):
        fetcher.local_path(name + "x")
    with pytest.raises(MediaError, match="is a directory"):
        fetcher.local_path(name.rpartition("/")[0])
    with pytest.raises(MediaError, match="chains URLs"):
        fetcher.local_path("memory://x::http://127.0.0.1/")


@pytest.mark.parametrize("uri", ["ftp://h/x", "simplecache::http://127.0.0.1/", "filecache://x"])
def test_other_schemes_are_rejected(fetcher, uri):
    with pytest.raises(MediaError, match=r"(is not supported|is not a local file|does not exist)"):
        fetcher.local_path(uri)
