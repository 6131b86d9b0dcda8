# The fields that tests in Python get: where their bytes lie while a record is read, and the memos that are asked.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from sampler.otlp._compiled.wire cimport Field, KeyValue, Text, bytes_t

# Resource, scope, span and event are the maps 0 to 3: bit i of Where is map i.
cdef enum:
    MAPS = 4
    NO_SLOT = -1

# The slots that are always there; the attributes that are read follow them, map by map.
cdef enum:
    RESOURCE_SLOT = 0
    RESOURCE_URL_SLOT = 1
    SCOPE_SLOT = 2
    SCOPE_URL_SLOT = 3
    SPAN_SLOT = 4
    NAME_SLOT = 5
    TRACESTATE_SLOT = 6
    STATUS_SLOT = 7
    KIND_SLOT = 8
    START_SLOT = 9
    END_SLOT = 10
    EVENT_SLOT = 11
    EVENT_NAME_SLOT = 12
    FIXED_SLOTS = 13

cdef struct FieldsLeaf:
    uint32_t first  # its slots are wanted[first:first + count]
    uint32_t count
    bint remember
    void* memo  # borrowed
    void* answers  # dict of the memo, borrowed


# The FIELDS leaves of a plan, in the order of their inmost message.
cdef class NativeFields:
    cdef list kept  # what the pointers borrow from
    cdef readonly dict slots  # (map, key) -> slot
    cdef readonly list numbers  # leaf i of this plan is leaf numbers[i] of the scan plan
    cdef FieldsLeaf* leaves
    cdef uint32_t* wanted
    cdef uint8_t* key_room  # a memo key is put together here; no Python code runs meanwhile
    cdef uint32_t slot_count
    cdef uint32_t slots_of[MAPS + 1]  # the attribute slots of map m: of[m] to of[m + 1]
    cdef uint32_t leaves_of[MAPS + 1]  # the leaves asked once per message of map m

    cdef bint ask(self, uint32_t index, Text* slots) except -1
    cdef fill(self)
    cdef bytes key(self, FieldsLeaf* leaf, Text* slots)


# What one pass over a record has read for them. An attribute that is not there has no data, any other slot always has.
cdef class FieldsState:
    cdef NativeFields plan
    cdef list pieces  # of a message that is there more than once, while its header is read
    cdef list joined  # values that do not lie in the record as one piece
    cdef Text* slots
    cdef uint8_t* answers  # of each leaf: 0 not asked yet, else NO or YES

    cdef void enter(self, int map, bytes_t at) noexcept
    cdef int header(self, int map, Field* field) except -1
    cdef int end_header(self, int map) except -1
    cdef int attribute(self, int slot, Field* field, KeyValue* kv) except -1
    cdef keep(self, Text* text, bytes value)
    cdef bint ask(self, uint32_t index) except -1


cdef FieldsState fields_state(NativeFields plan)
