"""Gathering in C: see `sampler.engine.gathering`, whose plain form does the same."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint32_t, uint64_t

from sampler.otlp._compiled.grouping cimport Group
from sampler.otlp._compiled.partition cimport hashed_partition, hasher_number
from sampler.otlp._compiled.plan cimport native_plan
from sampler.otlp._compiled.reading cimport Pass
from sampler.otlp._compiled.scanner cimport Scanner, chunk_of
from sampler.otlp._compiled.services cimport ServiceCounter
from sampler.otlp._compiled.summary cimport Facts, Summary, merge_facts
from sampler.otlp._compiled.wire cimport bytes_t

from sampler.engine.chunk_store import CHUNK_OVERHEAD_BYTES, ENTRY_OVERHEAD_BYTES, NO_CHUNKS
from sampler.otlp.errors import ScanError

cdef int64_t CHUNK_OVERHEAD = CHUNK_OVERHEAD_BYTES
cdef int64_t ENTRY_OVERHEAD = ENTRY_OVERHEAD_BYTES
cdef int64_t NEVER = <int64_t>1 << 62

cdef enum:
    MOST_BOUNDS = 32

cdef struct Total:
    int64_t traces
    int64_t spans
    int64_t size


# What it holds cannot lead back to it, so the garbage collector need not look at millions of them.
@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class TraceEntry:
    """One undecided trace; see `sampler.engine.entry.PlainTraceEntry`."""

    cdef public bytes trace_id
    cdef public object summary
    cdef public list chunks
    cdef public int64_t first_offset
    cdef public int64_t arrived_ms
    cdef public int64_t due_ms
    cdef public int64_t memory_bytes
    cdef public bint spilled
    cdef public bint gone
    cdef public bint too_large
    cdef public bint foreign

    def __init__(self, bytes trace_id not None, summary, int64_t first_offset, int64_t arrived_ms):
        self.trace_id = trace_id
        self.summary = summary
        self.chunks = []
        self.first_offset = first_offset
        self.arrived_ms = arrived_ms


def discard_from(dict entries not None, list gone not None, store):
    """See `sampler.engine.entry.plain_discard_from`."""
    cdef TraceEntry entry
    cdef int64_t freed_bytes = 0
    try:
        for entry in gone:
            del entries[entry.trace_id]
            freed_bytes += entry.memory_bytes
            entry.memory_bytes = 0
            entry.gone, entry.summary = True, None
            if entry.spilled:
                store.release(entry.chunks)
                entry.spilled = False
            entry.chunks = NO_CHUNKS
    finally:
        store.memory_bytes -= freed_bytes


# None where an entry has a summary in plain Python.
def tally_of(list entries not None, list numbers not None, tuple bounds not None):
    """See `sampler.engine.tally.plain_tally_of`."""
    cdef Py_ssize_t count = len(entries), groups = len(bounds), at, group
    cdef int64_t number, rootless = 0
    cdef TraceEntry entry
    cdef Facts* facts
    cdef Total* totals
    cdef int64_t uppers[MOST_BOUNDS]
    cdef int64_t by_spans[MOST_BOUNDS + 1]
    if groups > MOST_BOUNDS or len(numbers) != count:
        raise ValueError(f"{groups} bounds, {count} traces, {len(numbers)} numbers")
    for group in range(groups):
        uppers[group], by_spans[group] = bounds[group], 0
    by_spans[groups] = 0
    room = max(numbers, default=-1) + 1
    totals = <Total*>PyMem_Calloc(max(1, room), sizeof(Total))
    if totals == NULL:
        raise MemoryError
    try:
        for at in range(count):
            entry = <TraceEntry?>entries[at]
            if type(entry.summary) is not Summary:
                return None
            facts = &(<Summary>entry.summary).facts
            number = numbers[at]
            totals[number].traces += 1
            totals[number].spans += facts.span_count
            totals[number].size += facts.size_bytes
            group = 0
            while group < groups and <int64_t>facts.span_count > uppers[group]:
                group += 1
            by_spans[group] += 1
            rootless += not facts.has_root
        return (
            {
                number: (totals[number].traces, totals[number].spans, totals[number].size)
                for number in range(room)
                if totals[number].traces
            },
            rootless,
            [by_spans[group] for group in range(groups + 1)],
        )
    finally:
        PyMem_Free(totals)


@cython.final
cdef class Gatherer:
    """Takes records into the traces of one partition; see `sampler.engine.gathering.Gatherer`."""

    cdef Scanner scanner
    cdef Pass work
    cdef object table, deadlines, store, remembered, host
    cdef dict entries
    cdef int64_t wait_ms, after_root_ms
    cdef uint64_t most_bytes, most_spans
    cdef int partition, partitions, rule
    cdef public int64_t now_ms
    cdef public bint refusing
    # Of the call under way.
    cdef int64_t limit_ms, added_bytes, due_ms, spans, started, invalid, foreign, taken_bytes
    cdef double room_bytes
    cdef object arrivals, due
    cdef ServiceCounter services  # None where nothing is counted by service
    cdef bint stop

    def __init__(self, host, settings, Scanner scanner not None):
        self.host = host
        self.scanner = scanner
        self.work = Pass()
        self.table, self.deadlines, self.remembered = host.table, host.deadlines, host.memory.get
        self.store, self.entries = self.table.store, self.table.entries
        self.wait_ms, self.after_root_ms = settings.decision_wait_ms, settings.decision_wait_after_root_ms
        self.most_bytes, self.most_spans = settings.maximum_trace_size_bytes, settings.maximum_spans_per_trace
        self.partition, self.partitions = host.partition, settings.partitions
        self.rule = hasher_number(settings.partitions, settings.partitioner)
        self.now_ms = -1
        self.refusing = False

    def gather(self, plan, list records not None, Py_ssize_t at, int64_t now_ms, int64_t wall_ms, counts):
        """Take records from place `at` on, and return the place of the first that was not taken."""
        cdef Py_ssize_t first = at, count = len(records)
        cdef int64_t timestamp_ms
        cdef tuple record
        self.open(now_ms, wall_ms)
        self.services = counts.services
        self.scanner.begin(self.work, native_plan(plan))
        try:
            while at < count and not self.stop:
                record = <tuple?>records[at]
                timestamp_ms = record[1]
                if timestamp_ms > self.now_ms and at != first:
                    if timestamp_ms > self.limit_ms:
                        break
                    self.now_ms = timestamp_ms
                at += 1
                self.take(record[0], <bytes?>record[2])
        finally:
            self.scanner.done(self.work)
            self.hand_memory_over()
            counts.records += at - first
            counts.received_bytes += self.taken_bytes
            counts.spans += self.spans
            counts.invalid_spans += self.invalid
            counts.traces_started += self.started
            counts.mispartitioned_spans += self.foreign
        return at

    cdef int open(self, int64_t now_ms, int64_t wall_ms) except -1:
        self.now_ms = now_ms
        self.limit_ms = min(wall_ms, <int64_t>self.deadlines.next_ms - 1)
        self.due_ms = NEVER
        self.due = None
        self.arrivals = self.table.arrivals
        self.spans = self.started = self.invalid = self.foreign = self.taken_bytes = self.added_bytes = 0
        self.room_bytes = self.store.memory_limit_bytes - self.store.memory_bytes
        self.stop = False
        return 0

    # What was added since the last call is counted in the store, and what others did there is seen.
    cdef int hand_memory_over(self) except -1:
        self.store.memory_bytes += self.added_bytes
        self.added_bytes = 0
        self.room_bytes = self.store.memory_limit_bytes - self.store.memory_bytes
        return 0

    cdef int take(self, object offset, bytes record) except -1:
        cdef uint32_t index
        self.taken_bytes += PyBytes_GET_SIZE(record)
        try:
            self.scanner.read(self.work, record)
            if self.services is not None:
                self.services.add_sections(self.work.grouping)
            for index in range(self.work.grouping.group_count):
                self.add(offset, index, record)
            self.invalid += <int64_t>self.work.invalid
        except ScanError as error:
            self.host.put_aside(offset, record, error)
        finally:
            self.work.grouping.release()
        return 0

    cdef int add(self, object offset, uint32_t index, bytes record) except -1:
        cdef Group* group = &self.work.grouping.groups[index]
        cdef bytes trace_id = PyBytes_FromStringAndSize(<const char*>group.id, 16)
        cdef bytes chunk = chunk_of(self.work, group, record)
        cdef Facts* facts = &group.facts
        cdef PyObject* known = PyDict_GetItem(self.entries, trace_id)
        cdef TraceEntry entry
        self.spans += facts.span_count
        if known != NULL:
            entry = <TraceEntry?>known
            merge_facts(&(<Summary?>entry.summary).facts, facts)
            if entry.too_large:
                return 0
            self.keep(entry, chunk, 0)
        else:
            entry = self.begin(offset, trace_id, chunk, facts)
            if entry is None:
                return 0
        if entry.foreign:
            self.foreign += facts.span_count
        if self.after_root_ms or self.most_bytes or self.most_spans:
            self.check_limits(entry, facts.has_root)
        return 0

    # None where the trace was decided before, or is now.
    cdef TraceEntry begin(self, object offset, bytes trace_id, bytes chunk, Facts* facts):
        cdef Summary summary = Summary.__new__(Summary)
        cdef TraceEntry entry
        summary.facts = facts[0]
        verdict = self.remembered(trace_id)
        if verdict is not None:
            self.host.follow(offset, trace_id, chunk, summary, verdict)
            return None
        if self.refusing and self.host.refuse(trace_id, summary):
            return None
        entry = TraceEntry.__new__(TraceEntry)
        entry.trace_id, entry.summary, entry.chunks = trace_id, summary, []
        entry.first_offset, entry.arrived_ms = offset, self.now_ms
        entry.foreign = hashed_partition(<bytes_t><const char*>trace_id, self.partitions, self.rule) != self.partition
        self.entries[trace_id] = entry
        self.arrivals.append(entry)
        self.keep(entry, chunk, ENTRY_OVERHEAD)
        self.set_due(entry)
        self.started += 1
        return entry

    cdef int set_due(self, TraceEntry entry) except -1:
        cdef int64_t tick_ms
        if self.due is None or self.now_ms + self.wait_ms > self.due_ms:
            tick_ms = self.deadlines.tick_of(self.now_ms + self.wait_ms)
            self.due = self.deadlines.entries_at(tick_ms)
            self.due_ms = tick_ms
            self.limit_ms = min(self.limit_ms, tick_ms - 1)
        entry.due_ms = self.due_ms
        self.due.append(entry)
        return 0

    cdef int keep(self, TraceEntry entry, bytes chunk, int64_t overhead_bytes) except -1:
        cdef int64_t cost = overhead_bytes + PyBytes_GET_SIZE(chunk) + CHUNK_OVERHEAD
        if cost > self.room_bytes:
            self.hand_memory_over()
            self.table.keep(entry, chunk, overhead_bytes)
            self.room_bytes = self.store.memory_limit_bytes - self.store.memory_bytes
            return 0
        entry.chunks.append(chunk)
        entry.memory_bytes += cost
        self.added_bytes += cost
        self.room_bytes -= cost
        return 0

    cdef int check_limits(self, TraceEntry entry, bint root_came) except -1:
        cdef Facts* facts = &(<Summary?>entry.summary).facts
        if self.most_bytes and facts.size_bytes > self.most_bytes or self.most_spans and facts.span_count >= self.most_spans:
            # The caller decides it before the next record.
            self.stop = True
        elif not (root_came and self.after_root_ms):
            return 0
        self.hand_memory_over()
        self.host.check_limits(entry, root_came, self.now_ms)
        self.hand_memory_over()
        self.limit_ms = min(self.limit_ms, <int64_t>self.deadlines.next_ms - 1)
        return 0
