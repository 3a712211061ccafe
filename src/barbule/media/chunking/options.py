"""The options for splitting a document or a text into chunks.

Owns their validation; an invalid option fails before anything is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from barbule.errors import ConfigurationError
from barbule.media.chunking.size_limit import SizeLimit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["ChunkingOptions", "chunking_options"]

_PART_NAMES = ("heading", "page", "paragraph", "sentence")
_STRATEGIES = ("recursive", "markdown", "code")
_LIMIT_NAMES = ("char_limit", "token_limit")
_METADATA_NAMES = ("title", "heading", "page", "sourceline", "bounding_box")
# A model of each encoding: the splitter selects encodings by model.
_MODEL_BY_ENCODING = {
    "cl100k_base": "gpt-4",
    "o200k_base": "gpt-4o",
    "p50k_base": "text-davinci-003",
    "r50k_base": "davinci",
}


class ChunkingOptions(NamedTuple):
    """Options of splitting, checked.

    Parameters
    ----------
    separators
        The strings of the list form; None for the form of names.
    names
        The names of parts and strategies.
    chunk_size
        The maximum number of characters of a chunk, in the list form.
    overlap
        The overlap of a chunk with the previous one.
    fitting
        The limit, in the form of names.
    """

    separators: tuple[str, ...] | None
    names: frozenset[str] = frozenset()
    chunk_size: int | None = None
    overlap: int = 0
    size_limit: SizeLimit | None = None


def chunking_options(
    separators: Sequence[str] | str | None,
    *,
    chunk_size: int | None = None,
    overlap: int | None = None,
    limit: int | None = None,
    tiktoken_encoding: str | None = None,
    tiktoken_target_model: str | None = None,
) -> ChunkingOptions:
    """Validate options, and combine them.

    Raises
    ------
    ConfigurationError
        If one is invalid; the message names it and the allowed values.
    """
    _check_size("chunk_size", chunk_size)
    _check_size("limit", limit)
    repeated = _valid_overlap(overlap, chunk_size, limit)
    if isinstance(separators, str):
        if chunk_size is not None:
            raise ConfigurationError(
                "chunk_size requires a list of separators, not a string of names.",
                hint='Pass separators="…,char_limit" and limit=, or a list of separators.',
            )
        names = _names(separators, limit)
        size_limit = None
        if limit is not None:
            model = _model(tiktoken_encoding, tiktoken_target_model)
            size_limit = SizeLimit(limit, repeated, model if "token_limit" in names else None)
            _check_model(size_limit, tiktoken_target_model)
        return ChunkingOptions(None, names, None, repeated, size_limit)
    if limit is not None:
        raise ConfigurationError(
            "limit requires separators as a string of names.",
            hint='Pass chunk_size=, or separators="char_limit".',
        )
    return ChunkingOptions(_valid_separators(separators), frozenset(), chunk_size, repeated)


def check_metadata(metadata: Sequence[str] | str) -> None:
    """Check the names of metadata columns.

    Raises
    ------
    ConfigurationError
        If one is not supported.
    """
    names = metadata.split(",") if isinstance(metadata, str) else metadata
    for name in (name.strip() for name in names):
        if name and name not in _METADATA_NAMES:
            raise ConfigurationError(
                f"metadata {name!r} is not supported.", hint=f"Allowed: {_quoted(_METADATA_NAMES)}."
            )


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names))


def _check_size(name: str, value: int | None) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ConfigurationError(f"{name} must be a positive integer or None, not {value!r}.")


def _valid_overlap(overlap: int | None, chunk_size: int | None, limit: int | None) -> int:
    overlap = 0 if overlap is None else overlap
    if not isinstance(overlap, int) or isinstance(overlap, bool) or overlap < 0:
        raise ConfigurationError(f"overlap must be an integer of 0 or more, not {overlap!r}.")
    name, size = ("limit", limit) if chunk_size is None else ("chunk_size", chunk_size)
    if overlap and size is None:
        raise ConfigurationError(
            "overlap requires a size.", hint="Pass chunk_size= or limit= as well."
        )
    if size is not None and overlap >= size:
        raise ConfigurationError(f"overlap must be less than {name}={size}, not {overlap}.")
    return overlap


def _valid_separators(separators: Sequence[str] | None) -> tuple[str, ...]:
    strings = tuple(separators or ())
    for separator in strings:
        if not isinstance(separator, str) or not separator:
            raise ConfigurationError(
                f"separators must be non-empty strings, not {separator!r}.",
                hint="Remove it: chunks longer than chunk_size are split in any case.",
            )
    return strings


def _names(separators: str, limit: int | None) -> frozenset[str]:
    names = frozenset(name for part in separators.split(",") if (name := part.strip().lower()))
    allowed = (*_PART_NAMES, *_STRATEGIES, *_LIMIT_NAMES)
    unknown = sorted(names.difference(allowed))
    if unknown:
        raise ConfigurationError(
            f"separators {_quoted(unknown)} are not supported.",
            hint=f"Allowed in a string: {_quoted(allowed)}; to split at other strings, pass a "
            "list.",
        )
    for exclusive in (_LIMIT_NAMES, _STRATEGIES):
        if len(names.intersection(exclusive)) > 1:
            raise ConfigurationError(
                f"separators may hold {' or '.join(map(repr, exclusive))}, not both."
            )
    limited_names = names.intersection((*_LIMIT_NAMES, *_STRATEGIES))
    if limited_names and limit is None:
        raise ConfigurationError(f"separators with {_quoted(sorted(limited_names))} need limit=.")
    if limit is not None and not limited_names:
        raise ConfigurationError(
            "limit requires 'char_limit' or 'token_limit' among the separators.",
            hint=f'Give separators="{separators},char_limit".',
        )
    return names


def _model(encoding: str | None, target: str | None) -> str:
    if target is not None:
        return target
    model = _MODEL_BY_ENCODING.get(encoding or "cl100k_base")
    if model is None:
        raise ConfigurationError(
            f"tiktoken_encoding {encoding!r} is not supported.",
            hint=f"Allowed: {_quoted(_MODEL_BY_ENCODING)}.",
        )
    return model


def _check_model(size_limit: SizeLimit, target: str | None) -> None:
    if target is not None and size_limit.model is not None:
        try:
            size_limit.fits("a" * (size_limit.limit + 1))
        except Exception as error:
            raise ConfigurationError(
                f"tiktoken_target_model {target!r} is not supported.",
                hint="Pass the name of an OpenAI model, or pass tiktoken_encoding=.",
            ) from error
