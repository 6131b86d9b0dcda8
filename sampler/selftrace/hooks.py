"""Spans around methods of objects that run already."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

Value = str | bool | int | float
Describe = Callable[..., Mapping[str, Value]]


def _nothing(*_: Any, **__: Any) -> Mapping[str, Value]:
    return {}


def hook(
    tracer: Tracer | None,
    owner: object,
    method: str,
    name: str,
    before: Describe = _nothing,
    after: Callable[[Any], Mapping[str, Value]] = _nothing,
) -> None:
    """Have `owner.method(...)` make a span `name` from now on; nothing at all where `tracer` is None.

    `before` gets the arguments of a call and `after` its result; they answer the span's attributes, and are asked only
    for spans that are recorded. What the method raises is recorded and goes on.
    """
    if tracer is None:
        return
    call = getattr(owner, method)

    if inspect.iscoroutinefunction(call):

        @functools.wraps(call)
        async def traced_async(*arguments: Any, **named: Any) -> Any:
            with tracer.start_as_current_span(name) as span:
                if not span.is_recording():
                    return await call(*arguments, **named)
                span.set_attributes(before(*arguments, **named))
                result = await call(*arguments, **named)
                span.set_attributes(after(result))
                return result

        setattr(owner, method, traced_async)
        return

    @functools.wraps(call)
    def traced(*arguments: Any, **named: Any) -> Any:
        with tracer.start_as_current_span(name) as span:
            if not span.is_recording():
                return call(*arguments, **named)
            span.set_attributes(before(*arguments, **named))
            result = call(*arguments, **named)
            span.set_attributes(after(result))
            return result

    setattr(owner, method, traced)
