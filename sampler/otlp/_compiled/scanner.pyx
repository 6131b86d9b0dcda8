"""The compiled scanner: what Python calls."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sampler.otlp._compiled.annotate cimport NO_SUFFIX, Annotator
from sampler.otlp._compiled.grouping cimport Group, Grouping
from sampler.otlp._compiled.partition cimport hashed_partition, hasher_number
from sampler.otlp._compiled.plan cimport NativePlan, native_plan
from sampler.otlp._compiled.reading cimport Pass
from sampler.otlp._compiled.summary cimport Summary
from sampler.otlp._compiled.wire cimport OK, bytes_t

from sampler.otlp.annotation import AnnotateResult
from sampler.otlp.errors import CODES, GROWN_BASE_BYTES, GROWN_FACTOR, ScanError, growth_error
from sampler.otlp.results import ScanResult, SplitResult

cdef uint64_t BASE = GROWN_BASE_BYTES
cdef uint64_t FACTOR = GROWN_FACTOR


# ScanError where the chunks would take more bytes than they may; nothing is written to find that out.
cdef int check_growth(Grouping grouping, uint64_t size) except -1:
    cdef uint64_t most = BASE + FACTOR * size
    cdef uint64_t groups = grouping.group_count
    # Spans and the tags and lengths around them take less than twice the input; each header once a trace at most. So
    # few inputs are measured, and only those with many traces are looked at.
    if groups <= 1 or 2 * size + groups * size <= most:
        return 0
    if 2 * size + groups * grouping.repeated_bytes() <= most:
        return 0
    cdef uint64_t grown = grouping.chunks_size()
    if grown > most:
        raise growth_error(grown, size)
    return 0


cdef bytes chunk_of(Pass work, Group* group, bytes record):
    cdef bytes chunk
    if work.grouping.group_count == 1 and work.invalid == 0:
        group.facts.size_bytes = <uint64_t>PyBytes_GET_SIZE(record)
        return record
    group.facts.size_bytes = work.grouping.chunk_size(group)
    chunk = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>group.facts.size_bytes)
    work.grouping.write_chunk(group, <uint8_t*>PyBytes_AS_STRING(chunk))
    return chunk


@cython.final
cdef class Scanner:
    """The compiled scanner; see `sampler.otlp.Scanner`. One thread at a time gets the kept scratch memory."""

    name = "compiled"

    def __cinit__(self):
        self.scratch = Grouping()
        self.annotator = Annotator()

    cdef begin(self, Pass work, NativePlan plan):
        work.plan = plan
        work.grouping = Grouping() if self.scratch.busy else self.scratch
        work.grouping.busy = True

    cdef int read(self, Pass work, bytes record) except -1:
        cdef bytes_t start = <bytes_t>PyBytes_AS_STRING(record)
        cdef int code
        work.invalid = 0
        code = work.record(start, start + PyBytes_GET_SIZE(record))
        if code != OK:
            raise ScanError(work.fault.at - start, CODES[code])
        check_growth(work.grouping, PyBytes_GET_SIZE(record))
        return 0

    cdef done(self, Pass work):
        work.grouping.release()
        work.grouping.busy = False

    def scan(self, plan, bytes record not None):
        """Cut a record into one chunk a trace, each with its summary; ScanError where it is no valid TracesData."""
        cdef Pass work = Pass()
        self.begin(work, native_plan(plan))
        try:
            self.read(work, record)
            return ScanResult(self.traces(work, record), work.invalid)
        finally:
            self.done(work)

    cdef list traces(self, Pass work, bytes record):
        cdef Grouping grouping = work.grouping
        cdef list found = PyList_New(grouping.group_count)
        cdef uint32_t index
        cdef Group* group
        cdef Summary summary
        cdef bytes chunk
        for index in range(grouping.group_count):
            group = &grouping.groups[index]
            chunk = chunk_of(work, group, record)
            summary = Summary.__new__(Summary)
            summary.facts = group.facts
            entry = (PyBytes_FromStringAndSize(<const char*>group.id, 16), chunk, summary)
            Py_INCREF(entry)
            PyList_SET_ITEM(found, index, entry)
        return found

    def split(self, bytes request not None, int partitions, str hasher not None):
        """Pack a request's spans by partition; ScanError where it is no valid TracesData."""
        cdef int rule = hasher_number(partitions, hasher)
        cdef Pass work = Pass()
        self.begin(work, None)
        try:
            self.read(work, request)
            return self.parts(work, partitions, rule)
        finally:
            self.done(work)

    cdef parts(self, Pass work, int partitions, int rule):
        cdef Grouping grouping = work.grouping
        cdef Group* group
        cdef uint32_t index
        cdef dict sizes = {}
        cdef list counts, parts = []
        cdef uint8_t* out
        # (bytes, spans, groups) a partition; the partition of a group is kept in its facts, which split does not use.
        for index in range(grouping.group_count):
            group = &grouping.groups[index]
            group.facts.start = hashed_partition(<bytes_t>group.id, partitions, rule)
            group.facts.size_bytes = grouping.chunk_size(group)
            counts = sizes.setdefault(group.facts.start, [0, 0])
            counts[0] += group.facts.size_bytes
            counts[1] += group.span_count
        cdef dict cursors = {}
        for partition in sorted(sizes):
            counts = sizes[partition]
            part = PyBytes_FromStringAndSize(NULL, counts[0])
            cursors[partition] = <size_t>PyBytes_AS_STRING(part)
            parts.append((partition, part, counts[1]))
        for index in range(grouping.group_count):
            group = &grouping.groups[index]
            out = <uint8_t*><size_t>cursors[group.facts.start]
            cursors[group.facts.start] = <size_t>grouping.write_chunk(group, out)
        return SplitResult(parts, grouping.span_count, work.invalid)

    def annotate(self, chunks, annotation, size_t max_size_bytes):
        """The kept trace as it leaves; ScanError where a chunk is no valid TracesData."""
        cdef Annotator work = Annotator() if self.annotator.busy else self.annotator
        cdef bytes chunk
        cdef bytes_t start
        cdef uint32_t index, spans = 0
        cdef int code
        cdef list kept = list(chunks)  # holds the bytes that spans point into
        work.busy = True
        try:
            work.begin(annotation, max_size_bytes)
            for chunk in kept:
                if chunk is None:
                    raise TypeError("a chunk must be bytes, not None")
                start = <bytes_t>PyBytes_AS_STRING(chunk)
                code = work.chunk(start, start + PyBytes_GET_SIZE(chunk))
                if code != OK:
                    raise ScanError(work.fault.at - start, CODES[code])
            for index in range(work.out_count):
                spans += work.outs[index].suffix != NO_SUFFIX
            if work.out_count > work.payload_start:
                last = work.payload(work.payload_start, work.out_count)
                if last:
                    work.payloads.append(last)
            return AnnotateResult(work.payloads, spans, work.copies, work.oversize)
        finally:
            work.finish()
