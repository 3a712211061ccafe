"""Audio functions, and the iterator that splits audio files into segments.

Each is also a method of audio columns: `t.sound.resample(16000)` is
`bb.functions.audio.resample(t.sound, 16000)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from barbule.functions.stream_functions import Track, source_of, stream_function
from barbule.media.streams.temporary_files import TemporaryFile
from barbule.suggestions import FunctionNamespace, check_arguments, suggesting_getattr
from barbule.types import Audio, Json

__all__ = [
    "AudioSplitter",
    "clip",
    "concat",
    "convert",
    "duration",
    "encode",
    "get_metadata",
    "resample",
    "segment",
    "split",
]

_PIECE = dt.Struct(
    {"segment_start": dt.float64, "segment_end": dt.float64, "audio_segment": Audio()}
)


@stream_function("audio", Json)
def get_metadata(audio: Track) -> dict[str, Any]:
    """Return the header information of a file: size, bit rate, tags and its streams.

    Examples
    --------
    >>> import barbule as bb
    >>> t = bb.create_table("songs", {"sound": bb.Audio})
    >>> _ = t.insert(sound=bb.functions.audio.encode([0.0] * 8000, 16000))
    >>> t.select(rate=t.sound.get_metadata().streams[0].sample_rate).collect()["rate"]
    [16000]
    """
    from barbule.media.streams.probing import metadata

    return metadata(audio)


@stream_function("audio", float)
def duration(audio: Track) -> float | None:
    """Return the duration in seconds; measured if the header has no reliable duration."""
    from barbule.media.streams.probing import duration as measure_duration

    return measure_duration(audio)


@stream_function("audio", Audio)
def clip(
    audio: Track,
    start: float,
    end: float | None = None,
    duration: float | None = None,
    format: str = "flac",  # noqa: A002 - users' name
) -> TemporaryFile | None:
    """Cut a clip, exact to the sample.

    Parameters
    ----------
    start, end
        Seconds from the beginning; without an end the clip ends with the file. If the start is
        beyond the end of the file, the result is missing.
    duration
        Seconds, instead of `end`.
    format
        "flac" (lossless), "wav", "mp3", "m4a" or "ogg".
    """
    from barbule.media.streams.editing.clips import check_times
    from barbule.media.streams.editing.sound_tracks import cut_sound, sound_length

    span = check_times(start, end, duration)
    if span.start >= sound_length(audio):
        return None
    return cut_sound(audio, span, format=format)


@stream_function("audio", dt.Array(Audio()))
def segment(
    audio: Track,
    duration: float,
    overlap: float = 0.0,
    min_duration: float = 0.0,
    format: str = "flac",  # noqa: A002 - users' name
) -> list[TemporaryFile]:
    """Split into segments of equal duration; see `AudioSplitter` for one row per segment."""
    pieces = _pieces(audio, format, duration, overlap=overlap, min_duration=min_duration)
    return [piece["audio_segment"] for piece in pieces]


@stream_function("audio", Audio)
def concat(
    audio: Any,
    *others: Any,
    format: str = "flac",  # noqa: A002 - users' name
) -> TemporaryFile | None:
    """Concatenate audio files, with the sample rate and channels of the first.

    Parameters
    ----------
    audio, others
        Audio files, or one list of them. Missing ones are skipped.
    """
    from barbule.media.streams.editing.sound_tracks import join_sound

    sounds = [*(audio if isinstance(audio, list | tuple) else [audio]), *others]
    paths = [path for path in sounds if path is not None]
    return join_sound(paths, format=format) if paths else None


@stream_function("audio", Audio)
def resample(
    audio: Track,
    rate: int,
    channels: int | None = None,
    format: str = "flac",  # noqa: A002 - users' name
) -> TemporaryFile | None:
    """Convert to another sample rate, and to one or two channels.

    Parameters
    ----------
    rate
        Samples per second; most speech models use 16000.
    channels
        1 or 2; by default the number of the file, at most two.
    format
        "flac" (lossless), "wav", "mp3", "m4a" or "ogg".
    """
    from barbule.errors import ConfigurationError
    from barbule.media.streams.editing.sound_tracks import Span, cut_sound

    if rate <= 0:
        raise ConfigurationError("rate must be a number of samples per second above 0.", value=rate)
    if channels not in {None, 1, 2}:
        raise ConfigurationError("channels must be 1 or 2.", value=channels)
    return cut_sound(audio, Span(0.0, None), format=format, rate=rate, channels=channels)


@stream_function("audio", Audio)
def convert(audio: Track, format: str) -> TemporaryFile | None:  # noqa: A002 - users' name
    """Convert to another format: "flac", "wav", "mp3", "m4a" or "ogg"."""
    from barbule.media.streams.editing.sound_tracks import Span, cut_sound

    return cut_sound(audio, Span(0.0, None), format=format)


@stream_function("audio", Audio, method=False)
def encode(
    samples: Any,
    rate: int,
    format: str = "flac",  # noqa: A002 - users' name
) -> TemporaryFile | None:
    """Create an audio file from numbers.

    Parameters
    ----------
    samples
        Amplitudes from -1 to 1: a list or array of one channel, or of shape (channels, n) with
        one or two channels.
    rate
        The number of samples per second.
    format
        "flac" (lossless), "wav", "mp3", "m4a" or "ogg".

    Examples
    --------
    >>> from barbule.functions import audio
    >>> audio.duration(audio.encode([0.0] * 8000, 16000))
    0.5
    """
    from barbule.media.streams.editing.sound_encoding import write_samples

    if samples is None:
        return None
    return write_samples(samples, rate, format=format)


def _pieces(
    audio: str,
    format: str,  # noqa: A002 - users' name
    duration: float | None,
    segment_times: Sequence[float] | None = None,
    *,
    overlap: float,
    min_duration: float,
) -> list[dict[str, Any]]:
    from barbule.media.streams.editing import sound_tracks

    sound_tracks.check_cuts("a sound", duration, segment_times, overlap, min_duration)
    length = sound_tracks.sound_length(audio)
    if duration is not None:
        spans = sound_tracks.split_length(length, duration, overlap, min_duration)
    else:
        spans = iter(sound_tracks.split_at(length, segment_times or (), min_duration))
    return [
        {"segment_start": span.start, "segment_end": span.end, "audio_segment": file}
        for span, file in sound_tracks.split_sound(
            audio, spans, format=format, overlap=overlap, min_duration=min_duration
        )
    ]


@stream_function("audio", dt.Array(_PIECE), method=False)
def split(
    audio: Track,
    duration: float | None = None,
    overlap: float = 0.0,
    min_duration: float = 0.0,
    format: str = "flac",  # noqa: A002 - users' name
    segment_times: list[float] | None = None,
) -> list[dict[str, Any]]:
    """Split into segments with their times; see `AudioSplitter.create`."""
    return _pieces(
        audio, format, duration, segment_times, overlap=overlap, min_duration=min_duration
    )


class AudioSplitter(FunctionNamespace):
    """Creates the iterator that splits audio files into segments."""

    @staticmethod
    @check_arguments
    def create(
        audio: object,
        duration: float | None = None,
        *,
        segment_times: Sequence[float] | None = None,
        overlap: float = 0.0,
        min_duration: float = 0.0,
        format: str = "flac",  # noqa: A002 - users' name
    ) -> ir.Value:
        """Split each audio file of a column into segments, exact to the sample.

        The rows of the view have `segment_start` and `segment_end` in seconds, and `audio_segment`.
        Each file is read once, regardless of the number of segments.

        Parameters
        ----------
        audio
            A column of audio files.
        duration
            Duration of each segment in seconds; the last may be shorter.
        segment_times
            Times at which to split, instead of `duration`.
        overlap
            Overlap of each segment with the previous one in seconds; with `duration`.
        min_duration
            A shorter last segment is dropped.
        format
            "flac" (lossless), "wav", "mp3", "m4a" or "ogg".

        Raises
        ------
        ConfigurationError
            If an option is invalid; before anything is read.

        Examples
        --------
        >>> import barbule as bb
        >>> t = bb.create_table("songs", {"sound": bb.Audio})
        >>> _ = t.insert(sound=bb.functions.audio.encode([0.0] * 40000, 16000))
        >>> pieces = bb.create_view(
        ...     "pieces",
        ...     t,
        ...     iterator=bb.functions.AudioSplitter.create(audio=t.sound, duration=1.0),
        ... )
        >>> pieces.order_by("pos").collect()["segment_end"]
        [1.0, 2.0, 2.5]
        """
        from barbule.media.streams.editing.sound_encoding import sound_format
        from barbule.media.streams.editing.sound_tracks import check_cuts

        check_cuts("a sound", duration, segment_times, overlap, min_duration)
        sound_format(format)
        times = None if segment_times is None else list(segment_times)
        sounds = source_of(audio, "audio", Audio)
        return split(sounds, duration, overlap, min_duration, format, times)


if not TYPE_CHECKING:  # which lists the available names
    __getattr__ = suggesting_getattr(__name__, __all__)
