"""Common tasks of language models, with prepared prompts.

Owns the wording of the prompts. All but two tasks have structured output, which is validated: see
`structured_output`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.errors import ExpressionError
from barbule.functions.language_models import message_content, structured_calls, structured_output
from barbule.functions.language_models.provider_functions import Prepare, ProviderFunction, Returns
from barbule.functions.language_models.replies import SENTIMENT
from barbule.models.base import Reply
from barbule.models.providers import Provider

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from barbule.models.base import ModelClient

__all__ = ["LANGUAGE"]

_MAX_SUMMARY_WORDS = 100  # if the caller sets no limit
_SUMMARY_SHARE = 0.85  # the usual length of a summary, as a fraction of its maximum length


async def extract(
    client: ModelClient,
    text: object,
    *,
    schema: Any,
    model: str | None = None,
    instructions: str | None = None,
    **params: Any,
) -> Reply:
    """Extract facts from texts, images or documents, as a record.

    Parameters
    ----------
    text
        A column of texts, images, documents or audio files.
    schema
        The facts: a pydantic model or dataclass, whose descriptions are sent to the model, or a
        mapping of names to types. The class must be defined in this process; stored calls name it.
    model
        The model's name; by default the provider's default model.
    instructions
        Additional instructions for the model.
    params
        Additional parameters of the provider.

    Returns
    -------
    Struct
        The fields of the schema. An answer that does not match is sent back once, with the error;
        if the next one does not match either, it is an error.
    """
    prompt = (
        "Extract the facts that the schema asks for from what the user sends. Take them from "
        "there only; what is not said is null where the schema allows it."
    )
    messages = await _messages(client, model, prompt, text, instructions)
    output_schema = structured_output.load_schema(schema)
    record, reply = await structured_calls.ask(
        client, str(model), messages, output_schema, **params
    )
    return Reply(record, reply.usage, reply.headers)


def _prepare_extract(arguments: dict[str, Any]) -> dict[str, Any]:
    return {**_prepare(arguments), "schema": structured_output.store_schema(arguments["schema"])}


def _extract_type(_: Provider, arguments: Mapping[str, Any]) -> dt.DataType:
    return structured_output.dtype_of(arguments["schema"])


async def analyze_sentiment(
    client: ModelClient, text: object, *, model: str | None = None, **params: Any
) -> Reply:
    """Return the sentiment of texts.

    Parameters
    ----------
    text
        A column of texts.
    model
        The model's name; by default the provider's default model.
    params
        Additional parameters of the provider.

    Returns
    -------
    Struct
        `.label` is "positive", "neutral" or "negative", `.score` is the model's confidence, from 0
        to 1.
    """
    prompt = (
        "Judge the sentiment of what the user sends. The score says how sure you are of the "
        "label, from 0 to 1."
    )
    messages = await _messages(client, model, prompt, text)
    sentiment, reply = await structured_calls.ask(
        client, str(model), messages, _sentiment_schema(), **params
    )
    return Reply(sentiment, reply.usage, reply.headers)


@functools.cache
def _sentiment_schema() -> structured_output.OutputSchema:
    import pydantic

    label = Literal["positive", "neutral", "negative"]
    score = (float, pydantic.Field(ge=0, le=1))
    cls = pydantic.create_model("Sentiment", label=(label, ...), score=score)
    return structured_output.class_schema(cls)


async def classify(
    client: ModelClient,
    text: object,
    labels: Any,
    *,
    model: str | None = None,
    several: bool = False,
    instructions: str | None = None,
    **params: Any,
) -> Reply:
    """Choose the best label for each text or image.

    Parameters
    ----------
    text
        A column of texts, images or documents.
    labels
        The labels; or a mapping of labels to their descriptions.
    model
        The model's name; by default the provider's default model.
    several
        Whether several labels may apply, or none.
    instructions
        Additional instructions for the model.
    params
        Additional parameters of the provider.

    Returns
    -------
    String, or Array of String with `several`
        One of the labels, never anything else.
    """
    answers = "every label that fits" if several else "the label that fits best"
    prompt = f"Classify what the user sends: answer {answers}.\n\n"
    if isinstance(labels, Mapping):
        prompt += "\n".join(f"- {label}: {meaning}" for label, meaning in labels.items())
    else:
        prompt += "\n".join(f"- {label}" for label in labels)
    messages = await _messages(client, model, prompt, text, instructions)
    schema = structured_output.choice_schema(tuple(map(str, labels)), several=several)
    choice, reply = await structured_calls.ask(client, str(model), messages, schema, **params)
    return Reply(choice["answer"], reply.usage, reply.headers)


def _prepare_classify(arguments: dict[str, Any]) -> dict[str, Any]:
    labels = arguments["labels"]
    if not isinstance(labels, ir.Expr):
        is_collection = isinstance(labels, Mapping | Sequence) and not isinstance(labels, str)
        if not is_collection or len(set(labels)) != len(labels) or not labels:
            raise ExpressionError(
                "labels must be a list of distinct strings.", value=labels, hint="['good', 'bad']."
            )
    if not arguments.get("several"):
        arguments.pop("several", None)
    return _prepare(arguments)


def _classify_type(_: Provider, arguments: Mapping[str, Any]) -> dt.DataType:
    return dt.Array(dt.string) if arguments.get("several") else dt.string


async def summarize(
    client: ModelClient,
    text: object,
    *,
    model: str | None = None,
    max_words: int | None = None,
    instructions: str | None = None,
    **params: Any,
) -> Reply:
    """Summarize texts or documents in their language.

    Parameters
    ----------
    text
        A column of texts, documents or images.
    model
        The model's name; by default the provider's default model.
    max_words
        The approximate maximum length of a summary.
    instructions
        Additional instructions for the model.
    params
        Additional parameters of the provider.

    Returns
    -------
    String
    """
    length = f"in at most {max_words} words" if max_words else "briefly"
    prompt = (
        f"Summarize what the user sends {length}, in its own language. Answer the summary only."
    )
    words = min(
        _SUMMARY_SHARE * (max_words or _MAX_SUMMARY_WORDS), _words_in(text) or _MAX_SUMMARY_WORDS
    )
    estimated = client.expecting(words=words)
    return await _text_reply(estimated, model, prompt, text, instructions, params)


async def translate(
    client: ModelClient,
    text: object,
    to: str,
    *,
    model: str | None = None,
    source: str | None = None,
    instructions: str | None = None,
    **params: Any,
) -> Reply:
    """Translate texts.

    Parameters
    ----------
    text
        A column of texts.
    to
        The language to translate to: "French", "zh" …
    model
        The model's name; by default the provider's default model.
    source
        The language of the texts; detected by the model by default.
    instructions
        Additional instructions for the model.
    params
        Additional parameters of the provider.

    Returns
    -------
    String
    """
    origin = f" from {source}" if source else ""
    prompt = f"Translate what the user sends{origin} to {to}. Answer the translation only."
    estimated = client.expecting(words=_words_in(text))
    return await _text_reply(estimated, model, prompt, text, instructions, params)


async def filter(  # noqa: A001 - the name that users know
    client: ModelClient,
    condition: str,
    *values: Any,  # noqa: ARG001 - they come by name, see `_prepare_filter`
    model: str | None = None,
    **params: Any,
) -> Reply:
    """Return whether a statement about each row is true.

    Parameters
    ----------
    condition
        The statement, with placeholders for values: "{text} is about birds".
    values
        The values of placeholders without names, `{0}`; those with names are filled by name. Images
        and documents may be values too.
    model
        The model's name; by default the provider's default model.
    params
        The named values, and additional parameters of the provider.

    Returns
    -------
    Bool
    """
    prompt = "Say whether the statement that the user sends is true."
    statement = message_content.fill_statement(condition, params.pop("values", {}))
    messages = [{"role": "system", "content": prompt}, {"role": "user", "content": statement}]
    messages = await message_content.fill_messages(client, str(model), messages)
    truth, reply = await structured_calls.ask(
        client, str(model), messages, _truth_schema(), **params
    )
    return Reply(truth["answer"], reply.usage, reply.headers)


def _prepare_filter(arguments: dict[str, Any]) -> dict[str, Any]:
    condition = arguments.pop("condition")
    positional = arguments.pop("*values", [])
    if isinstance(condition, ir.Expr):
        condition, positional = "{0}", [condition, *positional]
    try:
        fields = message_content.statement_fields(condition)
    except ValueError as error:
        raise ExpressionError(
            f"filter: the condition is not a valid template: {error}.",
            value=condition,
            hint="Write placeholders as {text}, and double braces that are not placeholders: {{ "
            "and }}.",
        ) from error
    names = [name for _, name in fields if name is not None]
    unmarked = {str(number): value for number, value in enumerate(positional)}
    unmarked |= {name: arguments.pop(name) for name in names if name in arguments}
    missing = [name for name in names if name not in unmarked]
    if missing or len(unmarked) > len(set(names)):
        raise ExpressionError(
            f"filter: the condition has the placeholders {names}, but values are given for "
            f"{list(unmarked)}.",
            value=condition,
            hint='Fill each of them: filter("{text} is long", text=t.text).',
        )
    values = {name: message_content.mark(value) for name, value in unmarked.items()}
    return {"condition": condition, "values": values, **arguments}


@functools.cache
def _truth_schema() -> structured_output.OutputSchema:
    import pydantic

    return structured_output.class_schema(pydantic.create_model("Truth", answer=(bool, ...)))


# -- Shared ---------------------------------------------------------------------------------------


async def _messages(
    client: ModelClient, model: object, prompt: str, value: object, instructions: str | None = None
) -> list[dict[str, Any]]:
    """Return the messages of a request about a value."""
    system = f"{prompt}\n\n{instructions}" if instructions else prompt
    content = await message_content.fill(client, str(model), value)
    return [{"role": "system", "content": system}, {"role": "user", "content": content}]


def _words_in(value: object) -> int | None:
    """Count the words of a text; None for media."""
    return None if message_content.is_marked(value) else len(message_content.text_of(value).split())


async def _text_reply(
    estimated: AbstractContextManager[ModelClient],
    model: object,
    prompt: str,
    value: object,
    instructions: str | None,
    params: Mapping[str, Any],
) -> Reply:
    """Send a request whose answer is free text."""
    with estimated as client:
        messages = await _messages(client, model, prompt, value, instructions)
        reply = await client.chat(str(model), messages, **params)
    answer = structured_calls.require_answer(reply, str(model))
    text = structured_calls.answer_text(answer, str(model))
    return Reply(text.strip(), reply.usage, reply.headers)


def _prepare(arguments: dict[str, Any]) -> dict[str, Any]:
    return {**arguments, "text": message_content.mark(arguments["text"])}


_TASKS: dict[str, tuple[Callable[..., Any], Returns, Prepare]] = {
    "extract": (extract, _extract_type, _prepare_extract),
    "analyze_sentiment": (analyze_sentiment, SENTIMENT, _prepare),
    "classify": (classify, _classify_type, _prepare_classify),
    "summarize": (summarize, dt.string, _prepare),
    "translate": (translate, dt.string, _prepare),
    "filter": (filter, dt.boolean, _prepare_filter),
}

LANGUAGE: dict[str, ProviderFunction] = {
    name: ProviderFunction(body, "chat", returns, prepare, defaulted=True)
    for name, (body, returns, prepare) in _TASKS.items()
}
