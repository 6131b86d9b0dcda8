"""Writes the spans of a kept trace; the rules of what is written are `sampler.otlp.annotation.suffix_for`'s.

Works on one list of spans: cut from the chunks, copies left out, then laid out into payloads of limited size.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from sampler.otlp._compiled.grouping cimport Grouping, Piece, Section, write_pieces
from sampler.otlp._compiled.memory cimport hash_bytes, reserve
from sampler.otlp._compiled.wire cimport (
    MAX_DEPTH, OK, Field, bytes_t, field_size, next_field, write_bytes, write_varint,
)

from sampler.otlp.annotation import suffix_for

cdef enum:
    FIRST_SLOTS = 64
    KEPT_ROOM = 16384  # spans; scratch above this is given back after the call
    EMPTY = 0xFFFFFFFF


@cython.final
cdef class Annotator:
    def __cinit__(self):
        self.sections = Grouping()

    def __dealloc__(self):
        PyMem_Free(self.outs)
        PyMem_Free(self.suffixes)
        PyMem_Free(self.slots)

    cdef int begin(self, annotation, size_t limit) except -1:
        cdef bytes rate = annotation.rate_attribute.encode()
        cdef bytes policy = annotation.policy_attribute.encode()
        self.sections.clear()
        self.out_count = self.suffix_count = self.payload_start = 0
        self.rehash(FIRST_SLOTS)
        self.annotation = annotation
        self.held = [rate, policy]
        self.known = {}
        self.rate_key, self.rate_size = <bytes_t><const char*>rate, len(rate)
        self.policy_key, self.policy_size = <bytes_t><const char*>policy, len(policy)
        self.limit, self.copies = limit, 0
        self.by_service = not isinstance(annotation.incoming_probability, (int, float))
        self.probability = None if self.by_service else annotation.incoming_probability
        self.plain = NO_SUFFIX
        self.closed_bytes = self.resource_bytes = self.scope_bytes = 0
        self.newest = NO_SUFFIX
        self.payloads, self.oversize = [], []
        return 0

    cdef finish(self):
        self.annotation = self.held = self.known = self.probability = self.payloads = self.oversize = None
        if self.outs_room > KEPT_ROOM:
            PyMem_Free(self.outs)
            self.outs = NULL
            self.outs_room = 0
        if self.suffixes_room > KEPT_ROOM:
            PyMem_Free(self.suffixes)
            self.suffixes = NULL
            self.suffixes_room = 0
        self.sections.release()
        self.busy = False

    cdef int chunk(self, bytes_t p, bytes_t end) except -1:
        cdef Field field
        cdef int code
        while p < end:
            code = next_field(p, end, &field, &self.fault, MAX_DEPTH)
            if code == OK and field.tag == 0x0A:
                code = self.resource_spans(&field)
            if code != OK:
                return code
            p = field.end
        return OK

    # Collects the header of a section: every field but `0x12`.
    cdef int cut(self, Field* message, Section* section) except -1:
        cdef Field field
        cdef bytes_t p = message.value
        cdef int code
        while p < message.end:
            code = next_field(p, message.end, &field, &self.fault, MAX_DEPTH)
            if code != OK:
                return code
            if field.tag != 0x12:
                self.sections.add_piece(field.start, field.end - field.start)
                section.header_size += field.end - field.start
            p = field.end
        section.last_piece = self.sections.piece_count
        return OK

    cdef int resource_spans(self, Field* message) except -1:
        cdef Field field
        cdef bytes_t p = message.value
        cdef int code
        cdef Section* section
        self.sections.add_resource(message.start, message.end - message.start)
        section = &self.sections.resources[self.sections.resource_count - 1]
        code = self.cut(message, section)
        if code != OK:
            return code
        if self.by_service:
            self.set_probability(section)
        while p < message.end:
            next_field(p, message.end, &field, &self.fault, MAX_DEPTH)
            if field.tag == 0x12:
                code = self.scope_spans(&field)
                if code != OK:
                    return code
            p = field.end
        return OK

    cdef int scope_spans(self, Field* message) except -1:
        cdef Field field
        cdef bytes_t p = message.value
        cdef int code
        self.sections.add_scope(message.start, message.end - message.start)
        code = self.cut(message, &self.sections.scopes[self.sections.scope_count - 1])
        if code != OK:
            return code
        while p < message.end:
            next_field(p, message.end, &field, &self.fault, MAX_DEPTH)
            if field.tag == 0x12:
                code = self.span(&field)
                if code != OK:
                    return code
            p = field.end
        return OK

    cdef set_probability(self, Section* resource):
        header = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>resource.header_size)
        write_pieces(<uint8_t*>PyBytes_AS_STRING(header), self.sections.pieces, resource)
        probability = self.annotation.probability_for(header)
        if probability != self.probability:
            self.probability = probability
            self.plain = NO_SUFFIX

    cdef int span(self, Field* message) except -1:
        cdef Out* out
        cdef int code
        reserve(<void**>&self.outs, &self.outs_room, self.out_count, sizeof(Out))
        out = &self.outs[self.out_count]
        out.start = message.value
        out.came = message.end - message.value
        out.scope = self.sections.scope_count - 1
        out.hash = hash_bytes(out.start, out.came, self.sections.seed)
        if self.is_copy(out):
            self.copies += 1
            return OK
        code = self.rewrite(message, out)
        if code != OK:
            return code
        self.out_count += 1
        return self.place()

    # Looks for an earlier span with the same bytes under the same headers; remembers this one where there is none.
    cdef bint is_copy(self, Out* out) except -1:
        cdef uint32_t slot = <uint32_t>out.hash & self.slot_mask
        cdef uint32_t index
        while self.slots[slot] != EMPTY:
            index = self.slots[slot]
            if self.outs[index].hash == out.hash and self.same(&self.outs[index], out):
                return True
            slot = (slot + 1) & self.slot_mask
        self.slots[slot] = self.out_count
        if (self.out_count + 1) * 2 > self.slot_mask:
            self.rehash((self.slot_mask + 1) * 4)
            self.slots_put(self.out_count + 1)
        return False

    cdef void slots_put(self, uint32_t count) noexcept:
        cdef uint32_t index, slot
        for index in range(count):
            slot = <uint32_t>self.outs[index].hash & self.slot_mask
            while self.slots[slot] != EMPTY:
                slot = (slot + 1) & self.slot_mask
            self.slots[slot] = index

    # An empty table of `count` slots, a power of two.
    cdef int rehash(self, uint32_t count) except -1:
        cdef uint32_t* moved
        if self.slots == NULL or self.slot_mask + 1 != count:
            moved = <uint32_t*>PyMem_Realloc(self.slots, count * sizeof(uint32_t))
            if moved == NULL:
                raise MemoryError
            self.slots = moved
            self.slot_mask = count - 1
        memset(self.slots, 0xFF, count * sizeof(uint32_t))
        return 0

    cdef bint same(self, Out* a, Out* b) noexcept nogil:
        cdef Section* left = &self.sections.scopes[a.scope]
        cdef Section* right = &self.sections.scopes[b.scope]
        if a.came != b.came or memcmp(a.start, b.start, a.came) != 0:
            return False
        if a.scope == b.scope:
            return True
        return self.same_header(left, right) and (
            left.parent == right.parent
            or self.same_header(&self.sections.resources[left.parent], &self.sections.resources[right.parent])
        )

    cdef bint same_header(self, Section* a, Section* b) noexcept nogil:
        cdef uint32_t index, count = a.last_piece - a.first_piece
        cdef Piece* left = &self.sections.pieces[a.first_piece]
        cdef Piece* right = &self.sections.pieces[b.first_piece]
        if a.header_size != b.header_size or count != b.last_piece - b.first_piece:
            return False
        for index in range(count):
            if left[index].size != right[index].size:
                return False
            if memcmp(left[index].start, right[index].start, left[index].size) != 0:
                return False
        return True

    # Whether an attribute has one of our names.
    cdef int is_ours(self, Field* attribute, bint* ours) except -1:
        cdef Field field
        cdef bytes_t p = attribute.value
        cdef bytes_t key = p
        cdef size_t size = 0
        cdef int code
        while p < attribute.end:
            code = next_field(p, attribute.end, &field, &self.fault, MAX_DEPTH)
            if code != OK:
                return code
            if field.tag == 0x0A:
                key = field.value
                size = field.end - field.value
            p = field.end
        ours[0] = (size == self.rate_size and memcmp(key, self.rate_key, size) == 0) or (
            size == self.policy_size and memcmp(key, self.policy_key, size) == 0
        )
        return OK

    # Finds what stays of a span, and its suffix.
    cdef int rewrite(self, Field* message, Out* out) except -1:
        cdef Field field
        cdef bytes_t p = message.value
        cdef bytes_t stays = message.value
        cdef bytes_t tracestate = NULL
        cdef size_t tracestate_size = 0
        cdef bint ours, any_ours = False
        cdef bint drop
        cdef SuffixBytes* suffix
        cdef int code
        while p < message.end:
            code = next_field(p, message.end, &field, &self.fault, MAX_DEPTH)
            if code != OK:
                return code
            if field.tag == 0x4A:
                code = self.is_ours(&field, &ours)
                if code != OK:
                    return code
                any_ours |= ours
            elif field.tag == 0x1A:
                tracestate = field.value
                tracestate_size = field.end - field.value
            p = field.end
        out.suffix = self.suffix_of(tracestate, tracestate_size)
        suffix = &self.suffixes[out.suffix]
        out.first_piece = self.sections.piece_count
        out.size = suffix.piece.size
        drop = tracestate != NULL and not suffix.keep_tracestate
        if drop or any_ours:
            p = message.value
            while p < message.end:
                next_field(p, message.end, &field, &self.fault, MAX_DEPTH)
                ours = False
                if field.tag == 0x4A:
                    self.is_ours(&field, &ours)
                elif field.tag == 0x1A:
                    ours = drop
                if ours:
                    if field.start > stays:
                        self.sections.add_piece(stays, field.start - stays)
                        out.size += field.start - stays
                    stays = field.end
                p = field.end
        if message.end > stays:
            self.sections.add_piece(stays, message.end - stays)
            out.size += message.end - stays
        out.last_piece = self.sections.piece_count
        return OK

    cdef uint32_t suffix_of(self, bytes_t tracestate, size_t size) except? NO_SUFFIX:
        cdef SuffixBytes* suffix
        cdef bytes fields
        if size == 0 and self.plain != NO_SUFFIX:
            return self.plain
        text = PyBytes_FromStringAndSize(<const char*>tracestate, <Py_ssize_t>size) if size != 0 else b""
        key = (text, self.probability)
        found = self.known.get(key)
        if found is None:
            made = suffix_for(self.annotation, text, self.probability)
            fields = made.fields
            self.held.append(fields)
            reserve(<void**>&self.suffixes, &self.suffixes_room, self.suffix_count, sizeof(SuffixBytes))
            suffix = &self.suffixes[self.suffix_count]
            suffix.piece.start = <bytes_t>PyBytes_AS_STRING(fields)
            suffix.piece.size = PyBytes_GET_SIZE(fields)
            suffix.keep_tracestate = made.keep_tracestate
            found = self.known[key] = self.suffix_count
            self.suffix_count += 1
        if size == 0:
            self.plain = found
        return found

    # Puts the newest span into the open payload, or closes that and opens another, or sets the span apart.
    cdef int place(self) except -1:
        cdef Out* out = &self.outs[self.out_count - 1]
        cdef Section* scope = &self.sections.scopes[out.scope]
        cdef Section* resource = &self.sections.resources[scope.parent]
        cdef size_t size = field_size(out.size)
        cdef size_t closed = 0
        cdef size_t outer = resource.header_size
        cdef size_t inner = scope.header_size + size
        if field_size(outer + field_size(inner)) > self.limit:
            self.oversize.append(self.payload(self.out_count - 1, self.out_count))
            out.suffix = NO_SUFFIX  # it stays known, so that its copies are found, but leaves no more
            return OK
        if self.newest != NO_SUFFIX:
            if self.outs[self.newest].scope == out.scope:
                closed, outer, inner = self.closed_bytes, self.resource_bytes, self.scope_bytes + size
            elif self.sections.scopes[self.outs[self.newest].scope].parent == scope.parent:
                closed, outer = self.closed_bytes, self.resource_bytes + field_size(self.scope_bytes)
            else:
                closed = self.closed_bytes + field_size(self.resource_bytes + field_size(self.scope_bytes))
            if closed + field_size(outer + field_size(inner)) > self.limit:
                self.payloads.append(self.payload(self.payload_start, self.out_count - 1))
                self.payload_start = self.out_count - 1
                closed, outer, inner = 0, resource.header_size, scope.header_size + size
        self.closed_bytes, self.resource_bytes, self.scope_bytes = closed, outer, inner
        self.newest = self.out_count - 1
        return OK

    # The content size of the ScopeSpans that begins with span `first`; `stop` is the span behind it.
    cdef size_t scope_extent(self, uint32_t first, uint32_t last, uint32_t* stop) noexcept nogil:
        cdef uint32_t scope = self.outs[first].scope
        cdef size_t size = self.sections.scopes[scope].header_size
        while first < last and (self.outs[first].scope == scope or self.outs[first].suffix == NO_SUFFIX):
            if self.outs[first].suffix != NO_SUFFIX:
                size += field_size(self.outs[first].size)
            first += 1
        stop[0] = first
        return size

    cdef size_t resource_extent(self, uint32_t first, uint32_t last, uint32_t* stop) noexcept nogil:
        cdef uint32_t resource = self.sections.scopes[self.outs[first].scope].parent
        cdef size_t size = self.sections.resources[resource].header_size
        while first < last and self.sections.scopes[self.outs[first].scope].parent == resource:
            size += field_size(self.scope_extent(first, last, &first))
        stop[0] = first
        return size

    # A TracesData of the spans [first, last).
    cdef bytes payload(self, uint32_t first, uint32_t last):
        cdef size_t size = 0
        cdef uint32_t index
        cdef bytes made
        while first < last and self.outs[first].suffix == NO_SUFFIX:
            first += 1
        index = first
        while index < last:
            size += field_size(self.resource_extent(index, last, &index))
        made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
        self.write(<uint8_t*>PyBytes_AS_STRING(made), first, last)
        return made

    cdef uint8_t* write(self, uint8_t* p, uint32_t first, uint32_t last) noexcept nogil:
        cdef uint32_t resource_stop, scope_stop, piece
        cdef Section* scope
        cdef Out* out
        while first < last:
            p[0] = 0x0A
            p = write_varint(p + 1, self.resource_extent(first, last, &resource_stop))
            scope = &self.sections.scopes[self.outs[first].scope]
            p = write_pieces(p, self.sections.pieces, &self.sections.resources[scope.parent])
            while first < resource_stop:
                p[0] = 0x12
                p = write_varint(p + 1, self.scope_extent(first, last, &scope_stop))
                p = write_pieces(p, self.sections.pieces, &self.sections.scopes[self.outs[first].scope])
                while first < scope_stop:
                    out = &self.outs[first]
                    first += 1
                    if out.suffix == NO_SUFFIX:
                        continue
                    p[0] = 0x12
                    p = write_varint(p + 1, out.size)
                    for piece in range(out.first_piece, out.last_piece):
                        p = write_bytes(p, self.sections.pieces[piece].start, self.sections.pieces[piece].size)
                    p = write_bytes(p, self.suffixes[out.suffix].piece.start, self.suffixes[out.suffix].piece.size)
        return p
