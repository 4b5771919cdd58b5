# SPDX-License-Identifier: MIT
"""The API of JetStream for one stream: its configuration, and the messages that it holds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from service.relay.connection import Connection
from service.relay.errors import BrokerUnavailable, StreamMissing
from service.relay.responsiveness import has_no_responder
from service.relay.stored import StoredMessage

_MESSAGE_NOT_FOUND = 10037
_STREAM_NOT_FOUND = 10059


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """`subjects`: how many different subjects its messages have."""

    config: StreamConfig
    first_sequence: int
    last_sequence: int
    messages: int
    subjects: int


class StreamApi:
    """Every method raises BrokerUnavailable."""

    def __init__(self, connection: Connection, name: str) -> None:
        self.name = name
        self._connection = connection

    async def state(self) -> StreamState:
        answer = await self._call("INFO", {})
        state = answer["state"]
        return StreamState(
            config=StreamConfig.from_response(answer["config"]),
            first_sequence=state["first_seq"],
            last_sequence=state["last_seq"],
            messages=state["messages"],
            subjects=state.get("num_subjects", 0),
        )

    async def create(self, config: StreamConfig) -> None:
        await self._call("CREATE", config.as_dict())

    async def message(self, sequence: int) -> StoredMessage | None:
        return await self._get(seq=sequence)

    async def last_message(self, subject: str) -> StoredMessage | None:
        return await self._get(last_by_subj=subject)

    async def next_message(self, subject: str, sequence: int) -> StoredMessage | None:
        """The first message with the subject, from this sequence on."""
        return await self._get(next_by_subj=subject, seq=sequence)

    async def purge(self, subject: str) -> int:
        """Deletes the messages whose subjects match; returns their number."""
        answer = await self._call("PURGE", {"filter": subject})
        return int(answer["purged"])

    async def delete(self, sequence: int) -> bool:
        """Deletes a message; False if it is gone already."""
        answer = await self._ask("MSG.DELETE", {"seq": sequence})
        if "error" in answer and await self.message(sequence) is None:
            return False
        self._require_success(answer)
        return True

    async def _get(self, **query: Any) -> StoredMessage | None:
        answer = await self._ask("MSG.GET", query)
        if error_code(answer) == _MESSAGE_NOT_FOUND:
            return None
        return StoredMessage.from_answer(self._require_success(answer)["message"])

    async def _call(self, endpoint: str, given: Mapping[str, Any]) -> dict[str, Any]:
        return self._require_success(await self._ask(endpoint, given))

    async def _ask(self, endpoint: str, given: Mapping[str, Any]) -> dict[str, Any]:
        await self._connection.wait_until_connected()
        link = self._connection.require()
        subject, reply = f"$JS.API.STREAM.{endpoint}.{self.name}", link.new_reply()
        body = json.dumps(given).encode()
        command = f"PUB {subject} {reply} {len(body)}\r\n".encode() + body + b"\r\n"
        answer = await link.request(command, reply, subject=subject, permission=subject)
        if has_no_responder(answer):
            raise BrokerUnavailable("JetStream is not enabled on it")
        return parse_answer(answer)

    def _require_success(self, answer: dict[str, Any]) -> dict[str, Any]:
        if error_code(answer) == _STREAM_NOT_FOUND:
            raise StreamMissing(self.name)
        if "error" in answer:
            words = self._connection.quote(error_text(answer))
            raise BrokerUnavailable(f"JetStream refuses: {words}")
        return answer


def parse_answer(answer: Msg) -> dict[str, Any]:
    """Raises BrokerUnavailable: a subscriber that is not JetStream may have answered first."""
    try:
        found = json.loads(answer.data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BrokerUnavailable("something that is not JetStream answers")
    return found


def error_code(answer: Mapping[str, Any]) -> int | None:
    error = answer.get("error")
    return error.get("err_code") if isinstance(error, dict) else None


def error_text(answer: Mapping[str, Any]) -> str:
    error = answer["error"]
    return str(error.get("description")) if isinstance(error, dict) else str(error)
