"""Audio and video files opened for reading, and the conversion of FFmpeg's errors.

Owns which containers are read and the maximum frame size. Playlists and scripts that name other
files or hosts are refused: only the library decides what is downloaded.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from barbule.errors import BarbuleError, MediaError
from barbule.media.streams.claimed_samples import refuse_claimed_samples
from barbule.media.streams.declared_lengths import declared_length

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = [
    "PathLike",
    "audio_stream",
    "first_audio",
    "first_video",
    "opened",
    "reading_errors",
    "suffix_of",
    "validate_audio",
    "validate_video",
    "video_stream",
]

PathLike = str | os.PathLike[str]

_RETRY_HINT = "Download or export the file again, and check that it plays."
# FFmpeg's names. Left out are its readers of playlists, scripts, devices and single images.
_CONTAINERS = (
    "aac,ac3,aiff,amr,ape,apng,asf,au,avi,caf,dts,dv,eac3,flac,flv,gif,h264,hevc,ivf,m4v,matroska,"
    "mjpeg,mov,mp3,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,tta,voc,w64,wav,wv"
)
_MAX_PIXELS = 1 << 27
_THREADED_PIXELS = 1 << 25
# For audio: an hour and a half of silence, and more for larger files. FLAC stores 65,535 samples of
# silence in 14 bytes; recordings have fewer than a hundred per byte.
_MAX_SAMPLES = 1 << 28
_SAMPLES_PER_BYTE = 500
# Opus takes several times as long per sample, and stores an eighth of a second of silence in two
# bytes.
_MAX_OPUS_SAMPLES = 1 << 27
_OPUS_SAMPLES_PER_BYTE = 100
_OPUS_CODECS = frozenset(("libopus", "opus"))
_SIGNATURE_BYTES = 16  # bytes that identify a format
_REFUSALS = (OSError, EOFError, ValueError, ArithmeticError, LookupError, NotImplementedError)
_MAX_DAMAGED_PACKETS = 32  # damaged packets in a row, after which a file counts as damaged


@contextmanager
def reading_errors(path: PathLike) -> Iterator[None]:
    """Convert the errors of PyAV to a MediaError that names the file."""
    try:
        yield
    except BarbuleError:
        raise
    except FileNotFoundError:
        raise MediaError(f"{os.fspath(path)} does not exist.", hint="Check the path.") from None
    except Exception as error:
        # FFmpeg's errors have many bases; damaged files also lead PyAV to these of Python's.
        if not isinstance(error, _REFUSALS) and type(error).__module__ != "av.error":
            raise
        raise MediaError(
            f"{os.fspath(path)} cannot be read: {_reason(error)}.", hint=_RETRY_HINT
        ) from (error)


def _reason(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(reason).rstrip(".").lower()


@contextmanager
def opened(path: PathLike) -> Iterator[InputContainer]:
    """Open an audio or video file.

    Parameters
    ----------
    path
        A local file.

    Yields
    ------
    av.container.InputContainer

    Raises
    ------
    MediaError
        If it is missing, empty, damaged, or not an audio or video file; also for errors that FFmpeg
        finds while it is open.
    """
    container = open_container(path)
    with container, reading_errors(path):
        yield container


def open_container(path: PathLike) -> InputContainer:
    """Open a file that the caller closes; errors are those of `opened`."""
    import av

    name = os.path.abspath(os.fspath(path))  # noqa: PTH100 - a Path would hide what is no path
    with reading_errors(name):
        if not os.path.getsize(name):  # noqa: PTH202
            raise MediaError(f"{name} is empty.", hint=_RETRY_HINT)
        refuse_claimed_samples(name)
        try:
            return av.open(
                name,
                metadata_errors="replace",
                container_options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"},
            )
        except av.error.ArgumentError as error:  # FFmpeg supports it, but it is not on the list
            raise MediaError(
                f"{name} cannot be read: it is not an audio or video file.", hint=_RETRY_HINT
            ) from error


def first_video(container: InputContainer) -> VideoStream | None:
    """Return the first video stream; album covers are not one."""
    from av.stream import Disposition

    return next(
        (
            stream
            for stream in container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ),
        None,
    )


def first_audio(container: InputContainer, index: int = 0) -> AudioStream | None:
    """Return an audio track by its index among those that can be decoded."""
    tracks = [track for track in container.streams.audio if track.codec_context is not None]
    return tracks[index] if 0 <= index < len(tracks) else None


def video_stream(container: InputContainer) -> VideoStream:
    """Return the first video stream, ready to decode on all cores.

    Raises
    ------
    MediaError
        If there is none, or its frames are larger than the limit.
    """
    stream = first_video(container)
    if stream is None or stream.codec_context is None:
        raise MediaError(
            f"{container.name} has no video frames that can be decoded.",
            hint="Pass a video file; store audio files in a column of type bb.Audio.",
        )
    if stream.width * stream.height > _MAX_PIXELS:
        raise MediaError(
            f"the frames of {container.name} are {stream.width} x {stream.height} pixels.",
            hint=f"Scale the video down; the limit is {_MAX_PIXELS} pixels per frame.",
        )
    # Each thread of a decoder keeps its own frames.
    stream.thread_type = "AUTO" if stream.width * stream.height <= _THREADED_PIXELS else "NONE"
    stream.codec_context.options = {"max_pixels": str(_MAX_PIXELS)}
    return stream


def audio_stream(container: InputContainer, index: int = 0) -> AudioStream:
    """Return an audio track.

    Raises
    ------
    MediaError
        If there is none.
    """
    stream = first_audio(container, index)
    if stream is None:
        raise MediaError(
            f"{container.name} has no sound that can be decoded.",
            hint="Pass a file with a sound track.",
        )
    return stream


def decode_frames(container: InputContainer, *streams: Any) -> Iterator[Any]:
    """Yield the frames of streams in file order, skipping damaged packets.

    Raises
    ------
    MediaError
        If there are far more audio samples than any recording of the file's size has.
    """
    from av.error import FFmpegError

    failed = samples = 0
    max_samples = _max_samples(container)
    for packet in container.demux(*streams):
        try:
            frames = packet.decode()
        except FFmpegError:
            failed += 1
            if failed > _MAX_DAMAGED_PACKETS:
                raise
            continue
        if frames:
            failed = 0
        for frame in frames:
            samples += getattr(frame, "samples", 0)  # which pictures have none
            if samples > max_samples:
                raise MediaError(
                    f"{container.name} has more than {max_samples:,} audio samples.",
                    hint="It may be malicious, or silent: split it into shorter files.",
                )
            yield frame


def _max_samples(container: InputContainer) -> int:
    size = os.path.getsize(container.name)  # noqa: PTH202
    # A stream of a damaged file, or of an unknown codec, has no context.
    contexts = [stream.codec_context for stream in container.streams.audio]
    if any(context is not None and context.name in _OPUS_CODECS for context in contexts):
        return max(_MAX_OPUS_SAMPLES, _OPUS_SAMPLES_PER_BYTE * size)
    return max(_MAX_SAMPLES, _SAMPLES_PER_BYTE * size)


def validate_video(path: Path) -> None:
    """Check that a file has frames, the first of which can be decoded.

    Raises
    ------
    MediaError
        If it is missing, empty, damaged or not a video.
    """
    with opened(path) as container:
        _check_length(path)
        _check_first(container, video_stream(container))


def validate_audio(path: Path) -> None:
    """Check that a file has audio, the beginning of which can be decoded.

    Raises
    ------
    MediaError
        If it is missing, empty, damaged or not an audio file.
    """
    with opened(path) as container:
        _check_length(path)
        _check_first(container, audio_stream(container))


def _check_length(path: Path) -> None:
    """Refuse a truncated file, if its structure reveals that."""
    declared, actual = declared_length(path), path.stat().st_size
    if declared is not None and declared > actual + 1:  # a padding byte is often omitted
        raise MediaError(
            f"{path} is truncated: it should have {declared:,} bytes but has {actual:,}.",
            hint=_RETRY_HINT,
        )


def _check_first(container: InputContainer, stream: Any) -> None:
    if next(decode_frames(container, stream), None) is None:
        raise MediaError(
            f"{container.name} holds nothing that can be decoded: it is damaged or truncated.",
            hint=_RETRY_HINT,
        )


_CONTAINER_SIGNATURES = (
    (0, b"RIFF", {b"WAVE": "wav", b"AVI ": "avi"}),
    (4, b"ftyp", {b"M4A ": "m4a", b"qt  ": "mov"}),
)
_SIGNATURES = (
    (b"\x1aE\xdf\xa3", "mkv"),
    (b"OggS", "ogg"),
    (b"fLaC", "flac"),
    (b"ID3", "mp3"),
    (b"FLV", "flv"),
    (b"GIF8", "gif"),
    (b"FORM", "aiff"),
    (b"0&\xb2u", "wmv"),
    (b"\x00\x00\x01\xba", "mpg"),
    (b"#!AMR", "amr"),
    (b"\xff\xfb", "mp3"),
    (b"\xff\xf3", "mp3"),
    (b"\xff\xf1", "aac"),
    (b"\xff\xf9", "aac"),
    (b"G", "ts"),
)


def suffix_of(data: bytes) -> str:
    r"""Return the usual extension of audio or video bytes; "bin" if it is unknown.

    Examples
    --------
    >>> suffix_of(b"RIFF\x00\x00\x00\x00WAVEfmt ")
    'wav'
    """
    head = data[:_SIGNATURE_BYTES]
    for offset, signature, kinds in _CONTAINER_SIGNATURES:
        if head[offset : offset + 4] == signature:
            return kinds.get(head[8:12], "mp4")
    return next((suffix for signature, suffix in _SIGNATURES if head.startswith(signature)), "bin")
