"""What was there before sampling, from what was kept: counts, error rates and durations with confidence intervals.

statistics.py holds the formulas, gather.py brings kept spans together by trace and key, topic.py reads the sampled
topic, report.py prints.
"""

from sampler.estimate.gather import Gathered, KeySpec, Names
from sampler.estimate.statistics import Estimate, Interval, estimate, quantile, ratio

__all__ = ["Estimate", "Gathered", "Interval", "KeySpec", "Names", "estimate", "quantile", "ratio"]
