"""What is often asked of language models, with the question already written.

Owns the wording of these questions. All but two are answered in a form that is checked, see
`structured`.
"""

from __future__ import annotations

import functools
import string
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.errors import ExpressionError
from barbule.functions.language_models import message_content, structured_calls, structured_output
from barbule.functions.language_models.provider_functions import Call
from barbule.functions.language_models.replies import SENTIMENT
from barbule.models.base import Reply
from barbule.models.providers import Provider

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from barbule.models.base import ModelClient

__all__ = ["LANGUAGE"]

_SUMMARY = 100  # words that a summary has at most, where nobody says how long it may be
_OF_MOST = 0.85  # how much of what it may have a summary usually has


async def extract(
    client: ModelClient,
    text: Any,
    *,
    schema: Any,
    model: str | None = None,
    instructions: str | None = None,
    **params: Any,
) -> Reply:
    """Take facts out of texts, images or documents, as a record.

    Parameters
    ----------
    text
        A column of texts, images, documents or sounds.
    schema
        What to find: a pydantic model or dataclass, whose descriptions the model reads, or a
        mapping of names to types. Defined in this process; stored calls name the class.
    model
        The model's name; the provider's usual one by default.
    instructions
        What the model has to know besides.
    params
        What the provider takes besides.

    Returns
    -------
    Struct
        The fields of the schema. An answer that does not fit is sent back once, with what is
        wrong; if the next does not fit either it is an error.
    """
    told = "Extract the facts that the schema asks for from what the user sends. Take them from "
    told += "there only; what is not said is null where the schema allows it."
    asked = await _asked(client, model, told, text, instructions)
    form = structured_output.form_of(schema)
    found, reply = await structured_calls.ask(client, str(model), asked, form, **params)
    return Reply(found, reply.usage, reply.headers)


def _prepare_extract(arguments: dict[str, Any]) -> dict[str, Any]:
    return {**_prepare(arguments), "schema": structured_output.stored_form(arguments["schema"])}


def _extract_type(_: Provider, arguments: Mapping[str, Any]) -> dt.DataType:
    return structured_output.dtype_of(arguments["schema"])


async def analyze_sentiment(
    client: ModelClient, text: Any, *, model: str | None = None, **params: Any
) -> Reply:
    """Tell the sentiment of texts.

    Parameters
    ----------
    text
        A column of texts.
    model
        The model's name; the provider's usual one by default.
    params
        What the provider takes besides.

    Returns
    -------
    Struct
        `.label` is "positive", "neutral" or "negative", `.score` how sure the model is of it,
        from 0 to 1.
    """
    told = "Judge the sentiment of what the user sends. The score says how sure you are of the "
    told += "label, from 0 to 1."
    asked = await _asked(client, model, told, text)
    found, reply = await structured_calls.ask(client, str(model), asked, _sentiment(), **params)
    return Reply(found, reply.usage, reply.headers)


@functools.cache
def _sentiment() -> structured_output.Form:
    import pydantic

    label = Literal["positive", "neutral", "negative"]
    score = (float, pydantic.Field(ge=0, le=1))
    cls = pydantic.create_model("Sentiment", label=(label, ...), score=score)
    return structured_output.class_form(cls)


async def classify(
    client: ModelClient,
    text: Any,
    labels: Any,
    *,
    model: str | None = None,
    several: bool = False,
    instructions: str | None = None,
    **params: Any,
) -> Reply:
    """Choose the label that fits each text or image best.

    Parameters
    ----------
    text
        A column of texts, images or documents.
    labels
        The labels; or a mapping of labels to what they mean.
    model
        The model's name; the provider's usual one by default.
    several
        Whether more than one label may fit, or none.
    instructions
        What the model has to know besides.
    params
        What the provider takes besides.

    Returns
    -------
    String, or Array of String with `several`
        One of the labels, never anything else.
    """
    many = "every label that fits" if several else "the label that fits best"
    told = f"Classify what the user sends: answer {many}.\n\n"
    if isinstance(labels, Mapping):
        told += "\n".join(f"- {label}: {meaning}" for label, meaning in labels.items())
    else:
        told += "\n".join(f"- {label}" for label in labels)
    asked = await _asked(client, model, told, text, instructions)
    form = structured_output.choice_form(tuple(map(str, labels)), several=several)
    found, reply = await structured_calls.ask(client, str(model), asked, form, **params)
    return Reply(found["answer"], reply.usage, reply.headers)


def _prepare_classify(arguments: dict[str, Any]) -> dict[str, Any]:
    labels = arguments["labels"]
    if not isinstance(labels, ir.Expr):
        fine = isinstance(labels, Mapping | Sequence) and not isinstance(labels, str)
        if not fine or len(set(labels)) != len(labels) or not labels:
            raise ExpressionError(
                "labels are a list of different texts.", value=labels, hint="['good', 'bad']."
            )
    if not arguments.get("several"):
        arguments.pop("several", None)
    return _prepare(arguments)


def _classify_type(_: Provider, arguments: Mapping[str, Any]) -> dt.DataType:
    return dt.Array(dt.string) if arguments.get("several") else dt.string


async def summarize(
    client: ModelClient,
    text: Any,
    *,
    model: str | None = None,
    max_words: int | None = None,
    instructions: str | None = None,
    **params: Any,
) -> Reply:
    """Say in short what texts or documents say, in their language.

    Parameters
    ----------
    text
        A column of texts, documents or images.
    model
        The model's name; the provider's usual one by default.
    max_words
        About how long a summary may be.
    instructions
        What the model has to know besides.
    params
        What the provider takes besides.

    Returns
    -------
    String
    """
    length = f"in at most {max_words} words" if max_words else "briefly"
    told = f"Summarize what the user sends {length}, in its own language. Answer the summary only."
    words = min(_OF_MOST * (max_words or _SUMMARY), _words_in(text) or _SUMMARY)
    expecting = client.expecting(words=words)
    return await _answered(expecting, model, told, text, instructions, params)


async def translate(
    client: ModelClient,
    text: Any,
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
        The model's name; the provider's usual one by default.
    source
        The language of the texts, where the model should not find it out.
    instructions
        What the model has to know besides.
    params
        What the provider takes besides.

    Returns
    -------
    String
    """
    origin = f" from {source}" if source else ""
    told = f"Translate what the user sends{origin} to {to}. Answer the translation only."
    expecting = client.expecting(words=_words_in(text))
    return await _answered(expecting, model, told, text, instructions, params)


async def filter(  # noqa: A001 - the name that users know
    client: ModelClient,
    condition: str,
    *values: Any,  # noqa: ARG001 - they come by name, see `_prepare_filter`
    model: str | None = None,
    **params: Any,
) -> Reply:
    """Tell whether a statement about each row is true.

    Parameters
    ----------
    condition
        The statement, with places for values: "{text} is about birds".
    values
        What fills places without names, `{0}`; those with names are filled by name. Images and
        documents may stand in places too.
    model
        The model's name; the provider's usual one by default.
    params
        The named values, and what the provider takes besides.

    Returns
    -------
    Bool
    """
    told = "Say whether the statement that the user sends is true."
    said = _filled(condition, params.pop("values", {}))
    asked = [{"role": "system", "content": told}, {"role": "user", "content": said}]
    asked = await message_content.fill_messages(client, str(model), asked)
    found, reply = await structured_calls.ask(client, str(model), asked, _truth(), **params)
    return Reply(found["answer"], reply.usage, reply.headers)


def _filled(condition: str, values: Mapping[str, Any]) -> Any:
    """Put values into the places of a statement; media become parts between its texts."""
    parts: list[Any] = []
    text = ""
    for before, place in _places(condition):
        text += before
        if place is None:
            continue
        if message_content.is_marked(values[place]):
            parts += [{"type": "text", "text": text}] if text.strip() else []
            parts.append(values[place])
            text = ""
        else:
            text += message_content.text_of(values[place])
    if not parts:
        return text
    return [*parts, {"type": "text", "text": text}] if text.strip() else parts


def _places(condition: str) -> list[tuple[str, str | None]]:
    """List the texts of a template, each with the name of the place behind it."""
    found: list[tuple[str, str | None]] = []
    for number, (before, name, _, _) in enumerate(string.Formatter().parse(condition)):
        found.append((before, name or (None if name is None else str(number))))
    return found


def _prepare_filter(arguments: dict[str, Any]) -> dict[str, Any]:
    condition = arguments.pop("condition")
    given = arguments.pop("*values", [])
    if isinstance(condition, ir.Expr):
        condition, given = "{0}", [condition, *given]
    try:
        names = [name for _, name in _places(condition) if name is not None]
    except ValueError as error:
        raise ExpressionError(
            f"filter: the condition is no template: {error}.",
            value=condition,
            hint="Write places as {text}, and braces that are none twice.",
        ) from error
    named = {str(number): value for number, value in enumerate(given)}
    named |= {name: arguments.pop(name) for name in names if name in arguments}
    missing = [name for name in names if name not in named]
    if missing or len(named) > len(set(names)):
        raise ExpressionError(
            f"filter: the condition has the places {names}, and values are given for "
            f"{list(named)}.",
            value=condition,
            hint='Fill each of them: filter("{text} is long", text=t.text).',
        )
    values = {name: message_content.mark(value) for name, value in named.items()}
    return {"condition": condition, "values": values, **arguments}


@functools.cache
def _truth() -> structured_output.Form:
    import pydantic

    return structured_output.class_form(pydantic.create_model("Truth", answer=(bool, ...)))


# -- What they share ------------------------------------------------------------------------------


async def _asked(
    client: ModelClient, model: Any, told: str, value: Any, instructions: str | None = None
) -> list[dict[str, Any]]:
    """Write the messages of a question about a value."""
    system = f"{told}\n\n{instructions}" if instructions else told
    said = await message_content.fill(client, str(model), value)
    return [{"role": "system", "content": system}, {"role": "user", "content": said}]


def _words_in(value: Any) -> int | None:
    """Count the words of a text; None where what is said is no text."""
    return None if message_content.is_marked(value) else len(message_content.text_of(value).split())


async def _answered(
    expecting: AbstractContextManager[ModelClient],
    model: Any,
    told: str,
    value: Any,
    instructions: str | None,
    params: Mapping[str, Any],
) -> Reply:
    """Ask a question whose answer is any text."""
    with expecting as client:
        asked = await _asked(client, model, told, value, instructions)
        reply = await client.chat(str(model), asked, **params)
    text = structured_calls.said(structured_calls.answered(reply, str(model)), str(model))
    return Reply(text.strip(), reply.usage, reply.headers)


def _prepare(arguments: dict[str, Any]) -> dict[str, Any]:
    return {**arguments, "text": message_content.mark(arguments["text"])}


LANGUAGE: dict[str, Call] = {
    "extract": Call(extract, "chat", _extract_type, _prepare_extract, defaulted=True),
    "analyze_sentiment": Call(analyze_sentiment, "chat", SENTIMENT, _prepare, defaulted=True),
    "classify": Call(classify, "chat", _classify_type, _prepare_classify, defaulted=True),
    "summarize": Call(summarize, "chat", dt.string, _prepare, defaulted=True),
    "translate": Call(translate, "chat", dt.string, _prepare, defaulted=True),
    "filter": Call(filter, "chat", dt.boolean, _prepare_filter, defaulted=True),
}
