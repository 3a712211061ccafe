"""The model client that asks through LiteLLM.

Owns LiteLLM's import and settings, its connections, and the shape of its answers. Must not
retry, wait or count (`rates` does), and must not read its errors (`failures` does).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import os
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from barbule.errors import ConfigurationError, ModelError
from barbule.models.base import Endpoint, Reply, Usage
from barbule.models.failures import at, model_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping

__all__ = ["LiteLLMClient"]

_PLACEHOLDER_KEY = "not-needed"


class _TrueZero(int):
    """A zero that counts as true, because LiteLLM embeds with `max_retries or 2` retries."""

    def __bool__(self) -> bool:
        return True


_NO_RETRIES = _TrueZero()

_RESERVED = {
    "api_key": "Keys are read from the environment: name the variable as api_key_env of "
    "[models.{provider}].",
    "api_base": "Set api_base of [models.{provider}].",
    "base_url": "Set api_base of [models.{provider}].",
    "stream": "Answers are stored whole: leave it out.",
    "max_retries": "Set the number of retries where the function is called.",
    "num_retries": "Set the number of retries where the function is called.",
}


class LiteLLMClient:
    """Asks any provider that LiteLLM knows.

    Parameters
    ----------
    endpoints
        Settings by provider prefix. A provider that is not named has the defaults of
        `Endpoint`: its own address, its usual key variable.

    Notes
    -----
    LiteLLM is imported with the first call, in a thread, as it takes seconds. Connections
    belong to the event loop that asks, and are closed when it shuts down its asynchronous
    generators, as `asyncio.run` and `asyncio.Runner` do.

    Examples
    --------
    >>> client = LiteLLMClient({"openai": Endpoint("openai", "http://localhost:8080/v1")})
    >>> client.endpoint("openai/gpt-4o-mini").api_base
    'http://localhost:8080/v1'
    """

    def __init__(self, endpoints: Mapping[str, Endpoint] | None = None) -> None:
        self._endpoints = dict(endpoints or {})

    def prepare(self) -> None:
        """Begin to import LiteLLM in the background: it takes seconds."""
        if not _imported.cache_info().currsize:
            threading.Thread(target=_import, name="barbule-litellm", daemon=True).start()

    async def ready(self) -> None:
        """Wait until LiteLLM is imported."""
        await _litellm()

    def endpoint(self, model: str) -> Endpoint:
        """Return the settings under which a model is asked.

        Raises
        ------
        ConfigurationError
            When the name has no provider prefix: which provider would answer, and which key
            it would get, must not be a guess.
        """
        provider, slash, name = model.partition("/")
        if not (provider and slash and name):
            raise ConfigurationError(
                f"the model {model!r} names no provider.",
                hint=f"Write it with its prefix, like {'openai/' + (provider or 'gpt-4o-mini')!r}.",
            )
        return self._endpoints.get(provider) or Endpoint(provider)

    async def chat(self, model: str, messages: list[dict[str, Any]], **params: Any) -> Reply:
        """Return the answer to a conversation, in the shape that `Reply` documents.

        Parameters
        ----------
        model
            The name with its provider's prefix.
        messages
            As OpenAI's chat API takes them; content parts (images) included.
        **params
            Further parameters of the provider: `temperature`, `response_format` … One that
            the provider does not take is an error, never left out.

        Returns
        -------
        Reply
            The answer, its cost, its headers.

        Raises
        ------
        ModelError
            The provider refused or could not be reached.
        ConfigurationError
            The call cannot be made as configured.
        """
        response = await self._ask("acompletion", model, {"messages": messages}, params)
        return _reply(response, _chat_value(response))

    async def embed(self, model: str, inputs: list[str], **params: Any) -> Reply:
        """Return one vector for each input, in input order, whatever order came back.

        Parameters
        ----------
        model
            The name with its provider's prefix.
        inputs
            The texts.
        **params
            Further parameters of the provider, `dimensions` for example.

        Returns
        -------
        Reply
            A list of lists of float, its cost, its headers.

        Raises
        ------
        ModelError
            The provider refused, could not be reached, or answered other vectors than asked.
        ConfigurationError
            The call cannot be made as configured.
        """
        if not inputs:
            return Reply([], Usage(0, 0, 0.0))
        endpoint = self.endpoint(model)
        if endpoint.provider == "openai" and endpoint.api_base and "dimensions" in params:
            # LiteLLM knows by name which of OpenAI's own models take it; it cannot know that
            # of the models behind another address, which must judge for themselves.
            params.setdefault("allowed_openai_params", ["dimensions"])
        response = await self._ask("aembedding", model, {"input": inputs}, params)
        items = sorted(response.data, key=lambda item: item["index"])
        if [item["index"] for item in items] != list(range(len(inputs))):
            raise ModelError(
                f"model {model!r}{at(endpoint)}: {len(inputs)} texts were sent, and the vectors "
                f"that came back are numbered {[item['index'] for item in items][:10]}.",
                hint="Send fewer texts at once, or check that the model makes embeddings.",
            )
        return _reply(response, [list(map(float, item["embedding"])) for item in items])

    async def _ask(
        self, verb: str, model: str, asked: dict[str, Any], params: dict[str, Any]
    ) -> Any:
        endpoint = self.endpoint(model)
        for name, hint in _RESERVED.items():
            if name in params:
                raise ConfigurationError(
                    f"model {model!r}: the parameter {name!r} cannot be passed with a call.",
                    hint=hint.format(provider=endpoint.provider),
                )
        key = _key(endpoint)
        litellm = await _litellm()
        await _close_with_loop()
        call = {"timeout": endpoint.timeout, **params, **asked}
        call |= {"model": model, "max_retries": _NO_RETRIES, "num_retries": 0}
        call |= {"api_key": key} if key else {}
        call |= {"api_base": endpoint.api_base} if endpoint.api_base else {}
        if "tools" in call:
            # It would import its MCP gateway, which needs a package that it does not install.
            call["_skip_mcp_handler"] = True
        failure: ModelError
        try:
            with _unlogged(litellm):
                return await getattr(litellm, verb)(**call)
        except Exception as error:  # noqa: BLE001 - it raises what the providers' code raises
            failure = model_error(error, model, endpoint, key=key, timeout=call["timeout"])
        # Raised out here, so that the original, which may hold the key, is not its context and
        # no traceback can show it.
        raise failure


def _key(endpoint: Endpoint) -> str | None:
    """Return the key to send; None leaves it to LiteLLM to read the provider's usual variable."""
    if endpoint.api_key_env:
        if key := os.environ.get(endpoint.api_key_env):
            return key
        raise ConfigurationError(
            f"the environment variable {endpoint.api_key_env!r}, which [models."
            f"{endpoint.provider}] names as its key, is not set.",
            hint=f"Set {endpoint.api_key_env}, or correct api_key_env.",
        )
    if endpoint.provider == "openai" and endpoint.api_base and not os.environ.get("OPENAI_API_KEY"):
        # A local server needs no key, but the client library will not send a request without.
        return _PLACEHOLDER_KEY
    return None


# -- LiteLLM itself ------------------------------------------------------------------------------

_import_lock = threading.Lock()
_closers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = (
    weakref.WeakKeyDictionary()
)


async def _litellm() -> Any:
    # In a thread, because the loop has other calls to attend to in the meantime.
    return _imported() if _imported.cache_info().currsize else await asyncio.to_thread(_import)


def _import() -> Any:
    with _import_lock:
        return _imported()


@functools.cache
def _imported() -> Any:
    # Without these LiteLLM fetches its price list from the network, and reads a .env file into
    # the environment of the whole process.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    import litellm

    litellm.telemetry = False
    litellm.suppress_debug_info = True  # it prints adverts to stdout with every error
    with warnings.catch_warnings():
        # LiteLLM's response types are completed when first used, and then pydantic complains
        # about a ReadOnly item in one of them. Use them here, where nobody else's warning is
        # hidden; a user who turns warnings into errors would lose the first call otherwise.
        warnings.filterwarnings("ignore", message="Item .* on TypedDict", category=UserWarning)
        litellm.ModelResponse()
        litellm.EmbeddingResponse()
    return litellm


_CALLBACKS = ("callbacks", "success_callback", "failure_callback")


@contextlib.contextmanager
def _unlogged(litellm: Any) -> Iterator[None]:
    """Keep LiteLLM from preparing log records when no callback of the user waits for them.

    Its log worker belongs to one event loop at a time and fails, loudly, when two loops call at
    once; it also takes about a sixth of a call's processor time.
    """
    if any(getattr(litellm, name, None) for name in _CALLBACKS):
        yield
        return
    try:
        from litellm._internal_context import is_internal_call
    except ImportError:  # a private name: where it is gone, calls are logged, and that is all
        yield
        return
    token = is_internal_call.set(True)
    try:
        yield
    finally:
        is_internal_call.reset(token)


async def _close_with_loop() -> None:
    """Let the connections of the running loop be closed when it ends."""
    loop = asyncio.get_running_loop()
    if loop not in _closers:
        # A loop finishes its started asynchronous generators before it closes: the one hook
        # that works for every loop and needs nobody to call us.
        closer = _closers[loop] = _close_at_end()
        await anext(closer)


async def _close_at_end() -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        cache = _imported().in_memory_llm_clients_cache
        mine = f"-{id(asyncio.get_running_loop())}"
        for name in [name for name in cache.cache_dict if name.endswith(mine)]:
            # Also taken out: another loop may get the same id, and must not find a closed client.
            client = cache.cache_dict.pop(name, None)
            cache.ttl_dict.pop(name, None)
            closed = client.close() if hasattr(client, "close") else None
            if inspect.isawaitable(closed):
                await closed


# -- Answers -------------------------------------------------------------------------------------


def _chat_value(response: Any) -> dict[str, Any]:
    usage = getattr(response, "usage", None)
    counts = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {
        "id": response.id,
        "model": response.model,
        "created": response.created,
        "choices": [
            {
                "index": choice.index,
                "finish_reason": choice.finish_reason,
                "message": _message(choice.message),
            }
            for choice in response.choices
        ],
        "usage": {count: getattr(usage, count, None) for count in counts},
    }


def _message(message: Any) -> dict[str, Any]:
    calls = [call.model_dump(mode="json") for call in message.tool_calls or ()]
    content = message.content
    return {
        "role": message.role,
        # A few providers answer with a list of parts.
        "content": content if content is None or isinstance(content, str) else json.dumps(content),
        "tool_calls": json.dumps(calls, ensure_ascii=False) if calls else None,
        "reasoning_content": getattr(message, "reasoning_content", None),
    }


def _reply(response: Any, value: Any) -> Reply:
    hidden = response._hidden_params
    usage = getattr(response, "usage", None)
    cost = hidden.get("response_cost")
    return Reply(
        value,
        Usage(
            getattr(usage, "prompt_tokens", None),
            getattr(usage, "completion_tokens", None),
            None if cost is None else float(cost),
        ),
        {
            name.lower().removeprefix("llm_provider-"): str(text)
            for name, text in (hidden.get("additional_headers") or {}).items()
        },
    )
