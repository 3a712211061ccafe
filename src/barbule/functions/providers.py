"""The functions of model providers, made from one table.

Owns what a chat or a vision call looks like as a function. A provider is a row of `PROVIDERS`:
its LiteLLM prefix. How a model is reached is the client's business.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.functions.registry import Function, register

if TYPE_CHECKING:
    from collections.abc import Callable

    from barbule.models.base import ModelClient, Reply

__all__ = ["CHAT", "PROVIDERS", "declare", "qualified"]

# Namespace → LiteLLM prefix; "litellm" takes models with their prefix.
PROVIDERS: dict[str, str | None] = {
    "anthropic": "anthropic",
    "gemini": "gemini",
    "litellm": None,
    "ollama": "ollama_chat",
    "openai": "openai",
}

CHAT = dt.Struct(
    {
        "id": dt.string,
        "model": dt.string,
        "created": dt.int64,
        "choices": dt.Array(
            dt.Struct(
                {
                    "index": dt.int64,
                    "finish_reason": dt.string,
                    "message": dt.Struct(
                        {
                            "role": dt.string,
                            "content": dt.string,
                            "tool_calls": dt.string,
                            "reasoning_content": dt.string,
                        }
                    ),
                }
            )
        ),
        "usage": dt.Struct(
            {
                "prompt_tokens": dt.int64,
                "completion_tokens": dt.int64,
                "total_tokens": dt.int64,
            }
        ),
    }
)


def qualified(provider: str, model: str) -> str:
    """Return a model's name with its provider's prefix.

    Parameters
    ----------
    provider
        The LiteLLM prefix.
    model
        The model's name, with or without this prefix. Other slashes belong to the name.

    Returns
    -------
    str
        `provider/name`.

    Examples
    --------
    >>> qualified("openai", "gpt-4o-mini"), qualified("openai", "openai/gpt-4o-mini")
    ('openai/gpt-4o-mini', 'openai/gpt-4o-mini')
    >>> qualified("openrouter", "openai/gpt-4o-mini")
    'openrouter/openai/gpt-4o-mini'
    """
    return model if model.startswith(f"{provider}/") else f"{provider}/{model}"


def declare(namespace: str) -> tuple[Function, Function]:
    """Make the functions of a provider: `chat_completions` and `vision`."""
    prefix = PROVIDERS[namespace]

    def named(model: str) -> str:
        return model if prefix is None else qualified(prefix, model)

    async def chat_completions(
        client: ModelClient, model: str, messages: list[Any], **params: Any
    ) -> Reply:
        """Ask a chat model.

        Parameters
        ----------
        model
            The name of the model at the provider.
        messages
            Dicts with `role` and `content`; columns may stand anywhere in them.
        params
            What the provider takes besides: `temperature`, `max_tokens` …

        Returns
        -------
        Struct
            `.choices[0].message.content` is the text of the answer.
        """
        return await client.chat(named(model), messages, **params)

    async def vision(
        client: ModelClient, model: str, prompt: str, image: bytes, **params: Any
    ) -> Reply:
        """Ask a model about an image; the answer is text.

        Parameters
        ----------
        prompt
            What to ask; a text or a column.
        image
            A column of images.
        """
        content = [
            {"type": "text", "text": prompt},
            {"type": "image_url", "image_url": {"url": _data_url(image)}},
        ]
        reply = await client.chat(named(model), [{"role": "user", "content": content}], **params)
        answer = reply.value["choices"][0]["message"]["content"]
        return type(reply)(answer, reply.usage, reply.headers)

    return (
        _register(namespace, chat_completions, CHAT, named),
        _register(namespace, vision, dt.string, named),
    )


def _register(
    namespace: str, body: Any, returns: dt.DataType, named: Callable[[str], str]
) -> Function:
    return register(
        Function(
            name=f"barbule.functions.{namespace}.{body.__name__}",
            body=body,
            kind="model",
            returns=returns,
            cached=True,
            version="1",
            model_of=lambda arguments: named(str(arguments["model"])),
        )
    )


def _data_url(image: bytes) -> str:
    from barbule.media.images import image_bytes_suffix

    suffix = image_bytes_suffix(image)
    kind = {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix)
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
