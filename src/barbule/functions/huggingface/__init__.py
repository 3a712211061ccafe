"""Models of the Hugging Face hub, or of a folder, that run in this process.

    from barbule.functions import huggingface

    images.add_embedding_index(
        "img", embedding=huggingface.clip.using(model_id="openai/clip-vit-base-patch32")
    )

A model is loaded once, when the first row needs it, and kept; `unload` frees its memory. It runs on
a GPU if there is one, in half precision; set `BARBULE_DEVICE=cpu` to override this. Rows are passed
to it in batches, and answers are stored in the call ledger. `model_id` is the name of a model on
the hub, optionally with "@revision", or the path of a folder, which needs no network.

They need the extra: `pip install 'barbule[huggingface]'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.functions.huggingface.images import (
    detect_objects,
    detr_for_object_detection,
    image_captioning,
    vit_for_image_classification,
    zero_shot_image_classification,
)
from barbule.functions.huggingface.sounds import speech, transcriptions
from barbule.functions.huggingface.texts import (
    analyze_sentiment,
    sentiment,
    summarization,
    text_classification,
    text_generation,
    translation,
    zero_shot_classification,
)
from barbule.functions.huggingface.vectors import clip, cross_encoder, sentence_transformer
from barbule.models.huggingface.local_models import unload
from barbule.suggestions import suggesting_getattr

__all__ = [
    "analyze_sentiment",
    "clip",
    "cross_encoder",
    "detect_objects",
    "detr_for_object_detection",
    "image_captioning",
    "sentence_transformer",
    "sentiment",
    "speech",
    "summarization",
    "text_classification",
    "text_generation",
    "transcriptions",
    "translation",
    "unload",
    "vit_for_image_classification",
    "zero_shot_classification",
    "zero_shot_image_classification",
]

if not TYPE_CHECKING:  # which lists the available names
    __getattr__ = suggesting_getattr(__name__, __all__)
