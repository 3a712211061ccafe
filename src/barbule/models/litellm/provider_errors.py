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
from typing import TYPE_CHECKING

from barbule.errors import ModelError
from barbule.models.providers import provider_of
from barbule.models.redaction import redact_secrets, secret_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.models.base import Endpoint

__all__ = ["address_suffix", "model_error"]

_MAX_MESSAGE_CHARACTERS = 500

_MAX_SEARCHED_CHARACTERS = 20_000
"""Characters of what a provider says in which secrets are looked for; far more than are shown."""


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
        False, "Write the model as 'provider/name' with a prefix LiteLLM knows."
    ),
    "context": _FailureKind(False, "Shorten the prompt, or choose a model with a longer context."),
    "policy": _FailureKind(False, "Change the prompt: the provider refuses its content."),
    "params": _FailureKind(
        False, "Leave the parameter out, or name it in allowed_openai_params=[…]."
    ),
    "request": _FailureKind(
        False, "Correct the model, the messages or the parameters of the call."
    ),
    "package": _FailureKind(False, "Install the package, which LiteLLM needs for this provider."),
    "rate": _FailureKind(
        True, "Set rpm or a lower max_concurrency in [models.{provider}], or wait."
    ),
    "timeout": _FailureKind(
        True, "Raise timeout in [models.{provider}], or ask for a shorter answer."
    ),
    "connection": _FailureKind(True, "{reach}"),
    "malformed": _FailureKind(True, "Check that {where} speaks the provider's protocol."),
    "misfit": _FailureKind(False, "Say in the prompt what is expected, or take a stronger model."),
    "server": _FailureKind(True, "The fault is on the provider's side: try again later."),
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
_INVALID_RESPONSE = re.compile(
    r"Empty or invalid response from LLM endpoint|has no attribute 'model_dump'"
)
"""What LiteLLM says of an answer that is no object of JSON."""

_BY_TEXT = (
    (_KEYLESS, "auth"),
    (re.compile(r"LLM Provider NOT provided"), "provider"),
    (_INVALID_RESPONSE, "malformed"),
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
_RESPONSE_READERS = re.compile(r"^(?:async_)?transform_\w*response$|^convert_to_\w*response")
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
    kind = _FAILURE_KINDS[name]
    secrets = secret_values(key)
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
    lacks_key = _is_keyless(error)
    return not (refused or lacks_key)


def _is_keyless(error: Exception) -> bool:
    """Whether there was no key, so that the client library refused to ask."""
    return bool(_KEYLESS.search(str(error)))


def _is_broken_off(error: Exception) -> bool:
    """Whether something went wrong with an exchange, and no answer of the server says what."""
    names = {cls.__name__ for cause in _chain(error) for cls in type(cause).__mro__}
    return bool(names & {"TransportError", "RequestError", "ClientError"} or names & _BROKEN)


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
    if kind == "request" and isinstance(error, _PROGRAMMING) and _is_reading(error):
        return "malformed"
    return _server_failure_kind(error) if kind == "server" else kind


def _is_reading(error: BaseException) -> bool:
    """Whether LiteLLM stumbled over what it was answered, and not over what it was to ask."""
    frames = traceback.walk_tb(error.__traceback__)
    reads = any(_RESPONSE_READERS.match(frame.f_code.co_name) for frame, _ in frames)
    return reads and isinstance(error, _PROGRAMMING)


def _server_failure_kind(error: Exception) -> str:
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
    text = redact_secrets(text[:_MAX_SEARCHED_CHARACTERS], secrets)
    return (
        text if len(text) <= _MAX_MESSAGE_CHARACTERS else text[: _MAX_MESSAGE_CHARACTERS - 1] + "…"
    )


def _message_in(body: object) -> str | None:
    if isinstance(body, dict):
        message = body.get("message") or body.get("error")
        return message if isinstance(message, str) else _message_in(message)
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
    if (seconds := _seconds(headers.get("retry-after-ms"), 1000)) is not None:
        return seconds
    if (seconds := _seconds(headers.get("retry-after"), 1)) is not None:
        return seconds
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


def address_suffix(endpoint: Endpoint) -> str:
    """Return where a model was asked, for a message, without secrets."""
    return f" at {redact_secrets(endpoint.api_base, [])}" if endpoint.api_base else ""
