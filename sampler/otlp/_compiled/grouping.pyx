"""The scratch memory of a scan: traces in an open-addressing table, their spans as linked runs per scope.

Memory is kept between records and given back after one that needed much.
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from sampler.otlp._compiled.memory cimport mix, reserve
from sampler.otlp._compiled.summary cimport clear_facts
from sampler.otlp._compiled.wire cimport bytes_t, field_size, write_bytes, write_varint

import os

cdef enum:
    KEPT_BYTES = 4 << 20  # scratch above this is given back after the record
    FIRST_SLOTS = 64


@cython.final
cdef class Grouping:
    def __cinit__(self):
        self.seed = int.from_bytes(os.urandom(8), "little")
        self.clear()

    def __dealloc__(self):
        self.free()

    cdef free(self):
        PyMem_Free(self.pieces)
        PyMem_Free(self.resources)
        PyMem_Free(self.scopes)
        PyMem_Free(self.spans)
        PyMem_Free(self.runs)
        PyMem_Free(self.groups)
        PyMem_Free(self.slots)
        self.pieces = NULL
        self.resources = self.scopes = NULL
        self.spans = NULL
        self.runs = NULL
        self.groups = NULL
        self.slots = NULL
        self.slot_mask = 0
        self.pieces_room = self.resources_room = self.scopes_room = 0
        self.spans_room = self.runs_room = self.groups_room = 0

    # Forget the last record, keep the memory.
    cdef int clear(self) except -1:
        self.piece_count = self.resource_count = self.scope_count = 0
        self.span_count = self.run_count = 0
        if self.group_count > 0 or self.slots == NULL:
            self.rehash(0)
        self.group_count = 0
        self.last_group = NONE
        return 0

    # Forget the last record, and give memory back where it took much.
    cdef int release(self) except -1:
        cdef size_t held = (
            self.pieces_room * sizeof(Piece)
            + (self.resources_room + self.scopes_room) * sizeof(Section)
            + self.spans_room * sizeof(Span)
            + self.runs_room * sizeof(Run)
            + self.groups_room * sizeof(Group)
            + self.slot_mask * sizeof(uint32_t)
        )
        if held > KEPT_BYTES:
            self.free()
        self.clear()
        return 0

    cdef int add_piece(self, bytes_t start, size_t size) except -1:
        reserve(<void**>&self.pieces, &self.pieces_room, self.piece_count, sizeof(Piece))
        self.pieces[self.piece_count].start = start
        self.pieces[self.piece_count].size = size
        self.piece_count += 1
        return 0

    cdef int add_resource(self, bytes_t start, size_t size) except -1:
        cdef Section* section
        reserve(<void**>&self.resources, &self.resources_room, self.resource_count, sizeof(Section))
        section = &self.resources[self.resource_count]
        section.start, section.size = start, size
        section.first_piece = section.last_piece = self.piece_count
        section.header_size = 0
        section.group = NONE
        section.mixed = False
        section.spans = 0
        self.resource_count += 1
        return 0

    cdef int add_scope(self, bytes_t start, size_t size) except -1:
        cdef Section* section
        reserve(<void**>&self.scopes, &self.scopes_room, self.scope_count, sizeof(Section))
        section = &self.scopes[self.scope_count]
        section.start, section.size = start, size
        section.parent = self.resource_count - 1
        section.first_piece = section.last_piece = self.piece_count
        section.header_size = 0
        self.scope_count += 1
        return 0

    # Puts a span of the newest scope into the group of its trace.
    cdef Group* add_span(self, bytes_t trace_id, bytes_t start, size_t size) except NULL:
        cdef uint32_t index = self.group_of(trace_id)
        cdef uint32_t scope = self.scope_count - 1
        cdef Section* resource = &self.resources[self.resource_count - 1]
        cdef Group* group = &self.groups[index]
        cdef Run* run
        cdef Span* span
        reserve(<void**>&self.spans, &self.spans_room, self.span_count, sizeof(Span))
        resource.spans += 1
        if resource.group != index:
            if resource.group == NONE:
                resource.group = index
            else:
                resource.mixed = True
        if group.last_run == NONE or self.runs[group.last_run].scope != scope:
            reserve(<void**>&self.runs, &self.runs_room, self.run_count, sizeof(Run))
            run = &self.runs[self.run_count]
            run.scope = scope
            run.first_span = self.span_count
            run.next = NONE
            run.size = 0
            if group.last_run == NONE:
                group.first_run = self.run_count
            else:
                self.runs[group.last_run].next = self.run_count
            group.last_run = self.run_count
            self.run_count += 1
        else:
            run = &self.runs[group.last_run]
            self.spans[run.last_span].next = self.span_count
        run.last_span = self.span_count
        run.size += size
        span = &self.spans[self.span_count]
        span.piece.start = start
        span.piece.size = size
        span.next = NONE
        self.span_count += 1
        group.span_count += 1
        return group

    cdef uint32_t group_of(self, bytes_t trace_id) except NONE:
        cdef uint64_t id[2]
        cdef uint32_t slot, index
        cdef Group* group
        memcpy(id, trace_id, 16)
        if self.last_group != NONE:
            group = &self.groups[self.last_group]
            if group.id[0] == id[0] and group.id[1] == id[1]:
                return self.last_group
        slot = <uint32_t>mix(id[0], id[1], self.seed) & self.slot_mask
        while True:
            index = self.slots[slot]
            if index == NONE:
                break
            group = &self.groups[index]
            if group.id[0] == id[0] and group.id[1] == id[1]:
                self.last_group = index
                return index
            slot = (slot + 1) & self.slot_mask
        reserve(<void**>&self.groups, &self.groups_room, self.group_count, sizeof(Group))
        index = self.group_count
        group = &self.groups[index]
        group.id[0], group.id[1] = id[0], id[1]
        group.first_run = group.last_run = NONE
        group.span_count = 0
        clear_facts(&group.facts)
        self.slots[slot] = index
        self.group_count += 1
        self.last_group = index
        if self.group_count * 2 > self.slot_mask:
            self.rehash(self.group_count * 4)
        return index

    # An empty table of at least `size` slots (a few where 0), with the present groups put in where size is not 0.
    cdef int rehash(self, uint32_t size) except -1:
        cdef uint32_t count = FIRST_SLOTS
        cdef uint32_t index, slot
        cdef uint32_t* moved
        while count < size:
            count *= 2
        if self.slot_mask + 1 != count or self.slots == NULL:
            moved = <uint32_t*>PyMem_Realloc(self.slots, count * sizeof(uint32_t))
            if moved == NULL:
                raise MemoryError
            self.slots = moved
            self.slot_mask = count - 1
        memset(self.slots, 0xFF, count * sizeof(uint32_t))
        if size != 0:
            for index in range(self.group_count):
                slot = <uint32_t>mix(self.groups[index].id[0], self.groups[index].id[1], self.seed) & self.slot_mask
                while self.slots[slot] != NONE:
                    slot = (slot + 1) & self.slot_mask
                self.slots[slot] = index
        return 0

    cdef size_t scope_size(self, Run* run) noexcept nogil:
        return self.scopes[run.scope].header_size + run.size

    # The size of a ResourceSpans with the runs from `run_index` on that lie in it; moves the index behind them.
    cdef size_t resource_size(self, uint32_t* run_index) noexcept nogil:
        cdef uint32_t resource = self.scopes[self.runs[run_index[0]].scope].parent
        cdef size_t size = self.resources[resource].header_size
        cdef Run* run
        while run_index[0] != NONE:
            run = &self.runs[run_index[0]]
            if self.scopes[run.scope].parent != resource:
                break
            size += field_size(self.scope_size(run))
            run_index[0] = run.next
        return size

    cdef size_t chunk_size(self, Group* group) noexcept nogil:
        cdef size_t size = 0
        cdef size_t content
        cdef uint32_t run = group.first_run
        cdef Section* resource
        while run != NONE:
            resource = &self.resources[self.scopes[self.runs[run].scope].parent]
            content = self.resource_size(&run)
            size += field_size(content) if resource.mixed else resource.size
        return size

    # The headers that every trace's chunk could repeat.
    cdef uint64_t repeated_bytes(self) noexcept nogil:
        cdef uint64_t size = 0
        cdef uint32_t index
        for index in range(self.resource_count):
            if self.resources[index].mixed:
                size += self.resources[index].header_size
        for index in range(self.scope_count):
            if self.resources[self.scopes[index].parent].mixed:
                size += self.scopes[index].header_size
        return size

    # The size of all chunks together.
    cdef uint64_t chunks_size(self) noexcept nogil:
        cdef uint64_t size = 0
        cdef uint32_t index
        for index in range(self.group_count):
            size += self.chunk_size(&self.groups[index])
        return size

    # Writes the chunk of a trace, chunk_size() bytes: a ResourceSpans of this trace alone as it is, others rebuilt.
    cdef uint8_t* write_chunk(self, Group* group, uint8_t* out) noexcept nogil:
        cdef uint32_t index = group.first_run
        cdef uint32_t stop, span
        cdef size_t content
        cdef Section* resource
        cdef Run* run
        while index != NONE:
            run = &self.runs[index]
            resource = &self.resources[self.scopes[run.scope].parent]
            stop = index
            content = self.resource_size(&stop)
            if not resource.mixed:
                out = write_bytes(out, resource.start, resource.size)
                index = stop
                continue
            out[0] = 0x0A
            out = write_varint(out + 1, content)
            out = write_pieces(out, self.pieces, resource)
            while index != stop:
                run = &self.runs[index]
                out[0] = 0x12
                out = write_varint(out + 1, self.scope_size(run))
                out = write_pieces(out, self.pieces, &self.scopes[run.scope])
                span = run.first_span
                while span != NONE:
                    out = write_bytes(out, self.spans[span].piece.start, self.spans[span].piece.size)
                    span = self.spans[span].next
                index = run.next
        return out
