"""The keys of calls: hashes of function, version, arguments and the *content* of inputs.

Owns how a key is computed; changing it would lose all answers that a ledger has.
"""

from __future__ import annotations

import hashlib
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING, Any

from barbule.json_codec import compact_list, to_ascii
from barbule.nodes import bind_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["call_key_builder", "template_hash"]


def call_key_builder(function: str, version: str, template: str) -> Callable[[Sequence[Any]], str]:
    """Return a function that computes the keys of calls from the values in their slots.

    Parameters
    ----------
    template
        The arguments of the call, with open slots. For media, a slot has the hash of the content.
    """
    prefix = to_ascii([function, version, template])[:-1]

    def call_key(values: Sequence[Any]) -> str:
        text = compact_list(values)
        if text is None:
            text = bind_arguments(list(values))[0]
        return hashlib.sha256(f"{prefix}, {encode_basestring_ascii(text)}]".encode()).hexdigest()

    return call_key


def template_hash(function: str, version: str, template: str) -> str:
    """Return a hash of what the calls for all rows have in common."""
    return hashlib.sha256(to_ascii([function, version, template]).encode()).hexdigest()[:16]
