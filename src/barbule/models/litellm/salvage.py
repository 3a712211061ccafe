"""Answers that LiteLLM rejects because of their token counts.

LiteLLM validates the usage of an answer after it has the whole answer. Where only the usage is
invalid, the answer is recovered from the traceback, so that it is not requested and paid for again.
Any other fault of an answer stays an error.
"""

from __future__ import annotations

import contextlib
import importlib
import traceback
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from barbule.models.estimates import price
from barbule.models.litellm.responses import LiteLLMObject, token_count

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

__all__ = ["ignore_usage_warning", "salvage_answer"]

_CONVERTER = "convert_to_model_response_object"
_COUNTS = ("prompt_tokens", "completion_tokens")
_WARNING = r"(?s)Pydantic serializer warnings:.*(_tokens|Usage)"


def ignore_usage_warning() -> None:
    """Silence pydantic's warning of invalid token counts, an error where warnings are errors."""
    for action, pattern, *_ in warnings.filters:
        if getattr(pattern, "pattern", pattern) == _WARNING:
            return
        if action == "error":
            break
    warnings.filterwarnings("ignore", _WARNING, UserWarning)


def salvage_answer(
    error: Exception, litellm: ModuleType, verb: str, model: str
) -> LiteLLMObject | dict[str, Any] | None:
    """Return the answer that LiteLLM had when it failed, if only its usage is invalid.

    Parameters
    ----------
    error
        The exception that LiteLLM raised.
    verb
        The function of LiteLLM that was called.
    model
        The model of the call.

    Returns
    -------
    object
        The response as LiteLLM would have returned it, its usage as the provider reported it; None
        where there is no answer, or something else is wrong with it.
    """
    arguments = _converter_arguments(error)
    if arguments is None:
        return None
    reported = arguments["response_object"]["usage"]
    usage = (
        {str(name): value for name, value in reported.items()} if isinstance(reported, dict) else {}
    )
    try:
        response = _convert_again(arguments, litellm)
        response.usage = SimpleNamespace(**usage)
        if verb == "anthropic_messages":
            return _to_anthropic_form(response, usage, litellm)
    except Exception:  # noqa: BLE001 - LiteLLM's own code, on an answer that is wrong elsewhere
        return None
    counts = [token_count(usage.get(name)) for name in _COUNTS]
    if None not in counts:
        with contextlib.suppress(AttributeError):
            response._hidden_params["response_cost"] = price(model, *counts)  # type: ignore[arg-type]
    return response


def _converter_arguments(error: BaseException | None) -> Mapping[str, Any] | None:
    """Return the local variables with which LiteLLM was converting an answer that has a usage."""
    while error is not None:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_name == _CONVERTER:
                local_variables = frame.f_locals
                answer = local_variables.get("response_object")
                if isinstance(answer, dict) and answer.get("usage") is not None:
                    return local_variables
        error = error.__cause__ or error.__context__
    return None


def _convert_again(arguments: Mapping[str, Any], litellm: ModuleType) -> LiteLLMObject:
    answer = {name: part for name, part in arguments["response_object"].items() if name != "usage"}
    argument_names = (
        "response_type",
        "hidden_params",
        "_response_headers",
        "convert_tool_call_to_json_mode",
    )
    return getattr(litellm.utils, _CONVERTER)(
        response_object=answer,
        model_response_object=type(arguments["model_response_object"])(),
        **{name: arguments[name] for name in argument_names},
    )


def _to_anthropic_form(
    response: LiteLLMObject, usage: Mapping[str, Any], litellm: ModuleType
) -> dict[str, Any]:
    adapters = importlib.import_module(
        "litellm.llms.anthropic.pass_through.adapters.transformation"
    )

    response.usage = litellm.Usage()
    answer = adapters.AnthropicAdapter().translate_completion_output_params(response)
    counts = dict(zip(("input_tokens", "output_tokens"), map(usage.get, _COUNTS), strict=True))
    return {**answer, "usage": counts}
