from sampler.otlp._compiled.annotate cimport Annotator
from sampler.otlp._compiled.grouping cimport Group, Grouping
from sampler.otlp._compiled.plan cimport NativePlan
from sampler.otlp._compiled.reading cimport Pass


cdef class Scanner:
    cdef Grouping scratch
    cdef Annotator annotator

    # Begin to use `work`: a plan (None where only the grouping is wanted), and scratch memory nobody else uses.
    cdef begin(self, Pass work, NativePlan plan)
    # Reads a record into the grouping of `work`; ScanError where it is no valid TracesData.
    cdef int read(self, Pass work, bytes record) except -1
    # Forgets the record, also after an error; every `begin` ends with one `done`.
    cdef done(self, Pass work)
    cdef list traces(self, Pass work, bytes record)
    cdef parts(self, Pass work, int partitions, int rule)


# The chunk of one trace of the record that was read last; its size is noted in the facts of the group.
cdef bytes chunk_of(Pass work, Group* group, bytes record)
