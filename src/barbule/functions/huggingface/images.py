"""Object detection, image classification and captions.

Owns the types of these answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt

from barbule.errors import ModelError
from barbule.functions.huggingface.local_model import CLASSES, classes_of, load_network, local_model
from barbule.functions.huggingface.vectors import load_clip
from barbule.media.images.conversion import rgb
from barbule.models.huggingface.hub import ModelSource
from barbule.models.huggingface.local_models import LoadedModel, loaded_model

if TYPE_CHECKING:
    import torch

__all__ = [
    "detect_objects",
    "detr_for_object_detection",
    "image_captioning",
    "vit_for_image_classification",
    "zero_shot_image_classification",
]

_DETR = "facebook/detr-resnet-50"
_BLIP = "Salesforce/blip-image-captioning-base"
_CLIP = "openai/clip-vit-base-patch32"

DETECTIONS = dt.Struct(
    {
        "boxes": dt.Array(dt.Array(dt.float64)),
        "labels": dt.Array(dt.string),
        "scores": dt.Array(dt.float64),
        "confidence": dt.float64,
    }
)


@local_model(DETECTIONS, takes="image", batch_size=8)
def detect_objects(
    image: list[Any], *, model_id: str = _DETR, threshold: float = 0.5
) -> list[dict[str, Any]]:
    """Find objects on images.

    Parameters
    ----------
    image
        A column of images.
    model_id
        Any detector of transformers (DETR, Conditional DETR, RT-DETR, YOLOS …), or a folder.
    threshold
        The minimum confidence of the model, from 0 to 1.

    Returns
    -------
    Struct
        Objects in descending order of confidence: `.boxes`, each left, top, right and bottom in
        pixels; `.labels`; `.scores`. `.confidence` is the highest score, None if nothing is found.
    """
    return _detected(image, model_id, threshold)


@local_model(DETECTIONS, takes="image", batch_size=8)
def detr_for_object_detection(
    image: list[Any], *, model_id: str, threshold: float = 0.5
) -> list[dict[str, Any]]:
    """Find objects on images with a DETR model; see `detect_objects`.

    Parameters
    ----------
    image
        A column of images.
    model_id
        Such as "facebook/detr-resnet-50", or a folder.
    threshold
        The minimum confidence of the model, from 0 to 1.

    Returns
    -------
    Struct
        `.boxes`, `.labels`, `.scores` and `.confidence`.
    """
    return _detected(image, model_id, threshold)


def _detected(images: list[Any], model_id: str, threshold: float) -> list[dict[str, Any]]:
    detector = loaded_model("detect_objects", model_id, _load_detector)
    pictures = [rgb(picture) for picture in images]
    with detector.running():
        inputs = detector.reader(images=pictures, return_tensors="pt")
        sizes = [(picture.height, picture.width) for picture in pictures]
        detections = detector.reader.post_process_object_detection(
            _to_single_precision(detector.model(**_pixels(detector, inputs))),
            threshold=threshold,
            target_sizes=sizes,
        )
    names = detector.model.config.id2label
    return [_detection(detection, names) for detection in detections]


def _detection(detection: Mapping[str, torch.Tensor], names: Mapping[int, str]) -> dict[str, Any]:
    order = detection["scores"].argsort(descending=True)
    scores = detection["scores"][order].tolist()
    return {
        "boxes": detection["boxes"][order].tolist(),
        "labels": [
            str(names.get(number, number)) for number in detection["labels"][order].tolist()
        ],
        "scores": scores,
        "confidence": scores[0] if scores else None,
    }


def _to_single_precision(outputs: dict[str, Any]) -> dict[str, Any]:
    """Convert outputs to single precision: boxes in half precision are off by a pixel or two."""
    import torch

    for name, value in outputs.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            outputs[name] = value.float()
    return outputs


def _pixels(model: LoadedModel, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the inputs that the network does not take (sizes, labels …)."""
    return {
        name: value
        for name, value in model.inputs(inputs).items()
        if name in {"pixel_values", "pixel_mask"}
    }


def _load_detector(source: ModelSource) -> tuple[Any, Any]:
    import transformers

    reader = transformers.AutoImageProcessor.from_pretrained(source.name, **source.options)
    if not hasattr(reader, "post_process_object_detection"):
        raise ModelError(
            f"the model {source.name!r} does not detect objects.",
            hint=f"Choose a detector, such as {_DETR!r}.",
        )
    return load_network("AutoModelForObjectDetection", source), reader


@local_model(CLASSES, takes="image", batch_size=16)
def vit_for_image_classification(
    image: list[Any], *, model_id: str, top_k: int = 5
) -> list[dict[str, Any]]:
    """Classify images.

    Parameters
    ----------
    image
        A column of images.
    model_id
        A ViT, or any other image classifier, such as "google/vit-base-patch16-224"; or a folder.
    top_k
        The number of classes to return.

    Returns
    -------
    Struct
        `.label` and `.score` of the best class; `.labels` and `.scores` of the best `top_k`.
    """
    classifier = loaded_model("vit_for_image_classification", model_id, _load_classifier)
    with classifier.running():
        pictures = [rgb(picture) for picture in image]
        inputs = classifier.reader(images=pictures, return_tensors="pt")
        scores = classifier.model(**_pixels(classifier, inputs)).logits.float().softmax(-1)
    return classes_of(scores, classifier.model.config.id2label, top_k)


def _load_classifier(source: ModelSource) -> tuple[Any, Any]:
    import transformers

    model = load_network("AutoModelForImageClassification", source)
    return model, transformers.AutoImageProcessor.from_pretrained(source.name, **source.options)


@local_model(CLASSES, takes="image", batch_size=16)
def zero_shot_image_classification(
    image: list[Any],
    labels: list[str],
    *,
    model_id: str = _CLIP,
    template: str = "a photo of {}.",
) -> list[dict[str, Any]]:
    """Choose the best of the given labels for images, with a zero-shot model.

    Parameters
    ----------
    image
        A column of images.
    labels
        The candidate labels.
    model_id
        A CLIP or SigLIP model, or a folder.
    template
        A sentence with {} as the placeholder of the label.

    Returns
    -------
    Struct
        `.label` and `.score` of the best; all `.labels` and `.scores`, best first.
    """
    model = loaded_model("clip", model_id, load_clip)
    with model.running():
        sigmoid = model.model.config.model_type.startswith("siglip")
        inputs = model.reader(
            text=[template.replace("{}", label) for label in labels],
            images=[rgb(picture) for picture in image],
            padding="max_length" if sigmoid else True,
            truncation=True,
            return_tensors="pt",
        )
        logits = model.model(**model.inputs(inputs)).logits_per_image.float()
        scores = logits.sigmoid() if sigmoid else logits.softmax(-1)
    return classes_of(scores, dict(enumerate(labels)), None)


@local_model(dt.string, takes="image", batch_size=4)
def image_captioning(
    image: list[Any],
    *,
    model_id: str = _BLIP,
    prompt: str | None = None,
    max_new_tokens: int = 30,
) -> list[str]:
    """Caption images.

    Parameters
    ----------
    image
        A column of images.
    model_id
        A captioning model: BLIP, GIT, or an image encoder with a text decoder; or a folder.
    prompt
        The beginning of the caption, for models that can continue it: "a photograph of".
    max_new_tokens
        The maximum length of a caption.

    Returns
    -------
    String
    """
    captioner = loaded_model("image_captioning", model_id, _load_captioner, precise=True)
    reader = captioner.reader
    with captioner.running():
        pictures = [rgb(picture) for picture in image]
        inputs = _pixels(captioner, dict(reader.images(images=pictures, return_tensors="pt")))
        if prompt:
            prompts = reader.texts([prompt] * len(pictures), return_tensors="pt")
            inputs |= captioner.inputs(prompts)
            inputs.pop("token_type_ids", None)
        tokens = captioner.model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        return [
            text.strip() for text in reader.texts.batch_decode(tokens, skip_special_tokens=True)
        ]


class _CaptionReader:
    """The processor of images and the tokenizer of a captioner."""

    def __init__(self, source: ModelSource) -> None:
        import transformers

        self.images = transformers.AutoImageProcessor.from_pretrained(source.name, **source.options)
        self.texts = transformers.AutoTokenizer.from_pretrained(source.name, **source.options)


def _load_captioner(source: ModelSource) -> tuple[Any, Any]:
    return load_network("AutoModelForImageTextToText", source), _CaptionReader(source)
