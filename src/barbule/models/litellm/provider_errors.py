"""What went wrong at a provider, in our words.

Owns the reading of LiteLLM's exceptions: the kind of a failure, whether asking again may
help, how long to wait, what to do about it. Must not let a key into a message: every text
that comes from outside passes `redacted`.
"""

from __future__ import annotations

import ast
import json
import re
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from barbule.errors import ModelError
from barbule.models.providers import provider_of
from barbule.models.redaction import redacted, secrets_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.models.base import Endpoint

__all__ = ["at", "model_error"]

_TEXT_LIMIT = 500

_READ_LIMIT = 20_000
"""Characters of what a provider says in which secrets are looked for; far more than are shown."""


@dataclass(frozen=True, slots=True)
class _Kind:
    retryable: bool
    hint: str


_KINDS = {
    "auth": _Kind(False, "Set the environment variable {key_env} to a valid key."),
    "quota": _Kind(False, "Check the plan and the billing of the account."),
    "missing": _Kind(False, "Check the model's name, and that the provider offers it to you."),
    "provider": _Kind(False, "Write the model as 'provider/name' with a prefix LiteLLM knows."),
    "context": _Kind(False, "Shorten the prompt, or choose a model with a longer context."),
    "policy": _Kind(False, "Change the prompt: the provider refuses its content."),
    "params": _Kind(False, "Leave the parameter out, or name it in allowed_openai_params=[…]."),
    "request": _Kind(False, "Correct the model, the messages or the parameters of the call."),
    "package": _Kind(False, "Install the package, which LiteLLM needs for this provider."),
    "rate": _Kind(True, "Set rpm or a lower max_concurrency in [models.{provider}], or wait."),
    "timeout": _Kind(True, "Raise timeout in [models.{provider}], or ask for a shorter answer."),
    "connection": _Kind(True, "{reach}"),
    "malformed": _Kind(True, "Check that {where} speaks the provider's protocol."),
    "misfit": _Kind(False, "Say in the prompt what is expected, or take a stronger model."),
    "server": _Kind(True, "The fault is on the provider's side: try again later."),
}

_LASTING = {"auth", "quota", "missing", "provider", "package"}
_NEVER_SENT = {"params", "package", "provider"}
_CHARGED = {"timeout", "malformed", "misfit"}

_BY_CLASS = {
    "AuthenticationError": "auth",
    "PermissionDeniedError": "auth",
    "PaymentRequiredError": "quota",
    "NotFoundError": "missing",
    "LiteLLMUnknownProvider": "provider",
    "ContextWindowExceededError": "context",
    "ContentPolicyViolationError": "policy",
    "UnsupportedParamsError": "params",
    "BadRequestError": "request",
    "UnprocessableEntityError": "request",
    "ImportError": "package",
    "JSONDecodeError": "malformed",
    "JSONSchemaValidationError": "misfit",
    "RateLimitError": "rate",
    "Timeout": "timeout",
    "TimeoutError": "timeout",
    "InternalServerError": "server",
    "ServiceUnavailableError": "server",
    "BadGatewayError": "server",
    "APIConnectionError": "server",
}

_KEYLESS = re.compile(r"Missing credentials|api_key client option must be set")
_UNREAD = re.compile(r"Empty or invalid response from LLM endpoint|has no attribute 'model_dump'")
"""What LiteLLM says of an answer that is no object of JSON."""

_BY_TEXT = (
    (_KEYLESS, "auth"),
    (re.compile(r"LLM Provider NOT provided"), "provider"),
    (_UNREAD, "malformed"),
    (re.compile(r"insufficient_quota|exceeded your current quota"), "quota"),
)

_BROKEN = {"ConnectError", "ReadError", "WriteError", "RemoteProtocolError", "ConnectionError"}
_UNSENT = {
    "ConnectTimeout",
    "PoolTimeout",
    "ClientConnectorError",
    "ConnectionTimeoutError",
    "UnsupportedProtocol",
    "InvalidURL",
    "InvalidUrlClientError",
}
"""What ends a question before any of it is sent."""
_READING = re.compile(r"^(?:async_)?transform_\w*response$|^convert_to_\w*response")
_PROGRAMMING = (TypeError, AttributeError, LookupError, ValueError)


def model_error(
    error: Exception, model: str, endpoint: Endpoint, *, key: str | None = None, timeout: float
) -> ModelError:
    """Return a failed call as our error: whose fault, whether to ask again, and no secret.

    Parameters
    ----------
    error
        What LiteLLM or a provider's code raised.
    model, endpoint
        Who was asked, and where.
    key
        The key that was sent, if it was ours to send.
    timeout
        Seconds that the answer was allowed to take.

    Returns
    -------
    ModelError
        To be raised outside of the handler of `error`, which may hold the key and would
        otherwise show in the traceback. A rate limit always has a `retry_after`: 0.0 when the
        provider named no time.

    Examples
    --------
    >>> from barbule.models.base import Endpoint
    >>> spoken = RuntimeError("the key sk-abcdef123 is blocked")
    >>> print(model_error(spoken, "x/y", Endpoint("x"), timeout=60).message)
    model 'x/y': the key *** is blocked.
    """
    name = _kind_of(error)
    kind = _KINDS[name]
    secrets = secrets_of(key)
    text = _provider_text(error, secrets)
    if name == "timeout" and (not str(error) or "timed out" in text.lower()):
        text = f"no answer within {timeout} s"
    elif name == "connection":
        root = list(_chain(error))[-1]
        text = f"the connection failed ({type(root).__name__}: {root})"
    elif name == "malformed":
        text = f"the answer is not JSON ({text})"
    retry_after = _retry_after(error, text)
    if name == "rate" and retry_after is None:
        retry_after = 0.0  # slow down, without naming a time
    where = endpoint.api_base or f"the address of {endpoint.provider}"
    row = provider_of(endpoint.provider)
    usual = (row and row.key) or f"{endpoint.provider.upper()}_API_KEY"
    hint = kind.hint.format(
        provider=endpoint.provider,
        key_env=endpoint.api_key_env or usual,
        where=where,
        reach=f"Start the server at {where}, or correct api_base of [models.{endpoint.provider}]."
        if endpoint.api_base
        else "Check the network connection.",
    )
    message = f"model {model!r}{at(endpoint)}: {text.rstrip('.')}."
    return ModelError(
        redacted(message, secrets),
        hint=redacted(hint, secrets),
        retryable=kind.retryable,
        retry_after=retry_after if kind.retryable else None,
        lasting=name in _LASTING,
        charged=_is_sent(error) and (name in _CHARGED or _is_broken_off(error)),
        sent=name not in _NEVER_SENT and _is_sent(error),
    )


def _is_sent(error: Exception) -> bool:
    """Whether a question may have gone out: it has, unless there was nobody to send it to."""
    chain = list(_chain(error))
    names = {cls.__name__ for cause in chain for cls in type(cause).__mro__}
    if names & _UNSENT:
        return False
    # aiohttp's other failures of the operating system are a `ConnectError`, too.
    refused = "ConnectError" in names and "ClientOSError" not in names
    missing = _is_keyless(error)
    return not (refused or missing)


def _is_keyless(error: Exception) -> bool:
    """Whether there was no key, so that the client library refused to ask."""
    return bool(_KEYLESS.search(str(error)))


def _is_broken_off(error: Exception) -> bool:
    """Whether something went wrong with an exchange, and no answer of the server says what."""
    names = {cls.__name__ for cause in _chain(error) for cls in type(cause).__mro__}
    return bool(names & {"TransportError", "RequestError", "ClientError"} or names & _BROKEN)


def _kind_of(error: Exception) -> str:
    shown = f"{error} {getattr(error, 'body', '')}"
    for pattern, kind in _BY_TEXT:
        if pattern.search(shown):
            return kind
    names = [cls.__name__ for cls in type(error).__mro__]
    kind = next((_BY_CLASS[name] for name in names if name in _BY_CLASS), "request")
    status = getattr(error, "status_code", None)
    if names[0] == "APIError" and isinstance(status, int) and status >= 500:  # HTTP  # noqa: PLR2004 - said by the line itself
        kind = "server"
    if kind == "request" and isinstance(error, _PROGRAMMING) and _is_reading(error):
        return "malformed"
    return _behind(error) if kind == "server" else kind


def _is_reading(error: BaseException) -> bool:
    """Whether LiteLLM stumbled over what it was answered, and not over what it was to ask."""
    frames = traceback.walk_tb(error.__traceback__)
    reads = any(_READING.match(frame.f_code.co_name) for frame, _ in frames)
    return reads and isinstance(error, _PROGRAMMING)


def _behind(error: Exception) -> str:
    """Tell apart what LiteLLM calls a server error: that, no connection, or a failure of its own.

    Its message is the same for all of them, so the exceptions it was made from have to tell.
    """
    chain = list(_chain(error))
    if any(cls.__name__ in _BROKEN for cause in chain for cls in type(cause).__mro__):
        return "connection"
    if any(isinstance(cause, json.JSONDecodeError) for cause in chain):
        return "malformed"
    if isinstance(error.__context__, ImportError):
        return "package"
    if any(_is_reading(cause) for cause in chain):
        return "malformed"
    return "request" if isinstance(error.__context__, _PROGRAMMING) else "server"


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


_PREFIX = re.compile(
    r"^\s*(?:(?:litellm\.)?\w*(?:Error|Exception|Timeout)(?:\s*:|\s+-)|Error code: \d+ -)\s+"
)
_TAIL = re.compile(r"\s(?:Traceback \(most|This looks like a bug in LiteLLM|To drop (?:it|these))")


def _provider_text(error: Exception, secrets: list[str]) -> str:
    """Return the provider's own words, without what LiteLLM puts before and behind them."""
    body = getattr(error, "body", None)
    text = _message_in(body) or str(getattr(error, "message", None) or error)
    while (bare := _PREFIX.sub("", text)) != text:
        text = bare
    text = _TAIL.split(text)[0]
    if text.startswith("{"):
        for parse in (json.loads, ast.literal_eval):
            try:
                text = _message_in(parse(text)) or text
                break
            except (ValueError, SyntaxError):
                continue
    text = " ".join(text.split()) or type(error).__name__
    # Before it is cut: the beginning of a secret would not be known for one.
    text = redacted(text[:_READ_LIMIT], secrets)
    return text if len(text) <= _TEXT_LIMIT else text[: _TEXT_LIMIT - 1] + "…"


def _message_in(body: Any) -> str | None:
    if isinstance(body, dict):
        found = body.get("message") or body.get("error")
        return found if isinstance(found, str) else _message_in(found)
    return None


_WAIT_IN_TEXT = re.compile(
    r"(?:try again|retry) (?:in|after) (\d+(?:\.\d+)?) ?(ms|s|m)?|retryDelay\W+(\d+(?:\.\d+)?)s",
    re.IGNORECASE,
)


def _retry_after(error: Exception, text: str) -> float | None:
    """Return the seconds that the provider asked to wait, from its headers or its words."""
    headers = getattr(error, "litellm_response_headers", None) or getattr(
        getattr(error, "response", None), "headers", {}
    )
    if (found := _seconds(headers.get("retry-after-ms"), 1000)) is not None:
        return found
    if (found := _seconds(headers.get("retry-after"), 1)) is not None:
        return found
    match = _WAIT_IN_TEXT.search(f"{text} {error}")
    if match is None:
        return None
    unit = {"ms": 0.001, "m": 60.0}.get((match[2] or "s").lower(), 1.0)
    return float(match[1] or match[3]) * unit


def _seconds(value: str | None, divisor: int) -> float | None:
    if not value:
        return None
    try:
        return max(0.0, float(value) / divisor)
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (date - datetime.now(UTC)).total_seconds())


def at(endpoint: Endpoint) -> str:
    """Return where a model was asked, for a message, without secrets."""
    return f" at {redacted(endpoint.api_base, [])}" if endpoint.api_base else ""
