"""Texts that are generated, classified, summarised or translated by local models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import ConfigurationError
from barbule.functions.huggingface.local_model import CLASSES, classes_of, load_network, local_model
from barbule.functions.language_models.replies import SENTIMENT
from barbule.models.huggingface.hub import ModelSource
from barbule.models.huggingface.local_models import LoadedModel, loaded_model

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "analyze_sentiment",
    "sentiment",
    "summarization",
    "text_classification",
    "text_generation",
    "translation",
    "zero_shot_classification",
]

_SENTIMENT = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
_ENTAILMENT = "facebook/bart-large-mnli"
_SUMMARIES = "sshleifer/distilbart-cnn-12-6"


# --- writing ------------------------------------------------------------------------------------


@local_model(dt.string, takes="text", batch_size=8)
def text_generation(
    text: list[Any],
    *,
    model_id: str,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    seed: int | None = None,
    stop: list[str] | None = None,
) -> list[str]:
    """Continue texts, or answer conversations.

    Parameters
    ----------
    text
        A column of texts; or messages, `[{"role": "user", "content": t.question}]`, for a model
        with a chat template. Input that is longer than the model's context is truncated at the
        start.
    model_id
        A causal language model such as "HuggingFaceTB/SmolLM2-135M-Instruct", or a folder.
    max_new_tokens
        The maximum number of new tokens.
    temperature
        0 always takes the most likely token; higher values are more random.
    seed
        The random seed, with a temperature above 0.
    stop
        Strings that end an answer.

    Returns
    -------
    String
        The generated text, without the prompt.
    """
    writer = loaded_model("text_generation", model_id, _load_writer, precise=True)
    import torch  # which reports whether it is missing on loading

    options: dict[str, Any] = {"do_sample": False}
    if temperature > 0:
        options = {"do_sample": True, "temperature": temperature}
    with writer.running():
        if seed is not None:
            torch.manual_seed(seed)
        inputs = writer.inputs(_tokenized(writer, text, max_new_tokens))
        tokens = writer.model.generate(**inputs, max_new_tokens=max_new_tokens, **options)
        new_tokens = tokens[:, inputs["input_ids"].shape[1] :]
        texts = writer.reader.batch_decode(new_tokens, skip_special_tokens=True)
    return [_cut_before(generated, stop or ()) for generated in texts]


def _cut_before(text: str, stop: Iterable[str]) -> str:
    ends = (text.find(sequence) for sequence in stop if sequence in text)
    return text[: min(ends, default=len(text))]


def _tokenized(
    writer: LoadedModel, prompts: list[Any], max_new_tokens: int
) -> Mapping[str, torch.Tensor]:
    """Tokenize texts and conversations, leaving room for the new tokens."""
    reader = writer.reader
    texts = [
        prompt if isinstance(prompt, str) else _conversation(reader, prompt) for prompt in prompts
    ]
    first_token = reader.bos_token or reader.eos_token or ""  # an empty text has no continuation
    max_length = getattr(writer.model.config, "max_position_embeddings", None)
    truncation = {}
    if max_length:
        truncation = {"truncation": True, "max_length": max(1, max_length - max_new_tokens)}
    # A chat template already contains the tokens that start a text.
    special = any(isinstance(prompt, str) for prompt in prompts)
    return reader(
        [text or first_token for text in texts],
        padding=True,
        return_tensors="pt",
        add_special_tokens=special,
        **truncation,
    )


def _conversation(reader: PreTrainedTokenizerBase, messages: list[dict[str, Any]]) -> str:
    if not reader.chat_template:
        raise ConfigurationError(
            "the model is not a chat model: it has no chat template.",
            hint="Pass plain strings, or choose an instruct model.",
        )
    return reader.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def _load_writer(source: ModelSource) -> tuple[Any, Any]:
    # The new tokens follow the end of the prompt.
    reader = _tokenizer(source, padding_side="left", truncation_side="left")
    return _without_defaults(load_network("AutoModelForCausalLM", source), reader), reader


def _tokenizer(source: ModelSource, **options: Any) -> PreTrainedTokenizerBase:
    import transformers

    reader = transformers.AutoTokenizer.from_pretrained(source.name, **options, **source.options)
    if reader.pad_token is None:
        reader.pad_token = reader.eos_token
    return reader


def _without_defaults(model: PreTrainedModel, reader: PreTrainedTokenizerBase) -> PreTrainedModel:
    """Remove a model's own sampling settings: the caller's temperature applies."""
    settings = model.generation_config
    settings.temperature = settings.top_p = settings.top_k = None
    if settings.pad_token_id is None:
        settings.pad_token_id = reader.pad_token_id
    return model


# --- from one text to another ------------------------------------------------------------------


@local_model(dt.string, takes="text", batch_size=8)
def summarization(
    text: list[str],
    *,
    model_id: str = _SUMMARIES,
    max_new_tokens: int = 142,
    min_new_tokens: int = 0,
) -> list[str]:
    """Summarize texts.

    Parameters
    ----------
    text
        A column of texts; texts that are longer than the model's limit are truncated.
    model_id
        A summarization model (BART, PEGASUS, T5), or a folder.
    max_new_tokens, min_new_tokens
        The length of a summary, in tokens.

    Returns
    -------
    String
    """
    rewriter = loaded_model("seq2seq", model_id, _load_rewriter, precise=True)
    prefix = _task_prefix(rewriter, "summarization")
    texts = [prefix + document for document in text]
    limits = {"max_new_tokens": max_new_tokens, "min_new_tokens": min_new_tokens}
    return _rewritten(rewriter, texts, **limits)


@local_model(dt.string, takes="text", batch_size=8)
def translation(
    text: list[str],
    *,
    model_id: str,
    source: str | None = None,
    target: str | None = None,
    max_new_tokens: int = 256,
) -> list[str]:
    """Translate texts.

    Parameters
    ----------
    text
        A column of texts.
    model_id
        A model for two languages ("Helsinki-NLP/opus-mt-en-de"), or a multilingual model (NLLB,
        M2M100, mBART, T5); or a folder.
    source, target
        The languages, as the multilingual model names them: "eng_Latn", "deu_Latn" for NLLB; "en",
        "de" for M2M100; "English", "German" for T5.
    max_new_tokens
        The maximum length of a translation, in tokens.

    Returns
    -------
    String
    """
    rewriter = loaded_model("seq2seq", model_id, _load_rewriter, precise=True)
    with rewriter.running():  # a tokenizer keeps the language as its state
        texts, options = _languages(rewriter, text, source, target)
        return _rewritten(rewriter, texts, max_new_tokens=max_new_tokens, **options)


def _languages(
    rewriter: LoadedModel, texts: list[str], source: str | None, target: str | None
) -> tuple[list[str], dict[str, Any]]:
    reader = rewriter.reader
    if rewriter.model.config.model_type in {"t5", "mt5", "umt5"}:
        prefix = f"translate {source} to {target}: " if source and target else ""
        return [prefix + text for text in texts], {}
    if source and hasattr(reader, "src_lang"):
        reader.src_lang = source
    if not target:
        return texts, {}
    lookup = getattr(reader, "get_lang_id", None) or reader.convert_tokens_to_ids
    try:
        token = lookup(target)
    except KeyError:
        token = None
    if token in {None, reader.unk_token_id}:
        raise ConfigurationError(
            "the model does not support this language.",
            value=target,
            hint="Use the model's own name for the language; the model's page lists them. A "
            "model for a single pair of languages takes no language.",
        )
    return texts, {"forced_bos_token_id": token}


def _task_prefix(rewriter: LoadedModel, task: str) -> str:
    """Return the prefix that selects a task of a multi-task model."""
    parameters = getattr(rewriter.model.config, "task_specific_params", None) or {}
    return (parameters.get(task) or {}).get("prefix") or ""


def _rewritten(rewriter: LoadedModel, texts: list[str], **options: Any) -> list[str]:
    with rewriter.running():
        tokenized = rewriter.reader(texts, padding=True, truncation=True, return_tensors="pt")
        inputs = rewriter.inputs(tokenized)
        inputs.pop("token_type_ids", None)
        tokens = rewriter.model.generate(**inputs, do_sample=False, **options)
        rewritten = rewriter.reader.batch_decode(tokens, skip_special_tokens=True)
    return [text.strip() for text in rewritten]


def _load_rewriter(source: ModelSource) -> tuple[Any, Any]:
    reader = _tokenizer(source)
    model = load_network("AutoModelForSeq2SeqLM", source)
    model.generation_config.max_length = None  # the caller's limit applies
    return model, reader


# --- classes ------------------------------------------------------------------------------------


@local_model(CLASSES, takes="text", batch_size=32)
def text_classification(
    text: list[str], *, model_id: str, top_k: int | None = None
) -> list[dict[str, Any]]:
    """Classify texts.

    Parameters
    ----------
    text
        A column of texts; texts that are longer than the model's limit are truncated.
    model_id
        A text classifier, or a folder.
    top_k
        The number of classes to return; all by default.

    Returns
    -------
    Struct
        `.label` and `.score` of the best class; `.labels` and `.scores`, best first.
    """
    classifier, scores = _class_scores(text, model_id)
    return classes_of(scores, classifier.model.config.id2label, top_k)


@local_model(SENTIMENT, takes="text", batch_size=32)
def analyze_sentiment(text: list[str], *, model_id: str = _SENTIMENT) -> list[dict[str, Any]]:
    """Return the sentiment of texts.

    Parameters
    ----------
    text
        A column of texts.
    model_id
        A sentiment classifier, or a folder.

    Returns
    -------
    Struct
        `.label`, the model's label in lower case ("positive", "negative"); `.score`, the confidence
        of the model, from 0 to 1.
    """
    classifier, scores = _class_scores(text, model_id)
    return [
        {"label": classes["label"].lower(), "score": classes["score"]}
        for classes in classes_of(scores, classifier.model.config.id2label, 1)
    ]


sentiment = analyze_sentiment


def _class_scores(texts: list[str], model_id: str) -> tuple[LoadedModel, torch.Tensor]:
    classifier = loaded_model("text_classification", model_id, _load_classifier)
    with classifier.running():
        tokenized = classifier.reader(texts, padding=True, truncation=True, return_tensors="pt")
        logits = classifier.model(**classifier.inputs(tokenized)).logits.float()
    several = classifier.model.config.problem_type == "multi_label_classification"
    return classifier, logits.sigmoid() if several else logits.softmax(-1)


def _load_classifier(source: ModelSource) -> tuple[Any, Any]:
    reader = _tokenizer(source)
    model = load_network("AutoModelForSequenceClassification", source)
    if model.config.pad_token_id is None:
        model.config.pad_token_id = reader.pad_token_id
    return model, reader


@local_model(CLASSES, takes="text", batch_size=8)
def zero_shot_classification(
    text: list[str],
    labels: list[str],
    *,
    model_id: str = _ENTAILMENT,
    template: str = "This example is {}.",
    several: bool = False,
) -> list[dict[str, Any]]:
    """Choose the best of the given labels for texts, with a zero-shot model.

    Parameters
    ----------
    text
        A column of texts.
    labels
        The labels.
    model_id
        A model of natural language inference, or a folder.
    template
        A sentence with {} as the placeholder of the label.
    several
        Whether several labels may apply; the scores then do not add up to 1.

    Returns
    -------
    Struct
        `.label` and `.score` of the best; all `.labels` and `.scores`, best first.
    """
    judge = loaded_model("text_classification", model_id, _load_classifier)
    import transformers

    with judge.running():
        pipeline = transformers.pipeline(
            "zero-shot-classification",
            model=judge.model,
            tokenizer=judge.reader,
            device=judge.model.device,
        )
        answers = pipeline(text, list(labels), hypothesis_template=template, multi_label=several)
    return [
        {
            "label": answer["labels"][0],
            "score": answer["scores"][0],
            "labels": answer["labels"],
            "scores": answer["scores"],
        }
        for answer in answers
    ]
