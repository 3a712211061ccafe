"""Which parameters a question to a model may have, known before it is asked.

Owns the names: those that are said elsewhere than with a call, and those that LiteLLM knows. What
values they take is the provider's matter.
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
    "api_key": "Keys are read from the environment: name the variable as api_key_env of "
    "[models.{provider}].",
    "api_base": "Set api_base of [models.{provider}].",
    "base_url": "Set api_base of [models.{provider}].",
    "client": "Set api_base and api_key_env of [models.{provider}].",
    "stream": "Answers are stored whole: leave it out.",
    "max_retries": "Set the number of retries where the function is called.",
    "num_retries": "Set the number of retries where the function is called.",
}
"""What cannot be passed with a call, and what to do instead."""

_ALWAYS_ACCEPTED = frozenset(
    {"extra_body", "extra_headers", "allowed_openai_params", "timeout", "user"}
)
_COMMON_CHAT_PARAMETERS = _ALWAYS_ACCEPTED | {
    *("temperature", "top_p", "max_tokens", "max_completion_tokens", "n", "stop", "seed"),
    *("tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort"),
    *("logit_bias", "logprobs", "top_logprobs", "presence_penalty", "frequency_penalty"),
}
"""What needs no look into LiteLLM, whose import takes seconds."""

_SERVER_PARAMETERS = frozenset(
    {
        *("top_k", "min_p", "typical_p", "best_of", "min_tokens", "ignore_eos", "cache_prompt"),
        *("repetition_penalty", "length_penalty", "repeat_penalty", "stop_token_ids", "grammar"),
        *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs"),
        *("chat_template_kwargs", "skip_special_tokens", "prompt_logprobs", "priority"),
    }
)
"""What vLLM, llama.cpp and others take that speak OpenAI's protocol, beside what it says."""

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
_SIMILARITY_CUTOFF = 0.8  # from which on a name is taken for a misspelling of another


def unknown_parameter(verb: str, model: str | None, names: Iterable[str]) -> tuple[str, str] | None:
    """Return the first name that no such question has, and the name that was meant, if any.

    Parameters
    ----------
    verb
        The method of `ModelClient`.
    model
        With its provider's prefix; None where it is not known before.
    names
        Those of the parameters that are given.

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
        # LiteLLM does not name what providers take beside chats: only what looks misspelt is.
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
    # Its own settings come last: what is misspelt is rarely one of them.
    return (*common, *sorted(set(_litellm_settings(litellm)) - accepted))


def _litellm_settings(litellm: ModuleType) -> list[str]:
    return [name for name in litellm.types.utils.all_litellm_params if not name.startswith("_")]


def _provider_parameters(litellm: ModuleType, prefix: str, name: str) -> set[str]:
    """Return what LiteLLM knows that a provider takes in a chat."""
    parameters = set(litellm.get_supported_openai_params(name, prefix) or ())
    parameters |= _GEMINI_PARAMETERS if prefix in {"gemini", "vertex_ai"} else set()
    try:
        provider = litellm.LlmProviders(prefix)
        config = litellm.utils.ProviderConfigManager.get_provider_chat_config(name, provider)
    except Exception:  # noqa: BLE001 - of some providers it has no such table, and says so variously
        return parameters
    classes = type(config).__mro__ if config is not None else ()
    return parameters | {
        field
        for cls in classes
        for field in inspect.get_annotations(cls)
        if not field.startswith("_")
    }
