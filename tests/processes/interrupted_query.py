"""Runs a query that would take hours until Ctrl-C, then continues with the same session."""

from __future__ import annotations

import signal
import sys

import barbule as bb


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


# A shell ignores SIGINT in background jobs of scripts.
signal.signal(signal.SIGINT, signal.default_int_handler)
path, kind = sys.argv[1:]
session = bb.connect(path, vectors="exact:")
table = session.create_table("t", {"n": bb.Int, "same": bb.Int})
table.insert([{"n": n, "same": 1} for n in range(20_000)])
two = table.select(m=table.n, also=table.same).view()
three = table.select(k=table.n, too=table.same).view()
if kind == "aggregate":
    query = table.cross_join(two).cross_join(three).agg(x=(table.n * two.m % 7 + three.k).sum())
elif kind == "join":
    joined = table.join(two, table.same == two.also).join(three, table.same == three.too)
    query = joined.group_by("m").agg(x=three.k.sum(), y=table.n.max())
elif kind == "stream":
    query = table.cross_join(two).cross_join(three).filter((table.n * two.m + three.k) % 7 == 9)
else:
    query = table.cross_join(two).cross_join(three).order_by(table.n * two.m % 7).select("k")
say("begins")
try:
    if kind == "stream":
        next(iter(query.to_pyarrow_batches()))
    query.collect()
except KeyboardInterrupt:
    say("interrupted", len(table.collect()))
table.insert(n=-1, same=0)
say("done", table.count().to_pyarrow().as_py())
session.close()
