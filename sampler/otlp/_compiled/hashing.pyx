"""FNV-1a, 64 bits: the Collector's hash, from which the randomness of a trace comes."""

from libc.stdint cimport uint8_t, uint64_t


def fnv1a64(bytes data, uint64_t state=0xCBF29CE484222325):
    """The hash of `data`; `state` is the hash of what came before it."""
    cdef const uint8_t* at = data
    cdef Py_ssize_t index
    for index in range(len(data)):
        state = (state ^ at[index]) * 0x100000001B3ULL
    return state
