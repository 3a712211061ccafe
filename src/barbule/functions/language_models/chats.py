"""Conversations: the chat functions that model providers may have.

Owns their signatures, the types of their answers, and structured answers within a chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import ExpressionError
from barbule.functions.language_models import message_content, structured_calls, structured_output
from barbule.functions.language_models.provider_functions import Arguments, Call, given
from barbule.functions.language_models.replies import MESSAGES, chat_type
from barbule.functions.language_models.tools import Tools
from barbule.models.base import Reply
from barbule.models.providers import Provider

if TYPE_CHECKING:
    from barbule.models.base import ModelClient

__all__ = ["CHATS"]


async def chat_completions(  # noqa: PLR0913 - each is a parameter of OpenAI's API
    client: ModelClient,
    messages: Any,
    *,
    model: str,
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    stop: Any = None,
    seed: int | None = None,
    n: int | None = None,
    tools: Any = None,
    tool_choice: Any = None,
    response_format: Any = None,
    reasoning_effort: str | None = None,
    **params: Any,
) -> Reply:
    """Ask a chat model.

    Parameters
    ----------
    messages
        Dicts with `role` and `content`; columns may stand anywhere in them. The content is a
        text, or a list of texts, columns of images, sounds and documents, and parts as OpenAI
        writes them. A text alone is a message of the user.
    model
        The name of the model at the provider.
    temperature, top_p, max_tokens, stop, seed, n, tool_choice, reasoning_effort
        As in OpenAI's API.
    tools
        The functions that the model may call: `bb.tools(f, g)`, or JSON schemas. What it wants
        called is done by `bb.invoke_tools`.
    response_format
        A pydantic model or dataclass: the answer has to fit it (one that does not is sent back
        once, with what is wrong) and stands in `.choices[0].message.parsed`, typed. Or what the
        provider takes.
    params
        What the provider takes besides.

    Returns
    -------
    Struct
        `.choices[0].message.content` is the text of the answer, `.tool_calls` beside it what the
        model wants called, `.usage` the tokens.
    """
    asked = await message_content.fill_messages(client, model, messages)
    more = given(locals(), chat_completions) | params
    form = response_format if isinstance(response_format, Mapping) else {}
    if not _is_stored(form):
        return structured_calls.answered(await client.chat(model, asked, **more), model)
    del more["response_format"]
    parsed, reply = await structured_calls.ask(
        client, model, asked, structured_output.form_of(form), **more
    )
    reply.value["choices"][0]["message"]["parsed"] = parsed
    return reply


def _prepare_chat(arguments: dict[str, Any]) -> dict[str, Any]:
    arguments["messages"] = message_content.mark_messages(arguments["messages"])
    form = arguments.get("response_format")
    if structured_output.is_form(form):
        if (count := arguments.get("n", 1)) != 1:
            hint = "Leave n out."
            raise ExpressionError("a structured answer is one answer.", value=count, hint=hint)
        arguments["response_format"] = structured_output.stored_form(form)
    return arguments


def _prepare_messages(arguments: dict[str, Any]) -> dict[str, Any]:
    marked = {**arguments, "messages": message_content.mark_messages(arguments["messages"])}
    if isinstance(tools := arguments.get("tools"), Tools):
        marked["tools"] = [_anthropic_tool(each.schema["function"]) for each in tools.members]
    choice = arguments.get("tool_choice")
    if choice in ("auto", "required"):  # as OpenAI says it
        marked["tool_choice"] = {"type": "auto" if choice == "auto" else "any"}
    elif isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        marked["tool_choice"] = {"type": "tool", "name": choice["function"]["name"]}
    return marked


def _anthropic_tool(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": schema["name"],
        "description": schema["description"],
        "input_schema": schema["parameters"],
    }


def _chat_type(_: Provider, arguments: Arguments) -> dt.DataType:
    form = arguments.get("response_format")
    return chat_type(structured_output.dtype_of(form) if form and _is_stored(form) else None)


def _is_stored(form: Any) -> bool:
    return isinstance(form, Mapping) and "class" in form


async def messages(  # noqa: PLR0913 - each is a parameter of Anthropic's API
    client: ModelClient,
    messages: Any,
    *,
    model: str,
    max_tokens: int = 1024,
    system: Any = None,
    temperature: float | None = None,
    top_p: float | None = None,
    stop_sequences: Any = None,
    tools: Any = None,
    tool_choice: Any = None,
    thinking: Any = None,
    **params: Any,
) -> Reply:
    """Ask a chat model in the form of Anthropic's messages API.

    Parameters
    ----------
    messages
        Dicts with `role` and `content`; columns may stand anywhere in them. The content is a
        text, or a list of texts, columns of images and documents, and parts as Anthropic writes
        them.
    model
        The name of the model at the provider.
    max_tokens
        The longest answer.
    system, temperature, top_p, stop_sequences, tool_choice, thinking
        As in Anthropic's API.
    tools
        `bb.tools(f, g)`, or the schemas of Anthropic's API.

    Returns
    -------
    Struct
        `.content[0].text` is the text of the answer.
    """
    asked = await message_content.fill_messages(client, model, messages, form="anthropic")
    reply = await client.messages(model, asked, **given(locals(), _MESSAGES), **params)
    return structured_calls.answered(reply, model)


_MESSAGES = messages  # whose own parameter hides it


async def vision(
    client: ModelClient,
    prompt: str,
    image: Any,
    *,
    model: str,
    temperature: float | None = None,
    max_tokens: int | None = None,
    **params: Any,
) -> Reply:
    """Ask a model about an image; the answer is text.

    Parameters
    ----------
    prompt
        What to ask; a text or a column.
    image
        A column of images, an image, or the address of one.
    model
        The name of the model at the provider.
    temperature, max_tokens
        As in OpenAI's API.

    Returns
    -------
    String
        The text of the answer.
    """
    seen = {"type": "image_url", "image_url": {"url": image}}
    parts = [{"type": "text", "text": prompt}, image if message_content.is_marked(image) else seen]
    asked = await message_content.fill_messages(client, model, [{"role": "user", "content": parts}])
    reply = await client.chat(model, asked, **given(locals(), vision), **params)
    text = structured_calls.said(structured_calls.answered(reply, model), model)
    return Reply(text, reply.usage, reply.headers)


def _prepare_vision(arguments: dict[str, Any]) -> dict[str, Any]:
    return {**arguments, "image": message_content.mark(arguments["image"])}


CHATS: dict[str, Call] = {
    "chat_completions": Call(chat_completions, "chat", _chat_type, _prepare_chat),
    "messages": Call(messages, "chat", MESSAGES, _prepare_messages),
    "vision": Call(vision, "chat", dt.string, _prepare_vision),
}
