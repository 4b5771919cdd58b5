# SPDX-License-Identifier: MIT
"""An example of a consumer: posts each event to a URL, signed.

    CONSUMER_NATS_URL=nats://… WEBHOOK_URL=https://… WEBHOOK_SECRET=whsec_… \\
        python docs/examples/webhooks.py

The body is the event (CloudEvents 1.0, structured mode), and the signature that of Standard
Webhooks (https://www.standardwebhooks.com). docs/consumers.md explains it.
"""

import asyncio
import hmac
import json
import logging
import os
import time
from base64 import b64decode, b64encode

import httpx2
from nats.aio.msg import Msg

from subscription import RejectedError, RetryLaterError, Subscription, read

TRIES = 12
"""With the delays below, the last try comes about 18 hours after the first one."""

DELAY_MAX_SECONDS = 3600 * 4
TIMEOUT_SECONDS = 10
"""Shorter than `ack_wait`, or the message would be posted again meanwhile."""

ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype")
OPTIONAL = ("traceparent",)


class Webhook:
    """`retry_after`: seconds until the second try; four times as long after each further one."""

    def __init__(
        self, client: httpx2.AsyncClient, url: str, secret: str, retry_after: float
    ) -> None:
        self._client = client
        self._url = url
        self._key = b64decode(secret.removeprefix("whsec_"), validate=True)
        self._retry_after = retry_after

    async def post(self, message: Msg) -> None:
        """Any answer of 200 to 299 is success; 410 says that the event is not wanted."""
        body = render(message)
        given = message.headers or {}
        headers = self._sign(given["ce-id"], body)
        if "ce-traceparent" in given:
            headers["traceparent"] = given["ce-traceparent"]
        try:
            answer = await self._client.post(self._url, content=body, headers=headers)
        except httpx2.TransportError as exc:
            self._give_up_or_retry(message, repr(exc))
            return
        if answer.is_success:
            return
        if answer.status_code == httpx2.codes.GONE:
            raise RejectedError("the receiver answers 410")
        self._give_up_or_retry(message, f"the receiver answers {answer.status_code}")

    def _give_up_or_retry(self, message: Msg, reason: str) -> None:
        tries = message.metadata.num_delivered
        if tries >= TRIES:
            raise RejectedError(f"{reason}, after {tries} tries")
        raise RetryLaterError(reason, min(self._retry_after * 4 ** (tries - 1), DELAY_MAX_SECONDS))

    def _sign(self, event_id: str, body: bytes) -> dict[str, str]:
        """A new time and signature for each try; the id stays."""
        timestamp = str(int(time.time()))
        signed = b".".join((event_id.encode(), timestamp.encode(), body))
        signature = b64encode(hmac.digest(self._key, signed, "sha256")).decode()
        return {
            "Content-Type": "application/cloudevents+json",
            "webhook-id": event_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": f"v1,{signature}",
        }


def render(message: Msg) -> bytes:
    """Raises RejectedError if the message is not an event."""
    headers = message.headers or {}
    try:
        given = [name for name in OPTIONAL if f"ce-{name}" in headers]
        attributes = {name: headers[f"ce-{name}"] for name in (*ATTRIBUTES, *given)}
        return json.dumps({**attributes, "data": json.loads(message.data)}).encode()
    except (KeyError, ValueError) as exc:
        raise RejectedError(f"it is not an event ({exc!r})") from None


async def main() -> None:
    logging.basicConfig(format="%(levelname)s: %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    subscription = Subscription(
        nats_url=os.environ["CONSUMER_NATS_URL"], durable="webhooks", ack_wait=30, batch=1
    )
    async with httpx2.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
        retry_after = float(os.environ.get("CONSUMER_RETRY_SECONDS", "1"))
        webhook = Webhook(
            client, os.environ["WEBHOOK_URL"], os.environ["WEBHOOK_SECRET"], retry_after
        )
        await read(subscription, webhook.post)


if __name__ == "__main__":
    asyncio.run(main())
