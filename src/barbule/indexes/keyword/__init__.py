"""Keyword search: texts as terms, and the postings from which BM25 is computed.

Owns what a term is and how a score comes about. Tables, commits and plans are unknown here but
for the numbers between which a row lives.
"""

from __future__ import annotations

from barbule.indexes.keyword.analysis import query_terms
from barbule.indexes.keyword.postings import Postings

__all__ = ["Postings", "query_terms"]
