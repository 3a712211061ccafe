"""The model server of the tests, as a process of its own: what it receives costs nobody else time.

    python benchmarks/model_server.py

It writes its address, and answers each line on stdin, a JSON object, with one line.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.models_server import FakeModels

FAULTS = ("429", "500", "timeout", "malformed")


def prompt(body: dict[str, Any]) -> str:
    """Return what was asked."""
    return str(body["messages"][-1]["content"])


class Server:
    """What the lines ask for."""

    def __init__(self, server: FakeModels) -> None:
        self.server = server
        self.fates: list[str] = []

    def prepare(self, latency: float = 0.0, faults: float = 0.0, seed: int = 0) -> dict[str, Any]:
        """Forget what was received; answer so slowly and so badly from now on."""
        self.server.reset()
        self.server.latency = latency
        draw = random.Random(seed)
        self.fates = [
            draw.choice(FAULTS) if draw.random() < faults else "ok" for _ in range(10_000)
        ]
        if faults:
            self.server.script(*self.fates)
        return {}

    def received(self) -> dict[str, Any]:
        """Count what was received."""
        asked = [prompt(body) for body in self.server.requests]
        answered: set[str] = set()
        again = 0
        for each, fate in zip(asked, self.fates, strict=False):
            again += each in answered
            answered |= {each} if fate == "ok" else set()
        faulty = sum(fate != "ok" for fate in self.fates[: len(asked)])
        return {
            "calls": len(asked),
            "distinct": len(Counter(asked)),
            "after_success": again,
            "faulty": faulty,
            "in_flight": self.server.max_in_flight,
        }


def main() -> None:
    with FakeModels(rate_headers=False) as running:
        print(json.dumps({"url": running.url}), flush=True)
        server = Server(running)
        for line in sys.stdin:
            asked = json.loads(line)
            print(json.dumps(getattr(server, asked.pop("do"))(**asked)), flush=True)


if __name__ == "__main__":
    main()
