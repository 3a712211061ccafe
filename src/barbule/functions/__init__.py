"""The functions of barbule, and the namespaces of model providers.

A namespace is a module: `from barbule.functions import openai`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from barbule.functions import document, image, media, string
    from barbule.functions.document import DocumentSplitter

_MODULES = {"document", "image", "media", "string"}
_NAMES = {"DocumentSplitter": "barbule.functions.document"}

__all__ = ["DocumentSplitter", "document", "image", "media", "string"]


def __getattr__(name: str) -> Any:
    import barbule.media.values

    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"barbule.functions.{name}")
    from barbule.functions.providers import PROVIDERS

    if name in PROVIDERS:
        return importlib.import_module(f"barbule.functions.{name}")
    raise AttributeError(f"module 'barbule.functions' has no attribute {name!r}")
