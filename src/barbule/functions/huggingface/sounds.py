"""What is said in sounds.

Owns how a file becomes the samples that a model hears, and an answer the form of a transcript.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.errors import ModelError
from barbule.functions.huggingface.declaring import local_model, network
from barbule.functions.language_models.replies import TRANSCRIPT
from barbule.models.huggingface.hub import ModelSource
from barbule.models.huggingface.local_models import loaded_model

if TYPE_CHECKING:
    import numpy as np

__all__ = ["speech", "transcriptions"]

_WHISPER = "openai/whisper-tiny"


@local_model(TRANSCRIPT, takes="audio", batch_size=4)
def transcriptions(
    audio: list[str],
    *,
    model_id: str = _WHISPER,
    language: str | None = None,
    translate: bool = False,
    timestamps: str = "segment",
) -> list[dict[str, Any]]:
    """Write down what is said in sounds, or in the sound of videos.

    Parameters
    ----------
    audio
        A column of sounds or videos, of any length.
    model_id
        A Whisper model, or a folder.
    language
        Which language is spoken; found out where it is not said.
    translate
        Whether it is translated into English.
    timestamps
        "segment" or "word": what the times are of.

    Returns
    -------
    Struct
        `.text`, `.language`, `.duration`, and `.segments` or `.words` with
        their times in seconds.
    """
    ear = loaded_model("transcriptions", model_id, _load_ear, precise=True)
    rate = ear.reader.feature_extractor.sampling_rate
    sounds = [_samples(each, rate) for each in audio]
    asked: dict[str, Any] = {"task": "translate"} if translate else {}
    if language:
        asked["language"] = language
    import transformers

    with ear.running():
        pipeline = transformers.pipeline(
            "automatic-speech-recognition",
            model=ear.model,
            tokenizer=ear.reader.tokenizer,
            feature_extractor=ear.reader.feature_extractor,
            device=ear.model.device,
        )
        found = [
            pipeline(
                {"raw": sound, "sampling_rate": rate},
                return_timestamps="word" if timestamps == "word" else True,
                return_language=True,
                generate_kwargs=asked,
            )
            for sound in sounds
        ]
    return [
        _transcript(each, len(sound) / rate, language, timestamps)
        for each, sound in zip(found, sounds, strict=True)
    ]


speech = transcriptions


def _transcript(
    found: Any, duration: float, language: str | None, timestamps: str
) -> dict[str, Any]:
    pieces = []
    for each in found.get("chunks", ()):
        start, end = each["timestamp"]
        # A sound is filled up with silence, for which a model may write times too.
        end = duration if end is None else min(end, duration)
        times = {"start": min(start or 0.0, end), "end": end}
        pieces.append({**times, "text": each["text"].strip()})
        language = language or each.get("language")
    words = [{"start": p["start"], "end": p["end"], "word": p["text"]} for p in pieces]
    return {
        "text": found["text"].strip(),
        "language": language,
        "duration": duration,
        "segments": None if timestamps == "word" else pieces,
        "words": words if timestamps == "word" else None,
    }


def _samples(path: str, rate: int) -> np.ndarray:
    """Decode a sound track to amplitudes from -1 to 1 of one channel."""
    import numpy as np
    from av import AudioResampler

    from barbule.media.streams.opening import audio_stream, decode_frames, opened

    with opened(path) as container:
        resampler = AudioResampler("flt", "mono", rate)
        parts = [
            made.to_ndarray().reshape(-1)
            for frame in (*decode_frames(container, audio_stream(container)), None)
            for made in resampler.resample(frame)
        ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _load_ear(place: ModelSource) -> tuple[Any, Any]:
    import transformers

    model = network("AutoModelForSpeechSeq2Seq", place)
    if model.config.model_type != "whisper":
        raise ModelError(
            f"the model {place.name!r} is a {model.config.model_type}, not a Whisper model.",
            hint=f"Choose one such as {_WHISPER!r}.",
        )
    return model, transformers.AutoProcessor.from_pretrained(place.name, **place.options)
