"""LiteLLM's table of models, read without importing LiteLLM, which takes seconds.

Reads the table that ships with the installed LiteLLM. Values that are not in it are unknown (None),
never guessed.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["model_info", "vector_length"]

_TABLE = "model_prices_and_context_window_backup.json"

# Lengths that providers document and the table lacks, for calls without `dimensions`.
_VECTOR_LENGTHS = {
    "cohere/embed-english-v3.0": 1024,
    "cohere/embed-multilingual-v3.0": 1024,
    "cohere/embed-english-light-v3.0": 384,
    "cohere/embed-multilingual-light-v3.0": 384,
    "mistral/mistral-embed": 1024,
    "mistral/mistral-embed-2312": 1024,
    "mistral/codestral-embed": 1536,
    "mistral/codestral-embed-2505": 1536,
    "voyage/voyage-3": 1024,
    "voyage/voyage-3-large": 1024,
    "voyage/voyage-3-lite": 512,
    "voyage/voyage-3.5": 1024,
    "voyage/voyage-3.5-lite": 1024,
    "voyage/voyage-code-3": 1024,
    "voyage/voyage-finance-2": 1024,
    "voyage/voyage-law-2": 1024,
    "voyage/voyage-multimodal-3": 1024,
    "jina_ai/jina-embeddings-v3": 1024,
    "jina_ai/jina-embeddings-v4": 2048,
    "jina_ai/jina-clip-v2": 1024,
    "ollama/nomic-embed-text": 768,
    "ollama/mxbai-embed-large": 1024,
    "ollama/all-minilm": 384,
    "ollama/bge-m3": 1024,
    "ollama/snowflake-arctic-embed": 1024,
    "ollama/snowflake-arctic-embed2": 1024,
    "ollama/embeddinggemma": 768,
}

# Prefixes under which the same models are offered.
_EQUIVALENT_PREFIXES = {
    "azure": "openai",
    "vercel_ai_gateway": "",
    "openrouter": "",
    "github_copilot": "openai",
}


@functools.cache
def _table() -> Mapping[str, Any]:
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / _TABLE
        if file.exists():
            return json.loads(file.read_text(encoding="utf-8"))
    return {}


def model_info(model: str) -> Mapping[str, Any]:
    """Return LiteLLM's table entry of a model; empty when there is none.

    Parameters
    ----------
    model
        The name with its provider's prefix.

    Examples
    --------
    >>> model_info("openai/gpt-4o-mini")["mode"]
    'chat'
    >>> model_info("openai/of-my-own-server")
    {}
    """
    table = _table()
    return next((table[name] for name in _table_names(model) if name in table), {})


def vector_length(model: str) -> int | None:
    """Return the length of a model's vectors, None when it is not known.

    Parameters
    ----------
    model
        The name with its provider's prefix.

    Examples
    --------
    >>> vector_length("openai/text-embedding-3-small")
    1536
    """
    plain = model.split(":", 1)[0] if model.startswith("ollama/") else model
    for name in _table_names(plain):
        length = _table().get(name, {}).get("output_vector_size") or _VECTOR_LENGTHS.get(name)
        if length is not None:
            return int(length)
    return None


def _table_names(model: str) -> Iterator[str]:
    """Yield the names under which the table may list a model; they follow no single rule."""
    yield model
    prefix, _, name = model.partition("/")
    if name:
        # Only where the name without prefix belongs to this provider: "x/gpt-4o" may be anything.
        owner = _table().get(name, {}).get("litellm_provider", "")
        if owner.startswith(prefix.removesuffix("_chat")):
            yield name
        if (equivalent := _EQUIVALENT_PREFIXES.get(prefix)) is not None:
            yield from _table_names(f"{equivalent}/{name}" if equivalent else name)
