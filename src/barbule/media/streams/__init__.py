"""Audio and video: opened, described, decoded on demand, cut and written.

Owns the use of PyAV. `opening` converts FFmpeg's errors and refuses files that are not plain
containers; `probing` reads headers and packets; `frames` decodes single frames by reference;
`scenes` compares them; `editing` cuts, concatenates and encodes. Each written file is a
`TemporaryFile`, which the media library moves into its store.
"""

from __future__ import annotations

from barbule.media.streams.temporary_files import TemporaryFile

__all__ = ["TemporaryFile"]
