"""Connected components: nodes and what joins them (union-find, path halving)."""

from __future__ import annotations

from collections.abc import Iterable


class Forest:
    """Nodes that grow together; the lowest of each group stands for it."""

    def __init__(self, count: int = 0) -> None:
        self._parent = list(range(count))

    def add(self) -> int:
        """Return a new node, connected with none."""
        self._parent.append(len(self._parent))
        return len(self._parent) - 1

    def root(self, node: int) -> int:
        """Return the lowest node that it is connected with."""
        parent = self._parent
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def join(self, first: int, second: int) -> bool:
        """Connect two nodes; False where they were connected already."""
        low, high = sorted((self.root(first), self.root(second)))
        self._parent[high] = low
        return low != high


def components(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return for each of `count` nodes the lowest node that it is connected with."""
    forest = Forest(count)
    for first, second in pairs:
        forest.join(first, second)
    return [forest.root(node) for node in range(count)]
