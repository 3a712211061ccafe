"""The Postgres backend: many processes write at once.

`adapter` opens it and combines its three parts: `connection`, `reader` and `row_store`.
`connections` owns the connections to the server, `sql` the SQL, `arrow` the results, `staging` the
Arrow rows that statements read, `ibis` Ibis' own backend. Rows are transferred as Arrow through
ADBC (Apache Arrow's database drivers), in Postgres' binary COPY format; Ibis' own methods run on
psycopg.
"""

from barbule.backends.postgres.adapter import PostgresBackend, is_persistent, open_backend

__all__ = ["PostgresBackend", "is_persistent", "open_backend"]
