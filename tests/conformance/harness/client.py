"""A client of hydrogen-protocol."""

import asyncio
import contextlib
import itertools
import json
import re
import ssl

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

CATEGORIES = {
    "connection": "server_full draining tls_failed handshake_timeout slow_consumer",
    "protocol": "bad_json bad_envelope bad_type too_large too_deep unsupported",
    "authentication": "unauthenticated forbidden expired bad_signature replayed rate_limited blocked",
    "application": "no_handler no_topic bad_data not_found conflict timeout unavailable storage_full internal",
}
CATEGORY_OF = {code: category for category, codes in CATEGORIES.items() for code in codes.split()}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def check_error(error, *codes):
    """An error as the protocol has it, with one of these codes."""
    assert CATEGORY_OF.get(error["code"]) == error["category"], error
    assert isinstance(error["message"], str) and error["message"], error
    assert isinstance(error["retryable"], bool), error
    assert isinstance(error.get("retry_after_ms", 0), int), error
    assert not codes or error["code"] in codes, error
    return error


class Refused(Exception):
    """The handshake was answered with something else than 101."""

    def __init__(self, response):
        super().__init__(f"{response.status_code} {response.body!r}")
        self.status = response.status_code
        self.headers = response.headers
        self.error = json.loads(response.body)["error"]


class Message(dict):
    """A message, with the text that it came as."""

    raw = ""


class Client:
    ids = itertools.count(1)

    def __init__(self, socket):
        self.socket = socket
        self.waiting = {}
        self.events = asyncio.Queue()
        self.others = asyncio.Queue()
        self.responses = []
        self.paused = asyncio.Event()
        self.paused.set()
        self.reader = asyncio.create_task(self.read())

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, server, token=None, *, protocols=("hydrogen-protocol",), headers=None, path="/", origin=None, **kwargs):
        """Connected, with a token in the Authorization header if one is given."""
        headers = dict(headers or {})
        if token:
            headers.setdefault("Authorization", f"Key {token}")
        context = None
        if server.tls:
            context = kwargs.pop("ssl", None) or ssl._create_unverified_context()
        try:
            socket = await connect(
                server.ws_url + path, subprotocols=list(protocols) or None, additional_headers=headers, origin=origin, ssl=context,
                max_size=None, ping_interval=None, compression=None, proxy=None, open_timeout=8, close_timeout=3, **kwargs,
            )
        except InvalidStatus as refused:
            raise Refused(refused.response) from None
        client = cls(socket)
        try:
            yield client
        finally:
            await socket.close()
            client.reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await client.reader

    @property
    def protocol(self):
        return self.socket.subprotocol

    async def read(self):
        try:
            async for text in self.socket:
                assert isinstance(text, str), "the server sends text only"
                message = Message(json.loads(text))
                message.raw = text
                kind = message.get("type")
                if kind == "response":
                    self.responses.append(message)
                    waiting = self.waiting.pop(message.get("id"), None)
                    if waiting and not waiting.done():
                        waiting.set_result(message)
                    else:
                        self.others.put_nowait(message)
                elif kind == "event":
                    self.events.put_nowait(message)
                else:
                    self.others.put_nowait(message)
        except ConnectionClosed:
            pass
        finally:
            for waiting in self.waiting.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionError(f"closed with {self.socket.close_code}"))

    async def text(self, text):
        await self.socket.send(text)

    async def send(self, message):
        await self.text(json.dumps(message))

    def expect(self, id):
        waiting = asyncio.get_running_loop().create_future()
        self.waiting[id] = waiting
        return waiting

    async def command(self, action, data=None, *, channel="system", id=None, timeout=5, raw_data=None, **more):
        """Sends a command; gives its response, whichever it is, after checking its form."""
        id = id or f"c-{next(self.ids)}"
        envelope = {"type": "command", "id": id, "channel": channel, "action": action, **more}
        if data is not None:
            envelope["data"] = data
        text = json.dumps(envelope)
        if raw_data is not None:
            text = text[:-1] + ',"data":' + raw_data + "}"
        waiting = self.expect(id)
        await self.text(text)
        response = await asyncio.wait_for(waiting, timeout)
        assert response["channel"] == channel and response["action"] == action, response
        self.check_response(response)
        return response

    @staticmethod
    def check_response(response):
        assert response["type"] == "response" and isinstance(response["id"], str), response
        assert TIMESTAMP.fullmatch(response["timestamp"]), response
        assert response["status"] in ("success", "error"), response
        if response["status"] == "error":
            assert "data" not in response, response
            check_error(response["error"])
        else:
            assert "error" not in response, response

    async def ok(self, action, data=None, **kwargs):
        """The data of a command that succeeds."""
        response = await self.command(action, data, **kwargs)
        assert response["status"] == "success", response
        return response.get("data")

    async def error(self, codes, action, data=None, **kwargs):
        """The error of a command that fails with one of these codes."""
        response = await self.command(action, data, **kwargs)
        assert response["status"] == "error", response
        return check_error(response["error"], *codes.split())

    async def subscribe(self, *topics, **options):
        return await self.ok("subscribe", {"topics": list(topics), **options})

    async def publish(self, topic, payload=None, **options):
        return await self.ok("publish", {"topic": topic, "payload": payload, **options})

    async def guaranteed(self, topic, payload=None, *, id=None, **options):
        """The answer to a publish that is on disk."""
        data = {"topic": topic, "payload": payload, "guarantee": "at_least_once", **options}
        return await self.ok("publish", data, id=id)

    async def subscribe_guaranteed(self, *topics, **options):
        return await self.subscribe(*topics, guarantee="at_least_once", **options)

    async def ack(self, *events):
        """Acks these events, in one message."""
        ids = [event if isinstance(event, str) else event["id"] for event in events]
        await self.send({"type": "ack", "id": ids[0]} if len(ids) == 1 else {"type": "ack", "ids": ids})

    async def ack_through(self, event):
        await self.send({"type": "ack", "topic": topic_of(event), "through": event["offset"]})

    async def reject(self, event, reason=None):
        await self.send({"type": "ack", "id": event["id"], "status": "reject"} | ({"reason": reason} if reason else {}))

    async def take(self, topic, count, *, ack=True, timeout=5):
        """So many events of this topic, each acked as it comes."""
        taken = []
        for _ in range(count):
            event = await self.event(topic, timeout)
            taken.append(event)
            if ack:
                await self.ack(event)
        return taken

    async def quiet(self, prefix, seconds=0.3):
        """Nothing of these topics comes for a while."""
        await asyncio.sleep(seconds)
        assert await self.events_now(prefix) == []

    async def other(self, timeout=5):
        """The next message that is neither an event nor awaited."""
        return await asyncio.wait_for(self.others.get(), timeout)

    async def event(self, topic=None, timeout=5):
        """The next event (of this topic; others before it are passed over)."""
        async with asyncio.timeout(timeout):
            while True:
                event = await self.events.get()
                if topic in (None, topic_of(event)):
                    assert TIMESTAMP.fullmatch(event["timestamp"]) and isinstance(event["id"], str), event
                    return event

    async def events_now(self, prefix=""):
        """The events that are there after a round trip."""
        await self.ok("ping", {})
        found = []
        while not self.events.empty():
            found.append(self.events.get_nowait())
        return [event for event in found if topic_of(event).startswith(prefix)]

    async def session(self):
        event = await self.event("system.session")
        return event["data"]

    async def closed(self, timeout=10):
        """Waits for the end: (code, reason)."""
        await asyncio.wait_for(asyncio.shield(self.reader), timeout)
        return self.socket.close_code, self.socket.close_reason


def topic_of(event):
    return f"{event['channel']}.{event['action']}"
