"""Walks over the trees of expressions.

Owns the fast way to find operations in a whole tree. A projection or filter of Ibis holds one
field for each column that it passes on, so in a long chain of relations nearly all nodes are
fields, and `Node.find` spends nearly all of its time with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

import ibis.expr.operations as ops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["any_node", "find_nodes", "walk"]

NodeT = TypeVar("NodeT", bound=ops.Node)


def walk(root: ops.Node) -> Iterator[ops.Node]:
    """Yield the nodes of a tree, each once, except for fields.

    The relation that a field reads is yielded.
    """
    visited = {root}
    remaining: list[ops.Node | tuple[object, ...]] = [root]
    while remaining:
        current = remaining.pop()
        children: Iterable[object]
        if isinstance(current, ops.Node):
            yield current
            children = current.__args__
        else:
            children = current
        for argument in children:
            child = argument.rel if isinstance(argument, ops.Field) else argument
            if isinstance(child, ops.Node):
                if child not in visited:
                    visited.add(child)
                    remaining.append(child)
            elif isinstance(child, tuple):
                remaining.append(child)
            elif isinstance(child, Mapping):
                remaining.append(tuple(child.values()))


def find_nodes(root: ops.Node, kinds: type[NodeT] | tuple[type[NodeT], ...]) -> list[NodeT]:
    """Find the nodes of some classes in a tree; no class of fields."""
    return [node for node in walk(root) if isinstance(node, kinds)]


def any_node(root: ops.Node, matches: Callable[[ops.Node], bool]) -> bool:
    """Whether a node of a tree, other than a field, matches."""
    return any(map(matches, walk(root)))
