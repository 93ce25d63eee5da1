"""Signaling: the envelope, its encodings, and what is no message at all."""

import asyncio
import base64
import json
import time

import pytest
from harness import Raw
from harness.raw import BINARY, TEXT, close_payload, frame
from harness.signaling import AT_OPENING, CONFIG, ENCODINGS, ERAS, Message, Peer, random_key

each_era = pytest.mark.parametrize("era", ERAS, ids=str)
UNREADABLE = "Invalid message format"


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


# -- encodings


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_each_encoding_is_taken_and_mirrored(server, encoding):
    async with Peer.open(server, encoding=encoding) as a:
        answer = await a.request("Ping", {"timestamp": "ü😀", "action": "ping"})
        assert answer.encoding == encoding and answer["client_timestamp"] == "ü😀"


async def test_the_last_encoding_of_a_connection_is_the_one_it_hears(server):
    """Answers, errors and notifications; each member of a room hears its own."""
    async with Peer.open(server) as a, Peer.open(server, encoding="object") as b:
        room = await a.create()
        await b.join(room)
        for encoding in (*ENCODINGS, *reversed(ENCODINGS)):
            a.encoding = encoding
            assert (await a.request("Rename", {"room_id": room, "room_name": encoding})).encoding == encoding
            assert (await a.note("RoomRenamed")).encoding == encoding
            assert (await b.note("RoomRenamed")).encoding == "object"
            assert (await a.request("Kick", {"room_id": room, "target_id": "x"})).encoding == encoding


async def test_base64_is_the_default(server):
    key = random_key()
    async with Peer.open(server, key, announce=True) as a:
        assert (await a.note("UserRooms")).encoding == "base64"


@pytest.mark.parametrize(
    "payload",
    [' {"timestamp":7} ', '\n{"timestamp":7,"more":[1,{"a":null}]}', '{"timestamp":7,"timestamps":{}}'],
)
@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_space_and_unknown_fields_are_no_matter(server, encoding, payload):
    async with Peer.open(server) as a:
        assert (await a.ok("Ping", payload, "Ping", encoding=encoding))["client_timestamp"] == 7


async def test_base64_may_be_folded(server):
    """As encoders of mail do, and decoders of Go let pass."""
    async with Peer.open(server) as a:
        for folded in (base64.encodebytes(b'{"timestamp": "%s"}' % (b"x" * 200)).decode(), "e3\r\n0=\n"):
            id = a.new_id()
            answer = a.expect(id)
            await a.text(json.dumps({"message_id": id, "type": "Ping", "payload": folded}))
            assert (await asyncio.wait_for(answer, 5)).encoding == "base64"


async def test_a_null_in_base64_is_an_empty_object(server):
    async with Peer.open(server) as a:
        assert (await a.ok("Ping", "null", "Ping"))["client_timestamp"] is None
        assert await a.error("CreateRoom", "null") == "Room name, password, and public key are required"


async def test_binary_messages_are_read_too(server):
    async with Peer.open(server) as a:
        answer = a.expect("bin")
        await a.text(json.dumps({"message_id": "bin", "type": "Ping", "payload": b64('{"timestamp":1}')}).encode())
        assert (await asyncio.wait_for(answer, 5)).type == "Ping"


async def test_bad_utf_8_in_a_binary_message_is_told(server):
    async with Peer.open(server) as a:
        await a.text(b'{"message_id":"\xff","type":"Ping","payload":{}}')
        assert (await a.told("Error"))["error"] == UNREADABLE
        await a.sync()


async def test_a_message_in_fragments(server):
    text = json.dumps({"message_id": "f", "type": "Ping", "payload": b64("{}")}).encode()
    async with await Raw.websocket(server, protocols="", path="/ws") as raw:
        await raw.send(frame(TEXT, text[:5], fin=False) + frame(0, text[5:20], fin=False) + frame(9, b"p") + frame(0, text[20:]))
        assert Message(await raw.text_frame()).id == "f"


# -- the envelope


@pytest.mark.parametrize(
    "text",
    [
        '{"MESSAGE_ID":"ID","TYPE":"Ping","PAYLOAD":@}',
        '{"Message_Id":"ID","Type":"Ping","Payload":@}',
        '  {"message_id":"ID","type":"Ping","payload":@}  ',
        '{"message_id":"ID","type":"Ping","payload":@}\n',
        '{"message_id":"ID","type":"Ping","payload":@}{"message_id":',
        '{"message_id":"ID","type":"Ping","payload":@} and more',
        '{"message_id":"ID","type":"Ping","payload":@,"id":5,"channel":null}',
        '{"message_id":"other","message_id":"ID","type":"Pong","type":"Ping","payload":5,"payload":@}',
        '{"message_id":"other","MESSAGE_id":"ID","type":"Ping","payload":@}',
        '{"payload":@,"type":"Ping","message_id":"ID"}',
        '{"message_id":"\\u0049D","type":"Pin\\u0067","payload":@}',
    ],
)
@pytest.mark.parametrize("payload", ["object", "base64"])
async def test_an_envelope_in_another_dress(server, text, payload):
    payload = {"object": '{"timestamp":3}', "base64": json.dumps(b64('{"timestamp":3}'))}[payload]
    async with Peer.open(server) as a:
        answer = a.expect("ID")
        await a.text(text.replace("@", payload))
        assert (await asyncio.wait_for(answer, 5))["client_timestamp"] == 3


async def test_keys_of_the_payload_in_any_case(server):
    async with Peer.open(server) as a:
        answer = await a.ok("CreateRoom", {"ROOM_NAME": "x", "Password": "1234", "Public_Key": a.key}, "RoomCreated")
        assert answer["room_name"] == "x" and answer["public_key"] == a.key


@pytest.mark.parametrize("id", ["0", "aabbccdd", "a b", "ü😀\u2028", 'quote"and\\', "<&>", "x" * 300])
async def test_the_id_comes_back_as_it_was(server, id):
    async with Peer.open(server) as a:
        assert (await a.request("Ping", {}, id=id)).type == "Ping"
        assert await a.error("Nonsense", {}, id=id) == "Unknown message type"


@pytest.mark.parametrize("type", ["ping", "PING", " Ping", "Ping ", "Pong", "createroom", "", "Delete", "RoomCreated", "x" * 3000])
async def test_an_unknown_type_is_told_to_who_gave_an_id(server, type):
    async with Peer.open(server) as a:
        assert await a.error(type, {}) == "Unknown message type"
        await a.send(type, {})
        await a.quiet()


@pytest.mark.parametrize("text", ["{}", '{"message_id":""}', '{"message_id":"","type":"Dance","payload":{}}', '{"hello":1}', '{"message_id":null}'])
async def test_what_is_met_with_silence(server, text):
    async with Peer.open(server) as a:
        await a.text(text)
        await a.quiet()


async def test_without_an_id_a_request_works_and_its_answer_has_none(server):
    async with Peer.open(server) as a:
        await a.send("Ping", {"timestamp": 5})
        assert (await a.told("Ping"))["client_timestamp"] == 5
        await a.send("CreateRoom", {"room_name": "r", "password": "1234", "public_key": a.key})
        assert (await a.told("RoomCreated"))["public_key"] == a.key
        await a.send("CreateRoom", {})
        await a.told("Error", error="Room name, password, and public key are required")


NO_ENVELOPE = {
    "no JSON": "hello",
    "cut off": '{"message_id":"x","type":"Ping"',
    "empty": "",
    "an array": "[]",
    "an array of an envelope": '[{"message_id":"x","type":"Ping","payload":{}}]',
    "a string": '"Ping"',
    "a number": "5",
    "an id that is a number": '{"message_id":5,"type":"Ping","payload":{}}',
    "an id that is an object": '{"message_id":{},"type":"Ping","payload":{}}',
    "a type that is a number": '{"message_id":"x","type":5,"payload":{}}',
    "a type that is a list": '{"message_id":"x","type":["Ping"],"payload":{}}',
    "very deep": "[" * 5000,
    "very deep in the payload": '{"message_id":"x","type":"Ping","payload":' + '{"a":' * 5000 + "1" + "}" * 5000 + "}",
}


@pytest.mark.parametrize("what", NO_ENVELOPE)
async def test_what_is_no_envelope_is_told_and_the_connection_stays(server, what):
    async with Peer.open(server) as a:
        await a.text(NO_ENVELOPE[what])
        note = await a.note("Error")
        assert note["error"] == UNREADABLE or (what == "very deep in the payload" and note["error"] == "Invalid ping format"), note
        await a.sync()


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_how_deep_a_payload_may_be(server, encoding):
    async with Peer.open(server) as a:
        for depth, error in ((31, None), (32, "Invalid ping format"), (5000, "Invalid ping format")):
            answer = await a.request("Ping", '{"timestamp":' + "[" * depth + "]" * depth + "}", encoding=encoding)
            assert answer.payload.get("error") == error, depth


@pytest.mark.parametrize("in_band", [False, True])
async def test_a_very_deep_first_message(start, in_band):
    """Where nothing else says what the connection speaks, it is looked into before that is known."""
    server = start(CONFIG | {"WebSocketServer": {"AllowInBandAuth": in_band}})
    for head in ('{"message_id":"1","type":"Ping","payload":', '{"message_id":"1","type":"Dance","x":'):
        async with await Raw.websocket(server, protocols="", path="/") as raw:
            await raw.text(head + '{"a":' * 5000 + "1" + "}" * 5001)
            assert b"rror" in (await raw.frame()).payload


@pytest.mark.parametrize("length,error", [(1024, None), (1025, UNREADABLE)])
async def test_how_long_an_id_may_be(server, length, error):
    async with Peer.open(server) as a:
        if error is None:
            assert (await a.request("Ping", {}, id="x" * length)).type == "Ping"
        else:
            await a.send("Ping", {}, id="x" * length)
            await a.told("Error", error=error)


async def test_who_sends_only_rubbish_is_closed(server):
    async with Peer.open(server) as a, Peer.open(server) as b:
        room = await a.create()
        await b.join(room)
        for _ in range(9):
            await b.text("rubbish")
        await b.sync()
        await b.text("rubbish")
        assert (await b.closed())[0] == 1007
        assert [note["error"] for note in b.notes if note.type == "Error"] == [UNREADABLE] * 10
        await a.told("PeerLeft", room_id=room, public_key=b.key)


# Payloads as they stand in the envelope, none of which is an object.
NO_PAYLOADS = {
    "null": "null",
    "empty": '""',
    "base64 of rubbish": json.dumps(b64("rubbish")),
    "base64 of half an object": json.dumps(b64('{"room_id":')),
    "base64 of an array": json.dumps(b64("[1]")),
    "base64 of a string": json.dumps(b64('"x"')),
    "base64 of a number": json.dumps(b64("5")),
    "base64 of bad UTF-8": json.dumps(b64(b'{"room_id":"\xff"')),
    "bytes of half an object": "[123,34]",
    "no bytes": "[]",
}
# Of these the original made an end without a word: either error says it.
NO_BYTES = {
    "a number": "5",
    "true": "true",
    "numbers that are no bytes": "[123,256]",
    "negative numbers": "[-1]",
    "fractions": "[123.5]",
    "strings": '["{"]',
    "no base64 and no JSON": '"%%%"',
    "base64 without its padding": json.dumps(b64('{"a":"12"}').rstrip("=")),
    "a string of an array": '"[1]"',
    "a string of null and more": '"null null"',
}
MALFORMED = {
    "Ping": "Invalid ping format",
    "CreateRoom": "Invalid create room request format",
    "JoinRoom": "Invalid join room request format",
    "ConnectRoom": "Invalid connect room request format",
    "DisconnectRoom": "Invalid disconnect room request format",
    "LeaveRoom": "Invalid leave room request format",
    "GetUserRooms": "Invalid get user rooms request format",
    "Kick": "Invalid kick request format",
    "Rename": "Invalid rename request format",
    "CreateNetwork": "Invalid create network request format",
    "JoinNetwork": "Invalid join network request format",
    "ConnectNetwork": "Invalid connect network request format",
    "DisconnectNetwork": "Invalid disconnect network request format",
    "LeaveNetwork": "Invalid leave network request format",
    "GetComputerNetworks": "Invalid get computer networks request format",
    "UpdateClientInfo": "Invalid update client info request format",
    "SdpOffer": "Invalid SDP offer format",
    "SdpAnswer": "Invalid SDP answer format",
    "IceCandidate": "Invalid ICE candidate format",
}
FIELDS = {
    "CreateRoom": "room_name password public_key", "JoinRoom": "room_id password public_key username",
    "ConnectRoom": "room_id public_key username", "DisconnectRoom": "room_id", "LeaveRoom": "room_id public_key",
    "GetUserRooms": "public_key", "Kick": "room_id target_id", "Rename": "room_id room_name",
    "CreateNetwork": "network_name pin public_key computer_name", "JoinNetwork": "network_id pin public_key computername",
    "ConnectNetwork": "network_id public_key computername", "DisconnectNetwork": "network_id", "LeaveNetwork": "network_id public_key",
    "GetComputerNetworks": "public_key", "UpdateClientInfo": "public_key client_name", "SdpOffer": "target_public_key",
    "SdpAnswer": "target_public_key", "IceCandidate": "target_public_key",
}  # fmt: skip


@pytest.mark.parametrize("type", MALFORMED)
async def test_a_payload_that_is_no_object(server, type):
    async with Peer.open(server) as a:

        async def error(payload):
            answer = a.expect("m")
            tail = f',"payload":{payload}' if payload is not None else ""
            await a.text(f'{{"message_id":"m","type":"{type}"{tail}}}')
            nameless = asyncio.create_task(a.note("Error"))
            done, _ = await asyncio.wait([answer, nameless], return_when=asyncio.FIRST_COMPLETED, timeout=5)
            nameless.cancel()
            a.waiting.clear()
            assert done, payload
            return done.pop().result()

        for what, payload in {"missing": None, **NO_PAYLOADS}.items():
            found = await error(payload)
            assert (found.id, found.payload) == ("m", {"error": MALFORMED[type]}), what


@pytest.mark.parametrize("what", NO_BYTES)
async def test_a_payload_that_is_nothing_known(server, what):
    async with Peer.open(server) as a:
        for type, text in MALFORMED.items():
            if type == "Ping" or type.startswith(("Create", "Join", "Kick")):
                answer = a.expect("m")
                await a.text(f'{{"message_id":"m","type":"{type}","payload":{NO_BYTES[what]}}}')
                nameless = asyncio.create_task(a.note("Error"))
                done, _ = await asyncio.wait([answer, nameless], return_when=asyncio.FIRST_COMPLETED, timeout=5)
                nameless.cancel()
                a.waiting.clear()
                assert done and done.pop().result()["error"] in (text, UNREADABLE), type
        await a.sync()


@pytest.mark.parametrize("type", FIELDS)
async def test_a_field_of_another_type(server, type):
    async with Peer.open(server) as a:
        for field in FIELDS[type].split():
            for wrong in (5, True, ["x"], {"x": "y"}):
                for encoding in ("base64", "object"):
                    assert await a.error(type, {field: wrong}, encoding=encoding) == MALFORMED[type], (field, wrong)


@pytest.mark.parametrize("type", ["Offer", "Answer", "Candidate"])
async def test_a_signal_of_another_form(server, type):
    async with Peer.open(server) as a:
        await a.create()
        for payload in ('{"destination_id":5}', '{"destination_id":["x"]}', '{"room_id":{}}', "[]", "rubbish"):
            assert await a.error(type, payload) == f"Invalid {type.lower()} format", payload


# -- ping


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "number",
    ["0", "-0", "1752000000123456789", "18446744073709551617", "123456789012345678901234567890", "1.10", "-1e-7", "1E400", "0.1000000000000000055511151231257827"],
)
async def test_a_ping_s_number_comes_back_digit_by_digit(server, number, encoding):
    async with Peer.open(server) as a:
        answer = await a.request("Ping", f'{{"action":"ping","timestamp":{number}}}', encoding=encoding)
        # Read from the text: no number is made of it on the way.
        exact = answer.text if encoding != "object" else answer.raw
        found = json.loads(exact, parse_float=str, parse_int=str)
        found = found["payload"] if encoding == "object" else found
        assert found["client_timestamp"] == number


@pytest.mark.parametrize("value", ["text", "", True, None, [1, "a"], {"a": {"b": 1}}])
async def test_a_ping_brings_back_whatever_it_was_given(server, value):
    async with Peer.open(server) as a:
        before = time.time_ns()
        answer = await a.ok("Ping", {"timestamp": value, "publicKey": a.key}, "Ping")
        assert set(answer) == {"client_timestamp", "server_timestamp", "status"} and answer["status"] == "ok"
        assert answer["client_timestamp"] == value
        assert isinstance(answer["server_timestamp"], int)
        assert before - 10**9 <= answer["server_timestamp"] <= time.time_ns() + 10**9
        assert (await a.ok("Ping", {}, "Ping"))["client_timestamp"] is None


# -- frames


async def test_what_is_larger_than_the_limit_closes(server):
    async with Peer.open(server) as a, Peer.open(server) as b:
        room = await a.create()
        await b.join(room)
        await b.send("Ping", {"timestamp": "x" * (2 << 20)})
        assert (await b.closed())[0] == 1009
        await a.told("PeerLeft", room_id=room, public_key=b.key)


async def test_a_close_is_answered(server):
    async with await Raw.websocket(server, protocols="", path="/ws") as raw:
        await raw.send(frame(8, close_payload(1000, b"bye")))
        assert (await raw.close_frame())[0] == 1000


async def test_pings_of_the_transport_are_answered(server):
    async with await Raw.websocket(server, protocols="", path="/ws") as raw:
        await raw.send(frame(9, b"are you there"))
        while (found := await raw.frame()).opcode != 10:
            assert found.opcode == TEXT
        assert found.payload == b"are you there"
        await raw.send(frame(BINARY, b'{"message_id":"1","type":"Ping","payload":{}}'))
        while (found := Message(await raw.text_frame())).type in AT_OPENING:
            pass
        assert found.id == "1" and found.encoding == "object"
