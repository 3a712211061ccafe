"""Texts and images as vectors, and how well two texts go together.

Owns how a model's configuration tells the length of its vectors, and how the parts of a sentence
transformer are put together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import ModelError, UnsupportedError
from barbule.functions.huggingface.declaring import local_model, network
from barbule.media.images.conversion import rgb
from barbule.models.huggingface.hub import ModelSource, configuration, sentence_transformer_modules
from barbule.models.huggingface.local_models import loaded_model
from barbule.types import Vector

if TYPE_CHECKING:
    import torch

__all__ = ["clip", "cross_encoder", "load_clip", "sentence_transformer"]

# --- sentence transformers ---------------------------------------------------------------------

_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_LONGEST = 1 << 20  # tokenizers that know no limit say a larger number


def _sentence_type(arguments: Mapping[str, Any]) -> dt.DataType:
    model_id = arguments["model_id"]
    length = None
    for each in sentence_transformer_modules(model_id) or ():
        kind = each["type"].rsplit(".", 1)[-1]
        if kind in {"Pooling", "Dense"}:
            said = configuration(model_id, f"{each['path']}/config.json")
            length = said["out_features"] if kind == "Dense" else _pooled_length(said)
    if length is None:
        said = configuration(model_id)
        length = next((said[name] for name in ("hidden_size", "dim", "d_model") if name in said), 0)
    if not length:
        raise ModelError(
            f"the model {model_id!r} does not say how long its vectors are.",
            hint="Choose a model of sentence-transformers, or a transformer for texts.",
        )
    return Vector(int(length))


def _pooled_length(said: Mapping[str, Any]) -> int:
    return said["word_embedding_dimension"] * max(1, len(_modes(said)))


def _modes(said: Mapping[str, Any]) -> list[str]:
    if named := said.get("pooling_mode"):  # as newer files say it
        return [named] if isinstance(named, str) else list(named)
    return [mode for flag, mode in _POOLING.items() if said.get(flag)]


@local_model(_sentence_type, takes="text", batch_size=32)
def sentence_transformer(
    text: list[str],
    *,
    model_id: str,
    normalize: bool = True,
    prompt: str | None = None,
    max_length: int | None = None,
) -> list[Any]:
    """Turn texts into vectors: those of like meaning are near each other.

    Parameters
    ----------
    text
        A column of texts.
    model_id
        A model of sentence-transformers such as "sentence-transformers/all-MiniLM-L6-v2", or any
        transformer for texts, whose tokens are averaged; a folder works too.
    normalize
        Whether vectors are brought to length one, as for a search by cosine.
    prompt
        What is put before each text, for models that want it: "query: ", "passage: ".
    max_length
        Tokens that are read; what is longer is cut off. By default as many as the model allows.

    Returns
    -------
    Vector
        Of the length that the model's configuration tells.
    """
    sentences = loaded_model("sentence_transformer", model_id, _load_sentences)
    import torch  # which loading says is missing, where it is

    encoder = sentences.model
    texts = [f"{prompt or ''}{each}" for each in text]
    if encoder.lower:
        texts = [each.lower() for each in texts]
    with sentences.running():
        limit = min(max_length or _LONGEST, encoder.longest or _LONGEST)
        cut = {"truncation": True, "max_length": limit} if limit < _LONGEST else {}
        made = sentences.reader(texts, padding=True, return_tensors="pt", **cut)
        vectors = encoder(sentences.inputs(made))
        if normalize:
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return list(vectors.float().cpu().numpy())


class _Sentences:
    """A transformer and what follows it, as `modules.json` says."""

    def __init__(self, base: Any, after: list[Any], longest: int | None, *, lower: bool) -> None:
        self.base = base
        self.after = after
        self.longest = longest
        self.lower = lower

    @property
    def device(self) -> torch.device:
        return self.base.device

    @property
    def dtype(self) -> torch.dtype:
        return self.base.dtype

    def to(self, **where: Any) -> _Sentences:
        self.base.to(**where)
        for step in self.after:
            if hasattr(step, "to"):
                step.to(**where)
        return self

    def eval(self) -> _Sentences:
        self.base.eval()
        return self

    def __call__(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        states = self.base(**inputs)
        value = states[0], inputs["attention_mask"]
        for step in self.after:
            value = step(value)
        return value


def _load_sentences(place: ModelSource) -> tuple[Any, Any]:
    import transformers

    said = configuration(_id_of(place), "sentence_bert_config.json", required=False) or {}
    after: list[Any] = []
    for each in sentence_transformer_modules(_id_of(place)) or ():
        kind = each["type"].rsplit(".", 1)[-1]
        if kind not in {"Transformer", "Normalize"}:
            after.append(_step(kind, place, each["path"]))
    if not after:
        after.append(_Pooling({"pooling_mode": "mean"}))
    base = network("AutoModel", place, optional=("pooler",))
    reader = transformers.AutoTokenizer.from_pretrained(place.name, **place.options)
    if reader.pad_token is None:
        reader.pad_token = reader.eos_token
    known = [said.get("max_seq_length"), reader.model_max_length, _positions(base.config)]
    longest = min((each for each in known if each), default=None)
    lower = bool(said.get("do_lower_case"))
    return _Sentences(base, after, longest, lower=lower), reader


def _id_of(place: ModelSource) -> str:
    return f"{place.name}@{place.revision}" if place.revision else place.name


def _positions(config: Any) -> int | None:
    """Return how many tokens a model can tell apart; RoBERTa and its kin number them from 2."""
    most = getattr(config, "max_position_embeddings", None)
    shifted = config.model_type in {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer"}
    return most - 2 if most and shifted else most


def _step(kind: str, place: ModelSource, folder: str) -> Any:
    if kind == "Pooling":
        return _Pooling(configuration(_id_of(place), f"{folder}/config.json"))
    if kind == "Dense":
        return _dense(place, folder)
    raise UnsupportedError(
        f"the model {place.name!r} has a part {kind!r}, which is not known here.",
        hint="Write a @bb.udf class that loads it with sentence-transformers.",
    )


class _Pooling:
    """Makes one vector of those of the tokens.

    N. Reimers and I. Gurevych, *Sentence-BERT* (2019); the modes are those of their library.
    """

    def __init__(self, said: Mapping[str, Any]) -> None:
        self._modes = _modes(said)
        if unknown := set(self._modes) - set(_POOLING.values()):
            raise UnsupportedError(
                f"the model pools its tokens by {unknown.pop()!r}, which is not known here.",
                hint="Write a @bb.udf class that loads it with sentence-transformers.",
            )

    def __call__(self, value: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        import torch

        states, mask = value
        return torch.cat([self._pooled(mode, states, mask) for mode in self._modes], dim=-1)

    @staticmethod
    def _pooled(mode: str, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        import torch

        there = mask.unsqueeze(-1).to(states.dtype)
        if mode == "cls":
            first = mask.argmax(1)  # padding may stand before the text
            return states[torch.arange(len(states), device=states.device), first]
        if mode == "lasttoken":
            last = mask.shape[1] - 1 - mask.flip(1).argmax(1)
            return states[torch.arange(len(states), device=states.device), last]
        if mode == "max":
            return states.masked_fill(there == 0, float("-inf")).amax(1)
        if mode == "weightedmean":
            there = there * torch.arange(1, mask.shape[1] + 1, device=states.device).view(1, -1, 1)
        total = there.sum(1).clamp(min=1e-9)
        summed = (states * there).sum(1)
        return summed / (total.sqrt() if mode == "mean_sqrt_len_tokens" else total)


def _dense(place: ModelSource, folder: str) -> Any:
    """Load the layer that brings vectors to another length."""
    import torch
    from transformers.utils.hub import cached_file

    said = configuration(_id_of(place), f"{folder}/config.json")
    named = said.get("activation_function", "torch.nn.modules.linear.Identity").rsplit(".", 1)[-1]
    if not isinstance(kind := getattr(torch.nn, named, None), type):
        raise UnsupportedError(
            f"the model {place.name!r} has an unknown activation {named!r}.",
            hint="Write a @bb.udf class that loads it with sentence-transformers.",
        )
    from safetensors.torch import load_file

    layer = torch.nn.Linear(said["in_features"], said["out_features"], bias=said.get("bias", True))
    path = cached_file(place.name, f"{folder}/model.safetensors", **place.options)
    weights = load_file(path)
    layer.load_state_dict({name.removeprefix("linear."): value for name, value in weights.items()})
    return torch.nn.Sequential(layer, kind()).eval()


# --- texts and images in one space --------------------------------------------------------------


def _clip_type(arguments: Mapping[str, Any]) -> dt.DataType:
    said = configuration(arguments["model_id"])
    length = said.get("projection_dim")
    if length is None:
        text = said.get("text_config") or {}
        length = text.get("projection_size") or text.get("hidden_size")
    if length is None:
        raise ModelError(
            f"the model {arguments['model_id']!r} does not say how long its vectors are.",
            hint="Choose a model that has texts and images in one space, such as "
            "'openai/clip-vit-base-patch32'.",
        )
    return Vector(int(length))


@local_model(_clip_type, takes="image text", batch_size=32)
def clip(item: list[Any], *, model_id: str) -> list[Any]:
    """Turn images, or texts, into vectors of one space: a text is near the images it describes.

    Parameters
    ----------
    item
        A column of images or of texts. An index over images takes it as its embedding, and is
        then searched by both.
    model_id
        A CLIP or SigLIP model, such as "openai/clip-vit-base-patch32", or a folder.

    Returns
    -------
    Vector
        Of length one, so that the inner product is the cosine.

    Examples
    --------
    >>> import barbule as bb
    >>> from barbule.functions import huggingface
    >>> images = bb.create_table("photographs", {"img": bb.Image})
    >>> embedding = huggingface.clip.using(model_id="openai/clip-vit-base-patch32")
    >>> images.add_embedding_index("img", embedding=embedding)  # doctest: +SKIP
    >>> found = images.order_by(images.img.similarity("a cat"), asc=False)  # doctest: +SKIP
    """
    both = loaded_model("clip", model_id, load_clip)
    import torch

    vectors: list[Any] = [None] * len(item)
    with both.running():
        for places, read in (
            ([n for n, each in enumerate(item) if isinstance(each, str)], _text_features),
            ([n for n, each in enumerate(item) if not isinstance(each, str)], _image_features),
        ):
            if places:
                found = read(both, [item[n] for n in places])
                # Newer releases answer with more than the vectors.
                found = found if isinstance(found, torch.Tensor) else found.pooler_output
                rows = torch.nn.functional.normalize(found.float(), dim=-1).cpu().numpy()
                for n, row in zip(places, rows, strict=True):
                    vectors[n] = row
    return vectors


def load_clip(place: ModelSource) -> tuple[Any, Any]:
    """Load a model that has texts and images in one space."""
    import transformers

    model = network("AutoModel", place)
    if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
        raise ModelError(
            f"the model {place.name!r} ({model.config.model_type}) does not have texts and images "
            "in one space.",
            hint="Choose a CLIP or SigLIP model.",
        )
    return model, transformers.AutoProcessor.from_pretrained(place.name, **place.options)


def _text_features(both: Any, texts: list[str]) -> Any:
    # SigLIP was trained on texts that are filled up to their full length.
    padding = "max_length" if both.model.config.model_type.startswith("siglip") else True
    made = both.reader(text=texts, padding=padding, truncation=True, return_tensors="pt")
    return both.model.get_text_features(**both.inputs(made))


def _image_features(both: Any, images: list[Any]) -> Any:
    made = both.reader(images=[rgb(each) for each in images], return_tensors="pt")
    return both.model.get_image_features(**both.inputs(made))


# --- pairs of texts -----------------------------------------------------------------------------


@local_model(dt.float64, takes="text", batch_size=32, rows=2)
def cross_encoder(query: list[str], text: list[str], *, model_id: str) -> list[float]:
    """Say how well each text answers a query, by a model that reads both together.

    It is slower and better than comparing vectors: `t.text.search(query, rerank=...)` has the best
    of a search ordered anew by it.

    Parameters
    ----------
    query, text
        Texts or columns of texts.
    model_id
        A model with one output, such as "cross-encoder/ms-marco-MiniLM-L6-v2", or a folder.

    Returns
    -------
    Float
        Larger is better.
    """
    pairs = loaded_model("cross_encoder", model_id, _load_pairs)
    with pairs.running():
        made = pairs.reader(query, text, padding=True, truncation=True, return_tensors="pt")
        return pairs.model(**pairs.inputs(made)).logits[:, 0].float().tolist()


def _load_pairs(place: ModelSource) -> tuple[Any, Any]:
    import transformers

    model = network("AutoModelForSequenceClassification", place)
    if model.config.num_labels != 1:
        raise ModelError(
            f"the model {place.name!r} tells {model.config.num_labels} classes apart; a score has "
            "one output.",
            hint="Choose a cross encoder, or huggingface.text_classification for classes.",
        )
    return model, transformers.AutoTokenizer.from_pretrained(place.name, **place.options)
