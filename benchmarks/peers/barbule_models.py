"""barbule: functions and models in a fresh DuckDB file, beside LiteLLM alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from memory import peak_mb
from serve import Work, serve

import barbule as bb
from barbule.functions import openai

if TYPE_CHECKING:
    from pathlib import Path

MODEL = "gpt-4o-mini"
WIDTH = 64  # questions in flight
PAUSE = 0.05  # seconds that the asynchronous function waits


@bb.udf
async def later(number: int) -> int:
    await asyncio.sleep(PAUSE)
    return number + 1


@bb.udf
def plus_one(number: int) -> int:
    return number + 1


@bb.udf(cache=True, version="1")
def kept(number: int) -> int:
    return number + 1


class Barbule:
    """One home."""

    library = "barbule"

    def __init__(self, home: Path, url: str) -> None:
        self.url = url
        provider = {"api_base": url, "timeout": 2.0, "max_concurrency": WIDTH}
        self.session = bb.connect(
            f"duckdb:///{home}/data.duckdb",
            home=str(home),
            vectors="exact:",
            models={"openai": provider},
        )
        self.made = 0

    def close(self) -> None:
        """Close the database."""
        self.session.close()

    def _table(self, texts: list[str]) -> Any:
        self.made += 1
        table = bb.create_table(f"t{self.made}", {"text": bb.String}, if_exists="replace")
        table.insert(pa.table({"text": texts}))
        return table

    def _numbers(self, rows: int) -> Any:
        self.made += 1
        table = bb.create_table(f"t{self.made}", {"number": bb.Int})
        table.insert(pa.table({"number": range(rows)}))
        return table

    @staticmethod
    def _answer(table: Any) -> Any:
        messages = [{"role": "user", "content": table.text}]
        return openai.chat_completions(model=MODEL, messages=messages).choices[0].message.content

    def _asked(self, texts: list[str]) -> Work:
        table = self._table(texts)

        def right(_: Any) -> dict[str, int]:
            found = table.collect()
            good = sum(row["answer"] == f"echo: {row['text']}" for row in found)
            return {"rows": len(found), "right": good}

        return lambda: table.add_computed_column(answer=self._answer(table)), right

    # Operations

    def chat(self, rows: int, seed: int) -> Work:
        """Ask a model about each row."""
        return self._asked([f"question {seed} {n}" for n in range(rows)])

    def bare_chat(self, rows: int, seed: int) -> Work:
        """Ask the same of LiteLLM alone, as many in flight."""
        import litellm

        async def one(limit: asyncio.Semaphore, text: str) -> str:
            async with limit:
                response = await litellm.acompletion(
                    model=f"openai/{MODEL}",
                    messages=[{"role": "user", "content": text}],
                    api_base=self.url,
                    api_key="none",
                    max_retries=0,
                    num_retries=0,
                )
                return response.choices[0].message.content

        async def every() -> list[str]:
            limit = asyncio.Semaphore(WIDTH)
            return await asyncio.gather(*(one(limit, f"bare {seed} {n}") for n in range(rows)))

        return lambda: asyncio.run(every()), lambda found: {"rows": len(found)}

    def own_cost(self, rows: int) -> Work:
        """Ask about each row where LiteLLM answers at once, so that all else is what it costs."""
        import litellm

        ask = litellm.acompletion
        kept = asyncio.run(
            ask(
                model=f"openai/{MODEL}",
                messages=[{"role": "user", "content": "once"}],
                api_base=self.url,
                api_key="none",
            )
        )

        async def at_once(**_: Any) -> Any:
            await asyncio.sleep(0)
            return kept

        table = self._table([f"own {self.made} {n}" for n in range(rows)])

        def work() -> None:
            litellm.acompletion = at_once
            try:
                table.add_computed_column(answer=self._answer(table))
            finally:
                litellm.acompletion = ask

        return work, lambda _: {"rows": table.count().to_pyarrow().as_py()}

    def duplicates(self, rows: int, distinct: int, seed: int) -> Work:
        """Ask about rows of which many are equal."""
        return self._asked([f"text {seed} {n % distinct}" for n in range(rows)])

    def resumed(self, rows: int) -> Work:
        """Ask about rows, some of which a process that was killed has asked about."""
        return self._asked([f"long {n}" for n in range(rows)])

    def first_five(self, rows: int) -> Work:
        """Find five rows for which the model says yes, as it does for 74 of 100."""
        texts = [f"{'yes' if n * 37 % 100 < 74 else 'no'} {n}" for n in range(rows)]
        table = self._table(texts)
        query = table.filter(self._answer(table).contains("yes")).limit(5)
        return query.collect, lambda found: {"rows": len(found)}

    def asynchronous(self, rows: int) -> Work:
        """Wait for each row."""
        table = self._numbers(rows)
        query = table.select(x=later(table.number))
        return query.to_pyarrow, lambda found: {"sum": sum(found["x"].to_pylist())}

    def known(self, rows: int) -> Work:
        """Read answers that are all in the call ledger."""
        table = self._numbers(rows)
        query = table.select(x=kept(table.number))
        query.to_pyarrow()
        return query.to_pyarrow, lambda found: {"sum": sum(found["x"].to_pylist())}

    def cheap_column(self, rows: int) -> Work:
        """Add a column of a cheap function to a large table."""
        table = self._numbers(rows)

        def answer(_: Any) -> dict[str, Any]:
            total = table.agg(x=table.x.sum()).collect()[0, "x"]
            return {"sum": total, "peak_mb": peak_mb()}

        return lambda: table.add_computed_column(x=plus_one(table.number)), answer


if __name__ == "__main__":
    serve(Barbule)
