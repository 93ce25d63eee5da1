"""Signed commands: Ed25519 and HMAC-SHA256, what they cover, and that each is good once."""

import base64
import datetime
import hashlib
import hmac
import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from harness import Client, Server, grows

CONFIG = {"Security": {"SensitiveActions": ["system.disconnect", "system.publish"], "SignatureSkew": 30}}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


PRIVATE = Ed25519PrivateKey.generate()
SECRET = os.urandom(32)
SIGNERS = {
    "pair": lambda text: b64(PRIVATE.sign(text)),
    "shared": lambda text: b64(hmac.new(SECRET, text, hashlib.sha256).digest()),
}


@pytest.fixture(scope="module")
def server():
    server = Server(CONFIG)
    for name in ("pair", "shared", "unsigned"):
        server.key(name, "connect", "publish:>")
    server.signing("pair", "ed25519", b64(PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)))
    server.signing("shared", "hmac_sha256", b64(SECRET))
    server.admin
    server.start()
    yield server
    try:
        server.check_sound()
        assert server.stop() == 0
    finally:
        server.remove()


def now(offset_s=0):
    time = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=offset_s)
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03}Z"


def signed(signer, *, id=None, timestamp=None, data='{"topic":"signed.a","payload": [1,  2.50]}', sign=None, **over):
    """A signed publish as text; `sign` and `over` make what is signed and what is sent differ."""
    id = id or f"s-{os.urandom(6).hex()}"
    timestamp = timestamp or now()
    fields = {"type": "command", "id": id, "timestamp": timestamp, "channel": "system", "action": "publish"}
    text = "\n".join(["hydrogen-v1", *(fields | (sign or {})).values(), (sign or {}).get("data", data)])
    signature = SIGNERS[signer](text.encode())
    envelope = {"type": fields["type"], "id": id, "timestamp": timestamp, "channel": "system", "action": "publish"} | over
    return id, json.dumps(envelope)[:-1] + f',"data":{data},"auth":{{"signature":"{signature}"}}}}'


async def sent(client, message):
    id, text = message
    waiting = client.expect(id)
    await client.text(text)
    response = await waiting
    return response.get("error", {}).get("code") or response["status"]


@pytest.mark.parametrize("signer", SIGNERS)
async def test_a_signed_command_is_obeyed(server, signer):
    async with Client.open(server, server.tokens[signer]) as client:
        assert await sent(client, signed(signer)) == "success"
        assert await sent(client, signed(signer, data='{ "topic":"signed.a",\t"payload":"ü\\u00fc😀" }')) == "success"


@pytest.mark.parametrize("signer", SIGNERS)
async def test_a_command_is_good_once(server, signer):
    message = signed(signer)
    async with Client.open(server, server.tokens[signer]) as one, Client.open(server, server.tokens[signer]) as two:
        assert await sent(one, message) == "success"
        async with grows(server, "errors_total", code="replayed", by=2):
            assert await sent(one, message) == "replayed"
            assert await sent(two, message) == "replayed"


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("offset_s", [-3600, -45, 45, 3600])
async def test_a_timestamp_outside_the_skew_is_refused(server, signer, offset_s):
    async with Client.open(server, server.tokens[signer]) as client:
        assert await sent(client, signed(signer, timestamp=now(offset_s))) == "replayed"


CHANGED = {
    "id": {"sign": {"id": "another"}},
    "timestamp": {"sign": {"timestamp": "2026-01-01T00:00:00.000Z"}},
    "channel": {"sign": {"channel": "print"}},
    "action": {"sign": {"action": "disconnect"}},
    "data": {"sign": {"data": '{"topic":"signed.b","payload": [1,  2.50]}'}},
    "white space in the data": {"sign": {"data": '{"topic":"signed.a","payload": [1, 2.50]}'}},
}


@pytest.mark.parametrize("signer", SIGNERS)
@pytest.mark.parametrize("what", CHANGED)
async def test_whatever_is_changed_breaks_the_signature(server, signer, what):
    async with Client.open(server, server.tokens[signer]) as client:
        async with grows(server, "errors_total", code="bad_signature"):
            assert await sent(client, signed(signer, **CHANGED[what])) == "bad_signature"
        await client.ok("ping", {})


async def test_a_command_without_a_signature_is_refused(server):
    async with Client.open(server, server.tokens["pair"]) as client:
        await client.error("bad_signature", "publish", {"topic": "signed.a", "payload": 1})
        await client.error("bad_signature", "publish", {"topic": "signed.a", "payload": 1}, auth={"signature": "AAAA"}, timestamp=now())
        await client.ok("ping", {})


async def test_anothers_signature_is_refused(server):
    async with Client.open(server, server.tokens["shared"]) as client:
        assert await sent(client, signed("pair")) == "bad_signature"
    async with Client.open(server, server.tokens["unsigned"]) as client:
        assert await sent(client, signed("pair")) == "bad_signature"


async def test_a_broken_signature_uses_up_no_id(server):
    async with Client.open(server, server.tokens["pair"]) as client:
        id, timestamp = "kept-" + os.urandom(4).hex(), now()
        assert await sent(client, signed("pair", id=id, timestamp=timestamp, sign={"action": "x"})) == "bad_signature"
        assert await sent(client, signed("pair", id=id, timestamp=timestamp)) == "success"


async def test_a_credential_on_each_message_where_it_is_asked_for(start):
    server = start({"WebSocketServer": {"AuthPerMessage": True}})
    async with Client.open(server, server.admin) as client:
        await client.error("unauthenticated", "ping", {})
        await client.error("unauthenticated", "ping", {}, auth={"token": "hyd1.wrong"})
        await client.ok("ping", {}, auth={"token": server.admin})
