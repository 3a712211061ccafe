"""Readers of text files: plain, Markdown, JSON and XML."""
