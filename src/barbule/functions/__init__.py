"""The functions of barbule, and the namespaces of model providers.

A namespace is a module: `from barbule.functions import openai`. Those of providers are made from
a table, see `providers`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from barbule.functions.providers import NAMESPACES, install

if TYPE_CHECKING:
    from barbule.functions import audio, document, huggingface, image, media, string, video
    from barbule.functions.audio import AudioSplitter
    from barbule.functions.document import DocumentSplitter
    from barbule.functions.providers import Namespace
    from barbule.functions.string import StringSplitter
    from barbule.functions.video import FrameIterator, VideoSplitter

    anthropic: Namespace
    azure: Namespace
    bedrock: Namespace
    cohere: Namespace
    gemini: Namespace
    groq: Namespace
    litellm: Namespace
    mistral: Namespace
    ollama: Namespace
    openai: Namespace
    openrouter: Namespace
    vertex_ai: Namespace
    vllm: Namespace
    voyage: Namespace

_MODULES = {"audio", "document", "huggingface", "image", "media", "string", "video"}
_NAMES = {
    "AudioSplitter": "barbule.functions.audio",
    "DocumentSplitter": "barbule.functions.document",
    "FrameIterator": "barbule.functions.video",
    "StringSplitter": "barbule.functions.string",
    "VideoSplitter": "barbule.functions.video",
}

__all__ = [
    "AudioSplitter",
    "DocumentSplitter",
    "FrameIterator",
    "StringSplitter",
    "VideoSplitter",
    "audio",
    "document",
    "huggingface",
    "image",
    "media",
    "string",
    "video",
]

install()


def __getattr__(name: str) -> Any:
    import barbule.functions.audio
    import barbule.functions.document
    import barbule.functions.image
    import barbule.functions.video
    import barbule.media.values

    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"barbule.functions.{name}")
    if name in NAMESPACES:
        return NAMESPACES[name]
    raise AttributeError(f"module 'barbule.functions' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *NAMESPACES})
