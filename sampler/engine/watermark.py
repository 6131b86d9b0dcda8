"""How far a partition may be committed: settlements are finished in order, each when its outputs are acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sampler.engine.decision_record import DecisionRecord
from sampler.engine.settlement import Settlement


@dataclass(slots=True, eq=False)
class PendingSettlement:
    """A settlement under way; `unacknowledged` outputs are still with the broker."""

    records: Sequence[DecisionRecord]
    watermark: int
    unacknowledged: int
    failed: bool = field(default=False)


class Watermark:
    """The offset of one partition up to which everything is finished: outputs acknowledged, decisions recorded."""

    def __init__(self, committed: int) -> None:
        self.offset = committed
        self._pending: deque[PendingSettlement] = deque()

    def __len__(self) -> int:
        return len(self._pending)

    def begin(self, settlement: Settlement) -> PendingSettlement:
        """Queue a settlement; the caller counts `unacknowledged` down as the broker answers."""
        pending = PendingSettlement(
            settlement.records, settlement.watermark, len(settlement.outputs) + len(settlement.dead_letters)
        )
        self._pending.append(pending)
        return pending

    def finish(self) -> Iterator[DecisionRecord]:
        """Records whose turn has come, in order: each must be in the decision table before the next is asked for.

        The watermark passes a settlement when its records have been taken; one that waits holds back all behind it.
        """
        pending = self._pending
        while pending and pending[0].unacknowledged == 0 and not pending[0].failed:
            head = pending[0]
            yield from head.records
            pending.popleft()
            self.offset = max(self.offset, head.watermark)

    @property
    def failed(self) -> bool:
        """An output was refused for good: the partition must be read again from its watermark."""
        return any(settlement.failed for settlement in self._pending)
