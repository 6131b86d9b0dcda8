"""Counts spans on wire bytes; what is promised stands in `sampler.otlp.counting`."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from sampler.otlp._compiled.wire cimport (
    MAX_DEPTH,
    OK,
    RESOURCE_SPANS_DEPTH,
    SCOPE_SPANS_DEPTH,
    Fault,
    Field,
    bytes_t,
    next_field,
)

from sampler.otlp.errors import CODES, ScanError


cdef int count_spans_of(bytes_t p, bytes_t end, size_t* spans, Fault* fault) noexcept nogil:
    cdef Field resource, scope, span
    cdef bytes_t q, r
    cdef int code
    while p < end:
        code = next_field(p, end, &resource, fault, MAX_DEPTH)
        if code != OK:
            return code
        p = resource.end
        if resource.tag != 0x0A:
            continue
        q = resource.value
        while q < resource.end:
            code = next_field(q, resource.end, &scope, fault, RESOURCE_SPANS_DEPTH)
            if code != OK:
                return code
            q = scope.end
            if scope.tag != 0x12:
                continue
            r = scope.value
            while r < scope.end:
                code = next_field(r, scope.end, &span, fault, SCOPE_SPANS_DEPTH)
                if code != OK:
                    return code
                r = span.end
                if span.tag == 0x12:
                    spans[0] += 1
    return OK


def count_spans(bytes record not None):
    """The number of spans of a TracesData; ScanError where its messages down to the spans cannot be told apart."""
    cdef bytes_t start = <bytes_t>PyBytes_AS_STRING(record)
    cdef size_t spans = 0
    cdef Fault fault
    cdef int code = count_spans_of(start, start + PyBytes_GET_SIZE(record), &spans, &fault)
    if code != OK:
        raise ScanError(fault.at - start, CODES[code])
    return spans
