"""One pass over a record: every span is read once, grouped by trace and folded into its trace's summary."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from sampler.otlp._compiled.fields cimport (
    END_SLOT,
    EVENT_NAME_SLOT,
    EVENT_SLOT,
    KIND_SLOT,
    NAME_SLOT,
    SPAN_SLOT,
    START_SLOT,
    STATUS_SLOT,
    TRACESTATE_SLOT,
    fields_state,
)
from sampler.otlp._compiled.grouping cimport Group, Section
from sampler.otlp._compiled.plan cimport Bits, SpanFields
from sampler.otlp._compiled.summary cimport Facts, offer_rv, read_ot
from sampler.otlp._compiled.wire cimport (
    MAX_DEPTH,
    OK,
    RESOURCE_SPANS_DEPTH,
    SCOPE_SPANS_DEPTH,
    SPAN_DEPTH,
    Field,
    KeyValue,
    Text,
    bytes_t,
    next_field,
    read_key_value,
)

cdef enum:
    RESOURCE = 0
    SCOPE = 1
    SPAN = 2
    EVENT = 3


cdef inline bint all_zero(bytes_t p, size_t size) noexcept nogil:
    cdef size_t index
    for index in range(size):
        if p[index] != 0:
            return False
    return True


cdef inline void clear_bits(Bits* bits) noexcept nogil:
    memset(bits, 0, sizeof(Bits))


cdef inline void set_text(Text* text, Field* field) noexcept nogil:
    text.data = field.value
    text.size = field.end - field.value


# 8 bytes, little-endian: setup.py builds for such machines only. `number` must outlive the use.
cdef inline void set_number(Text* text, const void* number) noexcept nogil:
    text.data = <bytes_t>number
    text.size = 8


# The state of one pass. Functions return 0, a fault code, or -1 with a Python exception set.
@cython.final
cdef class Pass:
    # The attributes `tag` of a message that holds nothing else of interest; faults in all of it are found.
    cdef int attributes(self, Field* message, uint32_t tag, int map, Bits* bits, int depth) except -1:
        cdef Field field
        cdef KeyValue kv
        cdef bytes_t p = message.value
        cdef int code, slot
        while p < message.end:
            code = next_field(p, message.end, &field, &self.fault, depth)
            if code != OK:
                return code
            if field.tag == tag:
                code = read_key_value(field.value, field.end, &kv, &self.fault, depth - 1)
                if code != OK:
                    return code
                if bits != NULL:
                    slot = self.plan.attribute(map, &kv, bits)
                    if slot >= 0:
                        self.fields.attribute(slot, &field, &kv)
            p = field.end
        return OK

    cdef int record(self, bytes_t p, bytes_t end) except -1:
        cdef Field field
        cdef int code
        if self.plan is None or self.plan.fields is None:
            self.fields = None
        elif self.fields is None or self.fields.plan is not self.plan.fields:
            self.fields = fields_state(self.plan.fields)
        else:
            self.fields.joined = None
        while p < end:
            code = next_field(p, end, &field, &self.fault, MAX_DEPTH)
            if code != OK:
                return code
            if field.tag == 0x0A:
                code = self.resource_spans(&field)
                if code != OK:
                    return code
            p = field.end
        return OK

    # Every field but `0x12` is header; the header is read before what it heads, whatever the order on the wire.
    cdef int header(
        self, Field* message, Section* section, uint32_t attribute_tag, int map, Bits* bits, int depth
    ) except -1:
        cdef Field field
        cdef bytes_t p = message.value
        cdef int code
        while p < message.end:
            code = next_field(p, message.end, &field, &self.fault, depth)
            if code != OK:
                return code
            if field.tag != 0x12:
                self.grouping.add_piece(field.start, field.end - field.start)
                section.header_size += field.end - field.start
            p = field.end
        section.last_piece = self.grouping.piece_count
        if self.fields is not None:
            self.fields.enter(map, message.value)
        cdef uint32_t index
        for index in range(section.first_piece, section.last_piece):
            next_field(self.grouping.pieces[index].start, message.end, &field, &self.fault, depth)
            if field.tag == 0x0A:
                code = self.attributes(&field, attribute_tag, map, bits, depth - 1)
                if code != OK:
                    return code
            if self.fields is not None:
                self.fields.header(map, &field)
        if self.fields is not None:
            self.fields.end_header(map)
        return OK

    cdef int resource_spans(self, Field* message) except -1:
        cdef Field field
        cdef bytes_t p = message.value
        cdef int code
        cdef Bits* bits = NULL
        self.grouping.add_resource(message.start, message.end - message.start)
        if self.plan is not None:
            bits = &self.resource_bits
            clear_bits(bits)
        code = self.header(
            message, &self.grouping.resources[self.grouping.resource_count - 1], 0x0A, RESOURCE, bits, RESOURCE_SPANS_DEPTH
        )
        if code != OK:
            return code
        while p < message.end:
            next_field(p, message.end, &field, &self.fault, RESOURCE_SPANS_DEPTH)
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
        cdef Bits* bits = NULL
        self.grouping.add_scope(message.start, message.end - message.start)
        if self.plan is not None:
            bits = &self.scope_bits
            bits[0] = self.resource_bits
        code = self.header(
            message, &self.grouping.scopes[self.grouping.scope_count - 1], 0x1A, SCOPE, bits, SCOPE_SPANS_DEPTH
        )
        if code != OK:
            return code
        while p < message.end:
            next_field(p, message.end, &field, &self.fault, SCOPE_SPANS_DEPTH)
            if field.tag == 0x12:
                code = self.span(&field)
                if code != OK:
                    return code
            p = field.end
        return OK

    cdef int span(self, Field* message) except -1:
        cdef SpanFields span
        cdef Bits bits
        cdef Group* group
        cdef int code
        cdef bint has_plan = self.plan is not None
        memset(&span, 0, sizeof(SpanFields))
        span.name.data = message.value
        if has_plan:
            clear_bits(&bits)
        if self.fields is not None:
            self.fields.enter(SPAN, message.value)
        code = self.span_fields(message, &span, &bits if has_plan else NULL)
        if code != OK:
            return code
        if (
            span.trace_id.size != 16
            or span.span_id.size != 8
            or all_zero(span.trace_id.data, 16)
            or all_zero(span.span_id.data, 8)
        ):
            self.invalid += 1
            self.grouping.resources[self.grouping.resource_count - 1].mixed = True
            self.grouping.resources[self.grouping.resource_count - 1].spans += 1
            return OK
        group = self.grouping.add_span(span.trace_id.data, message.start, message.end - message.start)
        if has_plan:
            self.fold(message, &span, &bits, &group.facts)
        return OK

    cdef int span_fields(self, Field* message, SpanFields* span, Bits* bits) except -1:
        cdef Field field
        cdef KeyValue kv
        cdef bytes_t p = message.value
        cdef bytes_t end = message.end
        cdef int code, slot
        while p < end:
            code = next_field(p, end, &field, &self.fault, SPAN_DEPTH)
            if code != OK:
                return code
            if field.tag == 0x4A:  # attributes
                code = read_key_value(field.value, field.end, &kv, &self.fault, SPAN_DEPTH - 1)
                if code != OK:
                    return code
                if bits != NULL:
                    slot = self.plan.attribute(SPAN, &kv, bits)
                    if slot >= 0:
                        self.fields.attribute(slot, &field, &kv)
            elif field.tag == 0x0A:
                set_text(&span.trace_id, &field)
            elif field.tag == 0x12:
                set_text(&span.span_id, &field)
            elif field.tag == 0x1A:
                set_text(&span.tracestate, &field)
            elif field.tag == 0x22:
                set_text(&span.parent, &field)
            elif field.tag == 0x2A:
                set_text(&span.name, &field)
            elif field.tag == 0x30:
                span.kind = <int32_t>field.number
            elif field.tag == 0x39:
                span.start = field.number
            elif field.tag == 0x41:
                span.end = field.number
            elif field.tag == 0x85:
                span.flags = <uint32_t>field.number
            elif field.tag == 0x5A:  # events
                code = self.attributes(&field, 0x1A, EVENT, NULL, SPAN_DEPTH - 1)
                if code != OK:
                    return code
            elif field.tag == 0x6A:  # links
                code = self.attributes(&field, 0x22, EVENT, NULL, SPAN_DEPTH - 1)
                if code != OK:
                    return code
            elif field.tag == 0x7A:
                code = self.status(&field, span)
                if code != OK:
                    return code
            p = field.end
        return OK

    # A later status without a code leaves the code of an earlier one, as protobuf merges them.
    cdef int status(self, Field* message, SpanFields* span) except -1:
        cdef Field field
        cdef bytes_t p = message.value
        cdef int code
        while p < message.end:
            code = next_field(p, message.end, &field, &self.fault, SPAN_DEPTH - 1)
            if code != OK:
                return code
            if field.tag == 0x18:
                span.status = <int32_t>field.number
            p = field.end
        return OK

    # The attributes are taken while the span is read; this is the rest.
    cdef void take_span(self, Field* message, SpanFields* span) noexcept:
        cdef Text* slots = self.fields.slots
        set_text(&slots[SPAN_SLOT], message)
        slots[NAME_SLOT] = span.name
        if span.tracestate.data != NULL:
            slots[TRACESTATE_SLOT] = span.tracestate
        set_number(&slots[STATUS_SLOT], &span.status)
        set_number(&slots[KIND_SLOT], &span.kind)
        set_number(&slots[START_SLOT], &span.start)
        set_number(&slots[END_SLOT], &span.end)

    cdef int fold(self, Field* message, SpanFields* span, Bits* bits, Facts* facts) except -1:
        cdef bint has_threshold
        cdef uint64_t span_id = 0
        cdef int64_t rv
        cdef int index
        span.root = all_zero(span.parent.data, span.parent.size)
        facts.span_count += 1
        if span.start != 0 and (facts.start == 0 or span.start < facts.start):
            facts.start = span.start
        if span.end > facts.end:
            facts.end = span.end
        facts.has_error |= span.status == 2
        facts.has_root |= span.root
        if span.tracestate.size != 0:
            rv = read_ot(span.tracestate.data, span.tracestate.data + span.tracestate.size, &has_threshold)
            facts.has_threshold |= has_threshold
            for index in range(8):
                span_id = span_id << 8 | span.span_id.data[index]
            offer_rv(facts, rv, span.root, span_id)
        if self.fields is not None:
            self.take_span(message, span)
        self.plan.finish_span(span, &self.scope_bits, bits, self.fields, facts)
        if self.plan.has_events:
            self.events(message, bits, facts)
        return 0

    # Asks the conditions that speak of events, once per event; the span has been read before, so nothing can be wrong.
    cdef int events(self, Field* message, Bits* span_bits, Facts* facts) except -1:
        cdef Field field, part
        cdef Text name
        cdef Bits bits
        cdef bytes_t p = message.value
        cdef bytes_t q
        while p < message.end:
            next_field(p, message.end, &field, &self.fault, SPAN_DEPTH)
            p = field.end
            if field.tag != 0x5A:
                continue
            clear_bits(&bits)
            if self.fields is not None:
                self.fields.enter(EVENT, field.value)
            self.attributes(&field, 0x1A, EVENT, &bits, SPAN_DEPTH - 1)
            name.data = q = field.value
            name.size = 0
            while q < field.end:
                next_field(q, field.end, &part, &self.fault, SPAN_DEPTH - 1)
                if part.tag == 0x12:
                    set_text(&name, &part)
                q = part.end
            if self.fields is not None:
                set_text(&self.fields.slots[EVENT_SLOT], &field)
                self.fields.slots[EVENT_NAME_SLOT] = name
            self.plan.finish_event(name, span_bits, &bits, self.fields, facts)
        return 0
