"""The classes of audio, video and document columns.

Owns that Ibis knows them. Their methods are the functions of `barbule.functions.audio`,
`.video` and `.document`, which put them here.
"""

from __future__ import annotations

from barbule.relations.methods.media import MediaValue, _declare

__all__ = ["AudioValue", "DocumentValue", "VideoValue"]


class AudioValue(MediaValue):
    """What audio columns can do."""


class VideoValue(MediaValue):
    """What video columns can do."""


class DocumentValue(MediaValue):
    """What document columns can do."""


_declare("Audio", AudioValue)
_declare("Video", VideoValue)
_declare("Document", DocumentValue)
