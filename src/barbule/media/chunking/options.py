"""What the options of a splitter mean.

Owns their checks; a wrong option fails before anything is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from barbule.errors import ConfigurationError
from barbule.media.chunking.fitting import Fitting

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Cutting", "cutting"]

_PARTS = ("heading", "page", "paragraph", "sentence")
_WAYS = ("recursive", "markdown", "code")
_LIMITS = ("char_limit", "token_limit")
_METADATA = ("title", "heading", "page", "sourceline", "bounding_box")
# A model of each encoding: the splitter knows the encodings by their models.
_ENCODINGS = {
    "cl100k_base": "gpt-4",
    "o200k_base": "gpt-4o",
    "p50k_base": "text-davinci-003",
    "r50k_base": "davinci",
}


class Cutting(NamedTuple):
    """Options that are known to be right.

    Parameters
    ----------
    separators
        The strings of the list form; None for the form of names.
    names
        The names of parts and ways.
    chunk_size
        The most characters of a chunk, in the list form.
    overlap
        What a chunk repeats of the one before.
    fitting
        The limit, in the form of names.
    """

    separators: tuple[str, ...] | None
    names: frozenset[str] = frozenset()
    chunk_size: int | None = None
    overlap: int = 0
    fitting: Fitting | None = None


def cutting(
    separators: Sequence[str] | str | None,
    *,
    chunk_size: int | None = None,
    overlap: int | None = None,
    limit: int | None = None,
    tiktoken_encoding: str | None = None,
    tiktoken_target_model: str | None = None,
) -> Cutting:
    """Check options, and put them together.

    Raises
    ------
    ConfigurationError
        If one is wrong; the message names it and what is allowed.
    """
    _check_size("chunk_size", chunk_size)
    _check_size("limit", limit)
    repeated = _checked_overlap(overlap, chunk_size, limit)
    if isinstance(separators, str):
        if chunk_size is not None:
            raise ConfigurationError(
                "chunk_size goes with a list of separators, not with names of parts.",
                hint='Give separators="…,char_limit" and limit=, or a list of separators.',
            )
        names = _names(separators, limit)
        fitting = None
        if limit is not None:
            model = _model(tiktoken_encoding, tiktoken_target_model)
            fitting = Fitting(limit, repeated, model if "token_limit" in names else None)
            _check_model(fitting, tiktoken_target_model)
        return Cutting(None, names, None, repeated, fitting)
    if limit is not None:
        raise ConfigurationError(
            "limit goes with separators given as a string of names.",
            hint='Give chunk_size=, or separators="char_limit".',
        )
    return Cutting(_checked(separators), frozenset(), chunk_size, repeated)


def check_metadata(metadata: Sequence[str] | str) -> None:
    """Check the names of what chunks shall tell.

    Raises
    ------
    ConfigurationError
        If one is not known.
    """
    names = metadata.split(",") if isinstance(metadata, str) else metadata
    for name in (name.strip() for name in names):
        if name and name not in _METADATA:
            raise ConfigurationError(
                f"metadata {name!r} is not known.", hint=f"Allowed: {_listed(_METADATA)}."
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _check_size(name: str, value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ConfigurationError(f"{name} must be a positive integer or None, not {value!r}.")


def _checked_overlap(overlap: int | None, chunk_size: int | None, limit: int | None) -> int:
    overlap = 0 if overlap is None else overlap
    if not isinstance(overlap, int) or isinstance(overlap, bool) or overlap < 0:
        raise ConfigurationError(f"overlap must be an integer from 0, not {overlap!r}.")
    name, most = ("limit", limit) if chunk_size is None else ("chunk_size", chunk_size)
    if overlap and most is None:
        raise ConfigurationError(
            "overlap needs a size.", hint="Give chunk_size= or limit= with it."
        )
    if most is not None and overlap >= most:
        raise ConfigurationError(f"overlap must be less than {name}={most}, not {overlap}.")
    return overlap


def _checked(separators: Sequence[str] | None) -> tuple[str, ...]:
    found = tuple(separators or ())
    for separator in found:
        if not isinstance(separator, str) or not separator:
            raise ConfigurationError(
                f"separators must be strings that are not empty, not {separator!r}.",
                hint="Leave it out: what is longer than chunk_size is cut further anyhow.",
            )
    return found


def _names(separators: str, limit: int | None) -> frozenset[str]:
    names = frozenset(name for part in separators.split(",") if (name := part.strip().lower()))
    known = (*_PARTS, *_WAYS, *_LIMITS)
    unknown = sorted(names.difference(known))
    if unknown:
        raise ConfigurationError(
            f"separators {_listed(unknown)} are not known.",
            hint=f"Allowed in a string: {_listed(known)}; to cut at other strings give a list.",
        )
    for several in (_LIMITS, _WAYS):
        if len(names.intersection(several)) > 1:
            raise ConfigurationError(
                f"separators may hold {' or '.join(map(repr, several))}, not both."
            )
    limited = names.intersection((*_LIMITS, *_WAYS))
    if limited and limit is None:
        raise ConfigurationError(f"separators with {_listed(sorted(limited))} need limit=.")
    if limit is not None and not limited:
        raise ConfigurationError(
            "limit needs 'char_limit' or 'token_limit' among the separators.",
            hint=f'Give separators="{separators},char_limit".',
        )
    return names


def _model(encoding: str | None, target: str | None) -> str:
    if target is not None:
        return target
    model = _ENCODINGS.get(encoding or "cl100k_base")
    if model is None:
        raise ConfigurationError(
            f"tiktoken_encoding {encoding!r} is not known.", hint=f"Allowed: {_listed(_ENCODINGS)}."
        )
    return model


def _check_model(fitting: Fitting, target: str | None) -> None:
    if target is not None and fitting.model is not None:
        try:
            fitting.fits("a" * (fitting.limit + 1))
        except Exception as error:
            raise ConfigurationError(
                f"tiktoken_target_model {target!r} is not known.",
                hint="Name a model of OpenAI, or give tiktoken_encoding=.",
            ) from error
