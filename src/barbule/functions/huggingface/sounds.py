"""Transcription of audio.

Owns how a file becomes the samples for a model, and how an answer becomes a transcript.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from barbule.errors import ModelError
from barbule.functions.huggingface.local_model import load_network, local_model
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
    """Transcribe audio files, or the sound tracks of videos.

    Parameters
    ----------
    audio
        A column of audio files or videos, of any length.
    model_id
        A Whisper model, or a folder.
    language
        The spoken language; detected if not given.
    translate
        Whether to translate into English.
    timestamps
        "segment" or "word": the granularity of the times.

    Returns
    -------
    Struct
        `.text`, `.language`, `.duration`, and `.segments` or `.words` with
        their times in seconds.
    """
    recognizer = loaded_model("transcriptions", model_id, _load_recognizer, precise=True)
    rate = recognizer.reader.feature_extractor.sampling_rate
    sounds = [_samples(path, rate) for path in audio]
    options: dict[str, Any] = {"task": "translate"} if translate else {}
    if language:
        options["language"] = language
    import transformers

    with recognizer.running():
        pipeline = transformers.pipeline(
            "automatic-speech-recognition",
            model=recognizer.model,
            tokenizer=recognizer.reader.tokenizer,
            feature_extractor=recognizer.reader.feature_extractor,
            device=recognizer.model.device,
        )
        answers = [
            pipeline(
                {"raw": sound, "sampling_rate": rate},
                return_timestamps="word" if timestamps == "word" else True,
                return_language=True,
                generate_kwargs=options,
            )
            for sound in sounds
        ]
    return [
        _transcript(answer, len(sound) / rate, language, timestamps)
        for answer, sound in zip(answers, sounds, strict=True)
    ]


speech = transcriptions


def _transcript(
    answer: dict[str, Any], duration: float, language: str | None, timestamps: str
) -> dict[str, Any]:
    pieces = []
    for chunk in answer.get("chunks", ()):
        start, end = chunk["timestamp"]
        # Audio is padded with silence, for which a model may also return times.
        end = duration if end is None else min(end, duration)
        times = {"start": min(start or 0.0, end), "end": end}
        pieces.append({**times, "text": chunk["text"].strip()})
        language = language or chunk.get("language")
    words = [
        {"start": piece["start"], "end": piece["end"], "word": piece["text"]} for piece in pieces
    ]
    return {
        "text": answer["text"].strip(),
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
            samples.to_ndarray().reshape(-1)
            for frame in (*decode_frames(container, audio_stream(container)), None)
            for samples in resampler.resample(frame)
        ]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _load_recognizer(source: ModelSource) -> tuple[Any, Any]:
    import transformers

    model = load_network("AutoModelForSpeechSeq2Seq", source)
    if model.config.model_type != "whisper":
        raise ModelError(
            f"the model {source.name!r} is a {model.config.model_type}, not a Whisper model.",
            hint=f"Choose one such as {_WHISPER!r}.",
        )
    return model, transformers.AutoProcessor.from_pretrained(source.name, **source.options)
