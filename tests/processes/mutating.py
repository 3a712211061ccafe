"""Changes a table at random, endlessly, and logs each change before and after it.

A line is written before each change (the version it makes and the rows that version has) and
one after it.
"""

from __future__ import annotations

import json
import os
import random
import sys
from functools import partial

import barbule as bb


def main(url: str, path: str, seed: int) -> None:
    chance = random.Random(seed)
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def say(**fields: object) -> None:
        os.write(log, (json.dumps(fields) + "\n").encode())

    session = bb.connect(url, vectors="exact:")
    table = session.get_table("t")
    rows = [(row["key"], row["name"]) for row in table.collect()]
    version = table.history()[0, "version"]
    os.write(log, b"\n" if os.fstat(log).st_size else b"")
    while True:
        kind = chance.choice(["insert", "insert", "update", "delete", "upsert", "structure"])
        key, name = chance.randrange(100), f"n{chance.randrange(4)}"
        new = list(rows)
        if kind == "insert":
            added = [(chance.randrange(100), name) for _ in range(chance.choice([1, 3, 40]))]
            new += added
            work = partial(table.insert, [{"key": k, "name": n} for k, n in added])
        elif kind == "update":
            new = [(k, name if k <= key else n) for k, n in rows]
            work = partial(table.update, {"name": name}, where=table.key <= key)
        elif kind == "delete":
            new = [(k, n) for k, n in rows if k != key]
            work = partial(table.delete, where=table.key == key)
        elif kind == "upsert":
            there = any(k == key for k, _ in rows)
            new = [(k, name if k == key else n) for k, n in rows]
            new += [] if there else [(key, name)]
            work = partial(table.upsert, [{"key": key, "name": name}], on="key")
        elif "more" in table.columns:
            work = partial(table.drop_column, "more")
        else:
            work = partial(table.add_columns, {"more": bb.Int}, defaults={"more": 1})
        if kind != "structure" and new == rows:
            continue  # a change of no rows, or to the same values, creates no version
        say(version=version + 1, rows=sorted(new))
        done = work()
        if done is not None and hasattr(done, "version"):
            assert done.version == version + 1, (done, version)
        version += 1
        rows = new
        table = session.get_table("t")
        say(version=version, rows=sorted(rows), done=version)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
