"""`tailsampler demo`: the whole pipeline on one machine, fed with traces, and what came of it.

`command` is the way through; `stack` starts broker, agent and worker (`children`), `publish` sends traces, `reader`
reads the sampled topic, `progress` shows the way, `closing` the end, `waterfall` draws a trace, `style` colours.
"""

from sampler.demo.command import run_demo

__all__ = ["run_demo"]
