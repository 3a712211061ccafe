"""Scene detection in videos; names, parameters and defaults follow Pixeltable and PySceneDetect."""

from __future__ import annotations

from typing import Any

import ibis.expr.datatypes as dt

from barbule.functions.stream_functions import Clip, stream_function

__all__ = [
    "scene_detect_adaptive",
    "scene_detect_content",
    "scene_detect_hash",
    "scene_detect_histogram",
    "scene_detect_threshold",
]

_SCENES = dt.Array(
    dt.Struct({"start_time": dt.float64, "start_pts": dt.int64, "duration": dt.float64})
)


@stream_function("video", _SCENES)
def scene_detect_content(  # noqa: PLR0913 - as in Pixeltable
    video: Clip,
    fps: float | None = None,
    threshold: float = 27.0,
    min_scene_len: int = 15,
    delta_hue: float = 1.0,
    delta_sat: float = 1.0,
    delta_lum: float = 1.0,
    luma_only: bool = False,
) -> list[dict[str, Any]]:
    """Find scenes that start with a frame unlike the previous one.

    Parameters
    ----------
    fps
        The number of examined frames per second; all by default.
    threshold
        The difference, from 0 to 255, at which a scene starts.
    min_scene_len
        The minimum number of (examined) frames of a scene.
    delta_hue, delta_sat, delta_lum
        The weights of hue, saturation and brightness in the difference.
    luma_only
        Whether only brightness counts.

    Returns
    -------
    list
        Records of `start_time`, `start_pts` and `duration`, in seconds and units of the stream; one
        for the entire video if nothing is found.
    """
    from barbule.media.streams.scenes import detect_content

    return detect_content(
        video,
        fps=fps,
        limit=threshold,
        min_scene_len=min_scene_len,
        weights=(delta_hue, delta_sat, delta_lum),
        luma_only=luma_only,
    )


@stream_function("video", _SCENES)
def scene_detect_adaptive(  # noqa: PLR0913 - as in Pixeltable
    video: Clip,
    fps: float | None = None,
    adaptive_threshold: float = 3.0,
    min_scene_len: int = 15,
    window_width: int = 2,
    min_content_val: float = 15.0,
    delta_hue: float = 1.0,
    delta_sat: float = 1.0,
    delta_lum: float = 1.0,
    luma_only: bool = False,
) -> list[dict[str, Any]]:
    """Find scenes whose first frame differs more than its neighbours do; for moving cameras.

    Parameters
    ----------
    adaptive_threshold
        The ratio of the difference at a cut to the mean difference of its neighbours.
    window_width
        The number of neighbours on each side.
    min_content_val
        The minimum difference of a cut.
    fps, min_scene_len, delta_hue, delta_sat, delta_lum, luma_only
        As for `scene_detect_content`.
    """
    from barbule.media.streams.scenes import detect_adaptive

    return detect_adaptive(
        video,
        fps=fps,
        limit=adaptive_threshold,
        min_scene_len=min_scene_len,
        window=window_width,
        min_content=min_content_val,
        weights=(delta_hue, delta_sat, delta_lum),
        luma_only=luma_only,
    )


@stream_function("video", _SCENES)
def scene_detect_threshold(
    video: Clip,
    fps: float | None = None,
    threshold: float = 12.0,
    min_scene_len: int = 15,
    fade_bias: float = 0.0,
    add_final_scene: bool = False,
    method: str = "floor",
) -> list[dict[str, Any]]:
    """Find scenes between fades to black ("floor") or to white ("ceiling").

    Parameters
    ----------
    threshold
        The mean brightness, from 0 to 255, below (or above) which a frame is faded.
    fade_bias
        The position in the fade at which a scene starts: -1 at its first frame, 1 after its last.
    add_final_scene
        Whether a fade at the end starts a separate scene.
    fps, min_scene_len
        As for `scene_detect_content`.
    """
    from barbule.media.streams.scenes import detect_by_threshold

    return detect_by_threshold(
        video,
        fps=fps,
        limit=threshold,
        min_scene_len=min_scene_len,
        bias=fade_bias,
        add_final_scene=add_final_scene,
        method=method,
    )


@stream_function("video", _SCENES)
def scene_detect_histogram(
    video: Clip,
    fps: float | None = None,
    threshold: float = 0.05,
    bins: int = 256,
    min_scene_len: int = 15,
) -> list[dict[str, Any]]:
    """Find scenes by the distribution of brightness; slowly changing light does not start a scene.

    Parameters
    ----------
    threshold
        The distance of distributions, from 0 to 1, at which a scene starts.
    bins
        The number of brightness classes, up to 256.
    fps, min_scene_len
        As for `scene_detect_content`.
    """
    from barbule.media.streams.scenes import detect_by_histogram

    return detect_by_histogram(
        video, fps=fps, limit=threshold, bins=bins, min_scene_len=min_scene_len
    )


@stream_function("video", _SCENES)
def scene_detect_hash(
    video: Clip,
    fps: float | None = None,
    threshold: float = 0.395,
    size: int = 16,
    lowpass: int = 2,
    min_scene_len: int = 15,
) -> list[dict[str, Any]]:
    """Find scenes by perceptual hashes of the frames.

    Parameters
    ----------
    threshold
        The fraction of differing bits, from 0 to 1, at which a scene starts.
    size
        The side length of the hash: it has size² bits.
    lowpass
        The ratio of the resolution of the frame to that of the hash.
    fps, min_scene_len
        As for `scene_detect_content`.
    """
    from barbule.media.streams.scenes import detect_by_hash

    return detect_by_hash(
        video, fps=fps, limit=threshold, size=size, lowpass=lowpass, min_scene_len=min_scene_len
    )
