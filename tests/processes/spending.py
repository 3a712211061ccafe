"""Inserts rows into a table with a budget at a given time and prints the counts."""

from __future__ import annotations

import datetime
import sys
import time

import barbule as bb
from barbule.executor.budgets import reservations


def main(server: str, url: str, name: str, moment: str, count: str, lease: str) -> None:
    reservations.LEASE = datetime.timedelta(seconds=float(lease))
    models = {"openai": {"api_base": server, "max_concurrency": 8}}
    with bb.connect(url, vectors="exact:", models=models) as session:
        table = session.get_table("t")
        import litellm  # noqa: F401 - takes seconds, so it is imported before the common start

        time.sleep(max(0, float(moment) - time.time()))
        done = table.insert([{"w": f"{name} {n}"} for n in range(int(count))])
        sys.stdout.write(f"{done.calls} {done.deferred}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
