"""The model client that calls providers through LiteLLM.

Builds the arguments, settings and keys of a call. `loading` imports LiteLLM, `responses` reads its
answers, `provider_errors` its errors; retries, waiting and counting are done by the executor with
`rate_limits`.
"""

from __future__ import annotations

import asyncio
import functools
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from barbule.errors import ConfigurationError, MediaError, ModelError
from barbule.models.base import Endpoint, ModelClient, Reply, Usage
from barbule.models.litellm import responses
from barbule.models.litellm.loading import (
    close_with_loop,
    ignore_large_body_warning,
    import_in_background,
    import_litellm,
    import_litellm_async,
    openai_client,
    without_logging,
)
from barbule.models.litellm.provider_errors import model_error
from barbule.models.litellm.salvage import ignore_usage_warning, salvage_answer
from barbule.models.litellm.timeouts import run_with_timeout
from barbule.models.parameters import RESERVED
from barbule.models.price_table import model_info
from barbule.models.providers import provider_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LiteLLMClient"]

_PLACEHOLDER_KEY = "not-needed"


class _TrueZero(int):
    """A zero that counts as true, because LiteLLM embeds with `max_retries or 2` retries."""

    def __bool__(self) -> bool:
        return True


_NO_RETRIES = _TrueZero()

_RETRYING_FUNCTIONS = {"aimage_generation", "amoderation"}
"""The functions of LiteLLM that retry in spite of `max_retries`."""

_MAX_FILE_BYTES = 64 * 2**20

_FETCHABLE_SCHEMES = {"http", "https", "data"}
"""The URL schemes of a provider's files: no local files, and no buckets that local keys open."""


class LiteLLMClient(ModelClient):
    """Calls any provider that LiteLLM supports.

    Parameters
    ----------
    endpoints
        Settings by provider prefix. A provider without settings uses the defaults of `Endpoint`:
        its own address, its usual key variable.

    Notes
    -----
    LiteLLM is imported with the first call, in a thread, as it takes seconds. Connections
    belong to the event loop of the call, and are closed when it shuts down its asynchronous
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
        """Start importing LiteLLM in the background, which takes seconds."""
        import_in_background()

    async def ready(self) -> None:
        """Wait until LiteLLM is imported."""
        await import_litellm_async()

    def endpoint(self, model: str) -> Endpoint:
        """Return the settings of a model's endpoint.

        Raises
        ------
        ConfigurationError
            When the name has no provider prefix: the provider, which gets a key, must not be
            guessed.
        """
        prefix, slash, name = model.partition("/")
        if not (prefix and slash and name):
            raise ConfigurationError(
                f"the model name {model!r} has no provider prefix.",
                hint="Write it with the prefix, for example "
                f"{'openai/' + (prefix or 'gpt-4o-mini')!r}.",
            )
        provider = provider_of(prefix)
        names = (prefix, provider.name, *provider.aliases) if provider else (prefix,)
        settings = next(
            (self._endpoints[candidate] for candidate in names if candidate in self._endpoints),
            None,
        )
        return settings or Endpoint(provider.name if provider else prefix)

    def address(self, model: str) -> str:
        """Return the address of a model, from the settings or the variables that LiteLLM reads."""
        endpoint = self.endpoint(model)
        names = [f"{endpoint.provider.upper()}_{kind}" for kind in ("BASE_URL", "API_BASE")]
        read = (os.environ[name] for name in names if os.environ.get(name))
        base = endpoint.api_base or next(read, "")
        return f"{endpoint.provider} {base.rstrip('/')}"

    def takes(self, model: str, feature: str) -> bool:
        """Whether a model accepts "pdf" content, or a parameter by its name in OpenAI's API.

        According to LiteLLM's table; a model that is not in it accepts no PDF.
        """
        return _takes(model, feature)

    async def chat(self, model: str, messages: list[dict[str, Any]], **params: Any) -> Reply:
        """Return the answer to a chat, in the format that `Reply` documents.

        Parameters
        ----------
        model
            The name with its provider's prefix.
        messages
            As in OpenAI's chat API, with content parts such as images.
        **params
            Additional parameters of the provider: `temperature`, `response_format` … A parameter
            that the provider does not accept is an error, and is never dropped.

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
        return responses.chat(
            await self._call("acompletion", model, {"messages": messages}, params)
        )

    async def messages(self, model: str, messages: list[dict[str, Any]], **params: Any) -> Reply:
        """Return the answer to a chat in Anthropic's format, of any provider.

        Parameters
        ----------
        model
            The name with its provider's prefix.
        messages
            As in Anthropic's messages API.
        **params
            `max_tokens`, which that API requires, `system`, `tools` …

        Raises
        ------
        ModelError, ConfigurationError
            As `chat`.
        """
        response = await self._call("anthropic_messages", model, {"messages": messages}, params)
        return responses.messages(response, import_litellm(), model)

    async def embed(self, model: str, inputs: list[str], **params: Any) -> Reply:
        """Return one vector for each input, in input order.

        Parameters
        ----------
        model
            The name with its provider's prefix.
        inputs
            The texts.
        **params
            Additional parameters of the provider, for example `dimensions`.

        Returns
        -------
        Reply
            A list of lists of float, its cost, its headers.

        Raises
        ------
        ModelError
            The provider refused, could not be reached, or returned other vectors than requested.
        ConfigurationError
            The call cannot be made as configured.
        """
        if not inputs:
            return Reply([], Usage(0, 0, 0.0))
        endpoint = self.endpoint(model)
        if endpoint.provider == "openai" and endpoint.api_base and "dimensions" in params:
            # LiteLLM knows by name which of OpenAI's own models accept it, but not which models
            # at another address do; the server decides.
            params.setdefault("allowed_openai_params", ["dimensions"])
        response = await self._call("aembedding", model, {"input": inputs}, params)
        return responses.embedding(response, model, len(inputs))

    async def image(self, model: str, prompt: str, **params: Any) -> Reply:
        """Return the bytes of one image; it is downloaded if the provider returns a URL.

        Raises
        ------
        ModelError, ConfigurationError
            As `chat`; also when there is no image in the answer.
        """
        response = await self._call("aimage_generation", model, {"prompt": prompt}, params)
        reply, url = responses.image(response)
        if reply.value is None and url:
            reply = Reply(await self._fetch_image(url, model), reply.usage, reply.headers)
        if reply.value is None:
            hint = "Check that the model generates images, and that the prompt requests one."
            raise responses.invalid_answer(model, "no image was returned", hint)
        return _without_unknown_cost(reply, model)

    async def transcribe(self, model: str, file: Path, **params: Any) -> Reply:
        """Return the transcript of a sound file.

        Raises
        ------
        ModelError, ConfigurationError
            As `chat`.
        """
        content = await asyncio.to_thread(file.read_bytes)
        response = await self._call("atranscription", model, {"file": (file.name, content)}, params)
        return _without_unknown_cost(responses.transcript(response), model)

    async def speak(self, model: str, text: str, **params: Any) -> Reply:
        """Return the bytes of an audio file of a text that is read aloud.

        Raises
        ------
        ModelError, ConfigurationError
            As `chat`.
        """
        return responses.speech(await self._call("aspeech", model, {"input": text}, params))

    async def moderate(self, model: str, text: str, **params: Any) -> Reply:
        """Return whether a text is harmful, and in which way.

        Raises
        ------
        ModelError, ConfigurationError
            As `chat`.
        """
        return responses.moderation(await self._call("amoderation", model, {"input": text}, params))

    async def rerank(self, model: str, query: str, documents: list[str], **params: Any) -> Reply:
        """Return the indexes and scores of the documents, the most relevant to a query first.

        Raises
        ------
        ModelError, ConfigurationError
            As `chat`; also when the answer has other documents.
        """
        if not documents:
            return Reply([], Usage(0, 0, 0.0))
        request = {"query": query, "documents": documents}
        response = await self._call("arerank", model, request, params)
        return _without_unknown_cost(responses.ranking(response, model, len(documents)), model)

    async def _call(
        self, verb: str, model: str, request: dict[str, Any], params: dict[str, Any]
    ) -> Any:
        endpoint = self.endpoint(model)
        for name in RESERVED.keys() & params.keys():
            raise ConfigurationError(
                f"model {model!r}: the parameter {name!r} cannot be passed to a call.",
                hint=RESERVED[name].format(provider=endpoint.provider),
            )
        key = _api_key(endpoint)
        litellm = await import_litellm_async()
        await close_with_loop()
        call = {"timeout": endpoint.timeout, **params, **request}
        call |= {"model": model, "max_retries": _NO_RETRIES, "num_retries": 0}
        call |= {"api_key": key} if key else {}
        call |= {"api_base": endpoint.api_base} if endpoint.api_base else {}
        if "tools" in call:
            # It would import its MCP gateway, which needs a package that it does not install.
            call["_skip_mcp_handler"] = True
        ignore_large_body_warning(request)
        ignore_usage_warning()
        failure: ModelError
        try:
            if verb in _RETRYING_FUNCTIONS and (
                client := openai_client(litellm, model, key, endpoint.api_base)
            ):
                call["client"] = client
            with without_logging(litellm):
                # The limit of the HTTP clients starts again with each part of an answer.
                coroutine = getattr(litellm, verb)(**call)
                return await run_with_timeout(
                    coroutine, _timeout_seconds(call), (verb, endpoint.provider)
                )
        except Exception as error:  # noqa: BLE001 - it raises what the providers' code raises
            if (answer := salvage_answer(error, litellm, verb, model)) is not None:
                return answer
            failure = model_error(error, model, endpoint, key=key, timeout=call["timeout"])
        # Raised outside of the handler, so that the original, which may hold the key, is not its
        # context and no traceback shows it.
        raise failure

    async def _fetch_image(self, url: str, model: str) -> bytes:
        """Download an image from the URL of an answer; only the endpoint's host may be private."""
        from barbule.locations import redact_uri
        from barbule.media.fetching.fetcher import Fetcher

        if urlsplit(url).scheme.lower() not in _FETCHABLE_SCHEMES:
            raise responses.invalid_answer(
                model,
                f"it returned the image URL {redact_uri(url)!r}, which is not an HTTP URL",
                "Pass response_format='b64_json'.",
            )
        base = self.endpoint(model).api_base
        own_host = urlsplit(base).hostname if base else None

        def fetch() -> bytes:
            with tempfile.TemporaryDirectory() as folder:
                fetcher = Fetcher(
                    allow_private=False,
                    max_bytes=_MAX_FILE_BYTES,
                    cache_dir=Path(folder),
                    time_limit=self.endpoint(model).timeout,
                    private_hosts=[own_host] if own_host else [],
                )
                return fetcher.local_path(url).read_bytes()

        try:
            return await asyncio.to_thread(fetch)
        except MediaError as error:
            raise responses.invalid_answer(
                model,
                f"the image that it generated cannot be downloaded ({error.message.rstrip('.')})",
                "Pass response_format='b64_json'.",
            ) from None


def _timeout_seconds(call: Mapping[str, Any]) -> float | None:
    """Return the timeout of an entire call; None if it is not given in seconds."""
    timeout = call["timeout"]
    return float(timeout) if isinstance(timeout, (int, float)) else None


def _api_key(endpoint: Endpoint) -> str | None:
    """Return the key to send; None lets LiteLLM read the provider's usual variable."""
    if endpoint.api_key_env:
        if key := os.environ.get(endpoint.api_key_env):
            return key
        raise ConfigurationError(
            f"the environment variable {endpoint.api_key_env!r}, which "
            f"[models.{endpoint.provider}] names in api_key_env, is not set.",
            hint=f"Set {endpoint.api_key_env}, or correct api_key_env.",
        )
    provider = provider_of(endpoint.provider)
    if provider and provider.key and endpoint.api_base and not os.environ.get(provider.key):
        # A self-hosted server needs no key, but the client libraries require one.
        return _PLACEHOLDER_KEY
    return None


@functools.lru_cache(maxsize=1024)
def _takes(model: str, feature: str) -> bool:
    litellm = import_litellm()
    prefix, _, name = model.partition("/")
    if feature == "pdf":
        return bool(litellm.utils.supports_pdf_input(name, prefix))
    supported = litellm.get_supported_openai_params(name, prefix)
    return feature in (supported or ())


def _without_unknown_cost(reply: Reply, model: str) -> Reply:
    """Remove the cost if LiteLLM reports 0 because it does not know the model."""
    if reply.usage.usd == 0.0 and not model_info(model):
        usage = reply.usage
        return Reply(reply.value, Usage(usage.tokens_in, usage.tokens_out), reply.headers)
    return reply
