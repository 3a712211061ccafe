"""The functions of model providers: embeddings, moderation, reranking, images, audio.

Owns their signatures and types, and how arguments become a request to the client. Chats are in
`chats`; `barbule.models.providers` lists which provider has which functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.errors import ExpressionError, ModelError
from barbule.functions.language_models import message_content
from barbule.functions.language_models.replies import MODERATION, RANKING, TRANSCRIPT
from barbule.models.base import Reply
from barbule.models.price_table import vector_length
from barbule.models.providers import Kind, Provider
from barbule.types import Audio, Image, Vector

if TYPE_CHECKING:
    from barbule.models.base import ModelClient

__all__ = [
    "PROVIDER_FUNCTIONS",
    "Arguments",
    "Prepare",
    "ProviderFunction",
    "Returns",
    "optional_arguments",
]

Arguments = Mapping[str, Any]
Returns: TypeAlias = "dt.DataType | Callable[[Provider, Arguments], dt.DataType]"
Prepare = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class ProviderFunction:
    """A function that is created for every provider.

    Parameters
    ----------
    body
        Calls the client; `model` has its prefix.
    kind
        The type of request that a provider must support.
    returns
        The type of the result, or a callable that computes it from provider and prepared arguments.
    prepare
        Converts bound arguments to those of a stored call.
    defaulted
        Whether the provider's default model is used if none is named.
    batch_size
        The maximum number of rows in one request.
    single_item_name
        The name of the equivalent function for single items of a list, if there is one.
    """

    body: Callable[..., Any]
    kind: Kind
    returns: Returns
    prepare: Prepare = dict
    defaulted: bool = False
    batch_size: int = 1
    single_item_name: str | None = None


def optional_arguments(values: Mapping[str, Any], body: Callable[..., Any]) -> dict[str, Any]:
    """Return the optional arguments of a body that have a value."""
    optional = body.__kwdefaults__ or {}
    return {name: values[name] for name in optional if values[name] is not None}


# -- Embeddings, moderation, ranking --------------------------------------------------------------


async def embeddings(
    client: ModelClient,
    input: list[Any],  # noqa: A002 - OpenAI's name
    *,
    model: str,
    dimensions: int | None = None,
    length: int | None = None,
    **params: Any,
) -> Reply:
    """Embed texts.

    Parameters
    ----------
    input
        A column of texts.
    model
        The name of the model at the provider.
    dimensions
        The requested length of the vectors, if the model lets you choose.
    length
        The length of the model's vectors. It is required for models that are not in LiteLLM's
        table, such as models on your own server; it is not sent.

    Returns
    -------
    Vector
        Vectors of a length that is known in advance, as columns and indexes require.
    """
    options = optional_arguments(locals(), embeddings) | params
    options.pop("length", None)
    texts = [message_content.text_of(value) for value in input]
    reply = await client.embed(model, texts, **options)
    # A text without a vector does not affect the others.
    vectors = [vector or _no_vector(model) for vector in reply.value]
    return Reply(vectors, reply.usage, reply.headers)


def _no_vector(model: str) -> ModelError:
    return ModelError(
        f"model {model!r}: it returned no vector for this text.",
        hint="Check whether the text is empty or longer than the model's limit.",
    )


def _vector_type(provider: Provider, arguments: Arguments) -> dt.DataType:
    length = arguments.get("dimensions") or arguments.get("length")
    model = arguments["model"]
    if length is None and isinstance(model, str):
        length = vector_length(provider.qualified(model, "embed"))
    if length is None:
        raise ExpressionError(
            "the length of this model's vectors is unknown.",
            value=model,
            hint="Pass the length with length=768, or request a length from the model with "
            "dimensions=768.",
        )
    return Vector(length)


async def moderations(
    client: ModelClient,
    input: str,  # noqa: A002 - OpenAI's name
    *,
    model: str,
    **params: Any,
) -> Reply:
    """Detect harmful texts.

    Parameters
    ----------
    input
        A string or a column.
    model
        The name of the model at the provider.

    Returns
    -------
    Struct
        `.flagged`, and by name the `.categories` and their `.category_scores`.
    """
    return await client.moderate(model, message_content.text_of(input), **params)


async def rerank(
    client: ModelClient,
    query: str,
    documents: Any,
    *,
    model: str,
    top_n: int | None = None,
    **params: Any,
) -> Reply:
    """Order documents by relevance to a query.

    Parameters
    ----------
    query
        A string or a column.
    documents
        A list of strings, or a column of lists: of strings or, as a query function returns them, of
        records.
    model
        The name of the model at the provider.
    top_n
        The number of documents to return.

    Returns
    -------
    Array of Struct
        `.index` in the list, `.relevance_score` and `.document`, best first.
    """
    texts = [message_content.text_of(document) for document in documents or ()]
    reply = await client.rerank(
        model,
        message_content.text_of(query),
        texts,
        **optional_arguments(locals(), rerank),
        **params,
    )
    ranking = [{**result, "document": texts[result["index"]]} for result in reply.value]
    return Reply(ranking, reply.usage, reply.headers)


async def relevance(
    client: ModelClient,
    query: str,
    input: list[Any],  # noqa: A002 - as in `embeddings`
    *,
    model: str,
    **params: Any,
) -> Reply:
    """Score the relevance of each text to a query with a reranker.

    Parameters
    ----------
    query
        A string or a column.
    input
        A column of texts; several rows share a request.
    model
        The name of the model at the provider.

    Returns
    -------
    Float
        Larger is more relevant; the scale depends on the model.
    """
    texts = [message_content.text_of(value) for value in input]
    reply = await client.rerank(model, message_content.text_of(query), texts, **params)
    scores = {result["index"]: result["relevance_score"] for result in reply.value}
    return Reply([scores.get(row) for row in range(len(texts))], reply.usage, reply.headers)


# -- Images and sounds ----------------------------------------------------------------------------


async def image_generations(
    client: ModelClient,
    prompt: str,
    *,
    model: str,
    size: str | None = None,
    quality: str | None = None,
    **params: Any,
) -> Reply:
    """Generate an image for each prompt.

    Parameters
    ----------
    prompt
        A string or a column.
    model
        The name of the model at the provider.
    size, quality
        As in OpenAI's API: "1024x1024", "low" …

    Returns
    -------
    Image
    """
    return await client.image(
        model, prompt, **optional_arguments(locals(), image_generations), **params
    )


def _prepare_image(arguments: dict[str, Any]) -> dict[str, Any]:
    if arguments.get("n") not in {None, 1}:
        raise ExpressionError(
            "a cell holds one image.",
            value=arguments["n"],
            hint="Remove n, and add a column for each image.",
        )
    return arguments


async def transcriptions(  # noqa: PLR0913 - each is a parameter of OpenAI's API
    client: ModelClient,
    audio: Mapping[str, Any],
    *,
    model: str,
    language: str | None = None,
    prompt: str | None = None,
    temperature: float | None = None,
    response_format: str | None = None,
    timestamp_granularities: object = None,
    **params: Any,
) -> Reply:
    """Transcribe audio files.

    Parameters
    ----------
    audio
        A column of audio files (or videos, if the provider accepts them).
    model
        The name of the model at the provider.
    language, prompt, temperature, response_format, timestamp_granularities
        As in OpenAI's API.

    Returns
    -------
    Struct
        `.text`, and if the provider returns them `.language`, `.duration`, `.segments` and `.words`
        with their times.
    """
    options = optional_arguments(locals(), transcriptions) | params
    return await client.transcribe(model, Path(audio["of"]), **options)


def _prepare_sound(arguments: dict[str, Any]) -> dict[str, Any]:
    marked = message_content.mark(arguments["audio"])
    if not message_content.is_marked(marked) or marked["media"] not in {"audio", "video"}:
        dtype = marked.type() if isinstance(marked, ir.Expr) else type(marked).__name__
        raise ExpressionError(
            "a transcription takes an audio file.",
            value=str(dtype),
            hint="Pass a column of type bb.Audio.",
        )
    return {**arguments, "audio": marked}


async def speech(
    client: ModelClient,
    input: str,  # noqa: A002 - OpenAI's name
    *,
    model: str,
    voice: str | None = None,
    response_format: str | None = None,
    speed: float | None = None,
    instructions: str | None = None,
    **params: Any,
) -> Reply:
    """Convert texts to speech.

    Parameters
    ----------
    input
        A string or a column.
    model
        The name of the model at the provider.
    voice, response_format, speed, instructions
        As in OpenAI's API: "alloy", "mp3" …

    Returns
    -------
    Audio
    """
    return await client.speak(model, input, **optional_arguments(locals(), speech), **params)


PROVIDER_FUNCTIONS: dict[str, ProviderFunction] = {
    "embeddings": ProviderFunction(embeddings, "embed", _vector_type, batch_size=64),
    "moderations": ProviderFunction(moderations, "moderate", MODERATION),
    "rerank": ProviderFunction(rerank, "rerank", RANKING, single_item_name="relevance"),
    "relevance": ProviderFunction(relevance, "rerank", dt.float64, batch_size=100),
    "image_generations": ProviderFunction(image_generations, "image", Image(), _prepare_image),
    "transcriptions": ProviderFunction(transcriptions, "transcribe", TRANSCRIPT, _prepare_sound),
    "speech": ProviderFunction(speech, "speak", Audio()),
}
