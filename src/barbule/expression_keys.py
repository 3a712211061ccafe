"""Expressions as keys of what several threads look up.

Owns how nodes are compared there. Ibis caches of each two nodes that it compares whether they are
equal, by their addresses in memory and in one dictionary for all threads; a node that is freed
removes its entries. Where two threads do so at once, an entry may be missing (Python prints
`Exception ignored in … Comparable.__del__ … KeyError`), or be left for the next node at that
address. So nodes that threads share are compared here, and nothing is cached.
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
        The node or tuple. Columns in another order are another key, which to Ibis they are not.
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
    """Whether two nodes are made of the same parts.

    Each two parts are compared once, without recursion: expressions may be deep, and share parts.

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
    """Pair what has to be equal for two values of one type to be so; None where they are not."""
    if isinstance(left, Concrete):
        same = hash(left) == hash(right)
        return zip(left.__args__, right.__args__, strict=True) if same else None
    if isinstance(left, tuple):
        return zip(left, right, strict=True) if len(left) == len(right) else None
    if isinstance(left, Mapping):
        same = tuple(left) == tuple(right)
        return zip(left.values(), right.values(), strict=True) if same else None
    # -0.0 equals 0.0, and is another value.
    same = repr(left) == repr(right) if isinstance(left, float) else left == right
    return () if same else None
