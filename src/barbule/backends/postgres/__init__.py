"""The Postgres adapter: many processes write at once.

Rows travel as Arrow through ADBC (Apache Arrow's database drivers), in Postgres' binary COPY
format; Ibis' own verbs run on psycopg. `adapter` is the backend, `connection` the connections,
`compiler` the SQL of Ibis expressions, `values` how cells are kept, `address` the URL.
"""

from barbule.backends.postgres.adapter import PostgresBackend, is_persistent, open_backend

__all__ = ["PostgresBackend", "is_persistent", "open_backend"]
