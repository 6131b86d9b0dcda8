# Which span of a record belongs to which trace, and the bytes of each trace's chunk.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sampler.otlp._compiled.summary cimport Facts
from sampler.otlp._compiled.wire cimport bytes_t, write_bytes

cdef enum:
    NONE = 0xFFFFFFFF

# Bytes of the input that are copied as they are.
cdef struct Piece:
    bytes_t start
    size_t size

# A ResourceSpans or ScopeSpans: its header is every field but the spans, pieces[first_piece:last_piece].
cdef struct Section:
    bytes_t start  # the field, tag included
    size_t size
    uint32_t parent  # of a scope: its resource
    uint32_t first_piece
    uint32_t last_piece
    size_t header_size
    uint32_t group  # of a resource: the trace of its first span
    bint mixed  # of a resource: it holds spans of another trace or left-out spans too
    uint32_t spans  # of a resource: how many it holds, left-out ones included

cdef struct Span:
    Piece piece  # the field, tag included
    uint32_t next  # the next span of the same run

# The spans that one trace has in one scope.
cdef struct Run:
    uint32_t scope
    uint32_t first_span
    uint32_t last_span
    uint32_t next  # the next run of the same trace
    size_t size

cdef struct Group:
    uint64_t id[2]
    uint32_t first_run
    uint32_t last_run
    uint32_t span_count
    Facts facts


cdef inline uint8_t* write_pieces(uint8_t* out, Piece* pieces, Section* section) noexcept nogil:
    cdef uint32_t index
    for index in range(section.first_piece, section.last_piece):
        out = write_bytes(out, pieces[index].start, pieces[index].size)
    return out


cdef class Grouping:
    # Sections, pieces and groups of one record (or, when annotating, of one trace's chunks).
    cdef Piece* pieces
    cdef Section* resources
    cdef Section* scopes
    cdef Span* spans
    cdef Run* runs
    cdef Group* groups
    cdef uint32_t* slots
    cdef size_t pieces_room, resources_room, scopes_room, spans_room, runs_room, groups_room
    cdef uint32_t piece_count, resource_count, scope_count, span_count, run_count, group_count
    cdef uint32_t slot_mask
    cdef uint32_t last_group
    cdef uint64_t seed
    cdef bint busy

    cdef free(self)
    cdef int clear(self) except -1
    cdef int release(self) except -1
    cdef int add_piece(self, bytes_t start, size_t size) except -1
    cdef int add_resource(self, bytes_t start, size_t size) except -1
    cdef int add_scope(self, bytes_t start, size_t size) except -1
    cdef Group* add_span(self, bytes_t trace_id, bytes_t start, size_t size) except NULL
    cdef uint32_t group_of(self, bytes_t trace_id) except NONE
    cdef int rehash(self, uint32_t size) except -1
    cdef size_t scope_size(self, Run* run) noexcept nogil
    cdef size_t resource_size(self, uint32_t* run_index) noexcept nogil
    cdef size_t chunk_size(self, Group* group) noexcept nogil
    cdef uint64_t repeated_bytes(self) noexcept nogil
    cdef uint64_t chunks_size(self) noexcept nogil
    cdef uint8_t* write_chunk(self, Group* group, uint8_t* out) noexcept nogil
