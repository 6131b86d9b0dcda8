"""Remembered verdicts in C: see `sampler.engine.remembered`, whose plain form answers the same.

A page is an open-addressing table with linear probing: an array of keys (the complement of a 64-bit hash, 0 in an empty
slot) and one of places in the page's own list of verdicts, 10 bytes a slot together. Its room grows by a quarter when
13 of 16 slots are taken, so a page that has grown takes 12.4 to 15.5 bytes a trace. Keys lie in descending order, which
is that of the slots they belong to: a look-up that finds nothing ends after three slots, not fifteen, and growing reads
and writes memory from one end to the other.
"""

import mmap
import os

cimport cython
from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.ref cimport PyObject
from libc.stdint cimport uint16_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from sampler.otlp._compiled.memory cimport mix

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define fetch_ahead(address) __builtin_prefetch(address)
    #else
    #define fetch_ahead(address) ((void)(address))
    #endif
    """
    void fetch_ahead(const void*) noexcept nogil

cdef enum:
    SMALLEST = 64  # slots
    SPARE = 64  # slots behind them
    DOUBLED = 4096  # below this many slots a page doubles: what it could waste is nothing
    MAPPED = 1 << 16  # bytes from which on a page is mapped: what is freed goes back to the system at once
    HUGE = 8 << 20  # bytes from which on huge pages of the system waste next to nothing
    MOST_VERDICTS = 1 << 16  # of one page
    SEEN = 64  # verdicts whose places are known by their addresses, within a call
    AHEAD = 16  # traces whose slots are fetched before the first of them is looked at

# Windows has no such flags.
cdef dict PRIVATE = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
cdef object HUGE_ADVICE = getattr(mmap, "MADV_HUGEPAGE", None)
cdef uint64_t SEED = int.from_bytes(os.urandom(8), "little")


cdef inline uint64_t key_of(bytes trace_id) except 0:
    cdef uint64_t words[2]
    cdef uint64_t key
    if PyBytes_GET_SIZE(trace_id) != 16:
        raise ValueError(f"a trace id has 16 bytes, not {PyBytes_GET_SIZE(trace_id)}")
    memcpy(words, PyBytes_AS_STRING(trace_id), 16)
    key = ~mix(words[0], words[1], SEED)
    return key if key else 1


@cython.final
@cython.no_gc
cdef class Slots:
    """Memory of one page, all zero at first. Keys that belong to the last slots of `room` may lie behind it."""

    cdef object owner
    cdef Py_buffer view
    cdef uint64_t* keys
    cdef uint16_t* places
    cdef uint64_t room, end

    def __cinit__(self, uint64_t room):
        cdef uint64_t end = room + SPARE + room // 256
        cdef uint64_t size = end * (sizeof(uint64_t) + sizeof(uint16_t))
        if size >= MAPPED:
            self.owner = mmap.mmap(-1, size, **PRIVATE)
            if size >= HUGE and HUGE_ADVICE is not None:
                self.owner.madvise(HUGE_ADVICE)
        else:
            self.owner = bytearray(size)
        PyObject_GetBuffer(self.owner, &self.view, PyBUF_WRITABLE)
        self.keys = <uint64_t*>self.view.buf
        self.places = <uint16_t*>(self.keys + end)
        self.room, self.end = room, end

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    cdef inline uint64_t home_of(self, uint64_t key) noexcept nogil:
        return ((~key >> 32) * self.room) >> 32

    # Where a key is, or belongs. The last slot is always empty.
    cdef inline uint64_t slot_of(self, uint64_t key) noexcept nogil:
        cdef uint64_t slot = self.home_of(key)
        while self.keys[slot] > key:
            slot += 1
        return slot

    cdef inline void fetch(self, uint64_t key) noexcept nogil:
        fetch_ahead(&self.keys[self.home_of(key)])

    # False where there is no room behind its slot.
    cdef inline bint insert(self, uint64_t key, uint16_t place) noexcept nogil:
        cdef uint64_t slot = self.slot_of(key)
        cdef uint64_t empty = slot
        while self.keys[empty]:
            empty += 1
        if empty == self.end - 1:
            return False
        memmove(&self.keys[slot + 1], &self.keys[slot], (empty - slot) * sizeof(uint64_t))
        memmove(&self.places[slot + 1], &self.places[slot], (empty - slot) * sizeof(uint16_t))
        self.keys[slot], self.places[slot] = key, place
        return True

    # All of another one's, which keep their order. False where there is no room for them.
    cdef bint fill(self, Slots other) noexcept nogil:
        cdef uint64_t at, slot = 0
        for at in range(other.end):
            if other.keys[at]:
                slot = max(slot, self.home_of(other.keys[at]))
                if slot >= self.end - 1:
                    return False
                self.keys[slot], self.places[slot] = other.keys[at], other.places[at]
                slot += 1
        return True


@cython.final
cdef class Page:
    """Some of the remembered traces, which are forgotten together."""

    cdef Slots slots
    cdef uint64_t count, bound
    cdef list verdicts
    cdef dict place_of

    def __cinit__(self):
        self.verdicts, self.place_of = [], {}
        self.slots = Slots(SMALLEST)
        self.bound = SMALLEST * 13 // 16

    # No further than `most` traces need.
    cdef int grow(self, uint64_t most) except -1:
        cdef uint64_t old = self.slots.room
        cdef uint64_t room = max(old + 16, min(old * 2 if old < DOUBLED else old + old // 4, most * 16 // 13 + 2))
        cdef Slots slots = Slots(room)
        while not slots.fill(self.slots):
            room += room // 4
            slots = Slots(room)
        self.slots = slots
        self.bound = room * 13 // 16
        return 0


@cython.final
cdef class Remembered:
    """Verdicts by trace id, on pages; see `sampler.engine.remembered.Remembered`."""

    cdef list pages
    cdef Page newest
    cdef uint64_t most
    cdef readonly long long page
    """The number of the newest page."""
    cdef readonly long long added
    """How many entries were ever made."""
    cdef PyObject* seen[SEEN]
    cdef uint16_t seen_places[SEEN]

    def __init__(self, uint64_t most):
        self.most = max(<uint64_t>1, most)
        self.newest = Page()
        self.pages = [self.newest]

    def __len__(self):
        cdef Page page
        cdef uint64_t total = 0
        for page in self.pages:
            total += page.count
        return total

    @property
    def size_bytes(self):
        """Memory of the tables, without the verdicts themselves."""
        cdef Page page
        return sum([page.slots.end * 10 for page in self.pages])

    def get(self, bytes trace_id not None):
        """The verdict on a trace, or None if it is not remembered."""
        return self.find(key_of(trace_id))

    def add(self, trace_ids, verdicts):
        """Put these on the newest page."""
        self.put(list(trace_ids), list(verdicts), False)

    def restore(self, trace_ids, verdicts):
        """Put these on the newest page, each with the verdict that an older page has, where one has it."""
        self.put(list(trace_ids), list(verdicts), True)

    def replace(self, bytes trace_id not None, verdict):
        """Put a trace on the newest page with this verdict, in place of the one it may have there."""
        cdef uint64_t key = key_of(trace_id)
        cdef uint16_t place = self.place_of(verdict)
        cdef Slots slots = self.newest.slots
        cdef uint64_t slot = slots.slot_of(key)
        if slots.keys[slot] == key:
            slots.places[slot] = place
        else:
            self.insert(key, place)

    def turn(self):
        """Begin a new page, unless the newest is empty."""
        if self.newest.count:
            self.begin_page()

    def forget_before(self, long long number):
        """Forget the pages with lower numbers; the newest is replaced by an empty one."""
        cdef long long first = self.page - PyList_GET_SIZE(self.pages) + 1
        if number > self.page:
            self.turn()
            number = self.page
        if number > first:
            del self.pages[:number - first]

    cdef int begin_page(self) except -1:
        self.newest = Page()
        self.pages.append(self.newest)
        self.page += 1
        return 0

    # Newest first: late spans follow soon. The slots of all pages are on their way before the first is looked at.
    cdef object find(self, uint64_t key):
        cdef Py_ssize_t at
        cdef uint64_t slot
        cdef Slots slots
        cdef Py_ssize_t count = PyList_GET_SIZE(self.pages)
        for at in range(count):
            (<Page>PyList_GET_ITEM(self.pages, at)).slots.fetch(key)
        for at in range(count - 1, -1, -1):
            slots = (<Page>PyList_GET_ITEM(self.pages, at)).slots
            slot = slots.slot_of(key)
            if slots.keys[slot] == key:
                return (<Page>PyList_GET_ITEM(self.pages, at)).verdicts[slots.places[slot]]
        return None

    cdef int put(self, list trace_ids, list verdicts, bint older_stands) except -1:
        cdef Py_ssize_t at, ahead, count = PyList_GET_SIZE(trace_ids)
        cdef uint64_t keys[AHEAD]
        cdef Slots slots
        if PyList_GET_SIZE(verdicts) != count:
            raise ValueError(f"{count} trace ids and {PyList_GET_SIZE(verdicts)} verdicts")
        memset(self.seen, 0, sizeof(self.seen))
        for at in range(count):
            if at % AHEAD == 0:
                slots = self.newest.slots
                for ahead in range(min(count - at, <Py_ssize_t>AHEAD)):
                    keys[ahead] = key_of(<bytes?>PyList_GET_ITEM(trace_ids, at + ahead))
                    slots.fetch(keys[ahead])
            self.put_one(keys[at % AHEAD], <object>PyList_GET_ITEM(verdicts, at), older_stands)
        return 0

    cdef int put_one(self, uint64_t key, object verdict, bint older_stands) except -1:
        cdef Page page = self.newest
        cdef uint64_t slot = page.slots.slot_of(key)
        cdef uint16_t place
        if page.slots.keys[slot] == key:
            return 0
        if older_stands and PyList_GET_SIZE(self.pages) > 1:
            before = self.find(key)
            if before is not None:
                return self.insert(key, self.place_of(before))
        return self.insert(key, self.seen_place(verdict))

    cdef int insert(self, uint64_t key, uint16_t place) except -1:
        cdef Page page = self.newest
        if page.count >= self.most:
            verdict = page.verdicts[place]
            self.begin_page()
            memset(self.seen, 0, sizeof(self.seen))
            place = self.place_of(verdict)
            page = self.newest
        elif page.count >= page.bound:
            page.grow(self.most)
        while not page.slots.insert(key, place):
            page.grow(self.most)
        page.count += 1
        self.added += 1
        return 0

    # Equal verdicts are mostly one object, and hashing a verdict costs more than all the rest. The caller's list keeps
    # the objects alive whose addresses are noted.
    cdef int seen_place(self, object verdict) except -1:
        cdef size_t line = (<size_t><PyObject*>verdict >> 4) % SEEN
        if self.seen[line] != <PyObject*>verdict:
            self.seen_places[line] = self.place_of(verdict)
            self.seen[line] = <PyObject*>verdict
        return self.seen_places[line]

    cdef int place_of(self, object verdict) except -1:
        cdef Page page = self.newest
        found = page.place_of.get(verdict)
        if found is not None:
            return found
        if PyList_GET_SIZE(page.verdicts) == MOST_VERDICTS:
            self.begin_page()
            memset(self.seen, 0, sizeof(self.seen))
            page = self.newest
        page.place_of[verdict] = PyList_GET_SIZE(page.verdicts)
        page.verdicts.append(verdict)
        return <int>PyList_GET_SIZE(page.verdicts) - 1
