"""A scan plan laid out for C: keys by map and length, leaves by key, programs as flat code."""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_GetItem
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from sampler.otlp._compiled.fields cimport MAPS, NO_SLOT, FieldsState, NativeFields
from sampler.otlp._compiled.summary cimport Facts
from sampler.otlp._compiled.wire cimport BOOL_VALUE, INT_VALUE, STRING_VALUE, KeyValue, Text, bytes_t

from sampler.otlp.leaves import Kind as LeafKind

cdef enum:
    FEW = 8  # sets up to this size are compared one by one
    OP_NOT = 512
    OP_TRUE = 513
    OP_FALSE = 514
    OP_SKIP_IF_NO = 515
    OP_SKIP_IF_YES = 516
    OP_ASK = 1024  # and the index of a leaf that asks Python

cdef void* allocate(size_t count, size_t size) except NULL:
    cdef void* memory = PyMem_Calloc(count + 1, size)
    if memory == NULL:
        raise MemoryError
    return memory


cdef inline void set_bit(Bits* bits, unsigned int number) noexcept nogil:
    bits.word[number >> 6] |= <uint64_t>1 << (number & 63)


cdef NativePlan native_plan(plan):
    cdef dict native = plan.native
    made = native.get("compiled")
    if made is None:
        made = native["compiled"] = NativePlan(plan)
    return <NativePlan?>made


@cython.final
cdef class NativePlan:
    def __cinit__(self, plan):
        # The Python plan holds this object: only its parts are kept, so that both go when the plan goes.
        self.kept = [plan.leaves]
        self.build(plan)

    def __dealloc__(self):
        PyMem_Free(self.texts)
        PyMem_Free(self.numbers)
        PyMem_Free(self.leaves)
        PyMem_Free(self.keys)
        PyMem_Free(self.code)
        PyMem_Free(self.program_start)
        PyMem_Free(self.program_condition)
        PyMem_Free(self.program_of_event)

    cdef int build(self, plan) except -1:
        attributes, spans, events, fields = [], [], [], []
        for number, leaf in enumerate(plan.leaves):
            if leaf is None:
                continue
            if leaf.kind is LeafKind.FIELDS:
                fields.append((number, leaf))
            else:
                (attributes if leaf.where else events if leaf.of_event else spans).append((number, leaf))
        per_map = []
        if fields:
            self.fields = NativeFields(fields)
            per_map.extend((map_index, key, -1, slot) for (map_index, key), slot in self.fields.slots.items())
        for map_index in range(MAPS):
            per_map.extend((map_index, leaf.key, number, leaf) for number, leaf in attributes if leaf.where >> map_index & 1)
        per_map.sort(key=lambda entry: entry[:3])
        every = [(number, leaf) for _, _, number, leaf in per_map if number >= 0]
        self.span_leaf = <uint32_t>len(every)
        every += spans
        self.event_leaf = <uint32_t>len(every)
        every += events
        self.leaf_end = <uint32_t>len(every)
        self.words = (len(plan.leaves) + 63) // 64
        self.texts = <Text*>allocate(sum([min(len(leaf.values), FEW) for _, leaf in every]), sizeof(Text))
        self.numbers = <int64_t*>allocate(sum([len(leaf.numbers) for _, leaf in every]), sizeof(int64_t))
        self.leaves = <Leaf*>allocate(len(every), sizeof(Leaf))
        self.keys = <Key*>allocate(len(per_map), sizeof(Key))
        self.fill_leaves(every)
        self.build_keys(per_map)
        self.build_programs(plan)
        return 0

    cdef fill_leaves(self, list every):
        cdef uint32_t texts = 0, numbers = 0
        cdef Leaf* leaf
        cdef bytes value
        for index, (number, source) in enumerate(every):
            leaf = &self.leaves[<size_t>index]
            leaf.kind, leaf.where, leaf.number = source.kind, source.where, number
            leaf.low, leaf.high = source.low, source.high
            if source.memo is not None:
                leaf.memo = <void*>source.memo
                leaf.answers = <void*>source.memo.answers
            leaf.first_text = numbers if source.numbers else texts
            leaf.count = <uint32_t>max(len(source.values), len(source.numbers))
            if len(source.values) > FEW:
                leaf.values = <void*>source.values
            else:
                for value in source.values:
                    self.texts[texts].data = <bytes_t><const char*>value
                    self.texts[texts].size = len(value)
                    texts += 1
            for status in source.numbers:
                # Codes of 32 bits: a number that none can be is replaced by another such number.
                self.numbers[numbers] = status if -(2**31) <= status < 2**31 else 2**40
                numbers += 1

    cdef int build_keys(self, list attributes) except -1:
        cdef int count = 0, map_index, slot
        cdef uint32_t leaf = 0
        cdef Key* key
        cdef bytes data
        last = None
        memset(self.key_of, 0xFF, sizeof(self.key_of))
        for entry in attributes:
            map_index, data = entry[0], entry[1]
            if last != (map_index, data):
                last = (map_index, data)
                key = &self.keys[count]
                key.data = <bytes_t><const char*>data
                key.size = len(data)
                key.slot = NO_SLOT
                key.first_leaf = leaf
                slot = <int>min(len(data), LENGTHS - 1)
                key.next = self.key_of[map_index][slot]
                self.key_of[map_index][slot] = count
                count += 1
            if entry[2] < 0:
                self.keys[count - 1].slot = entry[3]
            else:
                self.keys[count - 1].leaf_count += 1
                leaf += 1
        return 0

    cdef int build_programs(self, plan) except -1:
        cdef uint32_t at = 0, index = 0
        cdef int word
        programs = plan.programs
        asks = {}
        if self.fields is not None:
            asks = {number: OP_ASK + position for position, number in enumerate(self.fields.numbers)}
        for word in range(4):
            self.identity[word] = (plan.identity >> 64 * word) & 0xFFFFFFFFFFFFFFFF
        self.program_count = <uint32_t>len(programs)
        self.code = <uint32_t*>allocate(sum([len(program.code) for program in programs]), sizeof(uint32_t))
        self.program_start = <uint32_t*>allocate(len(programs) + 1, sizeof(uint32_t))
        self.program_condition = <uint16_t*>allocate(len(programs), sizeof(uint16_t))
        self.program_of_event = <uint8_t*>allocate(len(programs), 1)
        for program in programs:
            self.program_condition[index] = program.condition
            self.program_of_event[index] = program.of_event
            if program.of_event:
                self.has_events = True
            else:
                self.has_span_programs = True
            self.program_start[index] = at
            counts = False
            for instruction in program.code:
                # The number behind a skip counts positions and is no leaf.
                self.code[at] = instruction if counts else asks.get(instruction, instruction)
                counts = not counts and instruction >= OP_SKIP_IF_NO
                at += 1
            index += 1
        self.program_start[index] = at
        return 0

    # Asks the memo of a leaf; raises only what cannot be counted, such as a lack of memory.
    cdef bint ask(self, Leaf* leaf, bytes_t data, size_t size) except -1:
        value = PyBytes_FromStringAndSize(<const char*>data, <Py_ssize_t>size)
        cdef PyObject* known = PyDict_GetItem(<dict>leaf.answers, value)
        if known != NULL:
            return <object>known is True
        return (<object>leaf.memo).ask(value)

    cdef bint text_in(self, Leaf* leaf, bytes_t data, size_t size) except -1:
        cdef uint32_t index
        cdef Text* text
        if leaf.values != NULL:
            return PyBytes_FromStringAndSize(<const char*>data, <Py_ssize_t>size) in <frozenset>leaf.values
        for index in range(leaf.first_text, leaf.first_text + leaf.count):
            text = &self.texts[index]
            if text.size == size and memcmp(text.data, data, size) == 0:
                return True
        return False

    # Sets the bits of the leaves that an attribute of map `map` satisfies; says in which slot its value is kept.
    cdef int attribute(self, int map, KeyValue* kv, Bits* bits) except -2:
        cdef int index = self.key_of[map][kv.key_size if kv.key_size < LENGTHS - 1 else LENGTHS - 1]
        cdef Key* key
        cdef Leaf* leaf
        cdef uint32_t position
        cdef bint holds
        while index >= 0:
            key = &self.keys[index]
            if key.size == kv.key_size and memcmp(key.data, kv.key, key.size) == 0:
                for position in range(key.first_leaf, key.first_leaf + key.leaf_count):
                    leaf = &self.leaves[position]
                    holds = False
                    if leaf.kind == EXISTS:
                        holds = True
                    elif leaf.kind == STRING_IN:
                        holds = kv.type == STRING_VALUE and self.text_in(leaf, kv.text, kv.text_size)
                    elif leaf.kind == STRING_MATCHES:
                        holds = kv.type == STRING_VALUE and self.ask(leaf, kv.text, kv.text_size)
                    elif leaf.kind == INT_RANGE:
                        holds = kv.type == INT_VALUE and leaf.low <= kv.number <= leaf.high
                    elif leaf.kind == BOOL_IS:
                        holds = kv.type == BOOL_VALUE and kv.number == leaf.low
                    if holds:
                        set_bit(bits, leaf.number)
                return key.slot
            index = key.next
        return NO_SLOT

    cdef bint test(self, Leaf* leaf, SpanFields* span) except -1:
        cdef uint32_t index
        cdef int64_t number
        cdef uint64_t span_of_time
        if leaf.kind == STATUS_IN or leaf.kind == KIND_IN:
            number = span.status if leaf.kind == STATUS_IN else span.kind
            for index in range(leaf.first_text, leaf.first_text + leaf.count):
                if self.numbers[index] == number:
                    return True
            return False
        if leaf.kind == NAME_IN:
            return self.text_in(leaf, span.name.data, span.name.size)
        if leaf.kind == NAME_MATCHES:
            return self.ask(leaf, span.name.data, span.name.size)
        if leaf.kind == DURATION or leaf.kind == DURATION_FROM_ZERO:
            if leaf.kind == DURATION and (span.start == 0 or span.end == 0):
                return False
            if span.end >= span.start:
                span_of_time = span.end - span.start
                return leaf.high >= 0 and span_of_time <= <uint64_t>leaf.high and (
                    leaf.low < 0 or span_of_time >= <uint64_t>leaf.low
                )
            span_of_time = span.start - span.end
            if span_of_time > <uint64_t>1 << 63:
                return False
            number = <int64_t>(0 - span_of_time)
            return leaf.low <= number <= leaf.high
        if leaf.kind == FLAGS:
            return (span.flags & <uint32_t>leaf.low) != 0
        if leaf.kind == TRACESTATE:
            return span.tracestate.size > 0 and self.ask(leaf, span.tracestate.data, span.tracestate.size)
        return span.root

    # Tests the span's own leaves, joins the bits of what surrounds it, and answers the conditions asked of spans.
    cdef int finish_span(
        self, SpanFields* span, Bits* surrounding, Bits* own, FieldsState fields, Facts* facts
    ) except -1:
        cdef uint32_t position
        cdef int word
        cdef uint64_t any_bit = 0
        for position in range(self.span_leaf, self.event_leaf):
            if self.test(&self.leaves[position], span):
                set_bit(own, self.leaves[position].number)
        for word in range(self.words):
            own.word[word] |= surrounding.word[word]
        for word in range(4 if self.words > 4 else self.words):
            facts.bits[word] |= own.word[word] & self.identity[word]
        if self.has_span_programs:
            self.run(False, own, fields, facts)
        return 0

    cdef int finish_event(
        self, Text name, Bits* span_bits, Bits* event_bits, FieldsState fields, Facts* facts
    ) except -1:
        cdef uint32_t position
        cdef int word
        cdef Leaf* leaf
        cdef bint holds
        for position in range(self.event_leaf, self.leaf_end):
            leaf = &self.leaves[position]
            if leaf.kind == NAME_IN:
                holds = self.text_in(leaf, name.data, name.size)
            else:
                holds = self.ask(leaf, name.data, name.size)
            if holds:
                set_bit(event_bits, leaf.number)
        for word in range(self.words):
            event_bits.word[word] |= span_bits.word[word]
        self.run(True, event_bits, fields, facts)
        return 0

    # Runs the programs asked of spans, or of events, whose condition is not answered yet.
    cdef int run(self, bint of_event, Bits* bits, FieldsState fields, Facts* facts) except -1:
        cdef uint32_t index, at, end, op
        cdef uint16_t condition
        cdef bint answer
        for index in range(self.program_count):
            condition = self.program_condition[index]
            if self.program_of_event[index] != of_event or facts.bits[condition >> 6] >> (condition & 63) & 1:
                continue
            answer = False
            at = self.program_start[index]
            end = self.program_start[index + 1]
            while at < end:
                op = self.code[at]
                at += 1
                if op < OP_NOT:
                    answer = bits.word[op >> 6] >> (op & 63) & 1
                elif op == OP_SKIP_IF_NO or op == OP_SKIP_IF_YES:
                    at += 1 + (self.code[at] if answer == (op == OP_SKIP_IF_YES) else 0)
                elif op == OP_NOT:
                    answer = not answer
                elif op >= OP_ASK:
                    answer = fields.ask(op - OP_ASK)
                else:
                    answer = op == OP_TRUE
            if answer:
                facts.bits[condition >> 6] |= <uint64_t>1 << (condition & 63)
        return 0
