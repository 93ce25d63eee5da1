"""Frames that break RFC 6455, and peers that stop in the middle: each is closed with its code and counted by name."""

import asyncio

import pytest
from harness import Raw, eventually, frame, grows
from harness.raw import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_payload

LIMIT = 4096
CONFIG = {"WebSocketServer": {"MaxMessageSize": LIMIT, "MaxFrameSize": LIMIT, "MaxFragments": 16, "HandshakeTimeout": 1, "CloseTimeout": 1}}

PING_MESSAGE = '{"type":"command","id":"p","channel":"system","action":"ping","data":{}}'

VIOLATIONS = [
    ("unmasked", 1002, [frame(TEXT, PING_MESSAGE, mask=False)]),
    ("reserved_bits", 1002, [frame(TEXT, PING_MESSAGE, rsv=4)]),
    ("reserved_bits", 1002, [frame(TEXT, PING_MESSAGE, rsv=2)]),
    ("reserved_bits", 1002, [frame(PING, "", rsv=1)]),
    ("reserved_opcode", 1002, [frame(3, "x")]),
    ("reserved_opcode", 1002, [frame(7, "x")]),
    ("reserved_opcode", 1002, [frame(11, "x")]),
    ("reserved_opcode", 1002, [frame(15, "")]),
    ("control_too_long", 1002, [frame(PING, "x" * 126)]),
    ("control_too_long", 1002, [frame(CLOSE, close_payload(1000, b"x" * 124))]),
    ("control_fragmented", 1002, [frame(PING, "x", fin=False)]),
    ("length_not_minimal", 1002, [frame(TEXT, PING_MESSAGE, length_form=16)]),
    ("length_not_minimal", 1002, [frame(TEXT, "x" * 300, length_form=64)]),
    ("length_over_63_bits", 1002, [frame(TEXT, "x", length_form=64, declare=1 << 63)]),
    ("unexpected_continuation", 1002, [frame(CONTINUATION, "x")]),
    ("expected_continuation", 1002, [frame(TEXT, "x", fin=False), frame(TEXT, "x")]),
    ("frame_too_large", 1009, [frame(TEXT, "x" * (LIMIT + 1))]),
    ("frame_too_large", 1009, [frame(TEXT, "x", length_form=64, declare=1 << 40)]),
    ("message_too_large", 1009, [frame(TEXT, "x" * LIMIT, fin=False), frame(CONTINUATION, "x")]),
    ("message_too_large", 1009, [frame(TEXT, "x" * 3000, fin=False), frame(CONTINUATION, "x" * 1000, fin=False), frame(CONTINUATION, "x" * 97)]),
    ("too_many_fragments", 1009, [frame(TEXT, "x", fin=False)] + [frame(CONTINUATION, "x", fin=False)] * 17),
    ("invalid_utf8", 1007, [frame(TEXT, b'{"type":"\xff"}')]),
    ("invalid_utf8", 1007, [frame(TEXT, b"\xed\xa0\x80")]),
    ("invalid_utf8", 1007, [frame(TEXT, b"\xce", fin=False), frame(CONTINUATION, b"x")]),
    ("invalid_utf8", 1007, [frame(TEXT, b"\xf0\x9f")]),
    ("invalid_utf8", 1007, [frame(CLOSE, close_payload(1000, b"\xff"))]),
    ("close_payload", 1002, [frame(CLOSE, b"\x03")]),
    *(("close_code", 1002, [frame(CLOSE, close_payload(code))]) for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)),
]


@pytest.mark.parametrize("violation,code,frames", VIOLATIONS, ids=[f"{v}-{i}" for i, (v, _, _) in enumerate(VIOLATIONS)])
async def test_a_violation_is_closed_with_its_code_and_counted(server, violation, code, frames):
    reason = {1002: "protocol_error", 1007: "invalid_utf8", 1009: "message_too_large"}[code]
    async with grows(server, "websocket_violations_total", violation=violation):
        async with grows(server, "connections_closed_total", reason=reason):
            async with await Raw.websocket(server, server.admin) as raw:
                for each in frames:
                    await raw.send(each)
                found, _ = await raw.close_frame()
                # RFC 6455 section 7.1.1: the server ends the stream once its close frame is out.
                await raw.ended()
                allowed = {code, 1008} if violation == "too_many_fragments" else {code, 1002} if violation == "invalid_utf8" and frames[0][0] & 15 == CLOSE else {code}
                if violation == "length_over_63_bits":
                    allowed = {1002, 1009}
                assert found in allowed


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
async def test_a_message_up_to_the_limit_is_taken(server, size):
    message = PING_MESSAGE[:-1] + " " * (size - len(PING_MESSAGE)) + "}"
    async with await Raw.websocket(server, server.admin) as raw:
        await raw.text(message)
        while '"response"' not in await raw.text_frame():
            pass
        half = size // 2
        await raw.send(frame(TEXT, message[:half], fin=False) + frame(CONTINUATION, message[half:]))
        while '"response"' not in await raw.text_frame():
            pass


async def test_control_frames_may_come_between_fragments(server):
    async with await Raw.websocket(server, server.admin) as raw:
        await raw.send(frame(TEXT, PING_MESSAGE[:20], fin=False) + frame(PING, "now") + frame(CONTINUATION, "", fin=False))
        while (found := await raw.frame()).opcode != PONG:
            pass
        assert found.payload == b"now"
        await raw.send(frame(PONG, "unasked") + frame(CONTINUATION, PING_MESSAGE[20:]))
        while '"response"' not in await raw.text_frame():
            pass


async def test_characters_may_be_cut_between_fragments(server):
    message = '{"type":"command","id":"ü😀","channel":"system","action":"ping","data":{"a":"€😀"}}'.encode()
    async with await Raw.websocket(server, server.admin) as raw:
        for each in range(0, len(message), 7):
            last = each + 7 >= len(message)
            await raw.send(frame(TEXT if each == 0 else CONTINUATION, message[each : each + 7], fin=last))
        while '"id":"ü😀"' not in (text := await raw.text_frame()):
            pass
        assert "€😀" in text


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
async def test_a_close_is_answered_in_kind(server, code):
    async with grows(server, "connections_closed_total", reason="peer_closed", exact=False):
        async with await Raw.websocket(server, server.admin) as raw:
            await raw.send(frame(CLOSE, close_payload(code, "bye ü".encode())))
            assert (await raw.close_frame())[0] in (code, 1000)
            await raw.ended()


async def test_an_empty_close_is_answered(server):
    async with await Raw.websocket(server, server.admin) as raw:
        await raw.send(frame(CLOSE))
        assert (await raw.close_frame())[0] in (None, 1000)
        await raw.ended()


async def test_nothing_after_a_close_is_obeyed(server):
    async with await Raw.websocket(server, server.admin) as raw:
        await raw.send(frame(CLOSE, close_payload(1000)) + frame(TEXT, PING_MESSAGE))
        await raw.close_frame()
        assert b"response" not in await raw.ended()


async def test_frames_may_come_byte_by_byte(server):
    async with await Raw.websocket(server, server.admin) as raw:
        for byte in frame(TEXT, PING_MESSAGE):
            await raw.send(bytes([byte]))
        while '"response"' not in await raw.text_frame():
            pass


async def test_half_a_request_then_silence(server):
    async with grows(server, "connections_closed_total", reason="handshake_timeout"):
        async with await Raw.open(server) as raw:
            await raw.send("GET / HTTP/1.1\r\nHost: x\r\nUpgr")
            data = await raw.ended(timeout=5)
            assert not data or data.startswith(b"HTTP/1.1 408 ")


async def test_no_request_at_all(server):
    async with grows(server, "connections_closed_total", reason="handshake_timeout"):
        async with await Raw.open(server) as raw:
            await raw.ended(timeout=5)


async def test_a_request_that_drips_does_not_move_its_deadline(server):
    async with grows(server, "connections_closed_total", reason="handshake_timeout"):
        async with await Raw.open(server) as raw:
            ended = asyncio.create_task(raw.ended(timeout=6))
            await raw.send("GET / HTTP/1.1\r\nHost: x\r\n")
            for _ in range(40):
                if ended.done():
                    break
                try:
                    await raw.send("X-Drip: 1\r\n")
                except OSError:
                    break
                await asyncio.sleep(0.1)
            await ended


async def test_half_a_request_then_the_end(server):
    async with grows(server, "connections_closed_total", reason="handshake_eof"):
        async with await Raw.open(server) as raw:
            await raw.send("GET / HTTP/1.1\r\nHost")


async def test_the_end_without_a_close_frame(server):
    async with grows(server, "connections_closed_total", reason="peer_eof", exact=False):
        async with await Raw.websocket(server, server.admin) as raw:
            # What is left unread would turn the end into a reset.
            await raw.text_frame()


async def test_a_reset(server):
    async with grows(server, "connections_closed_total", reason="peer_reset", exact=False):
        raw = await Raw.websocket(server, server.admin)
        await raw.text_frame()
        raw.reset()


async def test_half_a_frame_then_the_end(server):
    async with grows(server, "connections_closed_total", reason="peer_eof", exact=False):
        async with await Raw.websocket(server, server.admin) as raw:
            await raw.text_frame()
            await raw.send(frame(TEXT, PING_MESSAGE)[:9])


async def test_a_peer_that_never_answers_a_close_is_let_go(server):
    async with await Raw.websocket(server, server.admin) as raw:
        await raw.send(frame(TEXT, b"\xff"))
        assert (await raw.close_frame())[0] == 1007
        await raw.ended(timeout=5)
    await eventually(lambda: server.metrics().value("connections", state="closing") == 0)


async def test_binary_is_refused_and_the_connection_stays(server):
    async with grows(server, "messages_received_total", type="bad"):
        async with await Raw.websocket(server, server.admin) as raw:
            await raw.send(frame(BINARY, PING_MESSAGE))
            while '"error"' not in (text := await raw.text_frame()):
                pass
            assert '"category":"protocol"' in text
            await raw.text(PING_MESSAGE)
            while '"success"' not in await raw.text_frame():
                pass
