"""Locks between processes, on files.

Owns nothing itself; `files` locks them, a `Lease` is the turn at something that only one process
can use at a time, `Claims` say who of several processes does which of many things.
"""

from __future__ import annotations

from barbule.locks.claims import Claims
from barbule.locks.files import check_process, drop, holder, is_at, take
from barbule.locks.lease import Lease

__all__ = ["Claims", "Lease", "check_process", "drop", "holder", "is_at", "take"]
