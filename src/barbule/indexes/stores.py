"""Stores of vector indexes, opened by their URLs.

Owns the table of URL schemes. Imports an implementation, Chroma or NumPy only when a store needs
it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.errors import ConfigurationError
from barbule.extensions import INDEXES, extension, extension_names, missing_package_hint
from barbule.indexes.base import Graph

if TYPE_CHECKING:
    from collections.abc import Callable

    from barbule.indexes.base import IndexStore

__all__ = ["open_store"]


def open_store(url: str, graph: Graph | None = None) -> IndexStore:
    """Open the store of vector indexes that a URL names.

    Parameters
    ----------
    url
        `chroma:///path` (absolute) or `chroma://path` (relative) for a directory of this
        machine, `chroma+http://host:port` or `chroma+https://host:port` for a server,
        `exact:` for plain arrays in memory; or a scheme of an installed package.
    graph
        The parameters of approximate indexes.

    Returns
    -------
    IndexStore
        Even if the store cannot be used now: see its `usable` and `reason`.

    Raises
    ------
    ConfigurationError
        If the URL is none of these.

    Examples
    --------
    >>> store = open_store("exact:")
    >>> index = store.open("chunks.text", 2, "l2")
    >>> index.upsert([7, 8], [[0.0, 0.0], [3.0, 4.0]])
    >>> index.search([3.0, 4.0], k=1)[0].ids.tolist()
    [8]
    """
    scheme, colon, location = url.partition(":")
    opener = _OPENERS.get(scheme)
    if colon and opener is None and (installed := extension(INDEXES, scheme)) is not None:
        from barbule.indexes.installed import open_installed

        return open_installed(installed, location.removeprefix("//"), graph or Graph())
    if not colon or opener is None:
        schemes = dict.fromkeys((*_OPENERS, *extension_names(INDEXES)))
        allowed = ", ".join(f"{supported}:" for supported in schemes)
        raise ConfigurationError(
            f"no vector store has the scheme {scheme + colon!r}.",
            hint=f"Use one of {allowed} as in 'chroma:///data/vectors'. "
            f"{missing_package_hint(INDEXES, scheme)}".rstrip(),
        )
    return opener(location.removeprefix("//"), graph or Graph())


def _open_exact(location: str, _graph: Graph) -> IndexStore:
    from barbule.indexes.exact import ExactStore

    if location:
        raise ConfigurationError(
            "the exact vector store is in memory and takes no path.", hint="Write 'exact:'."
        )
    return ExactStore()


def _open_chroma(location: str, graph: Graph) -> IndexStore:
    from barbule.indexes.chroma.embedded import ChromaStore

    if not location:
        raise ConfigurationError(
            "the URL of the vector store has no directory.", hint="Write 'chroma:///data/vectors'."
        )
    return ChromaStore(location, graph)


def _open_server(location: str, graph: Graph, *, secure: bool) -> IndexStore:
    from urllib.parse import urlsplit

    from barbule.indexes.chroma.server import ChromaServerStore

    hint = "Write 'chroma+http://host:port'."
    parts = urlsplit(f"//{location}")
    if parts.username is not None or parts.password is not None:
        # The message does not show the URL: it contains a secret.
        raise ConfigurationError("the URL of the Chroma server holds credentials.", hint=hint)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(
            "the port of the Chroma server is not a number up to 65535.", hint=hint, value=location
        ) from error
    if not host or parts.path.strip("/") or parts.query:
        raise ConfigurationError(
            "the URL of the Chroma server takes only a host and a port.", hint=hint, value=location
        )
    return ChromaServerStore(host, port or (443 if secure else 8000), secure=secure, graph=graph)


_OPENERS: dict[str, Callable[[str, Graph], IndexStore]] = {
    "chroma": _open_chroma,
    "chroma+http": lambda location, graph: _open_server(location, graph, secure=False),
    "chroma+https": lambda location, graph: _open_server(location, graph, secure=True),
    "exact": _open_exact,
}
