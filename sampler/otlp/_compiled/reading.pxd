from libc.stdint cimport uint32_t

from sampler.otlp._compiled.fields cimport FieldsState
from sampler.otlp._compiled.grouping cimport Grouping, Section
from sampler.otlp._compiled.plan cimport Bits, NativePlan, SpanFields
from sampler.otlp._compiled.summary cimport Facts
from sampler.otlp._compiled.wire cimport Fault, Field, KeyValue, bytes_t


# The state of one pass over a record. Functions return 0, a fault code, or -1 with a Python exception set.
cdef class Pass:
    cdef NativePlan plan  # None where only the grouping is wanted
    cdef FieldsState fields  # None where the plan asks for none
    cdef Grouping grouping
    cdef Fault fault
    cdef Bits resource_bits
    cdef Bits scope_bits  # the resource's included
    cdef size_t invalid

    cdef int attributes(self, Field* message, uint32_t tag, int map, Bits* bits, int depth) except -1
    cdef int record(self, bytes_t p, bytes_t end) except -1
    cdef int header(self, Field* message, Section* section, uint32_t attribute_tag, int map, Bits* bits, int depth) except -1
    cdef int resource_spans(self, Field* message) except -1
    cdef int scope_spans(self, Field* message) except -1
    cdef int span(self, Field* message) except -1
    cdef int span_fields(self, Field* message, SpanFields* span, Bits* bits) except -1
    cdef int status(self, Field* message, SpanFields* span) except -1
    cdef void take_span(self, Field* message, SpanFields* span) noexcept
    cdef int fold(self, Field* message, SpanFields* span, Bits* bits, Facts* facts) except -1
    cdef int events(self, Field* message, Bits* span_bits, Facts* facts) except -1
