"""LiteLLM as a library: its import, settings, log and connections.

Imports LiteLLM in the background, turns off its logging and its requests for price lists, and
closes its connections with the event loop. Makes no model calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import inspect
import os
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from types import ModuleType

__all__ = [
    "close_with_loop",
    "ignore_large_body_warning",
    "import_in_background",
    "import_litellm",
    "import_litellm_async",
    "is_imported",
    "openai_client",
    "without_logging",
]

OpenAIClient: TypeAlias = Any
"""An `openai.AsyncOpenAI`."""

_import_lock = threading.Lock()
_closers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = (
    weakref.WeakKeyDictionary()
)


def import_in_background() -> None:
    """Start importing LiteLLM in the background, which takes seconds."""
    if not _litellm.cache_info().currsize:
        threading.Thread(target=_import_locked, name="barbule-litellm", daemon=True).start()


def import_litellm() -> ModuleType:
    """Return LiteLLM, imported on first use."""
    return _litellm() if _litellm.cache_info().currsize else _import_locked()


def is_imported() -> bool:
    """Whether LiteLLM is imported."""
    return bool(_litellm.cache_info().currsize)


async def import_litellm_async() -> ModuleType:
    """Return LiteLLM, imported in a thread so that the event loop is not blocked."""
    return _litellm() if _litellm.cache_info().currsize else await asyncio.to_thread(_import_locked)


def _import_locked() -> ModuleType:
    with _import_lock:
        return _litellm()


@functools.cache
def _litellm() -> ModuleType:
    # Without these LiteLLM fetches its price list and a list of headers from the network, and
    # reads a .env file into the environment of the whole process.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    # Not by an import statement, which type checkers of users would follow into LiteLLM.
    litellm: Any = importlib.import_module("litellm")

    litellm.telemetry = False
    litellm.suppress_debug_info = True  # it prints adverts to stdout with every error
    with warnings.catch_warnings():
        # Pydantic completes LiteLLM's response types on first use, and warns of a ReadOnly item in
        # one of them. They are used here, where no other warning is hidden; a user who turns
        # warnings into errors would lose the first call otherwise.
        warnings.filterwarnings("ignore", message="Item .* on TypedDict", category=UserWarning)
        litellm.ModelResponse()
        litellm.EmbeddingResponse()
    # Without this, calls in Anthropic's format go to OpenAI's Responses API, which servers with
    # OpenAI's protocol rarely have.
    litellm.use_chat_completions_url_for_anthropic_messages = True
    return litellm


_LARGE_BODY_BYTES = 2**18


def ignore_large_body_warning(request: object) -> None:
    """Silence aiohttp's warning of a large body, which is an error where warnings are errors."""
    if any(len(text) > _LARGE_BODY_BYTES for text in _iterate_texts(request)):
        warnings.filterwarnings("ignore", "Sending a large body directly", ResourceWarning)


def _iterate_texts(value: object) -> Iterator[str | bytes]:
    if isinstance(value, str | bytes):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _iterate_texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _iterate_texts(item)


_CALLBACKS = ("callbacks", "success_callback", "failure_callback")


@contextlib.contextmanager
def without_logging(litellm: ModuleType) -> Iterator[None]:
    """Stop LiteLLM from preparing log records when the user has set no callback.

    Its log worker belongs to one event loop at a time and fails, loudly, when two loops call at
    once; it also takes about a sixth of a call's CPU time.
    """
    if any(getattr(litellm, name, None) for name in _CALLBACKS):
        yield
        return
    try:
        is_internal_call = importlib.import_module("litellm._internal_context").is_internal_call
    except (ImportError, AttributeError):  # a private name: without it calls are logged
        yield
        return
    token = is_internal_call.set(True)
    try:
        yield
    finally:
        is_internal_call.reset(token)


def openai_client(
    litellm: ModuleType, model: str, key: str | None, base: str | None
) -> OpenAIClient | None:
    """Return an OpenAI client of the running loop without retries; None for other protocols.

    LiteLLM's own client retries twice by default, and calls for images or moderations have no
    argument to change that.
    """
    name, provider, key, base = litellm.get_llm_provider(model, api_base=base, api_key=key)
    if provider not in {"openai", "litellm_proxy", *litellm.openai_compatible_providers}:
        return None
    cache = litellm.in_memory_llm_clients_cache
    name = f"barbule-{provider}-{base}-{hash(key)}"
    client = cache.get_cache(name)
    if client is None:
        client = _client_class_without_retries()(api_key=key, base_url=base)
        cache.set_cache(name, client, litellm_owned_client=True)
    return client


@functools.cache
def _client_class_without_retries() -> type[OpenAIClient]:
    client_class: Any = importlib.import_module("openai").AsyncOpenAI

    class ClientWithoutRetries(client_class):
        # LiteLLM sets it to 2 with each call.
        max_retries = property(lambda self: 0, lambda self, value: None)  # noqa: ARG005

    client: type[OpenAIClient] = ClientWithoutRetries
    return client


async def close_with_loop() -> None:
    """Close the connections of the running loop when it ends."""
    loop = asyncio.get_running_loop()
    if loop not in _closers:
        # A loop finishes its started asynchronous generators before it closes: the only hook that
        # works for every loop.
        closer = _closers[loop] = _close_at_end()
        await anext(closer)


async def _close_at_end() -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        cache = _litellm().in_memory_llm_clients_cache
        loop_suffix = f"-{id(asyncio.get_running_loop())}"
        for name in [name for name in cache.cache_dict if name.endswith(loop_suffix)]:
            # Removed as well: another loop may get the same id, and must not find a closed client.
            client = cache.cache_dict.pop(name, None)
            cache.ttl_dict.pop(name, None)
            closing = client.close() if hasattr(client, "close") else None
            if inspect.isawaitable(closing):
                await closing
