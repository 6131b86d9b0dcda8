"""The Faust app of a worker, the only place that knows Faust.

`transport` puts one event per partition and fetch into Faust's stream; the records come from `span_source`
(librdkafka), group membership, commits and changelogs stay with Faust. `pipeline` takes each event through the engine,
hands what must be written to `outputs` and what was decided to `decision_table`, and says how far may be committed.
`app` and `worker` put the parts together and run them.
"""
