"""The partition rules of `sampler.otlp.partition` over the raw id, without building the hex key as an object."""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from sampler.otlp._compiled.wire cimport bytes_t

from sampler.otlp.partition import check_hasher


cdef int hasher_number(partitions, hasher) except -1:
    check_hasher(partitions, hasher)
    return 1 if hasher == "murmur2" else 0


cdef inline void hex_key(bytes_t trace_id, uint8_t* key) noexcept nogil:
    cdef const char* digits = b"0123456789abcdef"
    cdef int index
    for index in range(16):
        key[2 * index] = digits[trace_id[index] >> 4]
        key[2 * index + 1] = digits[trace_id[index] & 15]


cdef inline uint32_t murmur2(const uint8_t* key) noexcept nogil:
    cdef uint32_t m = 0x5BD1E995
    cdef uint32_t h = <uint32_t>0x9747B28C ^ 32
    cdef uint32_t k
    cdef int index
    for index in range(0, 32, 4):
        memcpy(&k, key + index, 4)
        k *= m
        k ^= k >> 24
        k *= m
        h = h * m ^ k
    h ^= h >> 13
    h *= m
    return h ^ h >> 15


cdef int hashed_partition(bytes_t trace_id, int partitions, int hasher) noexcept nogil:
    cdef uint8_t key[32]
    cdef uint32_t h
    cdef int index
    hex_key(trace_id, key)
    if hasher == 1:
        return <int>((murmur2(key) & 0x7FFFFFFF) % <uint32_t>partitions)
    h = 0x811C9DC5
    for index in range(32):
        h = (h ^ key[index]) * <uint32_t>0x01000193
    if h >= <uint32_t>0x80000000:
        h = 0 - h
    return <int>(h % <uint32_t>partitions)


def partition_of(bytes trace_id not None, int partitions, str hasher not None = "sarama"):
    """The partition of a trace among `partitions`; ValueError for an id that is not 16 bytes."""
    cdef int rule
    if len(trace_id) != 16:
        raise ValueError(f"a trace id has 16 bytes, not {len(trace_id)}")
    if hasher == "sarama" and partitions > 0:
        rule = 0
    else:
        rule = hasher_number(partitions, hasher)
    return hashed_partition(<bytes_t><const char*>trace_id, partitions, rule)
