"""What an installation needs for a given load: the calculator behind `tailsampler size`."""

from sampler.sizing.model import Sizing, size
from sampler.sizing.workload import Prices, Workload

__all__ = ["Prices", "Sizing", "Workload", "size"]
