"""Stopping: everybody is told, every command has its one answer, and the exit code says that it went well."""

import asyncio
import json
import signal
import time

import pytest
from harness import Client, Raw, eventually
from harness.raw import CLOSE, TEXT, frame


async def test_all_are_told_and_the_exit_code_is_zero(start):
    server = start({"Shutdown": {"DrainTimeout": 5}})
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await one.ok("ping", {})
        server.signal()
        for client in (one, two):
            code, reason = await client.closed()
            assert code == 1001
            # The reason suggests a delay before coming back.
            assert any(character.isdigit() for character in reason), reason
    assert await asyncio.to_thread(server.wait) == 0


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
async def test_either_signal_stops_it(start, which):
    server = start()
    server.signal(which)
    assert await asyncio.to_thread(server.wait) == 0


async def test_an_idle_server_stops_at_once(start):
    server = start()
    server.signal()
    before = time.monotonic()
    assert await asyncio.to_thread(server.wait) == 0
    assert time.monotonic() - before < 3


async def test_every_command_that_was_taken_has_exactly_one_answer(start):
    server = start({"Shutdown": {"DrainTimeout": 5}})
    async with await Raw.websocket(server, server.admin) as raw:
        sent = 0

        async def flood():
            nonlocal sent
            try:
                while True:
                    batch = b"".join(
                        frame(TEXT, f'{{"type":"command","id":"{n}","channel":"system","action":"ping","data":{{}}}}')
                        for n in range(sent, sent + 20)
                    )
                    await raw.send(batch, timeout=3)
                    sent += 20
            except (OSError, TimeoutError):
                pass

        flooding = asyncio.create_task(flood())
        answered, code = [], None
        try:
            while True:
                got = await raw.frame()
                if got.opcode == CLOSE:
                    code = int.from_bytes(got.payload[:2], "big")
                    break
                message = json.loads(got.payload) if got.opcode == TEXT else {}
                if message.get("type") == "response":
                    answered.append(int(message["id"]))
                    if len(answered) == 200:
                        server.signal()
        finally:
            flooding.cancel()
        assert code == 1001
        assert len(answered) >= 200
        # In order, none twice and none left out, up to the last that was taken.
        assert answered == list(range(len(answered)))
    assert await asyncio.to_thread(server.wait) == 0


async def test_while_draining_nobody_new_is_let_in_and_the_server_tells_so(start):
    server = start({"Shutdown": {"DrainTimeout": 12}, "WebSocketServer": {"CloseTimeout": 8}})
    # A peer that does not answer the close frame holds the drain open.
    async with await Raw.websocket(server, server.admin) as holding:
        server.signal()
        code, _ = await holding.close_frame()
        assert code == 1001
        assert server.http(path="/health")[0] == 200
        status, _, body = server.http(path="/ready")
        assert status == 503 and json.loads(body) == {"ready": False, "reason": "draining"}
        assert server.metrics().value("draining") == 1
        async with await Raw.open(server) as late:
            answer = await late.upgrade(server, server.admin)
            assert answer.status == 503, answer
            assert int(answer.headers["retry-after"]) >= 1
            assert json.loads(answer.body)["error"]["code"] == "draining"
            # Everything closes after its answer.
            assert await late.ended() == b""
        assert server.process.poll() is None
    # With the last connection the drain ends, long before its deadline.
    before = time.monotonic()
    assert await asyncio.to_thread(server.wait) == 0
    assert time.monotonic() - before < 5


async def test_a_silent_connection_does_not_delay_the_stop(start):
    server = start({"Shutdown": {"DrainTimeout": 30}})
    async with await Raw.open(server) as silent, await Raw.open(server) as kept:
        answer = await kept.request(f"GET /health HTTP/1.1\r\nHost: {server.host}\r\n\r\n")
        assert answer.status == 200
        await eventually(lambda: server.metrics().by("connections", "state").get("connecting", 0) >= 2)
        before = time.monotonic()
        server.signal()
        assert await asyncio.to_thread(server.wait, 40) == 0
        assert time.monotonic() - before < 5
        assert await silent.ended() == b""


async def test_a_peer_that_ignores_the_close_does_not_hold_up_the_stop(start):
    server = start({"Shutdown": {"DrainTimeout": 2}, "WebSocketServer": {"CloseTimeout": 1}})
    async with await Raw.websocket(server, server.admin):
        server.signal()
        before = time.monotonic()
        assert await asyncio.to_thread(server.wait) == 0
        assert time.monotonic() - before < 6


@pytest.mark.parametrize("first,second", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGINT)])
async def test_a_second_signal_ends_it_at_once(start, first, second):
    server = start({"Shutdown": {"DrainTimeout": 60}, "WebSocketServer": {"CloseTimeout": 60}})
    async with await Raw.websocket(server, server.admin):
        server.signal(first)
        await eventually(lambda: f"signal={int(first)} stopping" in server.log())
        # A reload in between is no hurry.
        server.signal(signal.SIGHUP)
        await asyncio.sleep(0.3)
        assert server.process.poll() is None
        before = time.monotonic()
        server.signal(second)
        assert await asyncio.to_thread(server.wait, 10) == -second
        assert time.monotonic() - before < 3


async def test_a_reload_keeps_connections_and_takes_new_keys(start):
    server = start()
    async with Client.open(server, server.admin) as client:
        await client.ok("ping", {})
        token = server.key("later", "connect")
        server.signal(signal.SIGHUP)

        async def let_in():
            try:
                async with Client.open(server, token):
                    return True
            except Exception:
                return False

        await eventually(let_in, timeout=10)
        await client.ok("ping", {})
