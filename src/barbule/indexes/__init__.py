"""Vector and keyword indexes: caches of the live rows of one column, never the source of truth.

Owns how vectors are stored for fast search and when such a copy is reliable. Knows no tables, and
no versions except commits as numbers; the vectors themselves are stored with the rows.
"""
