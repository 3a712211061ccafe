"""An OpenAI-compatible model server for tests, over real HTTP on 127.0.0.1.

Owns the wire format, deterministic answers and faults by model name. Uses only the standard
library and must not import barbule: it represents a third-party server.

Answers
-------
chat            `echo: <last user text>`; content parts return `parts: text,image_url`;
                `tools` returns a call of the first tool; a `json_schema` returns an
                instance of the schema, `json_object` returns `{"echo": <text>}`
messages        the same in the Anthropic format
embeddings      `embedding_of(text, dimensions or 8)`
images          a PNG of one pixel; `image-by-url` returns its URL on this server
transcriptions  `heard <number of bytes> bytes of <file name>`, with segments on request
speech          a WAV file of as many milliseconds as the text has letters
moderations     texts that contain "kill" are flagged
rerank          documents by the number of words shared with the query
models          the names in `MODELS`

Models that behave differently
------------------------------
rate-limited    429 with a retry-after, always; `rate-limited-3`: for the first three requests
err500          500, always; `err500-2`: for the first two requests
auth            401 whose message echoes the key that was received
ctx, policy     400: context length exceeded, content policy violated
quota           429: the quota is exhausted, a retry does not help
missing         404: no such model
slow            answers after a minute
malformed       200 with a body that is not JSON
disconnect      closes the connection without an answer
shuffled        embeddings in reverse order, with correct indices
gaps            null instead of the vector of a text that contains "no vector"
reasoning       chat answers carry `reasoning_content`
misfit          structured answers violate their schema, always; `misfit-1`: the first time
fenced          structured answers in a Markdown fence, with words around it
no-schema       400 to a request with a `json_schema`; otherwise JSON if requested
refuses         chat answers are refusals
caller          calls the tools given in the user's text as JSON: [[name, arguments], …];
                string arguments are sent unchanged
cut             chat answers are truncated at `max_tokens`

Faults by script
----------------
`server.script("429", "500", "malformed", "ok")` sets the outcomes of the next requests, in this
order, for any model; see `FATES` for all of them. Some are not answers of a model: an HTML page,
half an answer, a reset connection, a redirect to itself.

`server.content` sets the text of chat answers, `server.choices` all of their choices.

Usage is counted in words unless `server.tokenizer` is set. With `server.usage` False, answers
include no usage. `server.counts` replaces each count, `server.told` the whole usage.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import math
import re
import struct
import threading
import wave
from collections import Counter, deque
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self

from patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = ("echo", "gpt-4o-mini", "text-embedding-3-small")
UNSET = object()
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
_ANSWERS = ("misfit", "cut", "refuses")
FATES = ("ok", "429", "500", "timeout", "malformed", "disconnect", "policy", "ctx", "auth")
FATES += _ANSWERS


def _raw(kind: str, body: bytes, length: int | None = None, more: str = "") -> bytes:
    """Return the raw response with status 200."""
    size = len(body) if length is None else length
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\n{more}\r\n"
    return head.encode() + body


_JSON = "application/json"
_BROKEN = {
    "html": _raw("text/html", b"<html></html>"),
    "plain": _raw("text/plain", b"ok"),
    "empty": _raw(_JSON, b""),
    "nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "list": _raw(_JSON, b"[]"),
    "null": _raw(_JSON, b"null"),
    "half": _raw(_JSON, b"{", 99),
    "garbage": b"this is no HTTP\r\n\r\n",
    "gzip": _raw(_JSON, b"{{{{", more="content-encoding: gzip\r\n"),
    "loop": b"HTTP/1.1 307 Temporary Redirect\r\nlocation: {path}\r\ncontent-length: 0\r\n\r\n",
}
FATES += ("reset", *_BROKEN)
_TEMPORARY = {
    "rate-limited": (429, "Rate limit reached for requests.", "rate_limit_exceeded"),
    "err500": (500, "boom", "server_error"),
}


def embedding_of(text: str, dimensions: int = 8) -> list[float]:
    """Return the unit vector that the server returns for a text."""
    raw = hashlib.shake_256(text.encode()).digest(4 * dimensions)
    numbers = [n / 2**31 - 1 for n in struct.unpack(f">{dimensions}I", raw)]
    norm = math.sqrt(sum(n * n for n in numbers)) or 1.0
    # Through float32, so that both wire encodings give equal numbers.
    return list(struct.unpack(f"<{dimensions}f", _packed([n / norm for n in numbers])))


@dataclass
class Request:
    """One HTTP request."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))


@dataclass
class Response:
    """One HTTP response; a body that is not bytes is sent as JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None  # sent unchanged before the connection is closed

    def encoded(self) -> bytes:
        if self.raw is not None:
            return self.raw
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
    rate_headers
        Whether answers tell what is left of a rate limit.
    """

    def __init__(
        self, *, latency: float = 0.0, retry_after: float = 0.05, rate_headers: bool = True
    ) -> None:
        self.rate_headers = rate_headers
        self.usage = True
        self.counts: Any = UNSET
        self.told: Any = UNSET
        self.tokenizer: Callable[[str], int] | None = None
        self.content: Callable[[dict[str, Any]], str | None] | None = None
        self.choices: Callable[[dict[str, Any]], list[Any]] | None = None
        self.latency = latency
        self.retry_after = retry_after
        self.max_in_flight = 0
        self.port = 0
        self._received: list[Request] = []
        self._faults: Counter[str] = Counter()
        self._script: deque[str] = deque()
        self._in_flight = 0
        self._lock = threading.Lock()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="fake-models", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(PATIENCE) or not self.port:
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
        """Clear all requests and restart the counted faults."""
        with self._lock:
            self._received.clear()
            self._faults.clear()
            self._script.clear()
            self.max_in_flight = self._in_flight

    def script(self, *fates: str) -> None:
        """Set the outcomes of the next requests, one each."""
        if unknown := set(fates) - set(FATES):
            raise ValueError(f"no fates: {unknown}")
        with self._lock:
            self._script.extend(fates)

    # -- server thread -----------------------------------------------------------------------

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
                if response.raw == b"":  # with a reset instead of a regular close
                    writer.transport.abort()
                    break
                writer.write(response.encoded())
                await writer.drain()
                if response.raw is not None:
                    break
        except (asyncio.CancelledError, ConnectionError):
            pass  # the test ended or the client disconnected
        finally:
            writer.close()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer.wait_closed()

    async def _respond(self, request: Request) -> Response | None:
        if request.method == "GET":
            if request.path.endswith(".png"):
                return Response(base64.b64decode(PIXEL), headers={"content-type": "image/png"})
            return Response({"object": "list", "data": [{"id": name} for name in MODELS]})
        with self._lock:
            self._received.append(request)
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)
            fate = self._script.popleft() if self._script else "ok"
        try:
            if pause := _SLOW if "slow" in {request.model, fate} else self.latency:
                await asyncio.sleep(pause)
            if fate == "timeout":
                await asyncio.sleep(_SLOW)
            if "disconnect" in {request.model, fate}:
                return None
            if fate == "reset" or fate in _BROKEN:
                raw = _BROKEN.get(fate, b"").replace(b"{path}", request.path.encode())
                return Response(None, raw=raw)
            return self._fault(request, fate) or self._answered(request, fate)
        finally:
            with self._lock:
                self._in_flight -= 1

    def _answered(self, request: Request, fate: str) -> Response:
        if fate in _ANSWERS:
            answer = _chat({**request.body, "model": fate}, misfit=fate == "misfit")
            response = Response(answer | {"model": request.model})
        else:
            response = _answer(request, self.url)
        if self.content is not None and "choices" in response.body:
            response.body["choices"][0]["message"]["content"] = self.content(request.body)
        if self.choices is not None and "choices" in response.body:
            response.body["choices"] = self.choices(request.body)
        if self.tokenizer is not None and "usage" in response.body:
            response.body["usage"] = _counted(request.body, response.body, self.tokenizer)
        if self.counts is not UNSET and isinstance(response.body, dict):
            response.body["usage"] = dict.fromkeys(response.body.get("usage", ()), self.counts)
        if self.told is not UNSET and isinstance(response.body, dict):
            response.body["usage"] = self.told
        if not self.usage and isinstance(response.body, dict):
            response.body.pop("usage", None)
        if not self.rate_headers:
            kept = response.headers.items()
            response.headers = {k: v for k, v in kept if not k.startswith("x-ratelimit-")}
        return response

    def _fault(self, request: Request, fate: str) -> Response | None:
        model = request.model
        if "malformed" in {model, fate}:
            return Response(b"this is not JSON")
        if name := next((each for each in (model, fate) if each in _REFUSALS), None):
            status, message, code = _REFUSALS[name]
            sent = ("authorization", "x-api-key", "api-key", "x-goog-api-key")
            authorization = next((request.headers[h] for h in sent if h in request.headers), "")
            key = authorization.removeprefix("Bearer ")
            return _error(status, message.format(key=key, authorization=authorization), code)
        form = request.body.get("response_format") or {}
        if model == "no-schema" and form.get("type") == "json_schema":
            return _error(400, "'response_format' of type 'json_schema' is not taken.", "bad")
        by_fate = {"429": "rate-limited", "500": "err500"}.get(fate)
        match = re.fullmatch(r"(rate-limited|err500|misfit)(?:-(\d+))?", by_fate or model)
        if match is None:
            return None
        with self._lock:
            self._faults[model] += 1
            seen = self._faults[model]
        if match[2] is not None and seen > int(match[2]):
            return None
        if match[1] == "misfit":
            return Response(_chat(request.body | {"model": model}, misfit=True))
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
    kind = headers.get("content-type", "")
    if kind.startswith("multipart/"):
        return Request(method, path, headers, *_parts(kind, raw))
    return Request(method, path, headers, json.loads(raw) if raw[:1] == b"{" else {})


def _parts(kind: str, raw: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Parse a form with files."""
    form = BytesParser().parsebytes(f"content-type: {kind}\r\n\r\n".encode() + raw)
    body: dict[str, Any] = {}
    files: dict[str, bytes] = {}
    for part in form.get_payload():
        assert isinstance(part, Message)
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        name = str(part.get_param("name", header="content-disposition"))
        if file_name := part.get_filename():
            files[file_name] = content
        elif name.endswith("[]"):
            body.setdefault(name.removesuffix("[]"), []).append(content.decode())
        else:
            body[name] = content.decode()
    return body, files


def _error(status: int, message: str, code: str) -> Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return Response({"error": {"message": message, "type": kind, "code": code}}, status)


def _answer(request: Request, url: str) -> Response:
    route = re.sub(r"^/(v\d|openai)", "", request.path.split("?")[0])
    route = re.sub(r"^/deployments/[^/]+", "", route)
    headers = {"x-ratelimit-limit-requests": "6000", "x-ratelimit-remaining-requests": "5999"}
    if route == "/audio/speech":
        return Response(_speech(request.body), headers={"content-type": "audio/wav"})
    if route == "/audio/transcriptions":
        return Response(_transcription(request), headers=headers)
    if route == "/images/generations":
        return Response(_images(request.body, url), headers=headers)
    answers = {
        "/chat/completions": _chat,
        "/embeddings": _embeddings,
        "/messages": _messages,
        "/moderations": _moderation,
        "/rerank": _rerank,
    }
    if route not in answers:
        return _error(404, f"no route {request.path}", "not_found")
    return Response(answers[route](request.body), headers=headers)


def _counted(
    asked: dict[str, Any], answer: dict[str, Any], count: Callable[[str], int]
) -> dict[str, int]:
    """Count tokens as a provider does: the prompt and its message markers."""
    texts = [asked["input"]] if isinstance(asked.get("input"), str) else asked.get("input") or []
    prompt = sum(map(count, texts))
    for message in asked.get("messages", []):
        content = message.get("content") or ""
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        prompt += 4 + sum(_of_part(part, count) for part in parts)
    prompt += count(json.dumps(asked["response_format"])) if "response_format" in asked else 0
    prompt += count(_typescript(asked["tools"])) if asked.get("tools") else 0
    said = [choice["message"] for choice in answer.get("choices", [])]
    written = [m.get("content") or json.dumps(m.get("tool_calls")) for m in said]
    completion = sum(map(count, written))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _typescript(tools: list[dict[str, Any]]) -> str:
    """Format tools as OpenAI models receive them."""
    lines = ["namespace functions {", ""]
    for tool in tools:
        function = tool["function"]
        lines += [f"// {function['description']}", f"type {function['name']} = (_: {{"]
        for name, each in function["parameters"]["properties"].items():
            lines += [f"// {each['description']}"] if "description" in each else []
            lines += [f"{name}: {each.get('type')},"]
        lines += ["}) => any;", ""]
    return "\n".join([*lines, "} // namespace functions"])


def _of_part(part: dict[str, Any], count: Callable[[str], int]) -> int:
    return count(part["text"]) if part["type"] == "text" else 255  # a one-tile image


def _chat(body: dict[str, Any], *, misfit: bool = False) -> dict[str, Any]:
    message = _message(body)
    if misfit:
        message["content"] = json.dumps({"nonsense": True})
    ends = {"refuses": "content_filter", "cut": "length"}
    end = ends.get(body.get("model", ""), "tool_calls" if message["tool_calls"] else "stop")
    choices = [
        {"index": i, "finish_reason": end, "message": message} for i in range(body.get("n") or 1)
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
    if body.get("model") == "caller" or body.get("tools"):
        calls = _tool_calls(body, _text(last))
        said = None if calls else "There is nothing to call."
        return message | {"tool_calls": calls, "content": said}
    if body.get("model") == "refuses":
        message["refusal"] = "I cannot help with that."
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
    content = str(message["content"])
    if body.get("model") == "no-schema":
        told = str(body["messages"][0]["content"]).partition("\n")[2]
        schema = json.loads(told)
        message["content"] = json.dumps(_instance(schema, schema, _text(last)))
    if body.get("model") == "fenced":
        message["content"] = f"Sure, here it is:\n```json\n{content}\n```\nAnything else?"
    if body.get("model") == "cut":
        message["content"] = content[: len(content) // 2]
    return message


def _tool_calls(body: dict[str, Any], text: str) -> list[dict[str, Any]]:
    """Return the tool calls given in the text, or a call of the first tool."""
    asked = [[body["tools"][0]["function"]["name"], {"text": text}]] if body.get("tools") else []
    if body.get("model") == "caller":
        asked = json.loads(text)
    return [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {
                "name": name,
                "arguments": given if isinstance(given, str) else json.dumps(given),
            },
        }
        for number, (name, given) in enumerate(asked, 1)
    ]


def _messages(body: dict[str, Any]) -> dict[str, Any]:
    """Answer in the Anthropic format, as far as the tests need it."""
    content = body["messages"][-1]["content"]
    said = (
        f"echo: {content}"
        if isinstance(content, str)
        else "parts: " + ",".join(part["type"] for part in content)
    )
    parts: list[dict[str, Any]] = [{"type": "text", "text": said}]
    tools = body.get("tools") or []
    if tools:
        schema = tools[0]["input_schema"]
        given = _instance(schema, schema, _text(content))
        parts = [{"type": "tool_use", "id": "toolu_1", "name": tools[0]["name"], "input": given}]
    if form := (body.get("output_format") or (body.get("output_config") or {}).get("format")):
        given = _instance(form["schema"], form["schema"], _text(content))
        parts = [{"type": "text", "text": json.dumps(given)}]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body.get("model"),
        "content": parts,
        "stop_reason": "tool_use" if tools else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": _words(content), "output_tokens": _words(said)},
    }


def _moderation(body: dict[str, Any]) -> dict[str, Any]:
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    results = []
    for text in texts:
        bad = "kill" in str(text)
        categories = {name: bad and name == "violence" for name in _HARMS}
        scores = {name: 0.9 if flag else 0.1 for name, flag in categories.items()}
        results.append({"flagged": bad, "categories": categories, "category_scores": scores})
    return {"id": "modr-1", "model": body.get("model"), "results": results}


_HARMS = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit"),
    *("illicit/violent", "self-harm", "self-harm/instructions", "self-harm/intent", "sexual"),
    *("sexual/minors", "violence", "violence/graphic"),
)


def _rerank(body: dict[str, Any]) -> dict[str, Any]:
    wanted = set(body["query"].split())
    scores = [len(wanted & set(str(text).split())) / len(wanted) for text in body["documents"]]
    order = sorted(range(len(scores)), key=lambda i: -scores[i])[: body.get("top_n")]
    found = [{"index": i, "relevance_score": scores[i]} for i in order]
    words = sum(_words(text) for text in body["documents"])
    meta = {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": words}}
    usage = {"total_tokens": words}
    return {"id": "rr-1", "results": found, "data": found, "meta": meta, "usage": usage}


def _speech(body: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * 8 * len(body["input"]))
    return buffer.getvalue()


def _transcription(request: Request) -> dict[str, Any]:
    ((name, content),) = request.files.items()
    text = f"heard {len(content)} bytes of {name}"
    found: dict[str, Any] = {"text": text}
    if request.body.get("response_format") == "verbose_json":
        segment = {"id": 0, "start": 0.0, "end": 1.5, "text": text}
        word = {"word": "heard", "start": 0.0, "end": 0.5}
        found |= {"language": "english", "duration": 1.5, "segments": [segment], "words": [word]}
    return found


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
        if body.get("model") == "gaps" and "no vector" in str(text):
            shown = None
        data.append({"object": "embedding", "index": i, "embedding": shown})
    if body.get("model") == "shuffled":
        data.reverse()
    words = sum(_words(text) for text in inputs)
    usage = {"prompt_tokens": words, "total_tokens": words}
    return {"object": "list", "model": body.get("model"), "data": data, "usage": usage}


def _images(body: dict[str, Any], url: str) -> dict[str, Any]:
    by_url = body.get("model") == "image-by-url"
    image = {"url": f"{url}/pixel.png"} if by_url else {"b64_json": PIXEL}
    return {"created": 1_700_000_000, "data": [image] * (body.get("n") or 1)}


def _packed(vector: list[float]) -> bytes:
    return struct.pack(f"<{len(vector)}f", *vector)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(part["text"] for part in content if part["type"] == "text")
    return str(content or "")


def _words(content: Any) -> int:
    return len(_text(content).split())
