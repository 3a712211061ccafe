"""The fetcher: downloads a local file for each URI.

Owns which schemes and hosts may be reached, redirects, retries, size limits and the names of
downloaded files. Must not store media permanently (`storage` does) nor inspect the downloaded
content.

A URL is downloaded once: a cached file is not requested again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import re
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from barbule.errors import MediaError
from barbule.locations import file_from_uri, redact_uri
from barbule.media.fetching.deadline import Deadline
from barbule.media.fetching.fetch_errors import bucket_errors, fetch_error, timeout_error
from barbule.media.fetching.host_addresses import host_addresses, is_public
from barbule.media.fetching.limited_files import LimitedFiles
from barbule.media.storage.file_cache import FileCache

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    import httpx

    from barbule.media.fetching.host_addresses import Address

__all__ = ["Fetcher"]

# Schemes that name an object in a bucket. Others that fsspec supports (chained ones, ftp, http
# under another name) would bypass the check of addresses.
_BUCKET_SCHEMES = frozenset(
    ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "hf", "memory")
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//)?")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")
_VAGUE_TYPES = frozenset(("", "application/octet-stream", "binary/octet-stream", "text/plain"))
_CHUNK_BYTES = 1 << 20
_MAX_REDIRECTS = 5
_MAX_RETRIES = 2
_FIRST_PAUSE_SECONDS = 0.2
_MAX_KEYS = 100_000
_TOO_MANY_REQUESTS, _SERVER_ERROR, _CLIENT_ERROR = 429, 500, 400
_GONE_STATUSES = frozenset((404, 410))


class Fetcher:
    """Returns a local file for a path or URI.

    Parameters
    ----------
    allow_private
        Whether hosts on loopback, private, link-local and reserved addresses may be reached.
    max_bytes
        The size limit of downloaded content.
    cache_dir
        The folder of downloaded files, created on first use.
    timeout
        Seconds to wait for a connection, and for each part of a response.
    time_limit
        The maximum seconds for a file, including its redirects and retries.
    cache
        The cache of downloaded files, by default an unlimited one in `cache_dir`.
    private_hosts
        Hosts that may be reached at such addresses, whichever URL leads to them.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> fetcher = Fetcher(False, 1 << 20, pathlib.Path(tempfile.mkdtemp()))
    >>> fetcher.local_path("data:text/plain;base64,YmFyYnM=").read_text()
    'barbs'
    """

    def __init__(
        self,
        allow_private: bool,
        max_bytes: int,
        cache_dir: Path,
        timeout: float = 30.0,
        *,
        time_limit: float = 300.0,
        cache: FileCache | None = None,
        private_hosts: Collection[str] = (),
    ) -> None:
        self._allow_private = allow_private
        self._private_hosts = frozenset(private_hosts)
        self._max_bytes = max_bytes
        self._cache_dir = cache_dir
        self._cache = cache or FileCache(cache_dir)
        self._timeout = timeout
        self._time_limit = time_limit
        self._names_by_key: dict[str, str] = {}

    def local_path(self, uri: str, *, refresh: bool = False) -> Path:
        """Return a local file with the content of a URI; download it if necessary.

        Parameters
        ----------
        uri
            A path, or a URI of `file`, `http`, `https`, `data`, `s3`, `gs`, `az` or another
            bucket that fsspec reads.
        refresh
            Whether to download a cached file from a web server again.

        Returns
        -------
        pathlib.Path
            An absolute path; for a local file its own path.

        Raises
        ------
        MediaError
            If it is missing, refused, too large, unreachable or has an unsupported scheme. Its
            `retryable` is true if the same attempt may succeed later.
        """
        match = _SCHEME.match(uri)
        scheme = match[1].lower() if match else ""
        if scheme in {"http", "https"}:
            return self._from_web(uri, refresh)
        if scheme == "data":
            return self._from_data(uri)
        if scheme in _BUCKET_SCHEMES and match and match[2]:
            return self._from_bucket(uri)
        if scheme != "file" and match and match[2]:
            raise MediaError(
                f"{redact_uri(uri)} has a scheme that is not supported.",
                hint="Use a path, file://, http://, https://, data:, s3://, gs:// or az://.",
            )
        return file_from_uri(uri)

    @staticmethod
    def is_local(uri: str) -> bool:
        """Whether a URI names a file on this machine."""
        match = _SCHEME.match(uri)
        scheme = match[1].lower() if match else ""
        return scheme in {"", "file"} or not (scheme == "data" or (match and match[2]))

    def is_fetched(self, uri: str) -> bool:
        """Whether no request is needed: the file is local, inline or already downloaded."""
        match = _SCHEME.match(uri)
        scheme = match[1].lower() if match else ""
        if scheme in {"http", "https"}:
            return self._cached_file(uri.partition("#")[0]) is not None
        return not (scheme in _BUCKET_SCHEMES and match and match[2])

    def _cached_file(self, key: str) -> Path | None:
        name = self._names_by_key.get(key)
        if name is not None and (path := self._cache.find(name)) is not None:
            return path
        stem = hashlib.sha256(key.encode()).hexdigest()
        # Unfinished files start with a dot and are not matched.
        paths = sorted((self._cache_dir / stem[:2]).glob(f"{stem}*"))
        return self._remember(key, paths[0].name) if paths else None

    def _remember(self, key: str, name: str) -> Path | None:
        if len(self._names_by_key) >= _MAX_KEYS:
            self._names_by_key.clear()
        folder = self._cache_dir.absolute().relative_to(self._cache.folder)
        self._names_by_key[key] = str(folder / name[:2] / name)
        return self._cache.find(self._names_by_key[key])

    def _store(
        self, key: str, suffix: str, chunks: Iterable[bytes], label: str, deadline: Deadline
    ) -> Path:
        stem = hashlib.sha256(key.encode()).hexdigest()
        folder = self._cache_dir.absolute().relative_to(self._cache.folder)
        name = f"{folder}/{stem[:2]}/{stem}{suffix}"
        path = self._cache.keep(name, self._limited(chunks, label, deadline))
        for previous in path.parent.glob(f"{stem}*"):
            if previous != path:  # it had another type when it was downloaded before
                previous.unlink(missing_ok=True)
        return path

    def _limited(self, chunks: Iterable[bytes], label: str, deadline: Deadline) -> Iterator[bytes]:
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large(label)
            if deadline.passed:
                raise timeout_error(label, deadline)
            yield chunk
        if deadline.passed:  # if no length is declared, a truncated file looks complete
            raise timeout_error(label, deadline)

    def _too_large(self, label: str) -> MediaError:
        return MediaError(
            f"{label} is larger than {self._max_bytes} bytes.",
            hint="Raise max_bytes in [media] of the configuration.",
        )

    def _from_data(self, uri: str) -> Path:
        label = redact_uri(uri)
        cached = self._cached_file(uri)
        if cached:
            return cached
        head, comma, body = uri[len("data:") :].partition(",")
        mime, *options = [part.strip().lower() for part in head.split(";")]
        try:
            content = unquote_to_bytes(body)
            if "base64" in options:
                content = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MediaError(
                f"{label} is not valid base64.", hint="Encode its content again."
            ) from error
        if not comma:
            raise MediaError(
                f"{label} has no content.", hint="A data URI is data:<type>,<content>."
            )
        suffix = mimetypes.guess_extension(mime) or ""
        return self._store(uri, suffix, [content], label, Deadline(self._time_limit))

    def _from_bucket(self, uri: str) -> Path:
        import fsspec.core

        label, deadline = redact_uri(uri), Deadline(self._time_limit)
        if "::" in uri:
            raise MediaError(f"{label} chains URLs.", hint="Pass the URL of the object itself.")
        with bucket_errors(label, deadline):
            fs, path = fsspec.core.url_to_fs(uri)
            info = LimitedFiles(fs, deadline.remaining).info(path)
            # An object may be replaced under its name; its state is part of the key.
            key = f"{uri}\n{deadline.call(fs.ukey, path)}"
        if info.get("type") == "directory":
            raise MediaError(f"{label} is a directory.", hint="Pass a file in it.")
        if (info.get("size") or 0) > self._max_bytes:
            raise self._too_large(label)
        cached = self._cached_file(key)
        if cached:
            return cached
        with bucket_errors(label, deadline), deadline.call(fs.open, path, "rb") as file:

            def read() -> bytes:
                with bucket_errors(label, deadline):  # not a disk error of its writer
                    return deadline.call(file.read, _CHUNK_BYTES)

            return self._store(key, _path_suffix(path), iter(read, b""), label, deadline)

    def _from_web(self, uri: str, refresh: bool) -> Path:
        url = uri.partition("#")[0]
        cached = None if refresh else self._cached_file(url)
        if cached:
            return cached
        deadline = Deadline(self._time_limit)
        for attempt in range(_MAX_RETRIES):
            try:
                return self._download(url, attempt, deadline)
            except MediaError as error:
                pause = _FIRST_PAUSE_SECONDS * 2**attempt
                if not error.retryable or pause > deadline.remaining:
                    raise
                time.sleep(pause)
        return self._download(url, _MAX_RETRIES, deadline)

    def _download(self, url: str, attempt: int, deadline: Deadline) -> Path:
        import httpx

        hop, label = url, redact_uri(url)
        for _ in range(_MAX_REDIRECTS + 1):
            try:
                with deadline.watching() as trace:
                    result = self._request(httpx.URL(hop), url, label, attempt, deadline, trace)
            except (httpx.InvalidURL, UnicodeError):  # host names that IDNA does not support
                raise MediaError(f"{label} is not a valid URL.", hint="Check it.") from None
            except httpx.HTTPError as error:
                raise self._http_error(error, label, deadline) from None
            if not isinstance(result, str):
                return result
            hop = result
        raise MediaError(
            f"{label} redirects more than {_MAX_REDIRECTS} times.", hint="Pass the final URL."
        )

    def _http_error(self, error: httpx.HTTPError, label: str, deadline: Deadline) -> MediaError:
        import httpx

        if deadline.passed:
            return timeout_error(label, deadline)
        if isinstance(error, httpx.ConnectTimeout):
            return fetch_error(f"{label}: no connection within {self._timeout:g} s.")
        if isinstance(error, httpx.TimeoutException):
            return fetch_error(f"{label}: no answer within {self._timeout:g} s (timeout).")
        return fetch_error(f"{label} is unreachable ({type(error).__name__}).", retryable=True)

    def _request(
        self,
        url: httpx.URL,
        requested_url: str,
        label: str,
        attempt: int,
        deadline: Deadline,
        trace: Callable[[str, dict[str, Any]], None],
    ) -> Path | str:
        """Send one request; return the file, or the URL to which it is redirected."""
        import httpx

        if url.scheme not in {"http", "https"} or not url.host:
            raise MediaError(
                f"{label} redirects to a URL that is not http or https.", hint="Pass the final URL."
            )
        addresses = self._addresses(url, label)
        address = addresses[attempt % len(addresses)]
        # The request goes to the checked address, so no second look-up can return another; the name
        # is sent in the Host header and the TLS handshake. A proxy of the environment is used for
        # the public network. Connections are not kept: pooled by address, one could serve another
        # host's name.
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        extensions = {"sni_hostname": url.raw_host.decode("ascii"), "trace": trace}
        timeout = min(self._timeout, deadline.remaining)
        direct = url.copy_with(host=str(address))
        with (
            httpx.Client(verify=self._ssl, timeout=timeout, trust_env=is_public(address)) as client,
            client.stream("GET", direct, headers=headers, extensions=extensions) as response,
        ):
            return self._handle_response(response, url, requested_url, label, deadline)

    def _handle_response(
        self,
        response: httpx.Response,
        url: httpx.URL,
        requested_url: str,
        label: str,
        deadline: Deadline,
    ) -> Path | str:
        status = response.status_code
        if response.has_redirect_location:
            return str(url.join(response.headers["Location"]))
        if status >= _CLIENT_ERROR:
            retryable = status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS
            error = fetch_error(
                f"{label}: the server returned status {status}.", retryable=retryable
            )
            error.gone = status in _GONE_STATUSES
            raise error
        declared = response.headers.get("Content-Length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise self._too_large(label)
        suffix = _web_suffix(response.headers.get("Content-Type", ""), url.path)
        return self._store(requested_url, suffix, response.iter_bytes(), label, deadline)

    @cached_property
    def _ssl(self) -> ssl.SSLContext:
        import httpx

        return httpx.create_ssl_context()

    def _addresses(self, url: httpx.URL, label: str) -> list[Address]:
        host = url.raw_host.decode("ascii").strip("[]")
        try:
            addresses = host_addresses(host, url.port)
        except (OSError, UnicodeError):
            raise fetch_error(
                f"{label}: the host {host} cannot be resolved.", retryable=True
            ) from None
        allowed = self._allow_private or host in self._private_hosts
        if not allowed and not all(map(is_public, addresses)):
            raise MediaError(
                f"{label} is blocked: {host} has a private or reserved address.",
                hint="Set allow_private = true in [media] of the configuration to allow it.",
            )
        return addresses


def _path_suffix(path: str) -> str:
    _, dot, extension = path.rpartition("/")[2].rpartition(".")
    suffix = f".{extension}".lower()
    return suffix if dot and _SUFFIX.fullmatch(suffix) else ""


def _web_suffix(content_type: str, path: str) -> str:
    mime = content_type.partition(";")[0].strip().lower()
    path_suffix = _path_suffix(path)
    # A server that returns text/plain or nothing is less reliable than the file name.
    if path_suffix and mime in _VAGUE_TYPES:
        return path_suffix
    return mimetypes.guess_extension(mime) or path_suffix
