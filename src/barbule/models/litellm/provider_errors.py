"""LiteLLM's exceptions as `ModelError`.

Classifies a failure: whether a retry may help, how long to wait, whether the call may be charged,
and what the user can do. Must not let a key into a message: all text from outside passes
`redact_secrets`.
"""

from __future__ import annotations

import ast
import json
import re
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from barbule.errors import ModelError
from barbule.models.providers import provider_of
from barbule.redaction import redact_secrets, secret_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.models.base import Endpoint

__all__ = ["address_suffix", "model_error"]

_MAX_MESSAGE_CHARACTERS = 500

_MAX_SEARCHED_CHARACTERS = 20_000
"""Characters of a provider's message that are searched for secrets; far more than are shown."""


@dataclass(frozen=True, slots=True)
class _FailureKind:
    retryable: bool
    hint: str


_FAILURE_KINDS = {
    "auth": _FailureKind(False, "Set the environment variable {key_env} to a valid key."),
    "quota": _FailureKind(False, "Check the plan and the billing of the account."),
    "missing": _FailureKind(
        False, "Check the model's name, and that the provider offers it to you."
    ),
    "provider": _FailureKind(
        False, "Write the model as 'provider/name' with a prefix that LiteLLM supports."
    ),
    "context": _FailureKind(False, "Shorten the prompt, or choose a model with a longer context."),
    "policy": _FailureKind(False, "Change the prompt: the provider refuses its content."),
    "params": _FailureKind(False, "Remove the parameter, or name it in allowed_openai_params=[…]."),
    "request": _FailureKind(
        False, "Correct the model, the messages or the parameters of the call."
    ),
    "package": _FailureKind(False, "Install the package, which LiteLLM needs for this provider."),
    "rate": _FailureKind(
        True, "Set rpm or a lower max_concurrency in [models.{provider}], or wait."
    ),
    "timeout": _FailureKind(
        True, "Raise timeout in [models.{provider}], or request a shorter answer."
    ),
    "connection": _FailureKind(True, "{reach}"),
    "malformed": _FailureKind(True, "Check that {where} speaks the provider's protocol."),
    "misfit": _FailureKind(
        False, "Describe the expected answer in the prompt, or use a stronger model."
    ),
    "server": _FailureKind(True, "The error is on the provider's side: try again later."),
}

_LASTING_KINDS = {"auth", "quota", "missing", "provider", "package"}
_UNSENT_KINDS = {"params", "package", "provider"}
_CHARGED_KINDS = {"timeout", "malformed", "misfit"}

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

_MISSING_KEY = re.compile(r"Missing credentials|api_key client option must be set")
_INVALID_RESPONSE = re.compile(
    r"Empty or invalid response from LLM endpoint|has no attribute 'model_dump'"
)
"""LiteLLM's messages for an answer that is no JSON object."""

_BY_TEXT = (
    (_MISSING_KEY, "auth"),
    (re.compile(r"LLM Provider NOT provided"), "provider"),
    (_INVALID_RESPONSE, "malformed"),
    (re.compile(r"insufficient_quota|exceeded your current quota"), "quota"),
)

_CONNECTION_ERRORS = {
    "ConnectError",
    "ReadError",
    "WriteError",
    "RemoteProtocolError",
    "ConnectionError",
}
_UNSENT_ERRORS = {
    "ConnectTimeout",
    "PoolTimeout",
    "ClientConnectorError",
    "ConnectionTimeoutError",
    "UnsupportedProtocol",
    "InvalidURL",
    "InvalidUrlClientError",
}
"""Exceptions that end a call before anything is sent."""
_RESPONSE_READERS = re.compile(r"^(?:async_)?transform_\w*response$|^convert_to_\w*response")
_PROGRAMMING_ERRORS = (TypeError, AttributeError, LookupError, ValueError)


def model_error(
    error: Exception, model: str, endpoint: Endpoint, *, key: str | None = None, timeout: float
) -> ModelError:
    """Return the `ModelError` of a failed call, without secrets.

    Parameters
    ----------
    error
        The exception that LiteLLM or a provider's code raised.
    model, endpoint
        The model and its endpoint.
    key
        The key that was sent, if the configuration names it.
    timeout
        The time limit of the call in seconds.

    Returns
    -------
    ModelError
        To be raised outside of the handler of `error`, which may hold the key and would
        otherwise show in the traceback. A rate limit always has a `retry_after`: 0.0 when the
        provider gave no time.

    Examples
    --------
    >>> from barbule.models.base import Endpoint
    >>> spoken = RuntimeError("the key sk-abcdef123 is blocked")
    >>> print(model_error(spoken, "x/y", Endpoint("x"), timeout=60).message)
    model 'x/y': the key *** is blocked.
    """
    name = _kind_of(error)
    kind = _FAILURE_KINDS[name]
    secrets = secret_values(key)
    text = _provider_text(error, secrets)
    if name == "timeout" and (not str(error) or "timed out" in text.lower()):
        text = f"no answer within {timeout} s"
    elif name == "connection":
        root = list(_exception_chain(error))[-1]
        text = f"the connection failed ({type(root).__name__}: {root})"
    elif name == "malformed":
        text = f"the answer is not JSON ({text})"
    retry_after = _retry_after(error, text)
    if name == "rate" and retry_after is None:
        retry_after = 0.0  # slow down, for no given time
    address = endpoint.api_base or f"the address of {endpoint.provider}"
    provider = provider_of(endpoint.provider)
    key_variable = (provider and provider.key) or f"{endpoint.provider.upper()}_API_KEY"
    hint = kind.hint.format(
        provider=endpoint.provider,
        key_env=endpoint.api_key_env or key_variable,
        where=address,
        reach=f"Start the server at {address}, or correct api_base of [models.{endpoint.provider}]."
        if endpoint.api_base
        else "Check the network connection.",
    )
    message = f"model {model!r}{address_suffix(endpoint)}: {text.rstrip('.')}."
    return ModelError(
        redact_secrets(message, secrets),
        hint=redact_secrets(hint, secrets),
        retryable=kind.retryable,
        retry_after=retry_after if kind.retryable else None,
        lasting=name in _LASTING_KINDS,
        charged=_is_sent(error) and (name in _CHARGED_KINDS or _is_connection_failure(error)),
        sent=name not in _UNSENT_KINDS and _is_sent(error),
    )


def _is_sent(error: Exception) -> bool:
    """Whether the request may have been sent: it was, unless there was no connection or no key."""
    chain = list(_exception_chain(error))
    names = {cls.__name__ for cause in chain for cls in type(cause).__mro__}
    if names & _UNSENT_ERRORS:
        return False
    # Other failures of the operating system are a `ConnectError` of aiohttp, too.
    refused = "ConnectError" in names and "ClientOSError" not in names
    lacks_key = _is_key_missing(error)
    return not (refused or lacks_key)


def _is_key_missing(error: Exception) -> bool:
    """Whether the client library refused the call because there was no key."""
    return bool(_MISSING_KEY.search(str(error)))


def _is_connection_failure(error: Exception) -> bool:
    """Whether the connection failed during the exchange, without an answer of the server."""
    names = {cls.__name__ for cause in _exception_chain(error) for cls in type(cause).__mro__}
    return bool(
        names & {"TransportError", "RequestError", "ClientError"} or names & _CONNECTION_ERRORS
    )


def _kind_of(error: Exception) -> str:
    text = f"{error} {getattr(error, 'body', '')}"
    for pattern, kind in _BY_TEXT:
        if pattern.search(text):
            return kind
    names = [cls.__name__ for cls in type(error).__mro__]
    kind = next((_BY_CLASS[name] for name in names if name in _BY_CLASS), "request")
    status = getattr(error, "status_code", None)
    if names[0] == "APIError" and isinstance(status, int) and status >= 500:  # HTTP  # noqa: PLR2004 - said by the line itself
        kind = "server"
    if kind == "request" and isinstance(error, _PROGRAMMING_ERRORS) and _failed_to_read(error):
        return "malformed"
    return _server_failure_kind(error) if kind == "server" else kind


def _failed_to_read(error: BaseException) -> bool:
    """Whether LiteLLM failed to read the answer, and not to build the request."""
    frames = traceback.walk_tb(error.__traceback__)
    reads = any(_RESPONSE_READERS.match(frame.f_code.co_name) for frame, _ in frames)
    return reads and isinstance(error, _PROGRAMMING_ERRORS)


def _server_failure_kind(error: Exception) -> str:
    """Classify what LiteLLM calls a server error: that, no connection, or its own failure.

    LiteLLM's message is the same for all of them; the chained exceptions differ.
    """
    chain = list(_exception_chain(error))
    if any(cls.__name__ in _CONNECTION_ERRORS for cause in chain for cls in type(cause).__mro__):
        return "connection"
    if any(isinstance(cause, json.JSONDecodeError) for cause in chain):
        return "malformed"
    if isinstance(error.__context__, ImportError):
        return "package"
    if any(_failed_to_read(cause) for cause in chain):
        return "malformed"
    return "request" if isinstance(error.__context__, _PROGRAMMING_ERRORS) else "server"


def _exception_chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


_MESSAGE_PREFIX = re.compile(
    r"^\s*(?:(?:litellm\.)?\w*(?:Error|Exception|Timeout)(?:\s*:|\s+-)|Error code: \d+ -)\s+"
)
_MESSAGE_SUFFIX = re.compile(
    r"\s(?:Traceback \(most|This looks like a bug in LiteLLM|To drop (?:it|these))"
)


def _provider_text(error: Exception, secrets: list[str]) -> str:
    """Return the provider's own message, without LiteLLM's prefixes and suffixes."""
    body = getattr(error, "body", None)
    text = _message_of_body(body) or str(getattr(error, "message", None) or error)
    while (bare := _MESSAGE_PREFIX.sub("", text)) != text:
        text = bare
    text = _MESSAGE_SUFFIX.split(text)[0]
    if text.startswith("{"):
        for parse in (json.loads, ast.literal_eval):
            try:
                text = _message_of_body(parse(text)) or text
                break
            except (ValueError, SyntaxError):
                continue
    text = " ".join(text.split()) or type(error).__name__
    # Before it is shortened: the beginning of a secret is not recognised as one.
    text = redact_secrets(text[:_MAX_SEARCHED_CHARACTERS], secrets)
    return (
        text if len(text) <= _MAX_MESSAGE_CHARACTERS else text[: _MAX_MESSAGE_CHARACTERS - 1] + "…"
    )


def _message_of_body(body: object) -> str | None:
    if isinstance(body, dict):
        message = body.get("message") or body.get("error")
        return message if isinstance(message, str) else _message_of_body(message)
    return None


_WAIT_IN_TEXT = re.compile(
    r"(?:try again|retry) (?:in|after) (\d+(?:\.\d+)?) ?(ms|s|m)?|retryDelay\W+(\d+(?:\.\d+)?)s",
    re.IGNORECASE,
)


def _retry_after(error: Exception, text: str) -> float | None:
    """Return the seconds to wait that the provider gives in its headers or message."""
    headers = getattr(error, "litellm_response_headers", None) or getattr(
        getattr(error, "response", None), "headers", {}
    )
    if (seconds := _parse_seconds(headers.get("retry-after-ms"), 1000)) is not None:
        return seconds
    if (seconds := _parse_seconds(headers.get("retry-after"), 1)) is not None:
        return seconds
    match = _WAIT_IN_TEXT.search(f"{text} {error}")
    if match is None:
        return None
    unit = {"ms": 0.001, "m": 60.0}.get((match[2] or "s").lower(), 1.0)
    return float(match[1] or match[3]) * unit


def _parse_seconds(value: str | None, divisor: int) -> float | None:
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


def address_suffix(endpoint: Endpoint) -> str:
    """Return the address of an endpoint as a part of a message, without secrets."""
    return f" at {redact_secrets(endpoint.api_base, [])}" if endpoint.api_base else ""
