"""The fields that tests in Python get, kept as pointers into the record until a test is asked."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

from sampler.otlp._compiled.wire cimport OK, Fault, Field, KeyValue, Text, bytes_t, next_field

from policies.conditions import Part, Where
from sampler.otlp.leaves import ATTRIBUTE_PARTS, MESSAGE_OF
from sampler.otlp.memo import MEMO_VALUE_BYTES

cdef enum:
    NO = 1
    YES = 2

cdef size_t KEY_VALUES = MEMO_VALUE_BYTES

SLOTS = {
    Part.RESOURCE: RESOURCE_SLOT,
    Part.RESOURCE_SCHEMA_URL: RESOURCE_URL_SLOT,
    Part.SCOPE: SCOPE_SLOT,
    Part.SCOPE_SCHEMA_URL: SCOPE_URL_SLOT,
    Part.SPAN: SPAN_SLOT,
    Part.SPAN_NAME: NAME_SLOT,
    Part.TRACE_STATE: TRACESTATE_SLOT,
    Part.STATUS_CODE: STATUS_SLOT,
    Part.KIND: KIND_SLOT,
    Part.START_TIME: START_SLOT,
    Part.END_TIME: END_SLOT,
    Part.EVENT: EVENT_SLOT,
    Part.EVENT_NAME: EVENT_NAME_SLOT,
}
MAP_OF = {Where.RESOURCE: 0, Where.SCOPE: 1, Where.SPAN: 2, Where.EVENT: 3}

# The fixed slots of map m: FIXED_OF[m] to FIXED_OF[m + 1].
cdef uint32_t[MAPS + 1] FIXED_OF
FIXED_OF[:] = [RESOURCE_SLOT, SCOPE_SLOT, SPAN_SLOT, EVENT_SLOT, FIXED_SLOTS]


cdef void* allocate(size_t count, size_t size) except NULL:
    cdef void* memory = PyMem_Calloc(count + 1, size)
    if memory == NULL:
        raise MemoryError
    return memory


def slot_key(field):
    """(map, key) of a field that is an attribute."""
    return MAP_OF[MESSAGE_OF.get(field.part, Where.SPAN)], field.key.encode()


@cython.final
cdef class NativeFields:
    def __cinit__(self, list numbered):
        """`numbered` holds (number, leaf) of the FIELDS leaves."""
        cdef int map_index
        leaves = sorted(numbered, key=lambda entry: entry[1].inmost)
        keys = {slot_key(field) for _, leaf in leaves for field in leaf.fields if field.part in ATTRIBUTE_PARTS}
        self.kept = [leaf for _, leaf in leaves]
        self.numbers = [number for number, _ in leaves]
        self.slots = {key: FIXED_SLOTS + position for position, key in enumerate(sorted(keys))}
        self.slot_count = FIXED_SLOTS + <uint32_t>len(keys)
        self.slots_of[0] = FIXED_SLOTS
        for map_index in range(MAPS):
            slots = sum([1 for of, _ in keys if of == map_index])
            asked = sum([1 for leaf in self.kept if MAP_OF[leaf.inmost] == map_index])
            self.slots_of[map_index + 1] = self.slots_of[map_index] + <uint32_t>slots
            self.leaves_of[map_index + 1] = self.leaves_of[map_index] + <uint32_t>asked
        self.fill()

    cdef fill(self):
        cdef uint32_t at = 0, most = 0
        cdef FieldsLeaf* leaf
        self.leaves = <FieldsLeaf*>allocate(len(self.kept), sizeof(FieldsLeaf))
        self.wanted = <uint32_t*>allocate(sum([len(source.fields) for source in self.kept]), sizeof(uint32_t))
        for index, source in enumerate(self.kept):
            leaf = &self.leaves[<size_t>index]
            leaf.memo = <void*>source.memo
            leaf.answers = <void*>source.memo.answers
            leaf.remember = source.memo.remember
            leaf.first = at
            leaf.count = <uint32_t>len(source.fields)
            most = max(most, leaf.count)
            for field in source.fields:
                self.wanted[at] = SLOTS[field.part] if field.part in SLOTS else self.slots[slot_key(field)]
                at += 1
        self.key_room = <uint8_t*>allocate(2 * <size_t>most + KEY_VALUES, 1)

    def __dealloc__(self):
        PyMem_Free(self.leaves)
        PyMem_Free(self.wanted)
        PyMem_Free(self.key_room)

    # What the memo knows the values by (see sampler.otlp.memo); None where they are too large for it.
    cdef bytes key(self, FieldsLeaf* leaf, Text* slots):
        cdef uint8_t* out = self.key_room
        cdef size_t total = 0
        cdef uint32_t index
        cdef Text* value
        for index in range(leaf.first, leaf.first + leaf.count):
            value = &slots[self.wanted[index]]
            if value.data == NULL:
                out[0] = out[1] = 0xFF
                out += 2
                continue
            total += value.size
            if total > KEY_VALUES:
                return None
            out[0] = <uint8_t>(value.size & 0xFF)
            out[1] = <uint8_t>(value.size >> 8)
            memcpy(out + 2, value.data, value.size)
            out += 2 + value.size
        return PyBytes_FromStringAndSize(<const char*>self.key_room, out - self.key_room)

    # Asks the memo of a leaf; raises only what cannot be counted, such as a lack of memory.
    cdef bint ask(self, uint32_t index, Text* slots) except -1:
        cdef FieldsLeaf* leaf = &self.leaves[index]
        cdef bytes key = None
        cdef PyObject* known
        cdef Text* value
        cdef uint32_t position
        if leaf.remember:
            key = self.key(leaf, slots)
            if key is not None:
                known = PyDict_GetItem(<dict>leaf.answers, key)
                if known != NULL:
                    return <object>known is True
        values = []
        for position in range(leaf.first, leaf.first + leaf.count):
            value = &slots[self.wanted[position]]
            if value.data == NULL:
                values.append(None)
            else:
                values.append(PyBytes_FromStringAndSize(<const char*>value.data, <Py_ssize_t>value.size))
        return (<object>leaf.memo).answer(key, tuple(values))


cdef FieldsState fields_state(NativeFields plan):
    cdef FieldsState state = FieldsState.__new__(FieldsState)
    state.plan = plan
    state.slots = <Text*>allocate(plan.slot_count, sizeof(Text))
    state.answers = <uint8_t*>allocate(plan.leaves_of[MAPS], 1)
    return state


@cython.final
cdef class FieldsState:
    def __dealloc__(self):
        PyMem_Free(self.slots)
        PyMem_Free(self.answers)

    # Forgets the last message of a map; `at` is any place in the record.
    cdef void enter(self, int map, bytes_t at) noexcept:
        cdef uint32_t slot
        cdef uint32_t first = self.plan.slots_of[map]
        cdef uint32_t leaf = self.plan.leaves_of[map]
        self.pieces = None
        for slot in range(FIXED_OF[map], FIXED_OF[map + 1]):
            self.slots[slot].data = at
            self.slots[slot].size = 0
        memset(&self.slots[first], 0, (self.plan.slots_of[map + 1] - first) * sizeof(Text))
        memset(&self.answers[leaf], 0, self.plan.leaves_of[map + 1] - leaf)

    # Takes a field of a ResourceSpans or ScopeSpans. A message that is there more than once is all of them joined, as
    # protobuf merges them.
    cdef int header(self, int map, Field* field) except -1:
        cdef Text* whole = &self.slots[FIXED_OF[map]]
        if field.tag == 0x1A:
            whole[1].data = field.value
            whole[1].size = field.end - field.value
        elif field.tag == 0x0A and whole.size == 0:
            whole.data = field.value
            whole.size = field.end - field.value
        elif field.tag == 0x0A:
            if self.pieces is None:
                self.pieces = [PyBytes_FromStringAndSize(<const char*>whole.data, <Py_ssize_t>whole.size)]
            self.pieces.append(PyBytes_FromStringAndSize(<const char*>field.value, field.end - field.value))
        return 0

    cdef int end_header(self, int map) except -1:
        if self.pieces is not None:
            self.keep(&self.slots[FIXED_OF[map]], b"".join(self.pieces))
            self.pieces = None
        return 0

    # Takes the value of an attribute; the KeyValue in `field` has been read before. The first of a key counts.
    cdef int attribute(self, int slot, Field* field, KeyValue* kv) except -1:
        cdef Field part
        cdef Fault fault
        cdef bytes_t p = field.value
        if self.slots[slot].data != NULL:
            return 0
        self.slots[slot].data = kv.value
        self.slots[slot].size = kv.value_size
        if kv.more_values:
            values = []
            while p < field.end:
                if next_field(p, field.end, &part, &fault, 100) != OK:
                    break
                if part.tag == 0x12:
                    values.append(PyBytes_FromStringAndSize(<const char*>part.value, part.end - part.value))
                p = part.end
            self.keep(&self.slots[slot], b"".join(values))
        return 0

    cdef keep(self, Text* text, bytes value):
        if self.joined is None:
            self.joined = []
        self.joined.append(value)
        text.data = <bytes_t>PyBytes_AS_STRING(value)
        text.size = PyBytes_GET_SIZE(value)

    # The answer of a leaf, asked once while its messages stay the same.
    cdef bint ask(self, uint32_t index) except -1:
        if self.answers[index] == 0:
            self.answers[index] = YES if self.plan.ask(index, self.slots) else NO
        return self.answers[index] == YES
