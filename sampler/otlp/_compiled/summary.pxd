from libc.stdint cimport int64_t, uint8_t, uint64_t

from sampler.otlp._compiled.wire cimport bytes_t

# What is known of a trace. Zero times are unset; rv is -1 where absent, rv_root and rv_span_id rank it.
cdef struct Facts:
    uint64_t start
    uint64_t end
    uint64_t span_count
    uint64_t size_bytes
    int64_t rv
    uint64_t rv_span_id
    uint64_t bits[4]
    bint rv_root
    bint has_error
    bint has_root
    bint has_threshold


cdef inline void clear_facts(Facts* facts) noexcept nogil:
    facts.start = facts.end = facts.span_count = facts.size_bytes = facts.rv_span_id = 0
    facts.bits[0] = facts.bits[1] = facts.bits[2] = facts.bits[3] = 0
    facts.rv = -1
    facts.rv_root = facts.has_error = facts.has_root = facts.has_threshold = False


# Takes an explicit randomness if it ranks before the present one: root, then smallest span id, then smallest rv.
cdef inline void offer_rv(Facts* facts, int64_t rv, bint root, uint64_t span_id) noexcept nogil:
    cdef bint better
    if rv < 0:
        return
    if facts.rv < 0:
        better = True
    elif root != facts.rv_root:
        better = root
    elif span_id != facts.rv_span_id:
        better = span_id < facts.rv_span_id
    else:
        better = rv < facts.rv
    if better:
        facts.rv = rv
        facts.rv_root = root
        facts.rv_span_id = span_id


cdef inline void merge_facts(Facts* into, const Facts* other) noexcept nogil:
    if other.start != 0 and (into.start == 0 or other.start < into.start):
        into.start = other.start
    if other.end > into.end:
        into.end = other.end
    into.span_count += other.span_count
    into.size_bytes += other.size_bytes
    into.has_error |= other.has_error
    into.has_root |= other.has_root
    into.has_threshold |= other.has_threshold
    into.bits[0] |= other.bits[0]
    into.bits[1] |= other.bits[1]
    into.bits[2] |= other.bits[2]
    into.bits[3] |= other.bits[3]
    offer_rv(into, other.rv, other.rv_root, other.rv_span_id)


# Reads th and rv of the `ot` entry of a tracestate header, by the rules of sampler.otlp.tracestate.
cdef int64_t read_ot(bytes_t p, bytes_t end, bint* has_threshold) noexcept nogil


cdef class Summary:
    cdef Facts facts
    cpdef merge(self, other)
    cpdef Summary copy(self)
    cpdef bytes pack(self)
