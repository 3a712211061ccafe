"""Sessions: an open database with its media files, vectors and models; and the default session."""

from __future__ import annotations

from barbule.session.default import connect, current
from barbule.session.session import Session

__all__ = ["Session", "connect", "current"]
