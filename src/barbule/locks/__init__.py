"""Locks between processes, on files.

`files` locks files, a `Lease` gives processes turns at an exclusive resource, and `Claims` divide
many tasks between processes.
"""

from __future__ import annotations

from barbule.locks.claims import Claims
from barbule.locks.files import check_process, holder, is_same_file, lock_file, unlock_file
from barbule.locks.lease import Lease

__all__ = [
    "Claims",
    "Lease",
    "check_process",
    "holder",
    "is_same_file",
    "lock_file",
    "unlock_file",
]
