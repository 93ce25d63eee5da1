"""A client of the signaling dialect, in the words of both of its eras."""

import asyncio
import base64
import binascii
import contextlib
import itertools
import json
import os
import re
import ssl
from dataclasses import dataclass

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .client import Refused

ENCODINGS = ("base64", "object", "string", "bytes")
ROOM_ID = re.compile(r"[0-9a-f]{16}")
RANDOM_ID = re.compile(r"[0-9a-f]{8}")

# Limits that have tests of their own are out of the way of all others; and so are aliases, where peers compare their keys.
CONFIG = {
    "Signaling": {
        "Enabled": True,
        "Paths": ["/ws"],
        "Protocols": ["signaling"],
        "RateLimit": {"Requests": 0, "PeriodSeconds": 60},
        "PasswordLimit": {"Failures": 0, "PeriodSeconds": 3600},
        "SignalBytesPerSecond": 0,
        "PeerKeys": "real",
    }
}

# What comes at the opening of a connection, asked for or not, and is nobody's doing.
AT_OPENING = ("UserRooms", "ComputerNetworks", "ClientIPInfo", "Challenge")


@dataclass(frozen=True)
class Era:
    """The words of one version of the protocol: of the types, of the fields, and in the errors."""

    noun: str
    secret: str
    pattern_secret: str
    owner_and: str
    members: str
    member_name: str
    kick_answer: str
    rename_answer: str
    list: str
    listing: str
    peer_joined: str
    peer_connected: str
    peer_disconnected: str
    peer_left: str
    offer: str
    answer: str
    candidate: str
    target: str

    def __str__(self):
        return self.noun.lower()

    @property
    def id(self):
        return f"{self}_id"

    @property
    def name(self):
        return f"{self}_name"

    @property
    def rooms(self):
        return f"{self}s"

    def of(self, verb):
        """The request, as `Create` gives `CreateRoom`; or the notification, as `Deleted` gives `RoomDeleted`."""
        return f"{self.noun}{verb}" if verb.endswith("ed") else f"{verb}{self.noun}"

    def malformed(self, verb):
        return f"Invalid {verb.lower()} {self} request format"


ROOM = Era(
    noun="Room", secret="password", pattern_secret="Password", owner_and="Room name, password, and public key are required",
    members="users", member_name="username", kick_answer="KickSuccess", rename_answer="RenameSuccess", list="GetUserRooms",
    listing="UserRooms", peer_joined="PeerJoined", peer_connected="PeerConnected", peer_disconnected="PeerDisconnected",
    peer_left="PeerLeft", offer="Offer", answer="Answer", candidate="Candidate", target="destination_id",
)  # fmt: skip
NETWORK = Era(
    noun="Network", secret="pin", pattern_secret="PIN", owner_and="Network name, pin, and public key are required",
    members="computers", member_name="computername", kick_answer="KickResponse", rename_answer="RenameResponse",
    list="GetComputerNetworks", listing="ComputerNetworks", peer_joined="ComputerConnected", peer_connected="ComputerConnected",
    peer_disconnected="ComputerDisconnected", peer_left="ComputerLeft", offer="SdpOffer", answer="SdpAnswer",
    candidate="IceCandidate", target="target_public_key",
)  # fmt: skip
ERAS = (ROOM, NETWORK)


def random_key():
    """What a public key looks like; nobody has the private one."""
    return base64.b64encode(os.urandom(32)).decode()


def encoded(payload, encoding):
    """What stands at `payload` in an envelope. A `str` is taken as the JSON text itself."""
    text = payload if isinstance(payload, str) else json.dumps(payload)
    match encoding:
        case "base64":
            return json.dumps(base64.b64encode(text.encode()).decode())
        case "object":
            return text
        case "string":
            return json.dumps(text)
        case "bytes":
            return json.dumps(list(text.encode()))
    raise ValueError(encoding)


def decoded(payload):
    """The text of a payload that came, and how it was encoded."""
    match payload:
        case dict():
            return json.dumps(payload), "object"
        case list():
            return bytes(payload).decode(), "bytes"
        case str():
            with contextlib.suppress(binascii.Error, UnicodeDecodeError, ValueError):
                return base64.b64decode(payload, validate=True).decode(), "base64"
            return payload, "string"
    raise AssertionError(f"no encoding of a payload: {payload!r}")


class Message:
    """A message of the server, after checking its form."""

    def __init__(self, text):
        assert text.endswith("\n") and text.count("\n") == 1, f"one line: {text!r}"
        envelope = json.loads(text)
        assert set(envelope) == {"message_id", "type", "payload"}, text
        assert isinstance(envelope["message_id"], str) and isinstance(envelope["type"], str), text
        self.raw = text
        self.id, self.type = envelope["message_id"], envelope["type"]
        self.text, self.encoding = decoded(envelope["payload"])
        self.payload = json.loads(self.text)
        assert isinstance(self.payload, dict), text

    def __getitem__(self, name):
        return self.payload[name]

    def __repr__(self):
        return f"{self.type}({self.id!r}, {self.payload})"


class Peer:
    """One connection, with a key that it states in its requests."""

    ids = itertools.count(1)

    def __init__(self, socket, key, era, encoding, name):
        self.socket, self.key, self.era, self.encoding, self.name = socket, key, era, encoding, name
        self.order = []
        self.heard = []
        self.notes = []
        self.waiting = {}
        self.came = asyncio.Event()
        self.broken = None
        self.reader = asyncio.create_task(self.read())

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls, server, key=None, *, era=ROOM, encoding="base64", name="", announce=False, path="/ws", protocols=(), headers=None,
        address=None, **kwargs,
    ):  # fmt: skip
        """Connected; `announce` tells the key in the header, `address` is where from."""
        key = key or random_key()
        headers = dict(headers or {}) | ({"X-Client-ID": key, "User-Agent": "goVPN-Client/1.0"} if announce else {})
        context = ssl._create_unverified_context() if server.tls else None
        try:
            socket = await connect(
                server.ws_url + path, subprotocols=list(protocols) or None, additional_headers=headers, ssl=context, max_size=None,
                ping_interval=None, compression=None, proxy=None, open_timeout=8, close_timeout=3,
                local_addr=(address, 0) if address else None, **kwargs,
            )  # fmt: skip
        except InvalidStatus as refused:
            raise Refused(refused.response) from None
        peer = cls(socket, key, era, encoding, name)
        try:
            yield peer
        finally:
            await socket.close()
            peer.reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await peer.reader
            if peer.broken:
                raise peer.broken

    async def read(self):
        try:
            async for text in self.socket:
                assert isinstance(text, str), "the server sends text only"
                message = Message(text)
                self.order.append(message.type)
                self.heard.append(message)
                waiting = self.waiting.pop(message.id, None) if message.id else None
                if waiting and not waiting.done():
                    waiting.set_result(message)
                else:
                    self.notes.append(message)
                    self.came.set()
        except ConnectionClosed:
            pass
        except (AssertionError, ValueError) as broken:
            self.broken = broken
        finally:
            self.came.set()
            for waiting in self.waiting.values():
                if not waiting.done():
                    waiting.set_exception(self.broken or ConnectionError(f"closed with {self.socket.close_code}"))

    # -- requests

    async def send(self, type, payload, *, id="", encoding=None):
        """An envelope. A payload of `str` is the text of its JSON."""
        await self.text(f'{{"message_id":{json.dumps(id)},"type":{json.dumps(type)},"payload":{encoded(payload, encoding or self.encoding)}}}')

    async def text(self, text):
        await self.socket.send(text)

    def expect(self, id):
        self.waiting[id] = asyncio.get_running_loop().create_future()
        return self.waiting[id]

    def new_id(self):
        return f"{next(self.ids):08x}"

    async def request(self, type, payload, *, id=None, encoding=None, timeout=5):
        """The first message with the request's id, whichever it is."""
        id = id or self.new_id()
        answer = self.expect(id)
        await self.send(type, payload, id=id, encoding=encoding)
        return await asyncio.wait_for(answer, timeout)

    async def ok(self, type, payload, answer, **kwargs):
        """The payload of the answer, which is of this type."""
        message = await self.request(type, payload, **kwargs)
        assert message.type == answer, f"{type}: {message}, and not {answer}"
        return message.payload

    async def error(self, type, payload, **kwargs):
        """The text of the error."""
        message = await self.request(type, payload, **kwargs)
        assert message.type == "Error", f"{type}: {message}, and no error"
        assert set(message.payload) == {"error"}, message
        return message["error"]

    async def sync(self):
        """All that was sent before is dealt with by this connection's thread."""
        return await self.ok("Ping", {"action": "ping", "timestamp": 1}, "Ping")

    # -- what an era has a word for

    async def create(self, name="room", secret="1234", **more):
        payload = {self.era.name: name, self.era.secret: secret, "public_key": self.key} | more
        return (await self.ok(self.era.of("Create"), payload, self.era.of("Created")))[self.era.id]

    def joining(self, room, secret="1234", **more):
        named = {self.era.member_name: self.name} if self.name else {}
        return {self.era.id: room, self.era.secret: secret, "public_key": self.key} | named | more

    async def join(self, room, secret="1234", **more):
        return await self.ok(self.era.of("Join"), self.joining(room, secret, **more), self.era.of("Joined"))

    async def connect(self, room, **more):
        return await self.ok(self.era.of("Connect"), {self.era.id: room, "public_key": self.key} | more, self.era.of("Connected"))

    async def disconnect(self, room):
        return await self.ok(self.era.of("Disconnect"), {self.era.id: room}, self.era.of("Disconnected"))

    async def leave(self, room):
        return await self.ok(self.era.of("Leave"), {self.era.id: room, "public_key": self.key}, self.era.of("Leave"))

    async def rename(self, room, name):
        return await self.ok("Rename", {self.era.id: room, self.era.name: name, "public_key": self.key}, self.era.rename_answer)

    async def kick(self, room, target):
        return await self.ok("Kick", {self.era.id: room, "target_id": target, "public_key": self.key}, self.era.kick_answer)

    async def rooms(self):
        """The rooms of this key, by id."""
        answer = await self.ok(self.era.list, {"public_key": self.key}, self.era.listing)
        found = {each[self.era.id]: each for each in answer[self.era.rooms]}
        assert len(found) == len(answer[self.era.rooms]), answer
        return found

    def signal(self, kind, room, target, content):
        """Type and payload of an offer, an answer or a candidate, in this era's words."""
        if self.era is ROOM:
            return kind, {"room_id": room, "public_key": self.key, "destination_id": target, kind.lower(): content}
        keys = {"sender_public_key": self.key, "target_public_key": target}
        if kind == "Candidate":
            return self.era.candidate, keys | {"candidate": content, "sdp_mid": "0", "sdp_m_line_index": 0}
        return f"Sdp{kind}", keys | {"sdp": content}

    def content(self, kind, payload):
        """What an offer, an answer or a candidate carries."""
        return payload[kind.lower() if self.era is ROOM or kind == "Candidate" else "sdp"]

    # -- what comes unasked

    async def note(self, *types, timeout=5):
        """The next notification of one of these types; others before it stay where they are."""
        async with asyncio.timeout(timeout):
            while True:
                for at, message in enumerate(self.notes):
                    if message.type in types:
                        return self.notes.pop(at)
                if self.broken:
                    raise self.broken
                if self.reader.done():
                    raise ConnectionError(f"closed with {self.socket.close_code}; no {types} in {self.notes}")
                self.came.clear()
                try:
                    await self.came.wait()
                except asyncio.CancelledError:
                    print(f"no {types}; there is {self.notes}")
                    raise

    async def told(self, type, **fields):
        """A notification with these fields among its own, and the empty id."""
        message = await self.note(type)
        assert message.id == "", message
        for name, value in fields.items():
            assert message[name] == value, f"{name} is to be {value!r}: {message}"
        return message.payload

    async def meets(self, count=1):
        """So many peers are told of as joined, in all the words that this era has for it. The last one's payload."""
        for _ in range(count):
            if self.era is NETWORK:
                await self.note("ComputerJoined")
            met = await self.note(self.era.peer_joined)
        return met.payload

    async def quiet(self, seconds=0.2, besides=()):
        """Nothing has come, nor comes for a while."""
        await asyncio.sleep(seconds)
        await self.sync()
        left = [message for message in self.notes if message.type not in (*AT_OPENING, *besides)]
        assert left == [], left

    def forget(self):
        """What came so far is no matter."""
        self.notes.clear()

    async def closed(self, timeout=8):
        """Waits for the end: (code, reason)."""
        await asyncio.wait_for(asyncio.shield(self.reader), timeout)
        return self.socket.close_code, self.socket.close_reason

    def cut(self):
        """Ends the connection without a close frame."""
        self.socket.transport.abort()


@contextlib.asynccontextmanager
async def couple(server, era=ROOM, other=None, **joining):
    """Two in a room, who know each other's connections: the one who was there, the newcomer, the room."""
    async with Peer.open(server, era=era) as a, Peer.open(server, era=other or era, name="b") as b:
        room = await a.create()
        await b.join(room, **joining)
        a.of_other = await a.meets()
        b.of_other = await b.meets()
        yield a, b, room


async def open_way(a, b, room):
    """After an offer no candidate has to wait."""
    await a.send(*a.signal("Offer", room, b.key, "way"))
    await b.note(b.era.offer)
