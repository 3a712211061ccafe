"""Vector indexes: caches of the live vectors of one column, never the truth.

Owns how vectors are kept for fast search and when such a copy may be believed. Knows no
tables and no versions beyond a number; the vectors themselves live with the rows.
"""
