# Readers of protobuf wire bytes. Every read is checked against `end`; nothing here touches Python objects.
#
# A reader that cannot go on stores where and why in a Fault and returns the code; 0 is success. The codes are those of
# sampler.otlp.errors, the limits those of sampler.otlp.walk.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

ctypedef const uint8_t* bytes_t

cdef enum:
    OK = 0
    BAD_TAG = 1
    FIELD_ZERO = 2
    BAD_WIRE_TYPE = 3
    BAD_VARINT = 4
    BAD_LENGTH = 5
    BEYOND_END = 6
    BAD_FIXED = 7
    OPEN_GROUP = 8
    STRAY_END = 9
    TOO_DEEP = 10
    MAX_DEPTH = 100  # of groups below a TracesData; each message on the way takes one, as in protobuf
    RESOURCE_SPANS_DEPTH = 99
    SCOPE_SPANS_DEPTH = 98
    SPAN_DEPTH = 97

cdef struct Fault:
    bytes_t at
    int code

# One field. `value` to `end` is the content of a length-delimited field; `number` the value of any other.
cdef struct Field:
    bytes_t start
    bytes_t value
    bytes_t end
    uint64_t number
    uint32_t tag

# Bytes that lie in the record, or in an object that outlives their use.
cdef struct Text:
    bytes_t data
    size_t size


cdef inline int fail(Fault* fault, bytes_t at, int code) noexcept nogil:
    fault.at = at
    fault.code = code
    return code


# A varint of at most `limit` bytes; returns the position behind it, NULL where it is cut off or too long.
cdef inline bytes_t read_varint(bytes_t p, bytes_t end, int limit, uint64_t* out) noexcept nogil:
    cdef uint64_t value = 0
    cdef int shift = 0
    cdef uint8_t byte
    if end - p < limit:
        limit = <int>(end - p)
    while limit > 0:
        byte = p[0]
        p += 1
        value |= <uint64_t>(byte & 0x7F) << shift
        if byte < 0x80:
            out[0] = value
            return p
        shift += 7
        limit -= 1
    return NULL


# Inside a group of unknown fields the field number 0 is let pass, as protobuf does: `lowest` is 0 there, else 8.
cdef inline int read_tag(bytes_t* at, bytes_t end, uint32_t* tag, Fault* fault, uint64_t lowest) noexcept nogil:
    cdef uint64_t value
    cdef bytes_t after
    cdef bytes_t p = at[0]
    if p < end and p[0] < 0x80:
        value = p[0]
        after = p + 1
    else:
        after = read_varint(p, end, 5, &value)
        if after == NULL or value >> 32 != 0:
            return fail(fault, p, BAD_TAG)
    if value < lowest:
        return fail(fault, p, FIELD_ZERO)
    if (value & 7) > 5:
        return fail(fault, p, BAD_WIRE_TYPE)
    tag[0] = <uint32_t>value
    at[0] = after
    return OK


# The content of a field that is no group; `field.tag` is set, `p` lies behind the tag.
cdef inline int read_value(bytes_t p, bytes_t end, Field* field, Fault* fault) noexcept nogil:
    cdef uint64_t length
    cdef bytes_t after
    cdef uint32_t narrow
    cdef uint32_t wire = field.tag & 7
    if wire == 2:
        if p < end and p[0] < 0x80:
            length = p[0]
            after = p + 1
        else:
            after = read_varint(p, end, 5, &length)
            if after == NULL or length >> 31 != 0:
                return fail(fault, p, BAD_LENGTH)
        if length > <uint64_t>(end - after):
            return fail(fault, p, BEYOND_END)
        field.value = after
        field.end = after + length
        return OK
    field.value = p
    if wire == 0:
        after = read_varint(p, end, 10, &field.number)
        if after == NULL:
            return fail(fault, p, BAD_VARINT)
        field.end = after
    elif wire == 1:
        if end - p < 8:
            return fail(fault, p, BAD_FIXED)
        memcpy(&field.number, p, 8)  # setup.py builds for little-endian machines only
        field.end = p + 8
    else:
        if end - p < 4:
            return fail(fault, p, BAD_FIXED)
        memcpy(&narrow, p, 4)
        field.number = narrow
        field.end = p + 4
    return OK


# Skips a group; `field.start` is its start tag, `p` lies behind it, at most `depth` groups may be open.
cdef inline int skip_group(bytes_t p, bytes_t end, Field* field, Fault* fault, int depth) noexcept nogil:
    cdef uint32_t numbers[MAX_DEPTH + 1]
    cdef bytes_t starts[MAX_DEPTH + 1]
    cdef Field inner
    cdef int level = 1
    cdef int code
    numbers[0] = field.tag >> 3
    starts[0] = field.start
    field.value = p
    while level > 0:
        if level > depth:
            return fail(fault, starts[level - 1], TOO_DEEP)
        if p >= end:
            return fail(fault, starts[level - 1], OPEN_GROUP)
        inner.start = p
        code = read_tag(&p, end, &inner.tag, fault, 0)
        if code != OK:
            return code
        if (inner.tag & 7) == 3:
            numbers[level] = inner.tag >> 3
            starts[level] = inner.start
            level += 1
        elif (inner.tag & 7) == 4:
            level -= 1
            if numbers[level] != inner.tag >> 3:
                return fail(fault, inner.start, STRAY_END)
        else:
            code = read_value(p, end, &inner, fault)
            if code != OK:
                return code
            p = inner.end
    field.end = p
    return OK


# The field at `p`, which lies before `end`.
cdef inline int next_field(bytes_t p, bytes_t end, Field* field, Fault* fault, int depth) noexcept nogil:
    cdef int code
    field.start = p
    code = read_tag(&p, end, &field.tag, fault, 8)
    if code != OK:
        return code
    if (field.tag & 7) == 3:
        return skip_group(p, end, field, fault, depth)
    if (field.tag & 7) == 4:
        return fail(fault, field.start, STRAY_END)
    return read_value(p, end, field, fault)


# Walks a message whose fields are of no interest.
cdef inline int check_fields(bytes_t p, bytes_t end, Fault* fault, int depth) noexcept nogil:
    cdef Field field
    cdef int code
    while p < end:
        code = next_field(p, end, &field, fault, depth)
        if code != OK:
            return code
        p = field.end
    return OK


cdef inline size_t varint_size(uint64_t value) noexcept nogil:
    cdef size_t size = 1
    while value > 0x7F:
        value >>= 7
        size += 1
    return size


cdef inline uint8_t* write_varint(uint8_t* out, uint64_t value) noexcept nogil:
    while value > 0x7F:
        out[0] = <uint8_t>(value & 0x7F | 0x80)
        out += 1
        value >>= 7
    out[0] = <uint8_t>value
    return out + 1


cdef inline uint8_t* write_bytes(uint8_t* out, bytes_t source, size_t size) noexcept nogil:
    memcpy(out, source, size)
    return out + size


# The size of a length-delimited field with a one-byte tag.
cdef inline size_t field_size(size_t content) noexcept nogil:
    return 1 + varint_size(content) + content


# What a KeyValue says, as far as conditions ask.
cdef enum:
    NO_VALUE = 0
    STRING_VALUE = 1
    BOOL_VALUE = 2
    INT_VALUE = 3
    OTHER_VALUE = 4

cdef struct KeyValue:
    bytes_t key
    size_t key_size
    bytes_t value  # the content of the first AnyValue, never NULL
    size_t value_size
    bint more_values  # there are others, which protobuf would merge into it
    bytes_t text
    size_t text_size
    int64_t number
    int type


# Reads an AnyValue into `out`, over what an earlier one of the same attribute said; arrays and maps are walked one
# level deep, so that the depth of the input costs no stack.
cdef inline int read_any_value(bytes_t p, bytes_t end, KeyValue* out, Fault* fault, int depth) noexcept nogil:
    cdef Field field
    cdef int code
    while p < end:
        code = next_field(p, end, &field, fault, depth)
        if code != OK:
            return code
        if field.tag == 0x0A:
            out.type = STRING_VALUE
            out.text = field.value
            out.text_size = field.end - field.value
        elif field.tag == 0x10:
            out.type = BOOL_VALUE
            out.number = field.number != 0
        elif field.tag == 0x18:
            out.type = INT_VALUE
            out.number = <int64_t>field.number
        elif field.tag == 0x2A or field.tag == 0x32:
            out.type = OTHER_VALUE
            code = check_fields(field.value, field.end, fault, depth - 1)
            if code != OK:
                return code
        elif field.tag == 0x21 or field.tag == 0x3A:
            out.type = OTHER_VALUE
        p = field.end
    return OK


cdef inline int read_key_value(bytes_t p, bytes_t end, KeyValue* out, Fault* fault, int depth) noexcept nogil:
    cdef Field field
    cdef int code
    cdef bint has_value = False
    out.key = p
    out.key_size = 0
    out.value = p
    out.value_size = 0
    out.more_values = False
    out.type = NO_VALUE
    while p < end:
        code = next_field(p, end, &field, fault, depth)
        if code != OK:
            return code
        if field.tag == 0x0A:
            out.key = field.value
            out.key_size = field.end - field.value
        elif field.tag == 0x12:
            if has_value:
                out.more_values = True
            else:
                has_value = True
                out.value = field.value
                out.value_size = field.end - field.value
            code = read_any_value(field.value, field.end, out, fault, depth - 1)
            if code != OK:
                return code
        p = field.end
    return OK
