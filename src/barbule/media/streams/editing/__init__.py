"""Writing audio and video files: cutting, concatenating, encoding."""
