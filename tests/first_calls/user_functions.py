"""User functions in a module that other programs can import."""

from __future__ import annotations

import barbule as bb


@bb.udf(batch_size=8)
def embed(texts: list[str]) -> list[bb.Vector(2)]:
    return [[float(len(text)), 1.0] for text in texts]


@bb.udf
def shout(text: str) -> str:
    return text.upper() + "!"


@bb.uda
class Longest:
    def __init__(self) -> None:
        self.text = ""

    def update(self, text: str) -> None:
        self.text = max(self.text, text, key=len)

    def value(self) -> str:
        return self.text
