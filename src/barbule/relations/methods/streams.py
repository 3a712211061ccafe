"""The classes of audio, video and document columns.

Owns their registration with Ibis. Their methods are the functions of `barbule.functions.audio`,
`.video` and `.document`, which register them here.
"""

from __future__ import annotations

from barbule.relations.methods.media_columns import MediaValue, _declare

__all__ = ["AudioValue", "DocumentValue", "VideoValue"]


class AudioValue(MediaValue):
    """Methods of audio columns."""


class VideoValue(MediaValue):
    """Methods of video columns."""


class DocumentValue(MediaValue):
    """Methods of document columns."""


_declare("Audio", AudioValue)
_declare("Video", VideoValue)
_declare("Document", DocumentValue)
