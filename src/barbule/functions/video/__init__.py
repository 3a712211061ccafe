"""Video functions, and the iterators that return their frames and segments.

Each is also a method of video columns: `t.video.clip(2, 5)` is `bb.functions.video.clip(t.video, 2,
5)`. Times are seconds from the first frame. Results are stored in the media store, except frames,
which are decoded when they are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from barbule.functions.video.aggregates import blank, make_video
from barbule.functions.video.editing import (
    clip,
    concat,
    duration,
    extract_audio,
    extract_frame,
    get_metadata,
    overlay_text,
    resample,
    segment,
)
from barbule.functions.video.frame_rows import FrameIterator, frames
from barbule.functions.video.scenes import (
    scene_detect_adaptive,
    scene_detect_content,
    scene_detect_hash,
    scene_detect_histogram,
    scene_detect_threshold,
)
from barbule.functions.video.splitting import VideoSplitter, split
from barbule.suggestions import suggesting_getattr

__all__ = [
    "FrameIterator",
    "VideoSplitter",
    "blank",
    "clip",
    "concat",
    "duration",
    "extract_audio",
    "extract_frame",
    "frames",
    "get_metadata",
    "make_video",
    "overlay_text",
    "resample",
    "scene_detect_adaptive",
    "scene_detect_content",
    "scene_detect_hash",
    "scene_detect_histogram",
    "scene_detect_threshold",
    "segment",
    "split",
]

if not TYPE_CHECKING:  # which lists the available names
    __getattr__ = suggesting_getattr(__name__, __all__)
