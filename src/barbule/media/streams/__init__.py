"""Audio and video: opened, described, decoded on demand, cut and written.

Owns the use of PyAV. `opening` turns FFmpeg's errors into ours and refuses what is no plain
container; `probing` reads headers and packets; `frames` decodes single frames by reference;
`scenes` compares them; `editing` cuts, joins and encodes. Each file that is written is a
`TemporaryFile`, which the media library takes into its store.
"""

from __future__ import annotations

from barbule.media.streams.temporary_files import TemporaryFile

__all__ = ["TemporaryFile"]
