"""The summary of a trace as a C structure; equal and packed alike to `sampler.otlp.summary.PlainSummary`."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from sampler.otlp._compiled.wire cimport bytes_t

from sampler.otlp.summary import PACKED, VERSION, PlainSummary


cdef inline int hex_digit(uint8_t c) noexcept nogil:
    if c"0" <= c <= c"9":
        return c - c"0"
    if c"a" <= c <= c"f":
        return c - c"a" + 10
    return -1


# The number in 1 to 14 lower-case hex digits; -1 for anything else.
cdef int64_t read_hex(bytes_t p, bytes_t end) noexcept nogil:
    cdef int64_t value = 0
    cdef int digit
    if end <= p or end - p > 14:
        return -1
    while p < end:
        digit = hex_digit(p[0])
        if digit < 0:
            return -1
        value = value << 4 | digit
        p += 1
    return value


cdef inline bytes_t find(bytes_t p, bytes_t end, uint8_t c) noexcept nogil:
    while p < end and p[0] != c:
        p += 1
    return p


cdef int64_t read_ot_value(bytes_t p, bytes_t end, bint* has_threshold) noexcept nogil:
    cdef int64_t rv = -1
    cdef bytes_t stop
    while p <= end:
        stop = find(p, end, c";")
        if stop - p > 3 and p[2] == c":":
            if p[0] == c"t" and p[1] == c"h":
                if read_hex(p + 3, stop) >= 0:
                    has_threshold[0] = True
            elif p[0] == c"r" and p[1] == c"v" and stop - p == 17 and rv < 0:
                rv = read_hex(p + 3, stop)
        p = stop + 1
    return rv


cdef int64_t read_ot(bytes_t p, bytes_t end, bint* has_threshold) noexcept nogil:
    cdef bytes_t stop
    has_threshold[0] = False
    while p < end:
        stop = find(p, end, c",")
        while p < stop and (p[0] == c" " or p[0] == c"\t"):
            p += 1
        if stop - p >= 3 and p[0] == c"o" and p[1] == c"t" and p[2] == c"=":
            p += 3
            while stop > p and ((stop - 1)[0] == c" " or (stop - 1)[0] == c"\t"):
                stop -= 1
            return read_ot_value(p, stop, has_threshold)
        p = stop + 1
    return -1


@cython.final
@cython.freelist(256)
cdef class Summary:
    """A summary that grows; see `policies.trace.Summary` for the fields."""

    def __init__(
        self,
        start_unix_nano=0,
        end_unix_nano=0,
        span_count=0,
        size_bytes=0,
        has_error=False,
        has_root=False,
        bits=0,
        rv=-1,
        has_threshold=False,
        rv_root=False,
        rv_span_id=0,
    ):
        cdef int word
        self.facts.start = start_unix_nano
        self.facts.end = end_unix_nano
        self.facts.span_count = span_count
        self.facts.size_bytes = size_bytes
        self.facts.has_error = has_error
        self.facts.has_root = has_root
        if not 0 <= bits < 1 << 256:
            raise ValueError("bits must fit 256 bits")
        for word in range(4):
            self.facts.bits[word] = (bits >> 64 * word) & 0xFFFFFFFFFFFFFFFF
        self.facts.rv = rv
        self.facts.has_threshold = has_threshold
        self.facts.rv_root = rv_root
        self.facts.rv_span_id = rv_span_id

    @property
    def start_unix_nano(self):
        return self.facts.start

    @property
    def end_unix_nano(self):
        return self.facts.end

    @property
    def span_count(self):
        return self.facts.span_count

    @property
    def size_bytes(self):
        return self.facts.size_bytes

    @property
    def has_error(self):
        return self.facts.has_error != 0

    @property
    def has_root(self):
        return self.facts.has_root != 0

    @property
    def bits(self):
        cdef uint64_t* words = self.facts.bits
        if words[1] | words[2] | words[3]:
            return words[0] | (<object>words[1] << 64) | (<object>words[2] << 128) | (<object>words[3] << 192)
        return words[0]

    @property
    def rv(self):
        return self.facts.rv

    @property
    def has_threshold(self):
        return self.facts.has_threshold != 0

    @property
    def rv_root(self):
        return self.facts.rv_root != 0

    @property
    def rv_span_id(self):
        return self.facts.rv_span_id

    cpdef merge(self, other):
        """Take in what another part of the same trace showed; the order of merges does not matter."""
        cdef Facts* facts
        if type(other) is not Summary:
            other = unpack(other.pack())
        facts = &(<Summary>other).facts
        merge_facts(&self.facts, facts)

    cpdef Summary copy(self):
        """An equal summary that shares nothing with this one."""
        cdef Summary made = Summary.__new__(Summary)
        made.facts = self.facts
        return made

    cpdef bytes pack(self):
        """82 bytes, little-endian: version, flags, times, counts, rv and its span, 256 bits."""
        cdef Facts* f = &self.facts
        flags = (f.has_error != 0) | (f.has_root != 0) << 1 | (f.has_threshold != 0) << 2 | (f.rv_root != 0) << 3
        return PACKED.pack(
            VERSION, flags, f.start, f.end, f.span_count, f.size_bytes, f.rv, f.rv_span_id,
            f.bits[0], f.bits[1], f.bits[2], f.bits[3],
        )

    def __eq__(self, other):
        pack = getattr(other, "pack", None)
        return bool(pack is not None and pack() == self.pack())

    __hash__ = None

    def __reduce__(self):
        return unpack, (self.pack(),)

    def __repr__(self):
        return repr(PlainSummary.unpack(self.pack())).removeprefix("Plain")


def unpack(bytes data not None):
    """The summary that was packed; ValueError for anything else."""
    cdef Summary made = Summary.__new__(Summary)
    if len(data) != PACKED.size or data[0] != VERSION:
        raise ValueError(f"no packed summary of version {VERSION}: {len(data)} bytes")
    _, flags, start, end, count, size, rv, span_id, a, b, c, d = PACKED.unpack(data)
    made.facts.start, made.facts.end, made.facts.span_count, made.facts.size_bytes = start, end, count, size
    made.facts.rv, made.facts.rv_span_id = rv, span_id
    made.facts.bits[0], made.facts.bits[1], made.facts.bits[2], made.facts.bits[3] = a, b, c, d
    made.facts.has_error = flags & 1
    made.facts.has_root = flags >> 1 & 1
    made.facts.has_threshold = flags >> 2 & 1
    made.facts.rv_root = flags >> 3 & 1
    return made
