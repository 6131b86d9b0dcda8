from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from sampler.otlp._compiled.fields cimport MAPS, FieldsState, NativeFields
from sampler.otlp._compiled.summary cimport Facts
from sampler.otlp._compiled.wire cimport KeyValue, Text, bytes_t

cdef enum:
    WORDS = 8  # 512 leaves
    LENGTHS = 256  # attribute keys are filtered by length; all longer ones share the last entry

# The kinds of sampler.otlp.leaves.Kind.
cdef enum:
    STRING_IN = 0
    STRING_MATCHES = 1
    INT_RANGE = 2
    BOOL_IS = 3
    EXISTS = 4
    STATUS_IN = 5
    KIND_IN = 6
    NAME_IN = 7
    NAME_MATCHES = 8
    DURATION = 9
    FLAGS = 10
    TRACESTATE = 11
    ROOT = 12
    DURATION_FROM_ZERO = 13

cdef struct Leaf:
    int kind
    int where
    uint16_t number
    uint32_t first_text  # texts, or numbers, from first to first + count
    uint32_t count
    int64_t low
    int64_t high
    void* values  # frozenset of bytes, borrowed; NULL where `texts` are compared one by one
    void* memo  # borrowed
    void* answers  # dict of the memo, borrowed

# A distinct attribute key of one map, with its leaves.
cdef struct Key:
    bytes_t data
    size_t size
    int next  # the next key of a length with the same table entry, -1 for none
    int slot  # where the value is kept for tests in Python, NO_SLOT where none asks for it
    uint32_t first_leaf
    uint32_t leaf_count

cdef struct Bits:
    uint64_t word[WORDS]

# What a span says of itself; `name` is never NULL.
cdef struct SpanFields:
    Text name
    Text tracestate
    Text trace_id
    Text span_id
    Text parent
    uint64_t start
    uint64_t end
    int64_t kind
    int64_t status
    uint32_t flags
    bint root


cdef class NativePlan:
    cdef list kept  # what the pointers below borrow from
    cdef NativeFields fields  # None where no condition asks Python
    cdef Text* texts
    cdef int64_t* numbers
    cdef Leaf* leaves  # attribute leaves in the order of their keys, then span leaves, then event leaves
    cdef Key* keys
    cdef uint32_t* code
    cdef uint32_t span_leaf, event_leaf, leaf_end
    cdef int key_of[MAPS][LENGTHS]
    cdef int words  # of 64 leaves in use
    cdef bint has_events, has_span_programs
    cdef uint64_t identity[4]
    cdef uint32_t program_count
    cdef uint32_t* program_start  # program i is code[start[i]:start[i + 1]]
    cdef uint16_t* program_condition
    cdef uint8_t* program_of_event

    cdef int attribute(self, int map, KeyValue* kv, Bits* bits) except -2
    cdef int finish_span(
        self, SpanFields* span, Bits* surrounding, Bits* own, FieldsState fields, Facts* facts
    ) except -1
    cdef int finish_event(
        self, Text name, Bits* span_bits, Bits* event_bits, FieldsState fields, Facts* facts
    ) except -1
    cdef bint ask(self, Leaf* leaf, bytes_t data, size_t size) except -1
    cdef bint text_in(self, Leaf* leaf, bytes_t data, size_t size) except -1
    cdef int run(self, bint of_event, Bits* bits, FieldsState fields, Facts* facts) except -1
    cdef bint test(self, Leaf* leaf, SpanFields* span) except -1
    cdef int build(self, plan) except -1
    cdef fill_leaves(self, list every)
    cdef int build_keys(self, list attributes) except -1
    cdef int build_programs(self, plan) except -1


cdef NativePlan native_plan(plan)
