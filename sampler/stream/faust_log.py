"""Where our subclasses of Faust's classes write what Faust says in them."""

from __future__ import annotations

import logging

FAUST_LOG = logging.getLogger("faust.tailsampler")
"""A name of Faust's, so that its lines on every start and stop are quiet where Faust is (`sampler.cli.logs`). By
default a subclass writes under the name of its own module."""
