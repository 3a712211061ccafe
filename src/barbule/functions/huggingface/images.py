"""What is on images: objects and where they are, classes, captions.

Owns the types of these answers.
"""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt

from barbule.errors import ModelError
from barbule.functions.huggingface.declaring import CLASSES, classes_of, local_model, network
from barbule.functions.huggingface.vectors import load_clip
from barbule.media.images.conversion import rgb
from barbule.models.huggingface.hub import ModelSource
from barbule.models.huggingface.local_models import LoadedModel, loaded_model

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
        How sure the model has to be, from 0 to 1.

    Returns
    -------
    Struct
        The surest first: `.boxes`, each left, top, right and bottom in pixels; `.labels`;
        `.scores`. `.confidence` is the score of the surest, None where nothing is found.
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
        How sure the model has to be, from 0 to 1.

    Returns
    -------
    Struct
        `.boxes`, `.labels`, `.scores` and `.confidence`.
    """
    return _detected(image, model_id, threshold)


def _detected(images: list[Any], model_id: str, threshold: float) -> list[dict[str, Any]]:
    detector = loaded_model("detect_objects", model_id, _load_detector)
    pictures = [rgb(each) for each in images]
    with detector.running():
        made = detector.reader(images=pictures, return_tensors="pt")
        sizes = [(each.height, each.width) for each in pictures]
        found = detector.reader.post_process_object_detection(
            _in_single(detector.model(**_pixels(detector, made))),
            threshold=threshold,
            target_sizes=sizes,
        )
    names = detector.model.config.id2label
    return [_detection(each, names) for each in found]


def _detection(found: Any, names: Any) -> dict[str, Any]:
    order = found["scores"].argsort(descending=True)
    scores = found["scores"][order].tolist()
    return {
        "boxes": found["boxes"][order].tolist(),
        "labels": [str(names.get(n, n)) for n in found["labels"][order].tolist()],
        "scores": scores,
        "confidence": scores[0] if scores else None,
    }


def _in_single(outputs: Any) -> Any:
    """Compute boxes in single precision: half of it is a pixel or two off."""
    import torch

    for name, value in outputs.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            outputs[name] = value.float()
    return outputs


def _pixels(model: LoadedModel, made: Any) -> dict[str, Any]:
    """Leave out what the network does not take (sizes, labels …)."""
    return {
        name: value
        for name, value in model.inputs(made).items()
        if name in {"pixel_values", "pixel_mask"}
    }


def _load_detector(place: ModelSource) -> tuple[Any, Any]:
    import transformers

    reader = transformers.AutoImageProcessor.from_pretrained(place.name, **place.options)
    if not hasattr(reader, "post_process_object_detection"):
        raise ModelError(
            f"the model {place.name!r} finds no objects.",
            hint=f"Choose a detector, such as {_DETR!r}.",
        )
    return network("AutoModelForObjectDetection", place), reader


@local_model(CLASSES, takes="image", batch_size=16)
def vit_for_image_classification(
    image: list[Any], *, model_id: str, top_k: int = 5
) -> list[dict[str, Any]]:
    """Tell the class of images.

    Parameters
    ----------
    image
        A column of images.
    model_id
        A ViT, or any other classifier of images, such as "google/vit-base-patch16-224"; or a
        folder.
    top_k
        How many classes are told.

    Returns
    -------
    Struct
        `.label` and `.score` of the best class; `.labels` and `.scores` of the best `top_k`.
    """
    classifier = loaded_model("vit_for_image_classification", model_id, _load_classifier)
    with classifier.running():
        pictures = [rgb(each) for each in image]
        made = classifier.reader(images=pictures, return_tensors="pt")
        scores = classifier.model(**_pixels(classifier, made)).logits.float().softmax(-1)
    return classes_of(scores, classifier.model.config.id2label, top_k)


def _load_classifier(place: ModelSource) -> tuple[Any, Any]:
    import transformers

    model = network("AutoModelForImageClassification", place)
    return model, transformers.AutoImageProcessor.from_pretrained(place.name, **place.options)


@local_model(CLASSES, takes="image", batch_size=16)
def zero_shot_image_classification(
    image: list[Any],
    labels: list[str],
    *,
    model_id: str = _CLIP,
    template: str = "a photo of {}.",
) -> list[dict[str, Any]]:
    """Tell which of some labels fits images best, by a model that was not trained on them.

    Parameters
    ----------
    image
        A column of images.
    labels
        What may be on them.
    model_id
        A CLIP or SigLIP model, or a folder.
    template
        A sentence with {} where the label stands.

    Returns
    -------
    Struct
        `.label` and `.score` of the best; all `.labels` and `.scores`, best first.
    """
    both = loaded_model("clip", model_id, load_clip)
    with both.running():
        sigmoid = both.model.config.model_type.startswith("siglip")
        made = both.reader(
            text=[template.replace("{}", label) for label in labels],
            images=[rgb(each) for each in image],
            padding="max_length" if sigmoid else True,
            truncation=True,
            return_tensors="pt",
        )
        alike = both.model(**both.inputs(made)).logits_per_image.float()
        scores = alike.sigmoid() if sigmoid else alike.softmax(-1)
    return classes_of(scores, dict(enumerate(labels)), None)


@local_model(dt.string, takes="image", batch_size=4)
def image_captioning(
    image: list[Any],
    *,
    model_id: str = _BLIP,
    prompt: str | None = None,
    max_new_tokens: int = 30,
) -> list[str]:
    """Describe images in a sentence.

    Parameters
    ----------
    image
        A column of images.
    model_id
        A captioner: BLIP, GIT, or an encoder for images with a decoder for texts; or a folder.
    prompt
        How the caption begins, for models that can go on: "a photograph of".
    max_new_tokens
        How long a caption may be.

    Returns
    -------
    String
    """
    captioner = loaded_model("image_captioning", model_id, _load_captioner, precise=True)
    reader = captioner.reader
    with captioner.running():
        pictures = [rgb(each) for each in image]
        made = dict(reader.images(images=pictures, return_tensors="pt"))
        inputs = _pixels(captioner, made)
        if prompt:
            told = reader.texts([prompt] * len(pictures), return_tensors="pt")
            inputs |= captioner.inputs(told)
            inputs.pop("token_type_ids", None)
        tokens = captioner.model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        return [
            text.strip() for text in reader.texts.batch_decode(tokens, skip_special_tokens=True)
        ]


class _Captions:
    """What reads images and what reads and writes texts."""

    def __init__(self, place: ModelSource) -> None:
        import transformers

        self.images = transformers.AutoImageProcessor.from_pretrained(place.name, **place.options)
        self.texts = transformers.AutoTokenizer.from_pretrained(place.name, **place.options)


def _load_captioner(place: ModelSource) -> tuple[Any, Any]:
    return network("AutoModelForImageTextToText", place), _Captions(place)
