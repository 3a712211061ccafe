"""What calls of several threads share: the event loop, GPUs, and calls that are in flight."""
