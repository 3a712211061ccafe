"""The Postgres backend: many processes write at once.

`adapter` opens it; its layers are `transactions`, `queries` and `writes`. `connections` has the
connections, `sql` the SQL, `arrow` the results, `staging` the Arrow rows that statements read,
`ibis` Ibis' own backend. Rows travel as Arrow through ADBC (Apache Arrow's database drivers), in
Postgres' binary COPY format; Ibis' own verbs run on psycopg.
"""

from barbule.backends.postgres.adapter import PostgresBackend, is_persistent, open_backend

__all__ = ["PostgresBackend", "is_persistent", "open_backend"]
