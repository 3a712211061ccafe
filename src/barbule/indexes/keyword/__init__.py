"""Keyword search: texts as terms, and the postings from which BM25 is computed.

Owns what a term is and how a score is computed. Does not know tables, commits and plans, except the
commit numbers between which a row is live.
"""

from __future__ import annotations

from barbule.indexes.keyword.analysis import query_terms
from barbule.indexes.keyword.postings import Postings

__all__ = ["Postings", "query_terms"]
