"""The classes of audio and video columns.

Owns that Ibis knows them. Their methods are the functions of `barbule.functions.audio` and
`barbule.functions.video`, which put them here.
"""

from __future__ import annotations

from barbule.media.values import MediaValue, _declare

__all__ = ["AudioValue", "VideoValue"]


class AudioValue(MediaValue):
    """What audio columns can do."""


class VideoValue(MediaValue):
    """What video columns can do."""


_declare("Audio", AudioValue)
_declare("Video", VideoValue)
