# Spans and bytes by service, from sections that were cut for another reason.

from libc.stdint cimport int64_t, uint32_t, uint64_t

from sampler.otlp._compiled.grouping cimport Grouping
from sampler.otlp._compiled.wire cimport Fault, Field, bytes_t

cdef struct Tally:
    uint64_t key  # 0 in an empty slot
    int64_t spans
    int64_t size
    uint32_t name


cdef class ServiceCounter:
    cdef Tally* tallies
    cdef uint32_t known
    cdef uint64_t seed
    cdef list names
    cdef dict counts
    cdef Fault fault

    cdef int add_sections(self, Grouping grouping) except -1
    cdef int count(self, bytes_t p, bytes_t end, int64_t sign, bytes_t stop) except -1
    cdef int section(self, Field* message, int64_t* spans, uint64_t* key) noexcept nogil
    cdef Tally* tally_of(self, uint64_t key, bytes_t start, size_t size) except NULL
    cdef str name_of(self, bytes_t start, size_t size)
    cdef int empty(self) except -1
