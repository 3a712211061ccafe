"""How a function of a local model is declared: a body for a batch, with the model as an argument.

Owns what all of them have in common: batches, the ledger, names of models, constant options.
"""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.errors import ExpressionError
from barbule.functions.function import Function
from barbule.functions.parameters.parameter import Parameter
from barbule.functions.registry import register
from barbule.models.huggingface.hub import ModelSource, ledger_name, model_source
from barbule.types import Audio, Image, Media, Video

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["CLASSES", "classes_of", "local_model", "network"]

_PREFIX = "barbule.functions.huggingface"

CLASSES = dt.Struct(
    {
        "label": dt.string,
        "score": dt.float64,
        "labels": dt.Array(dt.string),
        "scores": dt.Array(dt.float64),
    }
)
"""The best label and how sure the model is of it, then all of them, best first."""


def local_model(
    returns: dt.DataType | Callable[[Mapping[str, Any]], dt.DataType],
    *,
    takes: str,
    batch_size: int,
    rows: int = 1,
) -> Callable[[Callable[..., Any]], Function]:
    """Make a function of a local model.

    Parameters
    ----------
    returns
        The type of its result, or what tells it from the arguments of a call.
    takes
        What it takes of rows: "text", "image", "audio", or two of them, as in "image text".
    batch_size
        Rows that the model is given at once.
    rows
        How many of the first parameters take the values of rows; the others are constants.
    """

    def declare(body: Callable[..., Any]) -> Function:
        names = list(inspect.signature(body).parameters)
        parameters = (
            *(Parameter(name, batched=True) for name in names[:rows]),
            *(Parameter(name, nullable=True) for name in names[rows:]),
        )
        return register(
            Function(
                name=f"{_PREFIX}.{body.__name__}",
                body=_one_or_many(body, names[:rows], takes),
                kind="batch",
                returns=returns,
                parameters=parameters,
                batch_size=batch_size,
                cached=True,
                model_of=lambda arguments: ledger_name(arguments["model_id"]),
                prepare=lambda arguments: _prepared(body, names[:rows], takes, arguments),
            )
        )

    return declare


def _one_or_many(body: Callable[..., Any], batched: list[str], takes: str) -> Callable[..., Any]:
    """Let it be called with one value as well, when it is tried out without a table."""
    fits = _FITTING[takes]
    signature = inspect.signature(body)

    @functools.wraps(body)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        many = any(_is_batch(given[name]) for name in batched)
        for name in batched:
            for item in given[name] if many else [given[name]]:
                if not fits(item):
                    raise _misfit(body, takes, type(item).__name__)
        if many:
            return body(**given)
        return body(**{**given, **{name: [given[name]] for name in batched}})[0]

    return call


def _is_text(value: Any) -> bool:
    return isinstance(value, str | list)  # a conversation is a list of messages


def _is_image(value: Any) -> bool:
    return hasattr(value, "convert")


_FITTING: dict[str, Callable[[Any], bool]] = {
    "text": _is_text,
    "image": _is_image,
    "image text": lambda value: _is_image(value) or isinstance(value, str),
    "audio": lambda value: isinstance(value, str | Path),
}


def _fits_column(kind: dt.DataType, takes: str) -> bool:
    """Whether a column of a type holds what a function takes; similar words have other types."""
    if isinstance(kind, Image):
        return "image" in takes
    if isinstance(kind, Media):
        return takes == "audio" and isinstance(kind, Audio | Video)
    return kind.is_string() and "text" in takes


def _misfit(body: Callable[..., Any], takes: str, given: object) -> ExpressionError:
    wanted = " or ".join({"text": "texts", "image": "images", "audio": "sounds"}[each]
                         for each in takes.split())  # fmt: skip
    return ExpressionError(
        f"huggingface.{body.__name__} takes {wanted}.",
        value=str(given),
        hint="Give it a column of these.",
    )


def _is_batch(value: Any) -> bool:
    """Whether a value is a list of values; a list of messages is one conversation."""
    if not isinstance(value, list):
        return False
    return not (value and all(isinstance(each, dict) and "role" in each for each in value))


def _prepared(
    body: Callable[..., Any], batched: list[str], takes: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Check a call, name a folder by its whole path, and leave out what was not given."""
    short = body.__name__
    for name, value in arguments.items():
        if name in batched:
            if isinstance(value, ir.Expr) and not _fits_column(value.type(), takes):
                raise _misfit(body, takes, value.type())
        elif _varies(value):
            raise ExpressionError(
                f"huggingface.{short}: {name} is the same for all rows.",
                hint="Give a plain value, and make a column for each value where it differs.",
            )
    given = {name: value for name, value in arguments.items() if value is not None}
    model_id = given.get("model_id")
    if not isinstance(model_id, str | Path) or not str(model_id):
        raise ExpressionError(
            f"huggingface.{short}: model_id names a model of the hub or is a folder.",
            value=model_id,
            hint="Give model_id='owner/name' or model_id='path/to/folder'.",
        )
    if "labels" in given:
        _check_labels(short, given["labels"])
    place = model_source(str(model_id))
    return {**given, "model_id": place.name if place.is_folder else str(model_id)}


def _check_labels(short: str, labels: Any) -> None:
    fine = isinstance(labels, list | tuple) and all(isinstance(each, str) for each in labels)
    if not fine or not labels or len(set(labels)) != len(labels):
        raise ExpressionError(
            f"huggingface.{short}: labels are a list of different texts.",
            value=labels,
            hint="['cat', 'dog'].",
        )


def _varies(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_varies, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_varies, value))
    return isinstance(value, ir.Expr)


def classes_of(scores: Any, names: Mapping[int, str], top_k: int | None) -> list[dict[str, Any]]:
    """Order the classes of each row, best first.

    Parameters
    ----------
    scores
        A matrix: a row for each value, a column for each class.
    names
        What the classes are called.
    top_k
        How many are kept; None for all.
    """
    count = scores.shape[-1] if top_k is None else max(1, min(top_k, scores.shape[-1]))
    best, places = scores.float().topk(count)
    found = []
    for row, order in zip(best.tolist(), places.tolist(), strict=True):
        labels = [str(names.get(place, place)) for place in order]
        found.append({"label": labels[0], "score": row[0], "labels": labels, "scores": row})
    return found


def network(kind: str, place: ModelSource, *, optional: tuple[str, ...] = ()) -> Any:
    """Load the weights of a network of one of transformers' classes.

    Parameters
    ----------
    kind
        The name of the class.
    optional
        Parts of names of weights that may be missing, as they are not used.

    Raises
    ------
    ModelError
        When weights are missing: they would be random, and so would the answers be.
    """
    import transformers

    from barbule.errors import ModelError

    model, told = getattr(transformers, kind).from_pretrained(
        place.name, output_loading_info=True, **place.options
    )
    missing = [name for name in told["missing_keys"] if not any(part in name for part in optional)]
    if missing:
        raise ModelError(
            f"the model {place.name!r} has no weights for this function: {missing[0]} and "
            f"{len(missing) - 1} more are missing.",
            hint="Choose a model that was trained for it.",
        )
    return model
