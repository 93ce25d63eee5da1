"""permessage-deflate (RFC 7692): offers and answers, compressed events, responses and commands, and what is cut off."""

import hashlib
import json
import zlib

import pytest
from harness import Client, Raw, Refused, frame, grows
from harness.raw import CONTINUATION, PING, TEXT
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Deflate

EACH_SHAPE = True
LIMIT = 64 * 1024
CONFIG = {"WebSocketServer": {"MaxMessageSize": LIMIT, "CloseTimeout": 1, "Compression": {"Enabled": True, "Threshold": 256}}}

NAME = "permessage-deflate"
OFFERED = f"Sec-WebSocket-Extensions: {NAME}\r\n"
WORDS = "again and again " * 200


def offer(*, takeover=True, server_bits=None, client_bits=True):
    """A client that compresses with, or without, its history, if the server lets it."""
    return Deflate(client_no_context_takeover=not takeover, server_max_window_bits=server_bits, client_max_window_bits=client_bits)


def deflated(text, level=9):
    compress = zlib.compressobj(level, zlib.DEFLATED, -15)
    return (compress.compress(text.encode()) + compress.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def response(raw):
    while True:
        found = await raw.frame()
        payload = zlib.decompress(found.payload + b"\0\0\xff\xff\x03\0", -15) if found.rsv else found.payload
        message = json.loads(payload)
        if message["type"] == "response":
            return message


def agreed(client):
    """What was agreed, as the server said it."""
    return client.socket.response.headers.get("Sec-WebSocket-Extensions")


@pytest.mark.parametrize(
    "offered,answer",
    [
        (NAME, "client_no_context_takeover"),
        (f"{NAME}; client_max_window_bits", "client_no_context_takeover"),
        (f"{NAME}; client_max_window_bits=8", "client_no_context_takeover"),
        (f"{NAME}; server_max_window_bits=15", "client_no_context_takeover; server_max_window_bits=15"),
        (f'{NAME}; server_max_window_bits="12"', "client_no_context_takeover; server_max_window_bits=12"),
        (f"{NAME}; server_max_window_bits=8", None),
        (f"{NAME}; server_max_window_bits", None),
        (f"{NAME}; server_max_window_bits=16", None),
        (f"{NAME}; server_max_window_bits=09", None),
        (f"{NAME}; client_no_context_takeover; client_no_context_takeover", None),
        (f"{NAME}; client_no_context_takeover=1", None),
        (f"{NAME}; unknown", None),
        (f"{NAME}; unknown, {NAME}", "client_no_context_takeover"),
        (f"{NAME}; server_max_window_bits=8, x-other; a=b, {NAME}; server_max_window_bits=9", "client_no_context_takeover; server_max_window_bits=9"),
        ("x-webkit-deflate-frame", None),
        (",,", None),
    ],
)
async def test_the_answer_names_what_was_agreed(server, offered, answer):
    async with await Raw.open(server) as raw:
        answered = await raw.upgrade(server, server.admin, extra=f"Sec-WebSocket-Extensions: {offered}\r\n")
        assert answered.status == 101
        wanted = answer and f"{NAME}; server_no_context_takeover; {answer}"
        assert answered.headers.get("sec-websocket-extensions") == wanted


@pytest.mark.parametrize("offered", [f"{NAME};", f"{NAME} x", f"{NAME}; a=", f'{NAME}; a="1', f'{NAME}; a="1 2"', "=", "a/b"])
async def test_an_offer_that_breaks_the_grammar_is_refused(server, offered):
    with pytest.raises(Refused) as refused:
        async with Client.open(server, server.admin, headers={"Sec-WebSocket-Extensions": offered}):
            pass
    assert (refused.value.status, refused.value.error["code"]) == (400, "bad_envelope")


@pytest.mark.parametrize("takeover", [True, False])
@pytest.mark.parametrize("bits", [None, 9, 12, 15])
async def test_events_responses_and_commands_are_compressed(server, names, bits, takeover):
    topic = f"{names()}.a"
    async with Client.open(server, server.admin, extensions=[offer(takeover=takeover, server_bits=bits)]) as client, Client.open(server, server.admin) as plain:
        assert agreed(client).startswith(NAME) and agreed(plain) is None
        await client.subscribe(topic)
        await plain.subscribe(topic)
        async with grows(server, "compressed_messages_total", by=10, direction="sent"):
            async with grows(server, "compressions_total", by=10, result="smaller"):
                for number in range(10):
                    await plain.publish(topic, {"number": number, "words": WORDS})
                for receiver in (client, plain):
                    for number in range(10):
                        assert (await receiver.event(topic))["data"] == {"number": number, "words": WORDS}
        async with grows(server, "compressed_messages_total", by=5, direction="received"):
            for number in range(5):
                assert (await client.ok("ping", {"words": WORDS, "number": number}))["number"] == number


async def test_an_event_is_compressed_once_for_many(server, names):
    topic = f"{names()}.a"
    clients = [Client.open(server, server.admin, extensions=[offer()]) for _ in range(8)]
    opened = [await client.__aenter__() for client in clients]
    try:
        assert server.metrics().value("compressed_connections") == 8
        for client in opened:
            await client.subscribe(topic)
        async with grows(server, "compressions_total"), grows(server, "compressed_messages_total", by=8, direction="sent"):
            async with Client.open(server, server.admin) as plain:
                await plain.publish(topic, WORDS)
            for client in opened:
                assert (await client.event(topic))["data"] == WORDS
    finally:
        for client in clients:
            await client.__aexit__(None, None, None)


async def test_a_client_may_refer_to_its_earlier_messages_where_that_is_configured(start):
    server = start({"WebSocketServer": {"Compression": {"Enabled": True, "ClientContextTakeover": True, "ClientWindowBits": 11}}})
    async with Client.open(server, server.admin, extensions=[offer()]) as client:
        assert agreed(client) == f"{NAME}; server_no_context_takeover; client_max_window_bits=11"
        text = hashlib.sha512(b"no word comes again").hexdigest()
        for number in range(20):
            assert (await client.ok("ping", {"number": number, "text": text}))["text"] == text
        compressed = server.metrics().value("compressed_message_bytes_total", direction="received")
        assert 64 < compressed < 20 * 64, "what came before is referred to: 64 bytes are in the text alone"


@pytest.mark.parametrize(
    "violation,code,frames",
    [
        ("inflated_too_large", 1009, [frame(TEXT, deflated(" " * (LIMIT + 1)), rsv=4)]),
        ("inflated_too_large", 1009, [frame(TEXT, deflated(" " * (32 << 20)), rsv=4)]),
        ("inflated_too_large", 1009, [frame(TEXT, deflated(" " * (1 << 20))[:500], rsv=4, fin=False), frame(CONTINUATION, deflated(" " * (1 << 20))[500:])]),
        ("deflate_data", 1002, [frame(TEXT, "{}", rsv=4)]),
        ("deflate_data", 1002, [frame(TEXT, deflated(WORDS)[:-3], rsv=4)]),
        ("deflate_data", 1002, [frame(TEXT, b"", rsv=4)]),
        ("invalid_utf8", 1007, [frame(TEXT, b"\x00\x01\x00\xfe\xff\xff\x00", rsv=4)]),
        ("reserved_bits", 1002, [frame(PING, b"", rsv=4)]),
        ("reserved_bits", 1002, [frame(TEXT, "a", fin=False), frame(CONTINUATION, b"\x00", rsv=4)]),
        ("reserved_bits", 1002, [frame(TEXT, b"\x00", fin=False, rsv=4), frame(CONTINUATION, b"", rsv=4)]),
        ("reserved_bits", 1002, [frame(TEXT, b"\x00", rsv=6)]),
    ],
)
async def test_what_cannot_be_taken_ends_the_connection(server, violation, code, frames):
    async with grows(server, "websocket_violations_total", violation=violation):
        async with await Raw.open(server) as raw:
            assert (await raw.upgrade(server, server.admin, extra=OFFERED)).status == 101
            for each in frames:
                await raw.send(each)
            assert (await raw.close_frame())[0] == code
            await raw.ended()


async def test_final_blocks_and_empty_messages_are_taken(server):
    ping = '{"type":"command","id":"%s","channel":"system","action":"ping","data":{}}'

    def ended(text):
        compress = zlib.compressobj(9, zlib.DEFLATED, -15)
        return compress.compress(text.encode()) + compress.flush(zlib.Z_FINISH)

    halves = ping % "b"
    payloads = {
        "a": ended(ping % "a") + b"\x00",
        "b": ended(halves[:20]) + ended(halves[20:]) + b"\x00",
        "c": ended(ping % "c"),
        "d": deflated(ping % "d", 0),
    }
    async with await Raw.open(server) as raw:
        await raw.upgrade(server, server.admin, extra=OFFERED)
        for id, payload in payloads.items():
            await raw.send(frame(TEXT, payload, rsv=4))
            message = await response(raw)
            assert (message["id"], message["status"]) == (id, "success")
        await raw.send(frame(TEXT, b"\x00", rsv=4))
        message = await response(raw)
        assert message["error"]["code"] == "bad_json"
