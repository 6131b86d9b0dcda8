from libc.stdint cimport uint8_t

from sampler.otlp._compiled.wire cimport bytes_t

# 0 for sarama, 1 for murmur2; ValueError where one of the two cannot be used.
cdef int hasher_number(partitions, hasher) except -1
cdef int hashed_partition(bytes_t trace_id, int partitions, int hasher) noexcept nogil
