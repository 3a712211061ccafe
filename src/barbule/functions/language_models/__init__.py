"""Functions that call language models, their answers, and tools."""
