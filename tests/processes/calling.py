"""Calls a model for rows while other processes make some of the same calls."""

from __future__ import annotations

import sys
import time

import barbule as bb
from barbule.functions import openai

url, path, name, start = *sys.argv[1:4], float(sys.argv[4])
provider = {"openai": {"api_base": url}}
session = bb.connect(path, vectors="exact:", models=provider, lock_timeout=300)
table = session.get_table("qa")
openai.embeddings  # noqa: B018 - makes the namespace ready
session._engine.caller.resources.client.prepare()
time.sleep(max(0.0, start - time.time()))
messages = [{"role": "user", "content": table.q}]
reply = openai.chat_completions(model="echo", messages=messages).choices[0].message.content
rows = table.select(q=table.q, a=reply).collect()
wrong = [row for row in rows if row["a"] != f"echo: {row['q']}"]
sys.stdout.write(f"{len(rows)} {len(wrong)}\n")
session.close()
