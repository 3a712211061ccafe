"""An OpenAI-compatible model server for tests, over real HTTP on 127.0.0.1.

Owns the wire format, deterministic answers and faults by model name. Uses the standard
library only and must not import barbule: it stands for somebody else's server.

Answers
-------
chat            `echo: <last user text>`; content parts answer `parts: text,image_url`;
                `tools` answers a call of the first tool; a `json_schema` answers an
                instance of the schema, `json_object` answers `{"echo": <text>}`
embeddings      `embedding_of(text, dimensions or 8)`
images          a PNG of one pixel
models          the names in `MODELS`

Models that behave differently
------------------------------
rate-limited    429 with a retry-after, always; `rate-limited-3`: for the first three requests
err500          500, always; `err500-2`: for the first two requests
auth            401 whose message echoes the key that was received
ctx, policy     400: context length exceeded, content policy violated
quota           429: the quota is spent, waiting does not help
missing         404: no such model
slow            answers after a minute
malformed       200 with a body that is not JSON
disconnect      closes the connection without an answer
shuffled        embeddings in reverse order (each with its right index)
reasoning       chat answers carry `reasoning_content`
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import math
import re
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self

MODELS = ("echo", "gpt-4o-mini", "text-embedding-3-small")
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
_SLOW = 60.0
_REFUSALS: dict[str, tuple[int, str, str]] = {
    "auth": (401, "Incorrect API key provided: {key}. Sent as: {authorization}", "invalid_api_key"),
    "ctx": (400, "This model's maximum context length is 10 tokens.", "context_length_exceeded"),
    "policy": (
        400,
        "Your request was rejected as a result of our safety system.",
        "content_policy_violation",
    ),
    "quota": (429, "You exceeded your current quota.", "insufficient_quota"),
    "missing": (404, "The model 'missing' does not exist.", "model_not_found"),
}
_TEMPORARY = {
    "rate-limited": (429, "Rate limit reached for requests.", "rate_limit_exceeded"),
    "err500": (500, "boom", "server_error"),
}


def embedding_of(text: str, dimensions: int = 8) -> list[float]:
    """Return the unit vector that the server answers for a text."""
    raw = hashlib.shake_256(text.encode()).digest(4 * dimensions)
    numbers = [n / 2**31 - 1 for n in struct.unpack(f">{dimensions}I", raw)]
    norm = math.sqrt(sum(n * n for n in numbers)) or 1.0
    # Through float32, so that both encodings of the wire give the same numbers.
    return list(struct.unpack(f"<{dimensions}f", _packed([n / norm for n in numbers])))


@dataclass
class Request:
    """What one HTTP request brought."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))


@dataclass
class Response:
    """What goes back; a body that is not bytes is sent as JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {
            "content-type": "application/json",
            "content-length": str(len(body)),
            **self.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        reason = HTTPStatus(self.status).phrase
        return f"HTTP/1.1 {self.status} {reason}\r\n{lines}\r\n".encode() + body


class FakeModels:
    """A running server: `with FakeModels() as server: ... server.url`.

    Parameters
    ----------
    latency
        Seconds that every answer takes; may be set while the server runs.
    retry_after
        What a 429 asks for, in seconds.
    """

    def __init__(self, *, latency: float = 0.0, retry_after: float = 0.05) -> None:
        self.latency = latency
        self.retry_after = retry_after
        self.max_in_flight = 0
        self.port = 0
        self._received: list[Request] = []
        self._faults: Counter[str] = Counter()
        self._in_flight = 0
        self._lock = threading.Lock()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="fake-models", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(10) or not self.port:
            raise RuntimeError("the fake model server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def received(self) -> list[Request]:
        """The model calls so far, with path and headers."""
        with self._lock:
            return list(self._received)

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The bodies of the model calls so far."""
        return [request.body for request in self.received]

    @property
    def count(self) -> int:
        """The number of model calls so far, failed ones included."""
        with self._lock:
            return len(self._received)

    def reset(self) -> None:
        """Forget all requests and start the counted faults again."""
        with self._lock:
            self._received.clear()
            self._faults.clear()
            self.max_in_flight = self._in_flight

    # -- the server's own thread -------------------------------------------------------------

    def _serve(self) -> None:
        try:
            asyncio.run(self._main())
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                response = await self._respond(request)
                if response is None:
                    break
                writer.write(response.encoded())
                await writer.drain()
        except (asyncio.CancelledError, ConnectionError):
            pass  # the test ended, or the client went away: both are ordinary here
        finally:
            writer.close()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer.wait_closed()

    async def _respond(self, request: Request) -> Response | None:
        if request.method == "GET":
            return Response({"object": "list", "data": [{"id": name} for name in MODELS]})
        with self._lock:
            self._received.append(request)
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
        try:
            if pause := _SLOW if request.model == "slow" else self.latency:
                await asyncio.sleep(pause)
            if request.model == "disconnect":
                return None
            return self._fault(request) or _answer(request)
        finally:
            with self._lock:
                self._in_flight -= 1

    def _fault(self, request: Request) -> Response | None:
        model = request.model
        if model == "malformed":
            return Response(b"this is not JSON")
        if model in _REFUSALS:
            status, message, code = _REFUSALS[model]
            authorization = request.headers.get("authorization", "")
            key = authorization.removeprefix("Bearer ")
            return _error(status, message.format(key=key, authorization=authorization), code)
        match = re.fullmatch(r"(rate-limited|err500)(?:-(\d+))?", model)
        if match is None:
            return None
        with self._lock:
            self._faults[model] += 1
            seen = self._faults[model]
        if match[2] is not None and seen > int(match[2]):
            return None
        response = _error(*_TEMPORARY[match[1]])
        if match[1] == "rate-limited":
            response.headers = {
                "retry-after": f"{self.retry_after:g}",
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "0",
            }
        return response


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
    except asyncio.IncompleteReadError:
        return None
    # Multipart bodies (audio) are not taken apart: nothing here needs them.
    body = json.loads(raw) if raw[:1] == b"{" else {}
    return Request(method, path, headers, body)


def _error(status: int, message: str, code: str) -> Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return Response({"error": {"message": message, "type": kind, "code": code}}, status)


def _answer(request: Request) -> Response:
    route = request.path.split("?")[0].removeprefix("/v1")
    answers = {
        "/chat/completions": _chat,
        "/embeddings": _embeddings,
        "/images/generations": _images,
    }
    if route not in answers:
        return _error(404, f"no route {request.path}", "not_found")
    headers = {"x-ratelimit-limit-requests": "6000", "x-ratelimit-remaining-requests": "5999"}
    return Response(answers[route](request.body), headers=headers)


def _chat(body: dict[str, Any]) -> dict[str, Any]:
    message = _message(body)
    choices = [
        {"index": i, "finish_reason": "tool_calls" if message["tool_calls"] else "stop"}
        | {"message": message}
        for i in range(body.get("n") or 1)
    ]
    asked = sum(_words(m.get("content")) for m in body.get("messages", []))
    said = sum(_words(choice["message"]["content"]) for choice in choices)
    return {
        "id": "chatcmpl-" + hashlib.sha256(json.dumps(body).encode()).hexdigest()[:12],
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": body.get("model"),
        "choices": choices,
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": said,
            "total_tokens": asked + said,
        },
    }


def _message(body: dict[str, Any]) -> dict[str, Any]:
    asked = [m.get("content") for m in body.get("messages", []) if m.get("role") == "user"]
    last = asked[-1] if asked else ""
    message: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": None}
    if body.get("model") == "reasoning":
        message["reasoning_content"] = f"thinking about: {_text(last)}"
    if body.get("tools"):
        name = body["tools"][0]["function"]["name"]
        arguments = json.dumps({"text": _text(last)})
        call = {"id": "call_1", "type": "function"}
        message["tool_calls"] = [call | {"function": {"name": name, "arguments": arguments}}]
        return message
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        schema = form["json_schema"]["schema"]
        message["content"] = json.dumps(_instance(schema, schema, _text(last)))
    elif form.get("type") == "json_object":
        message["content"] = json.dumps({"echo": _text(last)})
    elif isinstance(last, list):
        message["content"] = "parts: " + ",".join(part["type"] for part in last)
    else:
        message["content"] = f"echo: {last}"
    return message


def _instance(schema: dict[str, Any], root: dict[str, Any], text: str) -> Any:
    """Return the simplest value that a JSON schema (as pydantic writes them) allows."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        return _instance(root["$defs"][name], root, text)
    if "anyOf" in schema:
        return _instance(schema["anyOf"][0], root, text)
    if "enum" in schema or "const" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    if schema.get("type") == "object":
        properties = schema.get("properties", {})
        return {name: _instance(inner, root, text) for name, inner in properties.items()}
    if schema.get("type") == "array":
        return [_instance(schema.get("items", {}), root, text)]
    plain = {"integer": len(text.split()), "number": 0.5, "boolean": True, "null": None}
    return plain.get(schema.get("type", ""), text)


def _embeddings(body: dict[str, Any]) -> dict[str, Any]:
    inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
    as_text = body.get("encoding_format") == "base64"
    data = []
    for i, text in enumerate(inputs):
        vector = embedding_of(str(text), body.get("dimensions") or 8)
        shown = base64.b64encode(_packed(vector)).decode() if as_text else vector
        data.append({"object": "embedding", "index": i, "embedding": shown})
    if body.get("model") == "shuffled":
        data.reverse()
    words = sum(_words(text) for text in inputs)
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "model": body.get("model"), "data": data, "usage": usage}


def _images(body: dict[str, Any]) -> dict[str, Any]:
    return {"created": 1_700_000_000, "data": [{"b64_json": PIXEL}] * (body.get("n") or 1)}


def _packed(vector: list[float]) -> bytes:
    return struct.pack(f"<{len(vector)}f", *vector)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(part["text"] for part in content if part["type"] == "text")
    return str(content or "")


def _words(content: Any) -> int:
    return len(_text(content).split())
