"""Limits on the decompressed and decoded size of row files, checked before they are read."""
