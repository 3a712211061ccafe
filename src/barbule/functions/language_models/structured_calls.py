"""Questions for answers in a form: how they are asked, and the one repair that a model is allowed.

Owns the words in which a schema is told where a model takes none, and what counts as no answer.
What a form is, is the business of `structured`.
"""

from __future__ import annotations

import json
import re
import weakref
from typing import TYPE_CHECKING, Any

from barbule.errors import BudgetError, ModelError
from barbule.functions.language_models.structured_output import is_strict
from barbule.models.base import Reply, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from barbule.functions.language_models.structured_output import Form
    from barbule.models.base import ModelClient

__all__ = ["answered", "ask", "said"]

# What clients' models turned out not to take a schema for.
_WITHOUT: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()


async def ask(
    client: ModelClient, model: str, messages: list[Any], form: Form, **params: Any
) -> tuple[Any, Reply]:
    """Ask for an answer in a form; a model that misses it is told why and asked once more.

    Returns
    -------
    tuple
        The answer as plain Python, and the reply, whose usage is that of all questions.

    Raises
    ------
    ModelError
        When the provider fails, refuses or cuts off its answer, or twice misses the form.
    """
    with client.expecting(schema=form.schema, repairs=1) as asking:
        reply = await _asked(asking, model, messages, form, params)
        text = said(reply, model)
        try:
            return form.found_in(text), reply
        except ValueError as error:  # pydantic's errors are ValueErrors
            wrong = _explained(error)
        repair = [
            *messages,
            {"role": "assistant", "content": text},
            {"role": "user", "content": _AGAIN.format(wrong=wrong)},
        ]
        try:
            second = await _asked(asking, model, repair, form, params)
        except BudgetError as error:
            # It is paid for, and would be again if the cell were only put off.
            raise ModelError(
                f"model {model!r}: its answer is no {form.name}: {wrong}; and the budget has no "
                "room for a second question.",
                hint="Raise the budget, and then: recompute(column, errors_only=True).",
            ) from error
        reply = Reply(second.value, _sum(reply.usage, second.usage), second.headers)
        try:
            return form.found_in(said(reply, model)), reply
        except ValueError as error:
            failure = ModelError(
                f"model {model!r}: after one repair its answer still is no {form.name}: "
                f"{_explained(error)}.",
                hint="Say in the schema or the prompt what is expected, or take a stronger model.",
            )
    raise failure


_AGAIN = (
    "That does not fit the JSON schema: {wrong}. Answer again, with the corrected JSON and "
    "nothing else."
)


async def _asked(
    client: ModelClient, model: str, messages: list[Any], form: Form, params: Mapping[str, Any]
) -> Reply:
    without = _WITHOUT.setdefault(client.origin, set())
    if model not in without and client.takes(model, "response_format"):
        schema = {"name": form.name, "schema": form.schema, "strict": is_strict(form.schema)}
        wanted = {"type": "json_schema", "json_schema": schema}
        try:
            return await client.chat(model, messages, **params, response_format=wanted)
        except ModelError as error:
            if error.retryable or not re.search(r"response_format|json_schema", error.message):
                raise
            without.add(model)
    told = {
        "role": "system",
        "content": "Answer with one JSON value that fits this JSON schema, and with nothing "
        f"else:\n{json.dumps(form.schema, ensure_ascii=False)}",
    }
    return await client.chat(model, [told, *messages], **params)


def said(reply: Reply, model: str) -> str:
    """Return the text of a chat's first answer.

    Raises
    ------
    ModelError
        When the model refused, or was cut off.
    """
    if not reply.value["choices"]:
        raise _nothing(model, "it gave no answer")
    choice = reply.value["choices"][0]
    text = choice["message"]["content"] or ""
    if refusal := choice["message"].get("refusal"):
        raise ModelError(
            f"model {model!r}: it refused: {refusal}", hint="Change the prompt or the model."
        )
    if choice["finish_reason"] == "content_filter":
        raise ModelError(
            f"model {model!r}: the provider withheld the answer for its content.",
            hint="Change the prompt: the provider refuses its content.",
        )
    if choice["finish_reason"] == "length":
        raise ModelError(
            f"model {model!r}: the answer was cut off after {len(text)} characters.",
            hint="Raise max_tokens, or ask for less.",
        )
    return text


def answered(reply: Reply, model: str) -> Reply:
    """Return a reply in which a model says something, be it a refusal or a call of a tool.

    Raises
    ------
    ModelError
        When no choice of a chat, or no part of an answer in Anthropic's form, holds anything. Null
        in each cell would look like an answer, and be kept as one.
    """
    if "choices" not in reply.value:
        parts = reply.value["content"]
        if parts or reply.value["stop_reason"] == "refusal":
            return reply
        reason = reply.value["stop_reason"]
    else:
        choices = reply.value["choices"]
        if not choices:
            raise _nothing(model, "it gave no answer (`choices` is empty)")
        if any(_is_said(choice["message"]) for choice in choices):
            return reply
        reason = choices[0]["finish_reason"]
    if reason in _CUT_OFF:
        raise ModelError(
            f"model {model!r}: the answer was cut off before its first character.",
            hint="Raise max_tokens, or ask for less.",
        )
    told = "" if reason is None else f", and ended with {reason!r}"
    raise _nothing(model, f"its answer is empty (`content` is null{told})")


_CUT_OFF = {"length", "max_tokens"}


def _is_said(message: Mapping[str, Any]) -> bool:
    said = message["content"] is not None or message["tool_calls"] or message["refusal"]
    return bool(said)


def _nothing(model: str, what: str) -> ModelError:
    return ModelError(
        f"model {model!r}: {what}.",
        hint="Change the prompt or the model, or ask again: recompute(column, errors_only=True).",
    )


def _explained(error: ValueError) -> str:
    details = error.errors(include_url=False) if hasattr(error, "errors") else []
    told = [
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}" if each["loc"] else each["msg"]
        for each in details[:10]
    ]
    return "; ".join(told) or str(error)


def _sum(first: Usage, second: Usage) -> Usage:
    return Usage(
        _plus(first.tokens_in, second.tokens_in),
        _plus(first.tokens_out, second.tokens_out),
        _plus(first.usd, second.usd),
        first.estimated or second.estimated,
    )


def _plus(first: Any, second: Any) -> Any:
    return None if first is None or second is None else first + second
