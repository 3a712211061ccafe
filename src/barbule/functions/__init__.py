"""The functions of barbule, and the namespaces of model providers.

A namespace is a module: `from barbule.functions import openai`. The namespaces of providers are
created from a table, see `providers`.

Importing anything from this package adds the methods of media and Json columns, because the modules
that declare them are imported here: no process can have a session, a function or a type of barbule
without them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Each registers its methods on the columns of its type.
from barbule.functions import audio, document, image, media, string, video
from barbule.functions.audio import AudioSplitter
from barbule.functions.document import DocumentSplitter
from barbule.functions.language_models.provider_namespaces import NAMESPACES, install
from barbule.functions.string import StringSplitter
from barbule.functions.video import FrameIterator, VideoSplitter
from barbule.suggestions import no_attribute

if TYPE_CHECKING:
    from barbule.functions import huggingface
    from barbule.functions.language_models.provider_namespaces import Namespace

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
    if name == "huggingface":
        return importlib.import_module("barbule.functions.huggingface")
    if name in NAMESPACES:
        return NAMESPACES[name]
    raise no_attribute(__name__, name, __dir__())


def __dir__() -> list[str]:
    return sorted({*__all__, *NAMESPACES})
