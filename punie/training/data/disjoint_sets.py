"""Which of some things belong together, if some pairs of them do."""


class DisjointSets:
    """The numbers below `count`, each in a set of its own until it is joined with another."""

    def __init__(self, count: int) -> None:
        self._parents = list(range(count))

    def root(self, number: int) -> int:
        """Return the number that stands for the set of `number`: the lowest in it."""
        parents = self._parents
        while parents[number] != number:
            # Each look makes the way shorter for the next one.
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Make one set of the sets of two numbers."""
        low, high = sorted((self.root(one), self.root(other)))
        self._parents[high] = low

    def sets(self) -> list[list[int]]:
        """Return the sets, each and all in ascending order."""
        found: dict[int, list[int]] = {}
        for number in range(len(self._parents)):
            found.setdefault(self.root(number), []).append(number)
        return list(found.values())
