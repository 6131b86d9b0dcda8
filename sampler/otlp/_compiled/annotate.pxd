from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sampler.otlp._compiled.grouping cimport Grouping, Piece, Section
from sampler.otlp._compiled.wire cimport Fault, Field, bytes_t

cdef enum:
    NO_SUFFIX = 0xFFFFFFFF

# A span as it leaves: the pieces of it that stay, then a suffix.
cdef struct Out:
    bytes_t start  # the span's content as it came
    size_t came
    uint64_t hash
    uint32_t scope
    uint32_t first_piece
    uint32_t last_piece
    uint32_t suffix
    size_t size  # as it leaves

cdef struct SuffixBytes:
    Piece piece
    bint keep_tracestate


cdef class Annotator:
    cdef Grouping sections
    cdef Out* outs
    cdef SuffixBytes* suffixes
    cdef uint32_t* slots
    cdef size_t outs_room, suffixes_room
    cdef uint32_t out_count, suffix_count, slot_mask
    cdef Fault fault
    cdef object annotation
    cdef list held  # owns what `suffixes` points to
    cdef dict known
    cdef object probability
    cdef uint32_t plain  # the suffix of spans without tracestate under the present probability
    cdef bytes_t rate_key
    cdef bytes_t policy_key
    cdef size_t rate_size, policy_size
    cdef size_t limit, copies
    cdef bint by_service
    cdef bint busy
    # Layout of the open payload: see sampler.otlp.annotate._Layout.
    cdef size_t closed_bytes, resource_bytes, scope_bytes
    cdef uint32_t payload_start
    cdef uint32_t newest  # the last span of the open payload, NO_SUFFIX where it is empty
    cdef list payloads, oversize

    cdef int begin(self, annotation, size_t limit) except -1
    cdef int chunk(self, bytes_t p, bytes_t end) except -1
    cdef int resource_spans(self, Field* message) except -1
    cdef int scope_spans(self, Field* message) except -1
    cdef int cut(self, Field* message, Section* section) except -1
    cdef int span(self, Field* message) except -1
    cdef bint is_copy(self, Out* out) except -1
    cdef bint same(self, Out* a, Out* b) noexcept nogil
    cdef bint same_header(self, Section* a, Section* b) noexcept nogil
    cdef int rehash(self, uint32_t count) except -1
    cdef void slots_put(self, uint32_t count) noexcept
    cdef int rewrite(self, Field* message, Out* out) except -1
    cdef int is_ours(self, Field* attribute, bint* ours) except -1
    cdef uint32_t suffix_of(self, bytes_t tracestate, size_t size) except? NO_SUFFIX
    cdef set_probability(self, Section* resource)
    cdef int place(self) except -1
    cdef size_t scope_extent(self, uint32_t first, uint32_t last, uint32_t* stop) noexcept nogil
    cdef size_t resource_extent(self, uint32_t first, uint32_t last, uint32_t* stop) noexcept nogil
    cdef bytes payload(self, uint32_t first, uint32_t last)
    cdef uint8_t* write(self, uint8_t* p, uint32_t first, uint32_t last) noexcept nogil
    cdef finish(self)
