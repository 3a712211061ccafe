"""Expressions as keys of lookups that several threads share.

Owns how such nodes are compared. Ibis caches for each pair of nodes that it compares whether they
are equal, by their memory addresses and in one dictionary for all threads; a node that is freed
removes its entries. If two threads do so at the same time, an entry may be missing (Python prints
`Exception ignored in … Comparable.__del__ … KeyError`), or remain for the next node at that
address. Nodes that threads share are therefore compared here, without a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ibis.common.grounds import Concrete

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ExpressionKey", "equal"]


class ExpressionKey:
    """A node, or a tuple that holds nodes, as a key.

    Parameters
    ----------
    node
        The node or tuple. Columns in another order are a different key; for Ibis they are equal.
    """

    __slots__ = ("_hash", "node")

    def __init__(self, node: Any) -> None:
        self.node = node
        self._hash = hash(node)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, ExpressionKey)
            and self._hash == other._hash
            and equal(self.node, other.node)
        )


def equal(one: object, other: object) -> bool:
    """Whether two nodes consist of the same parts.

    Each pair of parts is compared once, without recursion: expressions may be deep, and share
    parts.

    Examples
    --------
    >>> import ibis
    >>> one, other = (ibis.table({"a": "int64"}, name="t") for _ in range(2))
    >>> equal((one.a + 1).op(), (other.a + 1).op()), equal((one.a + 1).op(), (other.a + 2).op())
    (True, False)
    """
    compared: set[tuple[int, int]] = set()
    pairs = [(one, other)]
    while pairs:
        left, right = pairs.pop()
        if left is right or (id(left), id(right)) in compared:
            continue
        part_pairs = _part_pairs(left, right) if type(left) is type(right) else None
        if part_pairs is None:
            return False
        if isinstance(left, Concrete):
            compared.add((id(left), id(right)))
        pairs.extend(part_pairs)
    return True


def _part_pairs(left: Any, right: Any) -> Iterable[tuple[object, object]] | None:
    """Return the pairs that must be equal for two values to be equal; None if they differ."""
    if isinstance(left, Concrete):
        same = hash(left) == hash(right)
        return zip(left.__args__, right.__args__, strict=True) if same else None
    if isinstance(left, tuple):
        return zip(left, right, strict=True) if len(left) == len(right) else None
    if isinstance(left, Mapping):
        same = tuple(left) == tuple(right)
        return zip(left.values(), right.values(), strict=True) if same else None
    # -0.0 equals 0.0 but is a different value.
    same = repr(left) == repr(right) if isinstance(left, float) else left == right
    return () if same else None
