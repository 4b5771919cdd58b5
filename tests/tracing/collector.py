# SPDX-License-Identifier: MIT
"""A collector: takes spans by OTLP over HTTP, as Protobuf, and keeps them."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.running import eventually


@dataclass(frozen=True)
class Exported:
    service: str
    name: str
    trace: str
    id: str
    parent: str
    error: str | None


@dataclass
class Collector:
    url: str = ""
    spans: list[Exported] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    async def one(self, name: str) -> Exported:
        """Waits for the span whose name begins so."""

        async def is_there() -> bool:
            return bool(self._named(name))

        await eventually(is_there)
        [span] = self._named(name)
        return span

    def _named(self, name: str) -> list[Exported]:
        return [each for each in self.spans if each.name.startswith(name)]

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                [length] = re.findall(rb"(?i)content-length: (\d+)", head)
                self._take(await reader.readexactly(int(length)))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except asyncio.IncompleteReadError:  # the process has ended
            writer.close()

    def _take(self, body: bytes) -> None:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            facts = {each.key: each.value.string_value for each in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                told = {each.key: each.value.string_value for each in span.attributes}
                self.spans.append(
                    Exported(
                        facts["service.name"],
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        told.get("error.type"),
                    )
                )


@asynccontextmanager
async def a_collector() -> AsyncIterator[Collector]:
    collector = Collector()
    server = await asyncio.start_server(collector.handle, "127.0.0.1", 0)
    collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield collector
    finally:
        server.close()
