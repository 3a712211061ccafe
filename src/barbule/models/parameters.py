"""The parameters that a model call may have, checked before it is made.

Knows the names: those that are set in the configuration instead, and those that LiteLLM accepts.
The provider checks the values.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from typing import TYPE_CHECKING

from barbule.models.litellm.loading import import_litellm

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

__all__ = ["RESERVED", "unknown_parameter"]

RESERVED = {
    "api_key": "Keys are read from the environment: set the name of the variable as api_key_env "
    "in [models.{provider}].",
    "api_base": "Set api_base in [models.{provider}].",
    "base_url": "Set api_base in [models.{provider}].",
    "client": "Set api_base and api_key_env in [models.{provider}].",
    "stream": "Answers are stored complete: remove it.",
    "max_retries": "Set the number of retries on the function call.",
    "num_retries": "Set the number of retries on the function call.",
}
"""Parameters that cannot be passed with a call, and what to do instead."""

_ALWAYS_ACCEPTED = frozenset(
    {"extra_body", "extra_headers", "allowed_openai_params", "timeout", "user"}
)
_COMMON_CHAT_PARAMETERS = _ALWAYS_ACCEPTED | {
    *("temperature", "top_p", "max_tokens", "max_completion_tokens", "n", "stop", "seed"),
    *("tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort"),
    *("logit_bias", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty"),
}
"""Names that are accepted without importing LiteLLM, which takes seconds."""

_SERVER_PARAMETERS = frozenset(
    {
        *("top_k", "min_p", "typical_p", "best_of", "min_tokens", "ignore_eos", "cache_prompt"),
        *("repetition_penalty", "length_penalty", "repeat_penalty", "stop_token_ids", "grammar"),
        *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs"),
        *("chat_template_kwargs", "skip_special_tokens", "prompt_logprobs", "priority"),
    }
)
"""Names that vLLM, llama.cpp and other servers add to OpenAI's protocol."""

_LITELLM_FUNCTIONS = {
    "chat": "completion",
    "messages": "anthropic_messages",
    "embed": "embedding",
    "image": "image_generation",
    "transcribe": "transcription",
    "speak": "speech",
    "moderate": "moderation",
    "rerank": "rerank",
}
_GEMINI_PARAMETERS = {"safety_settings", "cached_content", "labels"}
_SIMILARITY_CUTOFF = 0.8  # from which a name counts as a misspelling of another


def unknown_parameter(verb: str, model: str | None, names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first name that no such call has, and a similar name or "".

    Parameters
    ----------
    verb
        The method of `ModelClient`.
    model
        With its provider's prefix; None where it is not known in advance.
    names
        The names of the parameters.

    Examples
    --------
    >>> unknown_parameter("chat", "openai/gpt-4o-mini", ["temperature", "temprature"])
    ('temprature', 'temperature')
    """
    for name in names:
        if name in _ALWAYS_ACCEPTED or (
            verb == "chat" and name in _COMMON_CHAT_PARAMETERS | _SERVER_PARAMETERS
        ):
            continue
        accepted = _accepted_parameters(verb, model)
        if name in accepted:
            continue
        suggestion = next(
            iter(difflib.get_close_matches(name, accepted, n=1, cutoff=_SIMILARITY_CUTOFF)), ""
        )
        # LiteLLM does not list the parameters of other calls than chats: there only misspellings
        # are reported.
        if verb in {"chat", "messages"} or suggestion:
            return name, suggestion
    return None


@functools.lru_cache(maxsize=256)
def _accepted_parameters(verb: str, model: str | None) -> tuple[str, ...]:
    litellm = import_litellm()
    accepted = {
        *_ALWAYS_ACCEPTED,
        *inspect.signature(getattr(litellm, _LITELLM_FUNCTIONS[verb])).parameters,
    }
    accepted |= _COMMON_CHAT_PARAMETERS | _SERVER_PARAMETERS if verb == "chat" else set()
    prefix, _, name = (model or "").partition("/")
    if verb in {"chat", "messages"} and name:
        accepted |= _provider_parameters(litellm, prefix, name)
    elif verb in {"chat", "messages"}:
        accepted |= {*litellm.OPENAI_CHAT_COMPLETION_PARAMS}
    common = sorted(accepted)
    # LiteLLM's own settings come last: a misspelt name is rarely one of them.
    return (*common, *sorted(set(_litellm_settings(litellm)) - accepted))


def _litellm_settings(litellm: ModuleType) -> list[str]:
    return [name for name in litellm.types.utils.all_litellm_params if not name.startswith("_")]


def _provider_parameters(litellm: ModuleType, prefix: str, name: str) -> set[str]:
    """Return the chat parameters of a provider that LiteLLM knows."""
    parameters = set(litellm.get_supported_openai_params(name, prefix) or ())
    parameters |= _GEMINI_PARAMETERS if prefix in {"gemini", "vertex_ai"} else set()
    try:
        provider = litellm.LlmProviders(prefix)
        config = litellm.utils.ProviderConfigManager.get_provider_chat_config(name, provider)
    except Exception:  # noqa: BLE001 - some providers have no such table, and the errors vary
        return parameters
    classes = type(config).__mro__ if config is not None else ()
    return parameters | {
        field
        for cls in classes
        for field in inspect.get_annotations(cls)
        if not field.startswith("_")
    }
