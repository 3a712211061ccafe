"""Download errors, which name a URI without its secrets.

Owns their messages and hints, and which of them are retryable.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from barbule.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from barbule.media.fetching.deadline import Deadline

__all__ = ["bucket_errors", "fetch_error", "timeout_error"]


@contextmanager
def bucket_errors(label: str, deadline: Deadline) -> Iterator[None]:
    """Convert errors of a bucket client to a `MediaError`.

    Parameters
    ----------
    label
        The URI without secrets.
    """
    try:
        yield
    except MediaError:
        raise
    except TimeoutError:
        if deadline.passed:
            raise timeout_error(label, deadline) from None
        raise fetch_error(f"{label}: no answer (timeout).", retryable=True) from None
    except ImportError as error:
        raise MediaError(
            f"{label} needs a package that is not installed.",
            hint="Install s3fs for s3://, gcsfs for gs://, adlfs for az://.",
        ) from error
    except FileNotFoundError:
        missing = MediaError(f"{label} does not exist.", hint="Check the name.")
        missing.gone = True
        raise missing from None
    # Each cloud's client has its own errors, some with signed URLs in their text.
    except Exception as error:  # noqa: BLE001 - others' code may raise anything
        raise MediaError(
            f"{label} cannot be read: {type(error).__name__}.",
            hint="Check the name and the credentials in the environment.",
        ) from None


def timeout_error(label: str, deadline: Deadline) -> MediaError:
    """Return the error of a file that took longer than its deadline."""
    return MediaError(
        f"{label} was not downloaded within {deadline.seconds:g} s.",
        hint="Raise time_limit in [media] of the configuration.",
    )


def fetch_error(message: str, *, retryable: bool = False) -> MediaError:
    """Return a server error; `retryable` ones may be transient."""
    hint = "Try again later." if retryable else "Check that the URL can be reached."
    error = MediaError(message, hint=hint)
    error.retryable = retryable
    return error
