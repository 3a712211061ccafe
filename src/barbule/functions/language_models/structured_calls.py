"""Requests for structured output, and the single repair request that a model gets.

Owns the prompt with the schema for models that do not take schemas, and which answers are errors.
`structured_output` owns the schemas.
"""

from __future__ import annotations

import re
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from barbule.errors import BudgetError, ModelError
from barbule.functions.language_models.structured_output import is_strict
from barbule.json_codec import to_readable
from barbule.models.base import Reply, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barbule.functions.language_models.structured_output import OutputSchema
    from barbule.models.base import ModelClient

__all__ = ["answer_text", "ask", "require_answer"]

N = TypeVar("N", int, float)

# By client, the models that turned out not to take schemas.
_WITHOUT_SCHEMAS: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


async def ask(
    client: ModelClient,
    model: str,
    messages: list[Any],
    schema: OutputSchema,
    /,
    **params: Any,
) -> tuple[Any, Reply]:
    """Request an answer that matches a schema; a model whose answer does not is called once more.

    Returns
    -------
    tuple
        The answer as plain Python, and the reply, whose usage covers all calls.

    Raises
    ------
    ModelError
        If the provider fails, refuses or cuts off its answer, or does not match the schema twice.
    """
    with client.expecting(schema=schema.schema, repairs=1) as estimated:
        reply = await _chat(estimated, model, messages, schema, params)
        text = answer_text(reply, model)
        try:
            return schema.parse(text), reply
        except ValueError as error:  # pydantic's errors are ValueErrors
            fault = _explain(error)
        repair = [
            *messages,
            {"role": "assistant", "content": text},
            {"role": "user", "content": _REPAIR_PROMPT.format(fault=fault)},
        ]
        try:
            second = await _chat(estimated, model, repair, schema, params)
        except BudgetError as error:
            # The answer has been paid for, and would be paid for again if the cell were only
            # deferred.
            raise ModelError(
                f"model {model!r}: its answer is not a valid {schema.name}: {fault}; the budget "
                "does not allow a repair request.",
                hint="Raise the budget, and run recompute(column, errors_only=True).",
            ) from error
        reply = Reply(second.value, _sum(reply.usage, second.usage), second.headers)
        try:
            return schema.parse(answer_text(reply, model)), reply
        except ValueError as error:
            failure = ModelError(
                f"model {model!r}: after one repair request its answer is still not a valid "
                f"{schema.name}: {_explain(error)}.",
                hint="Describe the expected answer in the schema or the prompt, or use a "
                "stronger model.",
            )
    raise failure


_REPAIR_PROMPT = (
    "That does not fit the JSON schema: {fault}. Answer again, with the corrected JSON and "
    "nothing else."
)


async def _chat(
    client: ModelClient,
    model: str,
    messages: list[Any],
    schema: OutputSchema,
    params: Mapping[str, Any],
) -> Reply:
    without_schemas = _WITHOUT_SCHEMAS.setdefault(client.origin, set())
    if model not in without_schemas and client.takes(model, "response_format"):
        json_schema = {
            "name": schema.name,
            "schema": schema.schema,
            "strict": is_strict(schema.schema),
        }
        response_format = {"type": "json_schema", "json_schema": json_schema}
        try:
            return await client.chat(model, messages, **params, response_format=response_format)
        except ModelError as error:
            if error.retryable or not re.search(r"response_format|json_schema", error.message):
                raise
            without_schemas.add(model)
    instruction = {
        "role": "system",
        "content": "Answer with one JSON value that fits this JSON schema, and with nothing "
        f"else:\n{to_readable(schema.schema)}",
    }
    return await client.chat(model, [instruction, *messages], **params)


def answer_text(reply: Reply, model: str) -> str:
    """Return the text of a chat's first answer.

    Raises
    ------
    ModelError
        If the model refused, or the answer was cut off.
    """
    if not reply.value["choices"]:
        raise _no_answer(model, "it returned no answer")
    choice = reply.value["choices"][0]
    text = choice["message"]["content"] or ""
    if refusal := choice["message"].get("refusal"):
        raise ModelError(
            f"model {model!r}: it refused: {refusal}", hint="Change the prompt or the model."
        )
    if choice["finish_reason"] == "content_filter":
        raise ModelError(
            f"model {model!r}: the provider withheld the answer because of its content.",
            hint="Change the prompt: the provider refuses its content.",
        )
    if choice["finish_reason"] == "length":
        raise ModelError(
            f"model {model!r}: the answer was cut off after {len(text)} characters.",
            hint="Raise max_tokens, or request a shorter answer.",
        )
    return text


def require_answer(reply: Reply, model: str) -> Reply:
    """Return a reply if it has an answer, including a refusal or a tool call.

    Raises
    ------
    ModelError
        If all choices of a chat, or all parts of an answer in Anthropic's format, are empty. NULL
        in each cell would look like an answer, and be stored as one.
    """
    if "choices" not in reply.value:
        parts = reply.value["content"]
        if parts or reply.value["stop_reason"] == "refusal":
            return reply
        reason = reply.value["stop_reason"]
    else:
        choices = reply.value["choices"]
        if not choices:
            raise _no_answer(model, "it returned no answer (`choices` is empty)")
        if any(_has_content(choice["message"]) for choice in choices):
            return reply
        reason = choices[0]["finish_reason"]
    if reason in _CUT_OFF:
        raise ModelError(
            f"model {model!r}: the answer was cut off before its first character.",
            hint="Raise max_tokens, or request a shorter answer.",
        )
    ending = "" if reason is None else f"; finish reason {reason!r}"
    raise _no_answer(model, f"its answer is empty (`content` is null{ending})")


_CUT_OFF = {"length", "max_tokens"}


def _has_content(message: Mapping[str, Any]) -> bool:
    return bool(message["content"] is not None or message["tool_calls"] or message["refusal"])


def _no_answer(model: str, reason: str) -> ModelError:
    return ModelError(
        f"model {model!r}: {reason}.",
        hint="Change the prompt or the model, or call again: recompute(column, errors_only=True).",
    )


def _explain(error: ValueError) -> str:
    details = error.errors(include_url=False) if hasattr(error, "errors") else []
    faults = [
        f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" if detail["loc"] else detail["msg"]
        for detail in details[:10]
    ]
    return "; ".join(faults) or str(error)


def _sum(first: Usage, second: Usage) -> Usage:
    return Usage(
        _plus(first.tokens_in, second.tokens_in),
        _plus(first.tokens_out, second.tokens_out),
        _plus(first.usd, second.usd),
        first.estimated or second.estimated,
    )


def _plus(first: N | None, second: N | None) -> N | None:
    return None if first is None or second is None else first + second
