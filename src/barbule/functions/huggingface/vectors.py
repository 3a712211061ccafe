"""Embeddings of texts and images, and scores for pairs of texts.

Owns how the length of vectors is read from a model's configuration, and how the modules of a
sentence transformer are combined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import ModelError, UnsupportedError
from barbule.functions.huggingface.local_model import load_network, local_model
from barbule.media.images.conversion import rgb
from barbule.models.huggingface.hub import ModelSource, configuration, sentence_transformer_modules
from barbule.models.huggingface.local_models import LoadedModel, loaded_model
from barbule.types import Vector

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel
    from transformers.utils import ModelOutput

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
_MAX_TOKENS = 1 << 20  # tokenizers without a limit have a larger number


def _sentence_type(arguments: Mapping[str, Any]) -> dt.DataType:
    model_id = arguments["model_id"]
    length = None
    for module in sentence_transformer_modules(model_id) or ():
        kind = module["type"].rsplit(".", 1)[-1]
        if kind in {"Pooling", "Dense"}:
            config = configuration(model_id, f"{module['path']}/config.json")
            length = config["out_features"] if kind == "Dense" else _pooled_length(config)
    if length is None:
        config = configuration(model_id)
        names = ("hidden_size", "dim", "d_model")
        length = next((config[name] for name in names if name in config), 0)
    if not length:
        raise ModelError(
            f"the model {model_id!r} does not declare the length of its vectors.",
            hint="Choose a sentence-transformers model, or a text transformer.",
        )
    return Vector(int(length))


def _pooled_length(config: Mapping[str, Any]) -> int:
    return config["word_embedding_dimension"] * max(1, len(_pooling_modes(config)))


def _pooling_modes(config: Mapping[str, Any]) -> list[str]:
    if modes := config.get("pooling_mode"):  # the form of newer files
        return [modes] if isinstance(modes, str) else list(modes)
    return [mode for flag, mode in _POOLING.items() if config.get(flag)]


@local_model(_sentence_type, takes="text", batch_size=32)
def sentence_transformer(
    text: list[str],
    *,
    model_id: str,
    normalize: bool = True,
    prompt: str | None = None,
    max_length: int | None = None,
) -> list[Any]:
    """Embed texts: texts with similar meaning have similar vectors.

    Parameters
    ----------
    text
        A column of texts.
    model_id
        A sentence-transformers model such as "sentence-transformers/all-MiniLM-L6-v2", or any text
        transformer, whose tokens are averaged; or a folder.
    normalize
        Whether to normalize vectors to length one, as for a search by cosine.
    prompt
        A prefix for each text, for models that need it: "query: ", "passage: ".
    max_length
        The maximum number of tokens; longer texts are truncated. By default the limit of the model.

    Returns
    -------
    Vector
        Vectors with the length in the model's configuration.
    """
    sentences = loaded_model("sentence_transformer", model_id, _load_sentences)
    import torch  # which reports whether it is missing on loading

    encoder = sentences.model
    texts = [f"{prompt or ''}{sentence}" for sentence in text]
    if encoder.lowercase:
        texts = [sentence.lower() for sentence in texts]
    with sentences.running():
        limit = min(max_length or _MAX_TOKENS, encoder.max_length or _MAX_TOKENS)
        truncation = {"truncation": True, "max_length": limit} if limit < _MAX_TOKENS else {}
        tokenized = sentences.reader(texts, padding=True, return_tensors="pt", **truncation)
        vectors = encoder(sentences.inputs(tokenized))
        if normalize:
            vectors = torch.nn.functional.normalize(vectors, dim=-1)
        return list(vectors.float().cpu().numpy())


class _SentenceEncoder:
    """A transformer and its subsequent modules, as listed in `modules.json`."""

    def __init__(
        self,
        transformer: PreTrainedModel,
        layers: list[Callable[..., Any]],
        max_length: int | None,
        *,
        lowercase: bool,
    ) -> None:
        self.transformer = transformer
        self.layers = layers
        self.max_length = max_length
        self.lowercase = lowercase

    @property
    def device(self) -> torch.device:
        return self.transformer.device

    @property
    def dtype(self) -> torch.dtype:
        return self.transformer.dtype

    def to(self, **options: Any) -> _SentenceEncoder:
        self.transformer.to(**options)
        for layer in self.layers:
            if hasattr(layer, "to"):
                layer.to(**options)
        return self

    def eval(self) -> _SentenceEncoder:
        self.transformer.eval()
        return self

    def __call__(self, inputs: Mapping[str, Any]) -> torch.Tensor:
        states = self.transformer(**inputs)
        value = states[0], inputs["attention_mask"]
        for layer in self.layers:
            value = layer(value)
        return value


def _load_sentences(source: ModelSource) -> tuple[Any, Any]:
    import transformers

    model_id = _model_id(source)
    config = configuration(model_id, "sentence_bert_config.json", required=False) or {}
    layers: list[Callable[..., Any]] = []
    for module in sentence_transformer_modules(model_id) or ():
        kind = module["type"].rsplit(".", 1)[-1]
        if kind not in {"Transformer", "Normalize"}:
            layers.append(_layer(kind, source, module["path"]))
    if not layers:
        layers.append(_Pooling({"pooling_mode": "mean"}))
    transformer = load_network("AutoModel", source, optional=("pooler",))
    reader = transformers.AutoTokenizer.from_pretrained(source.name, **source.options)
    if reader.pad_token is None:
        reader.pad_token = reader.eos_token
    positions = _max_positions(transformer.config)
    limits = (config.get("max_seq_length"), reader.model_max_length, positions)
    max_length = min((limit for limit in limits if limit), default=None)
    lowercase = bool(config.get("do_lower_case"))
    return _SentenceEncoder(transformer, layers, max_length, lowercase=lowercase), reader


def _model_id(source: ModelSource) -> str:
    return f"{source.name}@{source.revision}" if source.revision else source.name


def _max_positions(config: PretrainedConfig) -> int | None:
    """Return the number of positions of a model; RoBERTa models number them from 2."""
    count = getattr(config, "max_position_embeddings", None)
    shifted = config.model_type in {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer"}
    return count - 2 if count and shifted else count


def _layer(kind: str, source: ModelSource, folder: str) -> Callable[..., Any]:
    if kind == "Pooling":
        return _Pooling(configuration(_model_id(source), f"{folder}/config.json"))
    if kind == "Dense":
        return _dense(source, folder)
    raise UnsupportedError(
        f"the model {source.name!r} has a module {kind!r}, which is not supported.",
        hint="Write a @bb.udf class that loads it with sentence-transformers.",
    )


class _Pooling:
    """Pools the vectors of the tokens into one.

    N. Reimers and I. Gurevych, *Sentence-BERT* (2019); the modes are those of their library.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._modes = _pooling_modes(config)
        if unknown := set(self._modes) - set(_POOLING.values()):
            raise UnsupportedError(
                f"the model uses the pooling {unknown.pop()!r}, which is not supported.",
                hint="Write a @bb.udf class that loads it with sentence-transformers.",
            )

    def __call__(self, value: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        import torch

        states, mask = value
        return torch.cat([self._pooled(mode, states, mask) for mode in self._modes], dim=-1)

    @staticmethod
    def _pooled(mode: str, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        import torch

        weights = mask.unsqueeze(-1).to(states.dtype)
        if mode == "cls":
            first = mask.argmax(1)  # padding may be before the text
            return states[torch.arange(len(states), device=states.device), first]
        if mode == "lasttoken":
            last = mask.shape[1] - 1 - mask.flip(1).argmax(1)
            return states[torch.arange(len(states), device=states.device), last]
        if mode == "max":
            return states.masked_fill(weights == 0, float("-inf")).amax(1)
        if mode == "weightedmean":
            positions = torch.arange(1, mask.shape[1] + 1, device=states.device)
            weights = weights * positions.view(1, -1, 1)
        total = weights.sum(1).clamp(min=1e-9)
        summed = (states * weights).sum(1)
        return summed / (total.sqrt() if mode == "mean_sqrt_len_tokens" else total)


def _dense(source: ModelSource, folder: str) -> Callable[..., Any]:
    """Load the layer that projects vectors to another length."""
    import torch
    from transformers.utils.hub import cached_file

    config = configuration(_model_id(source), f"{folder}/config.json")
    activation_path = config.get("activation_function", "torch.nn.modules.linear.Identity")
    activation = activation_path.rsplit(".", 1)[-1]
    if not isinstance(activation_class := getattr(torch.nn, activation, None), type):
        raise UnsupportedError(
            f"the model {source.name!r} has the activation {activation!r}, which is not supported.",
            hint="Write a @bb.udf class that loads it with sentence-transformers.",
        )
    from safetensors.torch import load_file

    layer = torch.nn.Linear(
        config["in_features"], config["out_features"], bias=config.get("bias", True)
    )
    path = cached_file(source.name, f"{folder}/model.safetensors", **source.options)
    weights = load_file(path)
    layer.load_state_dict({name.removeprefix("linear."): value for name, value in weights.items()})
    return torch.nn.Sequential(layer, activation_class()).eval()


# --- texts and images in one space --------------------------------------------------------------


def _clip_type(arguments: Mapping[str, Any]) -> dt.DataType:
    config = configuration(arguments["model_id"])
    length = config.get("projection_dim")
    if length is None:
        text_config = config.get("text_config") or {}
        length = text_config.get("projection_size") or text_config.get("hidden_size")
    if length is None:
        raise ModelError(
            f"the model {arguments['model_id']!r} does not declare the length of its vectors.",
            hint="Choose a model that embeds text and images into one space, such as "
            "'openai/clip-vit-base-patch32'.",
        )
    return Vector(int(length))


@local_model(_clip_type, takes="image text", batch_size=32)
def clip(item: list[Any], *, model_id: str) -> list[Any]:
    """Embed images, or texts, into one space: a text is near the images that it describes.

    Parameters
    ----------
    item
        A column of images or of texts. An index over images takes it as its embedding function, and
        then accepts both as queries.
    model_id
        A CLIP or SigLIP model, such as "openai/clip-vit-base-patch32", or a folder.

    Returns
    -------
    Vector
        Vectors of length one, so that the inner product is the cosine.

    Examples
    --------
    >>> import barbule as bb
    >>> from barbule.functions import huggingface
    >>> images = bb.create_table("photographs", {"img": bb.Image})
    >>> embedding = huggingface.clip.using(model_id="openai/clip-vit-base-patch32")
    >>> images.add_embedding_index("img", embedding=embedding)  # doctest: +SKIP
    >>> found = images.order_by(images.img.similarity("a cat"), asc=False)  # doctest: +SKIP
    """
    model = loaded_model("clip", model_id, load_clip)
    import torch

    vectors: list[Any] = [None] * len(item)
    texts = [row for row, value in enumerate(item) if isinstance(value, str)]
    images = [row for row, value in enumerate(item) if not isinstance(value, str)]
    with model.running():
        for rows, features_of in ((texts, _text_features), (images, _image_features)):
            if rows:
                features = features_of(model, [item[row] for row in rows])
                # Newer releases return more than the vectors.
                if not isinstance(features, torch.Tensor):
                    features = features.pooler_output
                normal = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
                for row, vector in zip(rows, normal, strict=True):
                    vectors[row] = vector
    return vectors


def load_clip(source: ModelSource) -> tuple[Any, Any]:
    """Load a model that embeds text and images into one space."""
    import transformers

    model = load_network("AutoModel", source)
    if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
        raise ModelError(
            f"the model {source.name!r} ({model.config.model_type}) does not embed text and "
            "images into one space.",
            hint="Choose a CLIP or SigLIP model.",
        )
    return model, transformers.AutoProcessor.from_pretrained(source.name, **source.options)


def _text_features(model: LoadedModel, texts: list[str]) -> torch.Tensor | ModelOutput:
    # SigLIP was trained on texts that are padded to their full length.
    padding = "max_length" if model.model.config.model_type.startswith("siglip") else True
    inputs = model.reader(text=texts, padding=padding, truncation=True, return_tensors="pt")
    return model.model.get_text_features(**model.inputs(inputs))


def _image_features(model: LoadedModel, images: list[Any]) -> torch.Tensor | ModelOutput:
    inputs = model.reader(images=[rgb(image) for image in images], return_tensors="pt")
    return model.model.get_image_features(**model.inputs(inputs))


# --- pairs of texts -----------------------------------------------------------------------------


@local_model(dt.float64, takes="text", batch_size=32, rows=2)
def cross_encoder(query: list[str], text: list[str], *, model_id: str) -> list[float]:
    """Score how well each text answers a query, with a model that reads both together.

    It is slower and more accurate than comparing vectors: `t.text.search(query, rerank=...)`
    reorders the best rows of a search with it.

    Parameters
    ----------
    query, text
        Strings or columns of strings.
    model_id
        A model with one output, such as "cross-encoder/ms-marco-MiniLM-L6-v2", or a folder.

    Returns
    -------
    Float
        Larger is better.
    """
    pairs = loaded_model("cross_encoder", model_id, _load_pairs)
    with pairs.running():
        inputs = pairs.reader(query, text, padding=True, truncation=True, return_tensors="pt")
        return pairs.model(**pairs.inputs(inputs)).logits[:, 0].float().tolist()


def _load_pairs(source: ModelSource) -> tuple[Any, Any]:
    import transformers

    model = load_network("AutoModelForSequenceClassification", source)
    if model.config.num_labels != 1:
        raise ModelError(
            f"the model {source.name!r} has {model.config.num_labels} output classes; a score "
            "needs a model with one output.",
            hint="Choose a cross encoder, or huggingface.text_classification for classes.",
        )
    return model, transformers.AutoTokenizer.from_pretrained(source.name, **source.options)
