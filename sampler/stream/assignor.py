"""Who gets which partition: as evenly as can be, and no worker gives up more than that takes.

Faust's own rule with standby replicas leaves a worker that joins without work where the partitions cannot be shared out
evenly: of 4 partitions and 3 workers two keep 2 each. Without replicas it moves partitions at rebalances that change
nothing.
"""

from __future__ import annotations

from collections.abc import MutableMapping

from faust.assignor import partition_assignor
from faust.assignor.client_assignment import CopartitionedAssignment
from faust.assignor.copartitioned_assignor import CopartitionedAssignor


class BalancedAssignor(CopartitionedAssignor):
    """Shares out the partitions of topics that go together: the shares of two workers differ by one at most.

    A partition goes to a worker that has a copy of its decisions, where that worker may have one more.
    """

    def get_assignment(self) -> MutableMapping[str, CopartitionedAssignment]:
        """The shares, made from those that the workers have now."""
        for active in (True, False):
            self._unassign_overassigned(active)
        workers = list(self._client_assignments.values())
        # So many workers may have one more than the others.
        larger = self.num_partitions - self.min_capacity * len(workers)
        by_share = sorted(workers, key=lambda worker: -len(worker.actives))
        for place, each in enumerate(by_share):
            while len(each.actives) > self.min_capacity + (place < larger):
                each.actives.pop()
            while len(each.standbys) > self.max_capacity * self.replicas:
                each.standbys.pop()
        waiting = set(self._get_unassigned(active=True))
        for with_copy in (True, False):
            for partition in sorted(waiting):
                candidates = [w for w in workers if partition in w.standbys or not with_copy]
                worker = min(self._below_share(candidates, workers, larger), key=lambda w: len(w.actives), default=None)
                if worker is not None:
                    worker.standbys.discard(partition)
                    worker.actives.add(partition)
                    waiting.discard(partition)
        self._copy(workers)
        return self._client_assignments

    def _below_share(
        self, candidates: list[CopartitionedAssignment], workers: list[CopartitionedAssignment], larger: int
    ) -> list[CopartitionedAssignment]:
        one_more = sum(len(worker.actives) > self.min_capacity for worker in workers) < larger
        return [worker for worker in candidates if len(worker.actives) < self.min_capacity + one_more]

    def _copy(self, workers: list[CopartitionedAssignment]) -> None:
        """Have as many others as there are replicas keep copies of each partition's decisions."""
        for worker in workers:
            worker.validate()
        for partition in self._get_unassigned(active=False):
            others = [w for w in workers if partition not in w.actives and partition not in w.standbys]
            min(others, key=lambda worker: len(worker.standbys)).standbys.add(partition)


def register() -> None:
    """Have Faust share out partitions so."""
    vars(partition_assignor)["CopartitionedAssignor"] = BalancedAssignor
