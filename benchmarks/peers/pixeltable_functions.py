"""The functions of a user in Pixeltable, which wants them in a module of their own."""

from __future__ import annotations

import asyncio

import films
import pixeltable as pxt
from pixeltable.func import Batch  # noqa: TC002  # Pixeltable reads the annotations


@pxt.udf
def shout(name: str) -> str:
    return films.shout(name)


@pxt.udf(batch_size=1000)
def shout_all(names: Batch[str]) -> Batch[str]:
    return films.shout_all(names)


@pxt.udf
async def later(number: int) -> int:
    await asyncio.sleep(0.05)
    return number + 1
