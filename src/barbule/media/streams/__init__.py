"""Audio and video: opened, described, decoded on demand, cut and written.

Owns the use of PyAV. `opening` turns FFmpeg's errors into ours and refuses what is no plain
container; `probing` reads headers and packets; `frames` decodes single frames by reference;
`writing` and `sound` write new files; `cutting`, `lettering` and `scenes` stand on these. What
is made is a `MadeFile`, which the media library takes into its store.
"""

from __future__ import annotations

from barbule.media.streams.temporary_files import MadeFile

__all__ = ["MadeFile"]
