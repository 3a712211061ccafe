"""Fetching: a local file for whatever a URI names.

Owns which schemes and addresses may be reached, retries, size limits and the folder of
fetched files. Must not keep media for good (`store` does) nor look into what it fetched.

A URL is fetched once: what is in the cache is not asked for again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import mimetypes
import re
import socket
import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from barbule.errors import MediaError
from barbule.locations import file_from_uri, redact_uri
from barbule.media.deadline import Deadline
from barbule.media.storage.file_cache import FileCache

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Collection, Iterable, Iterator
    from pathlib import Path

    import httpx

__all__ = ["Fetcher"]

# Schemes that name an object in a bucket. Others that fsspec knows (chained ones, ftp, http by
# another name) would go round the check of addresses.
_BUCKETS = frozenset(
    ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "hf", "memory")
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(//)?")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")
_VAGUE_TYPES = frozenset(("", "application/octet-stream", "binary/octet-stream", "text/plain"))
_PIECE = 1 << 20
_MOST_REDIRECTS = 5
_RETRIES = 2
_FIRST_PAUSE = 0.2
_MOST_KEYS = 100_000
_TOO_MANY_REQUESTS, _SERVER_ERROR, _CLIENT_ERROR = 429, 500, 400
_GONE = frozenset((404, 410))
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Fetcher:
    """Gives a local file for a path or URI.

    Parameters
    ----------
    allow_private
        Whether hosts on loopback, private, link-local and reserved addresses may be reached.
    max_bytes
        The largest content that is fetched.
    cache_dir
        The folder of fetched files; made when it is needed.
    timeout
        Seconds to wait for a connection, and for each part of an answer.
    time_limit
        Seconds that the whole of a file may take, with all that leads to it.
    cache
        Where fetched files are kept, by default without a bound in `cache_dir`.
    private_hosts
        Hosts that may be reached on such addresses all the same, wherever a URL leads to them.

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
        self._found: dict[str, str] = {}

    def local_path(self, uri: str, *, again: bool = False) -> Path:
        """Return a local file with the content of a URI, fetching it if need be.

        Parameters
        ----------
        uri
            A path, or a URI of `file`, `http`, `https`, `data`, `s3`, `gs`, `az` or another
            bucket that fsspec reads.
        again
            Whether what was fetched of a web server before is fetched anew.

        Returns
        -------
        pathlib.Path
            An absolute path; of a local file its own.

        Raises
        ------
        MediaError
            If it is missing, refused, too large, unreachable or of an unknown scheme. Its
            `retryable` is true where the same attempt may succeed later.
        """
        found = _SCHEME.match(uri)
        scheme = found[1].lower() if found else ""
        if scheme in {"http", "https"}:
            return self._from_web(uri, again)
        if scheme == "data":
            return self._from_data(uri)
        if scheme in _BUCKETS and found and found[2]:
            return self._from_bucket(uri)
        if scheme != "file" and found and found[2]:
            raise MediaError(
                f"{redact_uri(uri)} has a scheme that is not supported.",
                hint="Use a path, file://, http://, https://, data:, s3://, gs:// or az://.",
            )
        return file_from_uri(uri)

    @staticmethod
    def is_local(uri: str) -> bool:
        """Whether a URI names a file of this machine."""
        found = _SCHEME.match(uri)
        scheme = found[1].lower() if found else ""
        return scheme in {"", "file"} or not (scheme == "data" or (found and found[2]))

    def is_fetched(self, uri: str) -> bool:
        """Whether nothing has to be asked for: what is local, inline or already fetched."""
        found = _SCHEME.match(uri)
        scheme = found[1].lower() if found else ""
        if scheme in {"http", "https"}:
            return self._known(uri.partition("#")[0]) is not None
        return not (scheme in _BUCKETS and found and found[2])

    def _known(self, key: str) -> Path | None:
        name = self._found.get(key)
        if name is not None and (path := self._cache.find(name)) is not None:
            return path
        stem = hashlib.sha256(key.encode()).hexdigest()
        # Unfinished files begin with a dot and are not matched.
        found = sorted((self._cache_dir / stem[:2]).glob(f"{stem}*"))
        return self._remembered(key, found[0].name) if found else None

    def _remembered(self, key: str, name: str) -> Path | None:
        if len(self._found) >= _MOST_KEYS:
            self._found.clear()
        folder = self._cache_dir.absolute().relative_to(self._cache.folder)
        self._found[key] = str(folder / name[:2] / name)
        return self._cache.find(self._found[key])

    def _keep(
        self, key: str, suffix: str, pieces: Iterable[bytes], shown: str, deadline: Deadline
    ) -> Path:
        stem = hashlib.sha256(key.encode()).hexdigest()
        folder = self._cache_dir.absolute().relative_to(self._cache.folder)
        name = f"{folder}/{stem[:2]}/{stem}{suffix}"
        path = self._cache.keep(name, self._bounded(pieces, shown, deadline))
        for old in path.parent.glob(f"{stem}*"):
            if old != path:  # it had another type when it was fetched before
                old.unlink(missing_ok=True)
        return path

    def _bounded(self, pieces: Iterable[bytes], shown: str, deadline: Deadline) -> Iterator[bytes]:
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > self._max_bytes:
                raise self._too_large(shown)
            if deadline.passed:
                raise _over_time(shown, deadline)
            yield piece
        if deadline.passed:  # where no length is declared, a file that is cut off looks whole
            raise _over_time(shown, deadline)

    def _too_large(self, shown: str) -> MediaError:
        return MediaError(
            f"{shown} is larger than {self._max_bytes} bytes.",
            hint="Raise max_bytes in [media] of the configuration.",
        )

    def _from_data(self, uri: str) -> Path:
        shown = redact_uri(uri)
        known = self._known(uri)
        if known:
            return known
        head, comma, body = uri[len("data:") :].partition(",")
        mime, *options = [part.strip().lower() for part in head.split(";")]
        try:
            content = unquote_to_bytes(body)
            if "base64" in options:
                content = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MediaError(
                f"{shown} is not valid base64.", hint="Encode its content again."
            ) from error
        if not comma:
            raise MediaError(
                f"{shown} has no content.", hint="A data URI is data:<type>,<content>."
            )
        suffix = mimetypes.guess_extension(mime) or ""
        return self._keep(uri, suffix, [content], shown, Deadline(self._time_limit))

    def _from_bucket(self, uri: str) -> Path:
        import fsspec.core

        shown, deadline = redact_uri(uri), Deadline(self._time_limit)
        if "::" in uri:
            raise MediaError(f"{shown} chains URLs.", hint="Name the object itself.")
        with _bucket_errors(shown, deadline):
            fs, path = fsspec.core.url_to_fs(uri)
            info = deadline.call(fs.info, path)
            # An object may be replaced under its name; its state is part of the key.
            key = f"{uri}\n{deadline.call(fs.ukey, path)}"
        if info.get("type") == "directory":
            raise MediaError(f"{shown} is a directory.", hint="Name a file in it.")
        if (info.get("size") or 0) > self._max_bytes:
            raise self._too_large(shown)
        known = self._known(key)
        if known:
            return known
        with _bucket_errors(shown, deadline), deadline.call(fs.open, path, "rb") as file:

            def read() -> bytes:
                with _bucket_errors(shown, deadline):  # to who writes it no answer is no disk
                    return deadline.call(file.read, _PIECE)

            return self._keep(key, _path_suffix(path), iter(read, b""), shown, deadline)

    def _from_web(self, uri: str, again: bool) -> Path:
        url = uri.partition("#")[0]
        known = None if again else self._known(url)
        if known:
            return known
        deadline = Deadline(self._time_limit)
        for attempt in range(_RETRIES):
            try:
                return self._downloaded(url, attempt, deadline)
            except MediaError as error:
                pause = _FIRST_PAUSE * 2**attempt
                if not error.retryable or pause > deadline.remaining:
                    raise
                time.sleep(pause)
        return self._downloaded(url, _RETRIES, deadline)

    def _downloaded(self, url: str, attempt: int, deadline: Deadline) -> Path:
        import httpx

        hop, shown = url, redact_uri(url)
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                with deadline.watching() as trace:
                    done = self._hop(httpx.URL(hop), url, shown, attempt, deadline, trace)
            except (httpx.InvalidURL, UnicodeError):  # names of hosts that IDNA does not have
                raise MediaError(f"{shown} is not a valid URL.", hint="Check it.") from None
            except httpx.HTTPError as error:
                raise self._explained(error, shown, deadline) from None
            if not isinstance(done, str):
                return done
            hop = done
        raise MediaError(
            f"{shown} redirects more than {_MOST_REDIRECTS} times.", hint="Give the final URL."
        )

    def _explained(self, error: httpx.HTTPError, shown: str, deadline: Deadline) -> MediaError:
        import httpx

        if deadline.passed:
            return _over_time(shown, deadline)
        if isinstance(error, httpx.ConnectTimeout):
            return _failed(f"{shown}: no connection in {self._timeout:g} s.")
        if isinstance(error, httpx.TimeoutException):
            return _failed(f"{shown}: no answer in {self._timeout:g} s (timeout).")
        return _failed(f"{shown} is unreachable ({type(error).__name__}).", retryable=True)

    def _hop(
        self,
        url: httpx.URL,
        asked: str,
        shown: str,
        attempt: int,
        deadline: Deadline,
        trace: Callable[[str, dict[str, Any]], None],
    ) -> Path | str:
        """Ask one address; return the file, or the URL to which the answer points."""
        import httpx

        if url.scheme not in {"http", "https"} or not url.host:
            raise MediaError(
                f"{shown} leads to a URL that is not http or https.", hint="Give the final URL."
            )
        addresses = self._addresses(url, shown)
        address = addresses[attempt % len(addresses)]
        # The checked address itself is asked, so no second look-up can give another one; the
        # name goes into the Host header and the TLS handshake. A proxy of the environment is
        # for the public network. Connections are not kept: pooled by address, one could serve
        # another host's name.
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        extensions = {"sni_hostname": url.raw_host.decode("ascii"), "trace": trace}
        timeout = min(self._timeout, deadline.remaining)
        direct = url.copy_with(host=str(address))
        with (
            httpx.Client(verify=self._ssl, timeout=timeout, trust_env=_public(address)) as client,
            client.stream("GET", direct, headers=headers, extensions=extensions) as response,
        ):
            return self._answer(response, url, asked, shown, deadline)

    def _answer(
        self, response: httpx.Response, url: httpx.URL, asked: str, shown: str, deadline: Deadline
    ) -> Path | str:
        status = response.status_code
        if response.has_redirect_location:
            return str(url.join(response.headers["Location"]))
        if status >= _CLIENT_ERROR:
            later = status >= _SERVER_ERROR or status == _TOO_MANY_REQUESTS
            error = _failed(f"{shown}: the server answered {status}.", retryable=later)
            error.gone = status in _GONE
            raise error
        declared = response.headers.get("Content-Length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise self._too_large(shown)
        suffix = _web_suffix(response.headers.get("Content-Type", ""), url.path)
        return self._keep(asked, suffix, response.iter_bytes(), shown, deadline)

    @cached_property
    def _ssl(self) -> ssl.SSLContext:
        import httpx

        return httpx.create_ssl_context()

    def _addresses(self, url: httpx.URL, shown: str) -> list[_Address]:
        host = url.raw_host.decode("ascii").strip("[]")
        try:
            answers = socket.getaddrinfo(host, url.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise _failed(f"{shown}: the host {host} is not known.", retryable=True) from None
        found = list(dict.fromkeys(ipaddress.ip_address(_plain(item[4][0])) for item in answers))
        allowed = self._allow_private or host in self._private_hosts
        if not allowed and not all(map(_public, found)):
            raise MediaError(
                f"{shown} is refused: {host} is on a private or reserved address.",
                hint="Set allow_private = true in [media] of the configuration to allow it.",
            )
        return found


@contextmanager
def _bucket_errors(shown: str, deadline: Deadline) -> Iterator[None]:
    try:
        yield
    except MediaError:
        raise
    except TimeoutError:
        if deadline.passed:
            raise _over_time(shown, deadline) from None
        raise _failed(f"{shown}: no answer (timeout).", retryable=True) from None
    except ImportError as error:
        raise MediaError(
            f"{shown} needs a package that is not installed.",
            hint="Install s3fs for s3://, gcsfs for gs://, adlfs for az://.",
        ) from error
    except FileNotFoundError:
        missing = MediaError(f"{shown} does not exist.", hint="Check the name.")
        missing.gone = True
        raise missing from None
    # Each cloud's client has errors of its own, some with signed URLs in their text.
    except Exception as error:  # noqa: BLE001 - others' code may raise anything
        raise MediaError(
            f"{shown} cannot be read: {type(error).__name__}.",
            hint="Check the name and the credentials in the environment.",
        ) from None


def _over_time(shown: str, deadline: Deadline) -> MediaError:
    return MediaError(
        f"{shown} was not there in {deadline.seconds:g} s.",
        hint="Raise time_limit in [media] of the configuration.",
    )


def _failed(message: str, *, retryable: bool = False) -> MediaError:
    hint = "Try again later." if retryable else "Check that the URL can be reached."
    error = MediaError(message, hint=hint)
    error.retryable = retryable
    return error


def _plain(address: Any) -> str:
    return str(address).partition("%")[0]  # without the zone of a link-local address


def _public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _public(inner)
        if address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _path_suffix(path: str) -> str:
    _, dot, ending = path.rpartition("/")[2].rpartition(".")
    suffix = f".{ending}".lower()
    return suffix if dot and _SUFFIX.fullmatch(suffix) else ""


def _web_suffix(content_type: str, path: str) -> str:
    mime = content_type.partition(";")[0].strip().lower()
    own = _path_suffix(path)
    # A server that says text/plain or nothing knows less than the name of the file.
    if own and mime in _VAGUE_TYPES:
        return own
    return mimetypes.guess_extension(mime) or own
