"""Declaration of local model functions: a body for a batch, with the model as an argument.

Owns their shared parts: batches, the ledger, names of models, constant options, labels and scores.
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
from barbule.types import declaration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch
    from transformers import PreTrainedModel

__all__ = ["CLASSES", "classes_of", "load_network", "local_model"]

_PREFIX = "barbule.functions.huggingface"

CLASSES = dt.Struct(
    {
        "label": dt.string,
        "score": dt.float64,
        "labels": dt.Array(dt.string),
        "scores": dt.Array(dt.float64),
    }
)
"""The best label and its score, then all of them, best first."""


def local_model(
    returns: dt.DataType | Callable[[Mapping[str, Any]], dt.DataType],
    *,
    takes: str,
    batch_size: int,
    rows: int = 1,
) -> Callable[[Callable[..., Any]], Function]:
    """Create a local model function from a body.

    Parameters
    ----------
    returns
        The type of its result, or a callable that computes it from the arguments of a call.
    takes
        The modality of its rows: "text", "image", "audio", or two of them, as in "image text".
    batch_size
        The number of rows in one batch.
    rows
        The number of leading parameters that take the values of rows; the others are constants.
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
                body=_batch_or_single(body, names[:rows], takes),
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


def _batch_or_single(
    body: Callable[..., Any], batched: list[str], takes: str
) -> Callable[..., Any]:
    """Also accept a single value, for calls without a table."""
    fits = _FITS_VALUE[takes]
    signature = inspect.signature(body)

    @functools.wraps(body)
    def call(*args: Any, **kwargs: Any) -> object:
        arguments = signature.bind(*args, **kwargs).arguments
        is_batch = any(_is_batch(arguments[name]) for name in batched)
        for name in batched:
            for item in arguments[name] if is_batch else [arguments[name]]:
                if not fits(item):
                    raise _modality_error(body, takes, type(item).__name__)
        if is_batch:
            return body(**arguments)
        return body(**{**arguments, **{name: [arguments[name]] for name in batched}})[0]

    return call


def _is_text(value: object) -> bool:
    return isinstance(value, str | list)  # a conversation is a list of messages


def _is_image(value: object) -> bool:
    return hasattr(value, "convert")


_FITS_VALUE: dict[str, Callable[[Any], bool]] = {
    "text": _is_text,
    "image": _is_image,
    "image text": lambda value: _is_image(value) or isinstance(value, str),
    "audio": lambda value: isinstance(value, str | Path),
}


def _fits_column(kind: dt.DataType, takes: str) -> bool:
    """Whether the type of a column matches the modality of a function."""
    modality = declaration(kind).modality
    if takes == "audio":
        return modality in {"audio", "video"}
    return modality in {"image", "text"} and modality in takes.split()


_PLURALS = {"text": "texts", "image": "images", "audio": "sounds"}


def _modality_error(body: Callable[..., Any], takes: str, actual: object) -> ExpressionError:
    modalities = " or ".join(_PLURALS[modality] for modality in takes.split())
    return ExpressionError(
        f"huggingface.{body.__name__} takes {modalities}.",
        value=str(actual),
        hint="Pass a column of that type.",
    )


def _is_batch(value: object) -> bool:
    """Whether a value is a list of values; a list of messages is one conversation."""
    if not isinstance(value, list):
        return False
    is_conversation = all(isinstance(item, dict) and "role" in item for item in value)
    return not (value and is_conversation)


def _prepared(
    body: Callable[..., Any], batched: list[str], takes: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Check a call, resolve a folder to its full path, and remove arguments without a value."""
    short_name = body.__name__
    for name, value in arguments.items():
        if name in batched:
            if isinstance(value, ir.Expr) and not _fits_column(value.type(), takes):
                raise _modality_error(body, takes, value.type())
        elif _varies(value):
            raise ExpressionError(
                f"huggingface.{short_name}: {name} must be the same for all rows.",
                hint="Pass a plain value; add one column for each value if you need several.",
            )
    prepared = {name: value for name, value in arguments.items() if value is not None}
    model_id = prepared.get("model_id")
    if not isinstance(model_id, str | Path) or not str(model_id):
        raise ExpressionError(
            f"huggingface.{short_name}: model_id must be the name of a model on the hub or a "
            "folder.",
            value=model_id,
            hint="Give model_id='owner/name' or model_id='path/to/folder'.",
        )
    if "labels" in prepared:
        _check_labels(short_name, prepared["labels"])
    source = model_source(str(model_id))
    return {**prepared, "model_id": source.name if source.is_folder else str(model_id)}


def _check_labels(short_name: str, labels: object) -> None:
    is_valid = (
        isinstance(labels, list | tuple)
        and labels
        and all(isinstance(label, str) for label in labels)
        and len(set(labels)) == len(labels)
    )
    if not is_valid:
        raise ExpressionError(
            f"huggingface.{short_name}: labels must be a list of distinct strings.",
            value=labels,
            hint="['cat', 'dog'].",
        )


def _varies(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_varies, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_varies, value))
    return isinstance(value, ir.Expr)


def classes_of(
    scores: torch.Tensor, names: Mapping[int, str], top_k: int | None
) -> list[dict[str, Any]]:
    """Order the classes of each row, best first.

    Parameters
    ----------
    scores
        A matrix: a row for each value, a column for each class.
    names
        The names of the classes, by number.
    top_k
        The number of classes to keep; None for all.
    """
    count = scores.shape[-1] if top_k is None else max(1, min(top_k, scores.shape[-1]))
    best_scores, best_classes = scores.float().topk(count)
    rows = []
    for row, classes in zip(best_scores.tolist(), best_classes.tolist(), strict=True):
        labels = [str(names.get(number, number)) for number in classes]
        rows.append({"label": labels[0], "score": row[0], "labels": labels, "scores": row})
    return rows


def load_network(
    kind: str, source: ModelSource, *, optional: tuple[str, ...] = ()
) -> PreTrainedModel:
    """Load a network of one of transformers' classes, with its weights.

    Parameters
    ----------
    kind
        The name of the class.
    optional
        Parts of names of weights that may be missing because they are not used.

    Raises
    ------
    ModelError
        If weights are missing: they would be random, and so would the answers.
    """
    import transformers

    from barbule.errors import ModelError

    model, loading_info = getattr(transformers, kind).from_pretrained(
        source.name, output_loading_info=True, **source.options
    )
    missing = [
        name for name in loading_info["missing_keys"] if not any(part in name for part in optional)
    ]
    if missing:
        raise ModelError(
            f"the model {source.name!r} does not have the weights that this function needs: "
            f"{missing[0]} and {len(missing) - 1} more are missing.",
            hint="Choose a model that was trained for this task.",
        )
    return model
