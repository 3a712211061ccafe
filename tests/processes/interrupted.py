"""Calls a model for many rows until Ctrl-C, then continues with the same session."""

from __future__ import annotations

import signal
import sys

import barbule as bb
from barbule.functions import openai


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


# A shell ignores SIGINT in background jobs of scripts.
signal.signal(signal.SIGINT, signal.default_int_handler)
url, path, kind, rows = *sys.argv[1:4], int(sys.argv[4])
session = bb.connect(path, vectors="exact:", models={"openai": {"api_base": url}})
table = bb.create_table("qa", {"q": bb.String})
table.insert([{"q": f"question {n}"} for n in range(rows)])


@bb.udf(cache=True, concurrency=4)
def waiting(text: str) -> str:
    import urllib.request

    body = f'{{"model": "echo", "messages": [{{"role": "user", "content": "{text}"}}]}}'
    request = urllib.request.Request(f"{url}/chat/completions", body.encode())
    with urllib.request.urlopen(request) as response:
        return response.read().decode()


def answer():
    if kind == "threads":
        return waiting(table.q)
    messages = [{"role": "user", "content": table.q}]
    return openai.chat_completions(model="echo", messages=messages).choices[0].message.content


say("begins")
try:
    table.add_computed_column(a=answer())
except KeyboardInterrupt:
    say("interrupted", table.columns, bb.calls().count().to_pyarrow().as_py())
sys.stdin.readline()
done = table.add_computed_column(a=answer())
say("done", done.calls, done.hits, len([row for row in table.collect() if row["a"]]))
session.close()
