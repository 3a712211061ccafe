"""Pixeltable: functions and models in a fresh home."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pixeltable as pxt
from pixeltable.functions import openai
from pixeltable_functions import later
from pixeltable_tables import Pixeltable
from serve import Work, serve

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "gpt-4o-mini"


class PixeltableModels(Pixeltable):
    """One home with its server."""

    def __init__(self, home: Path, url: str) -> None:
        super().__init__(home, None)
        os.environ["OPENAI_API_KEY"] = "none"
        os.environ["OPENAI_BASE_URL"] = url
        self.made = 0

    def chat(self, rows: int, seed: int) -> Work:
        """Ask a model about each row."""
        self.made += 1
        table = pxt.create_table(f"t{self.made}", {"text": pxt.String})
        table.insert([{"text": f"question {seed} {n}"} for n in range(rows)])
        messages = [{"role": "user", "content": table.text}]
        asked = openai.chat_completions(model=MODEL, messages=messages)

        def right(_: Any) -> dict[str, int]:
            found = table.collect()
            good = sum(row["answer"] == f"echo: {row['text']}" for row in found)
            return {"rows": len(found), "right": good}

        def work() -> Any:
            return table.add_computed_column(answer=asked.choices[0].message.content)

        return work, right

    def asynchronous(self, rows: int) -> Work:
        """Wait for each row."""
        self.made += 1
        table = pxt.create_table(f"t{self.made}", {"number": pxt.Int})
        table.insert([{"number": n} for n in range(rows)])
        query = table.select(x=later(table.number))
        return query.collect, lambda found: {"sum": sum(found["x"])}


if __name__ == "__main__":
    serve(PixeltableModels)
