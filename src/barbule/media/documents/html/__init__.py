"""Readers of HTML, XHTML and EPUB."""
