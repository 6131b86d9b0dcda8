"""Gathering and deciding: plain synchronous code that takes time as an argument and knows nothing of Kafka or Faust.

`partition` is the way in: one `PartitionEngine` gathers the spans of one source partition (`trace_table` over
`chunk_store`, `spill`), finds out when a trace is due (`stream_time`, `deadlines`), lets the policy set decide, and
hands out `settlement`s: what must be written, what was decided, and the `watermark` behind it.
`decision_memory` and `decision_record` remember decisions for late spans and replays.
"""
