"""The chat functions that model providers may have.

Owns their signatures, the types of their answers, and structured output within a chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import ExpressionError
from barbule.functions.language_models import message_content, structured_calls, structured_output
from barbule.functions.language_models.provider_functions import (
    Arguments,
    ProviderFunction,
    optional_arguments,
)
from barbule.functions.language_models.replies import MESSAGES, chat_type
from barbule.functions.language_models.tools import Tools
from barbule.models.base import Reply
from barbule.models.providers import Provider

if TYPE_CHECKING:
    from barbule.models.base import ModelClient

__all__ = ["CHATS"]


async def chat_completions(  # noqa: PLR0913 - each is a parameter of OpenAI's API
    client: ModelClient,
    messages: object,
    *,
    model: str,
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    stop: object = None,
    seed: int | None = None,
    n: int | None = None,
    tools: object = None,
    tool_choice: object = None,
    response_format: object = None,
    reasoning_effort: str | None = None,
    **params: Any,
) -> Reply:
    """Call a chat model.

    Parameters
    ----------
    messages
        Dicts with `role` and `content`; they may contain columns at any place. The content is a
        string, or a list of strings, columns of images, audio files and documents, and parts in
        OpenAI's format. A string alone is a user message.
    model
        The name of the model at the provider.
    temperature, top_p, max_tokens, stop, seed, n, tool_choice, reasoning_effort
        As in OpenAI's API.
    tools
        The functions that the model may call: `bb.tools(f, g)`, or JSON schemas. `bb.invoke_tools`
        executes the calls.
    response_format
        A pydantic model or dataclass that the answer must match (an answer that does not is sent
        back once, with the error); the parsed answer is `.choices[0].message.parsed`. Or a value
        that the provider accepts.
    params
        Additional parameters of the provider.

    Returns
    -------
    Struct
        `.choices[0].message.content` is the text of the answer, `.tool_calls` next to it holds the
        calls that the model requests, and `.usage` the tokens.
    """
    filled = await message_content.fill_messages(client, model, messages)
    options = optional_arguments(locals(), chat_completions) | params
    stored = response_format if isinstance(response_format, Mapping) else {}
    if not _is_stored(stored):
        return structured_calls.require_answer(await client.chat(model, filled, **options), model)
    del options["response_format"]
    parsed, reply = await structured_calls.ask(
        client, model, filled, structured_output.load_schema(stored), **options
    )
    reply.value["choices"][0]["message"]["parsed"] = parsed
    return reply


def _prepare_chat(arguments: dict[str, Any]) -> dict[str, Any]:
    arguments["messages"] = message_content.mark_messages(arguments["messages"])
    response_format = arguments.get("response_format")
    if structured_output.is_schema_class(response_format):
        if (count := arguments.get("n", 1)) != 1:
            hint = "Remove n."
            raise ExpressionError("structured output returns one answer.", value=count, hint=hint)
        arguments["response_format"] = structured_output.store_schema(response_format)
    return arguments


def _prepare_messages(arguments: dict[str, Any]) -> dict[str, Any]:
    prepared = {**arguments, "messages": message_content.mark_messages(arguments["messages"])}
    if isinstance(tools := arguments.get("tools"), Tools):
        prepared["tools"] = [_anthropic_tool(tool.schema["function"]) for tool in tools.members]
    choice = arguments.get("tool_choice")
    if choice in ("auto", "required"):  # in OpenAI's format
        prepared["tool_choice"] = {"type": "auto" if choice == "auto" else "any"}
    elif isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        prepared["tool_choice"] = {"type": "tool", "name": choice["function"]["name"]}
    return prepared


def _anthropic_tool(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": schema["name"],
        "description": schema["description"],
        "input_schema": schema["parameters"],
    }


def _chat_type(_: Provider, arguments: Arguments) -> dt.DataType:
    stored = arguments.get("response_format")
    return chat_type(structured_output.dtype_of(stored) if stored and _is_stored(stored) else None)


def _is_stored(response_format: object) -> bool:
    return isinstance(response_format, Mapping) and "class" in response_format


async def messages(  # noqa: PLR0913 - each is a parameter of Anthropic's API
    client: ModelClient,
    messages: object,
    *,
    model: str,
    max_tokens: int = 1024,
    system: object = None,
    temperature: float | None = None,
    top_p: float | None = None,
    stop_sequences: object = None,
    tools: object = None,
    tool_choice: object = None,
    thinking: object = None,
    **params: Any,
) -> Reply:
    """Call a chat model in the format of Anthropic's messages API.

    Parameters
    ----------
    messages
        Dicts with `role` and `content`; they may contain columns at any place. The content is a
        string, or a list of strings, columns of images and documents, and parts in Anthropic's
        format.
    model
        The name of the model at the provider.
    max_tokens
        The maximum number of tokens of the answer.
    system, temperature, top_p, stop_sequences, tool_choice, thinking
        As in Anthropic's API.
    tools
        `bb.tools(f, g)`, or schemas in the format of Anthropic's API.

    Returns
    -------
    Struct
        `.content[0].text` is the text of the answer.
    """
    filled = await message_content.fill_messages(client, model, messages, api="anthropic")
    reply = await client.messages(
        model, filled, **optional_arguments(locals(), _MESSAGES), **params
    )
    return structured_calls.require_answer(reply, model)


_MESSAGES = messages  # whose own parameter hides it


async def vision(
    client: ModelClient,
    prompt: str,
    image: object,
    *,
    model: str,
    temperature: float | None = None,
    max_tokens: int | None = None,
    **params: Any,
) -> Reply:
    """Call a model with an image and a prompt; the answer is text.

    Parameters
    ----------
    prompt
        The prompt; a string or a column.
    image
        A column of images, an image, or the URL of one.
    model
        The name of the model at the provider.
    temperature, max_tokens
        As in OpenAI's API.

    Returns
    -------
    String
        The text of the answer.
    """
    is_marked = message_content.is_marked(image)
    image_part = image if is_marked else {"type": "image_url", "image_url": {"url": image}}
    content = [{"type": "text", "text": prompt}, image_part]
    messages = [{"role": "user", "content": content}]
    filled = await message_content.fill_messages(client, model, messages)
    reply = await client.chat(model, filled, **optional_arguments(locals(), vision), **params)
    text = structured_calls.answer_text(structured_calls.require_answer(reply, model), model)
    return Reply(text, reply.usage, reply.headers)


def _prepare_vision(arguments: dict[str, Any]) -> dict[str, Any]:
    return {**arguments, "image": message_content.mark(arguments["image"])}


CHATS: dict[str, ProviderFunction] = {
    "chat_completions": ProviderFunction(chat_completions, "chat", _chat_type, _prepare_chat),
    "messages": ProviderFunction(messages, "chat", MESSAGES, _prepare_messages),
    "vision": ProviderFunction(vision, "chat", dt.string, _prepare_vision),
}
