"""Spans and bytes by service in C; what is promised stands in `sampler.otlp.services`.

Resources are told apart by a 64-bit hash of their bytes: a service has many, and its name is looked up once for each.
"""

import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from sampler.otlp._compiled.grouping cimport Grouping, Piece, Section
from sampler.otlp._compiled.memory cimport hash_bytes
from sampler.otlp._compiled.wire cimport (
    MAX_DEPTH,
    OK,
    RESOURCE_SPANS_DEPTH,
    SCOPE_SPANS_DEPTH,
    Fault,
    Field,
    bytes_t,
    next_field,
)

from sampler.otlp.annotation import service_name

cdef enum:
    SLOTS = 4096  # a power of two
    MOST = 3072  # resources known at a time; then their counts go to the names, and all are forgotten


@cython.final
cdef class ServiceCounter:
    """See `sampler.otlp.services.ServiceCounter`."""

    def __cinit__(self):
        self.tallies = <Tally*>PyMem_Calloc(SLOTS, sizeof(Tally))
        if self.tallies == NULL:
            raise MemoryError
        self.seed = int.from_bytes(os.urandom(8), "little")
        self.names = []
        self.counts = {}

    def __dealloc__(self):
        PyMem_Free(self.tallies)

    def add(self, items not None, Py_ssize_t place):
        """Count the records at `place` of these tuples."""
        cdef bytes record
        cdef bytes_t start
        cdef Py_ssize_t size
        for item in items:
            record = (<tuple?>item)[place]
            start = <bytes_t>PyBytes_AS_STRING(record)
            size = PyBytes_GET_SIZE(record)
            if self.count(start, start + size, 1, NULL) != OK:
                # It is no TracesData: what was counted of it until the fault is taken back.
                self.count(start, start + size, -1, self.fault.at)

    def take(self):
        """(spans, bytes) by service since the last call."""
        self.empty()
        counts, self.counts = self.counts, {}
        return counts

    # Counts the record that a scan has just cut.
    cdef int add_sections(self, Grouping grouping) except -1:
        cdef uint32_t index, piece
        cdef uint64_t key
        cdef Section* section
        cdef Piece* header
        cdef Tally* tally
        for index in range(grouping.resource_count):
            section = &grouping.resources[index]
            key = self.seed
            for piece in range(section.first_piece, section.last_piece):
                header = &grouping.pieces[piece]
                if header.start[0] == 0x0A:
                    key = hash_bytes(header.start, header.size, key)
            tally = self.tally_of(key if key else 1, section.start, section.size)
            tally.spans += section.spans
            tally.size += section.size
        return 0

    # Counts every ResourceSpans with this sign; stops before the one that holds the place `stop`.
    cdef int count(self, bytes_t p, bytes_t end, int64_t sign, bytes_t stop) except -1:
        cdef Field field
        cdef int code
        cdef int64_t spans
        cdef uint64_t key
        cdef Tally* tally
        while p < end:
            code = next_field(p, end, &field, &self.fault, MAX_DEPTH)
            if code != OK or (stop != NULL and field.end > stop):
                return code
            p = field.end
            if field.tag != 0x0A:
                continue
            spans = 0
            key = self.seed
            code = self.section(&field, &spans, &key)
            if code != OK:
                return code
            tally = self.tally_of(key if key else 1, field.start, field.end - field.start)
            tally.spans += sign * spans
            tally.size += sign * (field.end - field.start)
        return OK

    # The spans of a ResourceSpans, and the hash of its resource.
    cdef int section(self, Field* message, int64_t* spans, uint64_t* key) noexcept nogil:
        cdef Field field, span
        cdef bytes_t p = message.value
        cdef bytes_t q
        cdef int code
        while p < message.end:
            code = next_field(p, message.end, &field, &self.fault, RESOURCE_SPANS_DEPTH)
            if code != OK:
                return code
            p = field.end
            if field.tag == 0x0A:
                key[0] = hash_bytes(field.start, field.end - field.start, key[0])
            elif field.tag == 0x12:
                q = field.value
                while q < field.end:
                    code = next_field(q, field.end, &span, &self.fault, SCOPE_SPANS_DEPTH)
                    if code != OK:
                        return code
                    q = span.end
                    spans[0] += span.tag == 0x12
        return OK

    # Where a ResourceSpans is counted whose resource has this hash.
    cdef Tally* tally_of(self, uint64_t key, bytes_t start, size_t size) except NULL:
        cdef uint32_t slot = <uint32_t>(key >> 32) & (SLOTS - 1)
        while self.tallies[slot].key != key:
            if self.tallies[slot].key == 0:
                if self.known == MOST:
                    self.empty()
                    return self.tally_of(key, start, size)
                self.names.append(self.name_of(start, size))
                self.tallies[slot].key, self.tallies[slot].name = key, self.known
                self.known += 1
                break
            slot = (slot + 1) & (SLOTS - 1)
        return &self.tallies[slot]

    # The field has been read before, so nothing can be wrong.
    cdef str name_of(self, bytes_t start, size_t size):
        cdef Field message, field
        cdef bytes_t p
        cdef bytes header = b""
        next_field(start, start + size, &message, &self.fault, MAX_DEPTH)
        p = message.value
        while p < message.end:
            next_field(p, message.end, &field, &self.fault, RESOURCE_SPANS_DEPTH)
            if field.tag == 0x0A:
                header += PyBytes_FromStringAndSize(<const char*>field.start, field.end - field.start)
            p = field.end
        return service_name(header)

    # Gives all counts to their names. Resources stay known while there is room for more.
    cdef int empty(self) except -1:
        cdef uint32_t slot
        cdef Tally* tally
        for slot in range(SLOTS):
            tally = &self.tallies[slot]
            if tally.spans or tally.size:
                name = self.names[tally.name]
                spans, size = self.counts.get(name, (0, 0))
                self.counts[name] = (spans + tally.spans, size + tally.size)
                tally.spans = tally.size = 0
        if self.known == MOST:
            memset(self.tallies, 0, SLOTS * sizeof(Tally))
            self.known = 0
            self.names.clear()
        return 0
