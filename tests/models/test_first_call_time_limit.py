"""Time limit of the first model call: it excludes imports, and cancellation leaves no coroutine."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

FIRST = """
    import asyncio, contextlib, gc, sys, time, warnings
    from barbule.errors import ModelError
    from barbule.models.base import Endpoint
    from barbule.models.litellm.client import LiteLLMClient
    from fakes.models_server import FakeModels

    warnings.simplefilter("error", RuntimeWarning)
    asked = ["openai/echo", [{"role": "user", "content": "hi"}]]

    class Slow:
        # Delays the imports of the first LiteLLM call, as a busy machine does.
        left = 40

        def find_spec(self, name, path=None, target=None):
            if name.startswith(("openai.resources", "litellm.llms")) and self.left > 0:
                self.left -= 1
                time.sleep(0.05)

    with FakeModels() as server:
        client = LiteLLMClient({"openai": Endpoint("openai", server.url, timeout=1.0)})
        asyncio.run(client.ready())
        sys.meta_path.insert(0, Slow())
        PLAN(client.chat)
    gc.collect()
    print("done")
"""
PLANS = """
    def answered(ask):
        asyncio.run(ask(*asked))

    def cancelled(ask):
        async def main():
            async with asyncio.timeout(0.5):
                await ask(*asked)

        with contextlib.suppress(TimeoutError):
            asyncio.run(main())

    def timed_out(ask):
        try:
            asyncio.run(ask("openai/slow", *asked[1:]))
        except ModelError as error:
            assert "no answer within 1.0 s" in error.message
        else:
            raise AssertionError
"""


@pytest.mark.parametrize("plan", ["answered", "cancelled", "timed_out"])
def test_time_limit_of_the_first_call_excludes_imports(plan):
    code = textwrap.dedent(PLANS) + textwrap.dedent(FIRST).replace("PLAN", plan)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(TESTS), "OPENAI_API_KEY": "sk-test-0123456789"},
    )
    assert done.stdout == "done\n", done.stderr
    assert "never awaited" not in done.stderr
