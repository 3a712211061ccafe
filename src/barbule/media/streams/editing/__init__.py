"""Audio and video files written: cut, joined, encoded."""
