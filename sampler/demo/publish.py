"""Sends traces to the agent over OTLP/gRPC, over time, as the services' SDKs would."""

from __future__ import annotations

import random
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from sampler.clock import monotonic_s, wall_ms
from sampler.generate.player import NS_PER_S, Player

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SENDERS = 8
RETRY_S = 30.0
CALL_S = 10.0
_RETRYABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED}


class PublishError(RuntimeError):
    """The agent refused spans for good."""


class Publisher:
    """Plays a schedule in threads of its own from `start` on."""

    def __init__(self, player: Player, target: str) -> None:
        self.sent_spans = 0
        self._player = player
        self._target = target
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Begin to play."""
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether everything has been sent and acknowledged; PublishError where something was refused."""
        if self._failure is not None:
            raise PublishError(f"the agent took no spans: {self._failure}") from self._failure
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Send no more, and wait for what is under way."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with grpc.insecure_channel(self._target) as channel, ThreadPoolExecutor(SENDERS) as pool:
                export = channel.unary_unary(METHOD)
                futures = self._play(pool, export)
                for future in futures:
                    future.result()
        except BaseException as error:  # noqa: BLE001, RUF100  # told by `done` in the main thread
            self._failure = error

    def _play(self, pool: ThreadPoolExecutor, export: grpc.UnaryUnaryMultiCallable) -> list[Future[None]]:
        player, futures = self._player, []
        batches = player.batches()
        start_s, start_unix_nano = monotonic_s(), wall_ms() * 1_000_000
        for batch in batches:
            wait_s = batch.due_ns / NS_PER_S - (monotonic_s() - start_s)
            if self._stop.wait(max(0.0, wait_s)) or self._failure is not None:
                break
            request = player.encode(batch, start_unix_nano).SerializeToString()
            futures.append(pool.submit(self._send, export, request, len(batch.spans)))
        return futures

    def _send(self, export: grpc.UnaryUnaryMultiCallable, request: bytes, spans: int) -> None:
        """One export, again and again while the agent asks to try later, as SDKs do."""
        deadline, wait_s = monotonic_s() + RETRY_S, 0.1
        while not self._stop.is_set():
            try:
                answer = ExportTraceServiceResponse.FromString(export(request, timeout=CALL_S))
            except grpc.RpcError as error:
                if error.code() not in _RETRYABLE or monotonic_s() > deadline:
                    raise
                self._stop.wait(wait_s * random.uniform(0.5, 1.5))
                wait_s = min(wait_s * 2, 2.0)
                continue
            if answer.partial_success.rejected_spans:
                raise PublishError(answer.partial_success.error_message)
            with self._lock:
                self.sent_spans += spans
            return
