"""Encoding audio: samples converted to one form and encoded.

Owns audio formats and the arithmetic of samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from barbule.errors import ConfigurationError
from barbule.media.streams.opening import decode_frames
from barbule.media.streams.temporary_files import TemporaryFile

if TYPE_CHECKING:
    import numpy as np
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from numpy.typing import ArrayLike

__all__ = [
    "FORMATS",
    "SoundForm",
    "SoundWriter",
    "layout_of",
    "sound_format",
    "write_all",
    "write_samples",
]

_OPUS_RATE = 48000
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_STEREO = 2


@dataclass(frozen=True)
class SoundFormat:
    """An audio format: FFmpeg's container, codec and sample format."""

    container: str
    codec: str
    samples: str
    suffix: str


FORMATS = {
    "wav": SoundFormat("wav", "pcm_s16le", "s16", "wav"),
    "flac": SoundFormat("flac", "flac", "s16", "flac"),
    "mp3": SoundFormat("mp3", "libmp3lame", "s16p", "mp3"),
    "m4a": SoundFormat("ipod", "aac", "fltp", "m4a"),
    "mp4": SoundFormat("mp4", "aac", "fltp", "m4a"),
    "ogg": SoundFormat("ogg", "libopus", "s16", "ogg"),
}


def sound_format(name: str) -> SoundFormat:
    """Return a format by its name.

    Raises
    ------
    ConfigurationError
        If there is none with that name.
    """
    if name not in FORMATS:
        raise ConfigurationError(
            f"the audio format {name!r} is not supported.",
            hint=f"Choose one of {', '.join(FORMATS)}.",
        )
    return FORMATS[name]


def _rate_for(kind: SoundFormat, rate: int) -> int:
    """Return the nearest sample rate that a codec supports."""
    if kind.codec == "libopus":
        return _OPUS_RATE
    if kind.codec in {"libmp3lame", "aac"}:
        return min(_MP3_RATES, key=lambda candidate: abs(candidate - rate))
    return rate


class SoundForm:
    """The form in which audio is written: rate, channels and sample format.

    Parameters
    ----------
    kind
        The format of the file.
    rate, layout
        Samples per second; FFmpeg's name of the channels: "mono" or "stereo".
    """

    def __init__(self, kind: SoundFormat, rate: int, layout: str) -> None:
        self.kind = kind
        self.rate = _rate_for(kind, rate)
        self.layout = layout
        self.restart()

    def restart(self) -> None:
        """Prepare for a track of another form."""
        from av import AudioResampler

        self._resampler = AudioResampler(self.kind.samples, self.layout, self.rate)

    def samples(self, frame: AudioFrame | None) -> list[np.ndarray]:
        """Convert a frame to this form; None returns the buffered rest."""
        try:
            return [resampled.to_ndarray() for resampled in self._resampler.resample(frame)]
        except ValueError:  # a track that changes its form on the way
            self.restart()
            return [resampled.to_ndarray() for resampled in self._resampler.resample(frame)]

    @property
    def _interleaved_channels(self) -> int:
        """The number of channels in a row of samples; planar formats have a row for each."""
        return 1 if self.kind.samples.endswith("p") or self.layout == "mono" else _STEREO

    def count(self, samples: np.ndarray) -> int:
        """Return how many samples each channel has."""
        return samples.shape[1] // self._interleaved_channels

    def part(self, samples: np.ndarray, start: int, end: int) -> np.ndarray:
        """Cut samples by their numbers."""
        return samples[:, start * self._interleaved_channels : end * self._interleaved_channels]

    def silence(self, count: int) -> np.ndarray:
        """Return a number of silent samples."""
        import numpy as np

        planar = self.kind.samples.endswith("p")
        channels = 1 if self.layout == "mono" else _STEREO
        number = np.float32 if self.kind.samples.startswith("flt") else np.int16
        return np.zeros((channels, count) if planar else (1, count * channels), number)


class SoundWriter:
    """Encodes samples of one form into a stream of a container."""

    def __init__(self, container: OutputContainer, form: SoundForm) -> None:
        self._container = container
        self.form = form
        self._stream: Any = container.add_stream(
            form.kind.codec, rate=form.rate, layout=form.layout, format=form.kind.samples
        )
        self._written = 0

    @property
    def seconds(self) -> Fraction:
        """How much was written."""
        return Fraction(self._written, self.form.rate)

    def write(self, samples: np.ndarray) -> None:
        """Encode samples, in the shape in which the form gives them."""
        import numpy as np
        from av import AudioFrame

        if not samples.size:
            return
        form = self.form
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), format=form.kind.samples, layout=form.layout
        )
        frame.sample_rate = form.rate
        frame.time_base = Fraction(1, form.rate)
        frame.pts = self._written
        self._written += frame.samples
        self._container.mux(self._stream.encode(frame))

    def write_silence(self, until: Fraction) -> None:
        """Write silence up to a time."""
        while (remaining := round(until * self.form.rate) - self._written) > 0:
            self.write(self.form.silence(min(remaining, self.form.rate)))

    def close(self) -> None:
        """Encode the buffered samples."""
        self._container.mux(self._stream.encode(None))


def layout_of(stream: AudioStream, channels: int | None = None) -> str:
    """Return the layout to write: that of a track, or for a number of channels."""
    count = channels or stream.codec_context.channels
    return "mono" if count == 1 else "stereo"


def write_samples(samples: ArrayLike, rate: int, *, format: str) -> TemporaryFile:  # noqa: A002 - users' name
    """Write amplitudes from -1 to 1 as a file.

    Raises
    ------
    ConfigurationError
        If they do not have one or two channels, or the rate is not above zero.
    """
    import av
    import numpy as np

    kind = sound_format(format)
    data = np.atleast_2d(np.asarray(samples, dtype=np.float32))
    if data.ndim != _STEREO or data.shape[0] not in {1, _STEREO}:
        raise ConfigurationError(
            f"samples have the shape {data.shape}.",
            hint="Pass an array of shape (n,), (1, n) or (2, n).",
        )
    if not np.isfinite(data).all():
        raise ConfigurationError(
            "samples must be numbers; one is missing, NaN or infinite.",
            hint="Use 0.0 for silence.",
        )
    if rate <= 0:
        raise ConfigurationError("rate must be a number of samples per second above 0.", value=rate)
    file = TemporaryFile(kind.suffix)
    layout = "mono" if data.shape[0] == 1 else "stereo"
    with av.open(str(file), "w", format=kind.container) as out:
        writer = SoundWriter(out, SoundForm(kind, rate, layout))
        for start in range(0, data.shape[1], rate):
            part = np.ascontiguousarray(np.clip(data[:, start : start + rate], -1, 1))
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=layout)
            frame.sample_rate = rate
            frame.pts = start
            frame.time_base = Fraction(1, rate)
            for converted in writer.form.samples(frame):
                writer.write(converted)
        for converted in writer.form.samples(None):
            writer.write(converted)
        writer.close()
    return file


def write_all(writer: SoundWriter, container: InputContainer, stream: AudioStream) -> None:
    """Write a complete track."""
    for frame in decode_frames(container, stream):
        for samples in writer.form.samples(frame):
            writer.write(samples)
    for samples in writer.form.samples(None):
        writer.write(samples)
    writer.form.restart()
