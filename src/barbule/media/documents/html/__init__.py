"""Readers of pages: HTML, XHTML and EPUB."""
