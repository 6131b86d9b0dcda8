# Growing C arrays and a hash of bytes.

from cpython.mem cimport PyMem_Realloc
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from sampler.otlp._compiled.wire cimport bytes_t

cdef enum:
    LIMIT = 0x7FFFFFF0  # entries of one kind in a call


# Room for one more entry: doubles the array where `count` has reached its room.
cdef inline int reserve(void** array, size_t* room, size_t count, size_t item) except -1:
    cdef size_t wanted
    cdef void* moved
    if count < room[0]:
        return 0
    if count >= LIMIT:
        raise MemoryError("more than 2**31 fields in one call")
    wanted = 64 if room[0] == 0 else room[0] * 2
    moved = PyMem_Realloc(array[0], wanted * item)
    if moved == NULL:
        raise MemoryError
    array[0] = moved
    room[0] = wanted
    return 0


# Both words go through a multiplication each before they meet, so pairs that share a word spread all the same.
cdef inline uint64_t mix(uint64_t a, uint64_t b, uint64_t seed) noexcept nogil:
    cdef uint64_t h = (a ^ seed) * <uint64_t>0x9E3779B97F4A7C15
    h ^= h >> 32
    h = (h + b) * <uint64_t>0xD6E8FEB86659FD93
    h ^= h >> 32
    h *= <uint64_t>0xD6E8FEB86659FD93
    return h ^ h >> 32


# Two lanes of 8 bytes, so that the multiplications overlap.
cdef inline uint64_t hash_bytes(bytes_t p, size_t size, uint64_t seed) noexcept nogil:
    cdef uint64_t a = seed ^ <uint64_t>0x9E3779B97F4A7C15
    cdef uint64_t b = seed ^ size
    cdef uint64_t word
    while size >= 16:
        memcpy(&word, p, 8)
        a = (a ^ word) * <uint64_t>0x9E3779B97F4A7C15
        a ^= a >> 29
        memcpy(&word, p + 8, 8)
        b = (b ^ word) * <uint64_t>0xD6E8FEB86659FD93
        b ^= b >> 31
        p += 16
        size -= 16
    if size >= 8:
        memcpy(&word, p, 8)
        a = (a ^ word) * <uint64_t>0x9E3779B97F4A7C15
        a ^= a >> 29
        p += 8
        size -= 8
    word = 0
    memcpy(&word, p, size)
    return mix(a, b ^ word * <uint64_t>0x9E3779B97F4A7C15, seed)
