"""Scene detection: scenes start where the picture changes permanently.

Owns the measures that compare neighbouring frames, and the rules that derive cuts from them.
Measures, rules and their defaults follow the detectors of PySceneDetect
(https://www.scenedetect.com/docs/latest/api/detectors.html), but frames are scaled down first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.errors import ConfigurationError
from barbule.media.streams.opening import PathLike, decode_frames, opened, video_stream
from barbule.media.streams.probing import Timeline, read_timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from av.video.frame import VideoFrame

__all__ = [
    "detect_adaptive",
    "detect_by_hash",
    "detect_by_histogram",
    "detect_by_threshold",
    "detect_content",
]

_WIDTH_PIXELS = 256
_HUES = 256

Scene = dict[str, Any]


@dataclass(frozen=True)
class _Cuts:
    """The starts of scenes, by frame numbers, with a minimum length."""

    min_length: int

    def filter(self, hits: list[int]) -> list[int]:
        """Drop cuts that follow another too closely; the first scene counts as one."""
        cuts, last = [], 0
        for hit in hits:
            if hit - last >= self.min_length:
                cuts.append(hit)
                last = hit
        return cuts


def _check_options(fps: float | None, min_scene_len: int) -> None:
    if fps is not None and not fps > 0:
        raise ConfigurationError("fps must be a number above 0.", value=fps)
    if min_scene_len < 0:
        raise ConfigurationError(
            "min_scene_len must be a number of frames of 0 or more.", value=min_scene_len
        )


def _pictures(path: PathLike, timeline: Timeline, fps: float | None) -> Iterator[tuple[int, Any]]:
    """Yield times and small frames, at most a number per second."""
    step = 0 if not fps else float(1 / timeline.time_base) / fps
    next_stamp = float(timeline.stamps[0])
    with opened(path) as container:
        stream = video_stream(container)
        for count, frame in enumerate(decode_frames(container, stream)):
            stamp = count if frame.pts is None else frame.pts
            if stamp + 1e-6 < next_stamp:
                continue
            next_stamp += step
            scale = max(1, frame.width // _WIDTH_PIXELS)
            yield (
                stamp,
                frame.reformat(
                    width=max(1, frame.width // scale), height=max(1, frame.height // scale)
                ),
            )


def _scenes(timeline: Timeline, stamps: list[int], cuts: list[int]) -> list[Scene]:
    starts = [int(timeline.stamps[0]), *(stamps[cut] for cut in cuts)]
    ends = [*starts[1:], timeline.end]
    return [
        {
            "start_time": timeline.seconds(start),
            "start_pts": start,
            "duration": float((end - start) * timeline.time_base),
        }
        for start, end in zip(starts, ends, strict=True)
    ]


def _measure_frames(
    path: PathLike, fps: float | None, measure: Callable[[Any], Any]
) -> tuple[Timeline, list[int], list[Any]]:
    timeline = read_timeline(path)
    stamps, measures = [], []
    for stamp, frame in _pictures(path, timeline, fps):
        stamps.append(stamp)
        measures.append(measure(frame))
    return timeline, stamps, measures


class _FrameDifference:
    """The mean difference of hue, saturation and brightness to the previous frame."""

    def __init__(self, weights: tuple[float, float, float], luma_only: bool) -> None:
        self._weights = (0.0, 0.0, 1.0) if luma_only else weights
        self._previous: np.ndarray | None = None
        if not sum(map(abs, self._weights)) > 0:
            raise ConfigurationError("one of delta_hue, delta_sat and delta_lum must be above 0.")

    def __call__(self, frame: Any) -> float:
        import numpy as np

        pixels = np.asarray(frame.to_image().convert("HSV"), dtype=np.int16)
        previous, self._previous = self._previous, pixels
        if previous is None or previous.shape != pixels.shape:
            return 0.0
        differences = np.abs(pixels - previous).reshape(-1, 3)
        hue = np.minimum(differences[:, 0], _HUES - differences[:, 0])  # hues lie on a circle
        means = hue.mean(), differences[:, 1].mean(), differences[:, 2].mean()
        total = sum(mean * weight for mean, weight in zip(means, self._weights, strict=True))
        return float(total / sum(map(abs, self._weights)))


def detect_content(
    path: PathLike,
    *,
    fps: float | None,
    limit: float,
    min_scene_len: int,
    weights: tuple[float, float, float],
    luma_only: bool,
) -> list[Scene]:
    """Cut if the difference to the previous frame reaches a limit."""
    _check_options(fps, min_scene_len)
    timeline, stamps, scores = _measure_frames(path, fps, _FrameDifference(weights, luma_only))
    hits = [index for index, score in enumerate(scores) if score >= limit]
    return _scenes(timeline, stamps, _Cuts(min_scene_len).filter(hits))


def detect_adaptive(  # noqa: PLR0913 - each is an option of users
    path: PathLike,
    *,
    fps: float | None,
    limit: float,
    min_scene_len: int,
    window: int,
    min_content: float,
    weights: tuple[float, float, float],
    luma_only: bool,
) -> list[Scene]:
    """Cut if a difference is much larger than those of the surrounding frames."""
    _check_options(fps, min_scene_len)
    if window < 1:
        raise ConfigurationError(
            "window_width must be a number of frames of 1 or more.", value=window
        )
    timeline, stamps, scores = _measure_frames(path, fps, _FrameDifference(weights, luma_only))
    hits = []
    for index in range(window, len(scores) - window):
        neighbours = scores[index - window : index] + scores[index + 1 : index + window + 1]
        mean = sum(neighbours) / len(neighbours)
        ratio = scores[index] / mean if mean > 1e-5 else 255.0  # noqa: PLR2004 - as in the source
        if ratio >= limit and scores[index] >= min_content:
            hits.append(index)
    return _scenes(timeline, stamps, _Cuts(min_scene_len).filter(hits))


def detect_by_threshold(
    path: PathLike,
    *,
    fps: float | None,
    limit: float,
    min_scene_len: int,
    bias: float,
    add_final_scene: bool,
    method: str,
) -> list[Scene]:
    """Cut between a fade-out and the fade-in that follows it."""
    _check_options(fps, min_scene_len)
    if method not in {"floor", "ceiling"}:
        raise ConfigurationError("method must be 'floor' or 'ceiling'.", value=method)
    if not -1 <= bias <= 1:
        raise ConfigurationError("fade_bias must be from -1 to 1.", value=bias)
    timeline, stamps, means = _measure_frames(path, fps, _brightness)
    faded = [mean < limit if method == "floor" else mean >= limit for mean in means]
    hits, fade_start = [], 0 if faded and faded[0] else None
    for index in range(1, len(faded)):
        if faded[index] and fade_start is None:
            fade_start = index
        elif not faded[index] and fade_start is not None:
            if fade_start > 0:
                hits.append(fade_start + int((index - fade_start) * (1 + bias) / 2))
            fade_start = None
    if add_final_scene and fade_start:
        hits.append(fade_start)
    return _scenes(timeline, stamps, _Cuts(min_scene_len).filter(hits))


def _brightness(frame: VideoFrame) -> float:
    return float(frame.to_ndarray(format="rgb24").mean())


def detect_by_histogram(
    path: PathLike, *, fps: float | None, limit: float, bins: int, min_scene_len: int
) -> list[Scene]:
    """Cut if the distributions of brightness correlate by less than 1 - limit."""
    import numpy as np

    _check_options(fps, min_scene_len)
    if not 1 <= bins <= 256:  # noqa: PLR2004 - the values of a byte
        raise ConfigurationError("bins must be from 1 to 256.", value=bins)

    def measure(frame: VideoFrame) -> np.ndarray:
        gray = frame.to_ndarray(format="gray")
        return np.histogram(gray, bins=bins, range=(0, 256))[0].astype(np.float64)

    timeline, stamps, measures = _measure_frames(path, fps, measure)
    hits = [
        index
        for index in range(1, len(measures))
        if _correlation(measures[index - 1], measures[index]) <= 1 - limit
    ]
    return _scenes(timeline, stamps, _Cuts(min_scene_len).filter(hits))


def _correlation(histogram: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two histograms, each scaled by its size."""
    import numpy as np

    first, second = histogram - histogram.mean(), other - other.mean()
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum() / size) if size else 1.0


def detect_by_hash(
    path: PathLike, *, fps: float | None, limit: float, size: int, lowpass: int, min_scene_len: int
) -> list[Scene]:
    """Cut if perceptual hashes (signs of the lowest frequencies) differ by a fraction of bits."""
    import numpy as np
    import PIL.Image

    _check_options(fps, min_scene_len)
    if size < 2 or lowpass < 1:  # noqa: PLR2004 - a hash of one bit tells nothing
        raise ConfigurationError(
            "size must be 2 or more, and lowpass 1 or more.", value=(size, lowpass)
        )
    side = size * lowpass
    waves = np.cos(np.pi / side * np.outer(np.arange(size), np.arange(side) + 0.5))

    def measure(frame: Any) -> np.ndarray:
        gray = frame.to_image().convert("L").resize((side, side), PIL.Image.Resampling.BOX)
        low = waves @ (np.asarray(gray, dtype=np.float64) / 255) @ waves.T
        return low > np.median(low)

    timeline, stamps, measures = _measure_frames(path, fps, measure)
    hits = [
        index
        for index in range(1, len(measures))
        if np.count_nonzero(measures[index - 1] != measures[index]) / size**2 >= limit
    ]
    return _scenes(timeline, stamps, _Cuts(min_scene_len).filter(hits))
