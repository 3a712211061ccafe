"""Scenes of a video: where the picture changes for good.

Owns the measures by which neighbouring pictures are compared, and the rules that make cuts of
them. Measures, rules and their defaults follow the detectors of PySceneDetect
(https://www.scenedetect.com/docs/latest/api/detectors.html), pictures being scaled down first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from barbule.errors import ConfigurationError
from barbule.media.streams.opening import PathLike, decoded, opened, video_stream
from barbule.media.streams.probing import Timeline, timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np

__all__ = ["adaptive", "content", "hashed", "histogram", "threshold"]

_WIDTH = 256
_HUES = 256

Scene = dict[str, Any]


@dataclass(frozen=True)
class _Cuts:
    """Where scenes begin, by frame numbers, under a least length."""

    least: int

    def of(self, hits: list[int]) -> list[int]:
        """Drop cuts that follow another too closely; the first scene counts as one."""
        kept, last = [], 0
        for hit in hits:
            if hit - last >= self.least:
                kept.append(hit)
                last = hit
        return kept


def _checked(fps: float | None, min_scene_len: int) -> None:
    if fps is not None and not fps > 0:
        raise ConfigurationError("fps is a number above 0.", value=fps)
    if min_scene_len < 0:
        raise ConfigurationError("min_scene_len is a number of frames from 0.", value=min_scene_len)


def _pictures(path: PathLike, line: Timeline, fps: float | None) -> Iterator[tuple[int, Any]]:
    """Give times and small pictures, at most so many a second."""
    step = 0 if not fps else float(1 / line.time_base) / fps
    due = float(line.stamps[0])
    with opened(path) as container:
        stream = video_stream(container)
        for count, frame in enumerate(decoded(container, stream)):
            stamp = count if frame.pts is None else frame.pts
            if stamp + 1e-6 < due:
                continue
            due += step
            scale = max(1, frame.width // _WIDTH)
            yield (
                stamp,
                frame.reformat(
                    width=max(1, frame.width // scale), height=max(1, frame.height // scale)
                ),
            )


def _scenes(line: Timeline, stamps: list[int], cuts: list[int]) -> list[Scene]:
    starts = [int(line.stamps[0]), *(stamps[cut] for cut in cuts)]
    ends = [*starts[1:], line.end]
    return [
        {
            "start_time": line.seconds(start),
            "start_pts": start,
            "duration": float((end - start) * line.time_base),
        }
        for start, end in zip(starts, ends, strict=True)
    ]


def _measured(
    path: PathLike, fps: float | None, measure: Callable[[Any], Any]
) -> tuple[Timeline, list[int], list[Any]]:
    line = timeline(path)
    stamps, found = [], []
    for stamp, frame in _pictures(path, line, fps):
        stamps.append(stamp)
        found.append(measure(frame))
    return line, stamps, found


class _Difference:
    """The mean difference of hue, saturation and brightness to the picture before."""

    def __init__(self, weights: tuple[float, float, float], luma_only: bool) -> None:
        self._weights = (0.0, 0.0, 1.0) if luma_only else weights
        self._before: np.ndarray | None = None
        if not sum(map(abs, self._weights)) > 0:
            raise ConfigurationError("one of delta_hue, delta_sat and delta_lum is above 0.")

    def __call__(self, frame: Any) -> float:
        import numpy as np

        now = np.asarray(frame.to_image().convert("HSV"), dtype=np.int16)
        before, self._before = self._before, now
        if before is None or before.shape != now.shape:
            return 0.0
        apart = np.abs(now - before).reshape(-1, 3)
        hue = np.minimum(apart[:, 0], _HUES - apart[:, 0])  # hues lie on a circle
        means = hue.mean(), apart[:, 1].mean(), apart[:, 2].mean()
        total = sum(mean * weight for mean, weight in zip(means, self._weights, strict=True))
        return float(total / sum(map(abs, self._weights)))


def content(
    path: PathLike,
    *,
    fps: float | None,
    limit: float,
    min_scene_len: int,
    weights: tuple[float, float, float],
    luma_only: bool,
) -> list[Scene]:
    """Cut where the difference to the picture before is at least a limit."""
    _checked(fps, min_scene_len)
    line, stamps, scores = _measured(path, fps, _Difference(weights, luma_only))
    hits = [place for place, score in enumerate(scores) if score >= limit]
    return _scenes(line, stamps, _Cuts(min_scene_len).of(hits))


def adaptive(  # noqa: PLR0913 - each is an option of users
    path: PathLike,
    *,
    fps: float | None,
    limit: float,
    min_scene_len: int,
    window: int,
    least_content: float,
    weights: tuple[float, float, float],
    luma_only: bool,
) -> list[Scene]:
    """Cut where a difference stands out from those of the pictures around it."""
    _checked(fps, min_scene_len)
    if window < 1:
        raise ConfigurationError("window_width is a number of frames from 1.", value=window)
    line, stamps, scores = _measured(path, fps, _Difference(weights, luma_only))
    hits = []
    for place in range(window, len(scores) - window):
        around = scores[place - window : place] + scores[place + 1 : place + window + 1]
        mean = sum(around) / len(around)
        ratio = scores[place] / mean if mean > 1e-5 else 255.0  # noqa: PLR2004 - as in the source
        if ratio >= limit and scores[place] >= least_content:
            hits.append(place)
    return _scenes(line, stamps, _Cuts(min_scene_len).of(hits))


def threshold(
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
    _checked(fps, min_scene_len)
    if method not in {"floor", "ceiling"}:
        raise ConfigurationError("method is 'floor' or 'ceiling'.", value=method)
    if not -1 <= bias <= 1:
        raise ConfigurationError("fade_bias is from -1 to 1.", value=bias)
    line, stamps, means = _measured(path, fps, _brightness)
    faded = [mean < limit if method == "floor" else mean >= limit for mean in means]
    hits, out = [], 0 if faded and faded[0] else None
    for place in range(1, len(faded)):
        if faded[place] and out is None:
            out = place
        elif not faded[place] and out is not None:
            if out > 0:
                hits.append(out + int((place - out) * (1 + bias) / 2))
            out = None
    if add_final_scene and out:
        hits.append(out)
    return _scenes(line, stamps, _Cuts(min_scene_len).of(hits))


def _brightness(frame: Any) -> float:
    return float(frame.to_ndarray(format="rgb24").mean())


def histogram(
    path: PathLike, *, fps: float | None, limit: float, bins: int, min_scene_len: int
) -> list[Scene]:
    """Cut where the distributions of brightness correlate by less than 1 - limit."""
    import numpy as np

    _checked(fps, min_scene_len)
    if not 1 <= bins <= 256:  # noqa: PLR2004 - the values of a byte
        raise ConfigurationError("bins is from 1 to 256.", value=bins)

    def measure(frame: Any) -> np.ndarray:
        gray = frame.to_ndarray(format="gray")
        return np.histogram(gray, bins=bins, range=(0, 256))[0].astype(np.float64)

    line, stamps, found = _measured(path, fps, measure)
    hits = [
        place
        for place in range(1, len(found))
        if _alike(found[place - 1], found[place]) <= 1 - limit
    ]
    return _scenes(line, stamps, _Cuts(min_scene_len).of(hits))


def _alike(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two histograms, each scaled by its size."""
    import numpy as np

    first, second = one - one.mean(), other - other.mean()
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum() / size) if size else 1.0


def hashed(
    path: PathLike, *, fps: float | None, limit: float, size: int, lowpass: int, min_scene_len: int
) -> list[Scene]:
    """Cut where perceptual hashes (signs of the lowest frequencies) differ by a share of bits."""
    import numpy as np
    import PIL.Image

    _checked(fps, min_scene_len)
    if size < 2 or lowpass < 1:  # noqa: PLR2004 - a hash of one bit tells nothing
        raise ConfigurationError("size is from 2 and lowpass from 1.", value=(size, lowpass))
    side = size * lowpass
    waves = np.cos(np.pi / side * np.outer(np.arange(size), np.arange(side) + 0.5))

    def measure(frame: Any) -> np.ndarray:
        gray = frame.to_image().convert("L").resize((side, side), PIL.Image.Resampling.BOX)
        low = waves @ (np.asarray(gray, dtype=np.float64) / 255) @ waves.T
        return low > np.median(low)

    line, stamps, found = _measured(path, fps, measure)
    hits = [
        place
        for place in range(1, len(found))
        if np.count_nonzero(found[place - 1] != found[place]) / size**2 >= limit
    ]
    return _scenes(line, stamps, _Cuts(min_scene_len).of(hits))
