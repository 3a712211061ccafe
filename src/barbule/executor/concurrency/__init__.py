"""Shared between the calls of several threads: the event loop, GPUs, and calls in flight."""
