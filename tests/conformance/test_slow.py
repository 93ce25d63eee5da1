"""Clients that do not read as fast as they are sent to, and what their subscriptions ask for then."""

import asyncio
import json
import time

import pytest
from harness import Client, Raw, eventually, frame
from harness.raw import CLOSE, TEXT

QUEUE = 262144
CONFIG = {"WebSocketServer": {"MaxMessageSize": 131072, "CloseTimeout": 5}, "Outbound": {"MaxBytesPerConnection": QUEUE}}

# More than the kernel's buffers and the queue together hold.
EVENTS, SIZE = 400, 60000


async def slow(server, topics, **options):
    """A subscriber that reads its subscription's response and then nothing more."""
    raw = await Raw.websocket(server, server.admin, receive_buffer=4096)
    data = {"topics": topics, **options}
    await raw.text(json.dumps({"type": "command", "id": "s", "channel": "system", "action": "subscribe", "data": data}))
    while '"response"' not in (text := await raw.text_frame()):
        pass
    assert '"success"' in text, text
    return raw


async def rest(raw, stop):
    """All messages up to the one for which `stop` holds, and the close frame if one comes."""
    found = []
    while True:
        got = await raw.frame(timeout=8)
        if got.opcode == CLOSE:
            return found, int.from_bytes(got.payload[:2], "big")
        if got.opcode == TEXT:
            found.append(json.loads(got.payload))
            if stop(found[-1]):
                return found, None


async def flood(server, topics, events=EVENTS):
    filler = "x" * SIZE
    async with Client.open(server, server.admin) as client:
        for n in range(events):
            await client.publish(topics[n % len(topics)], {"n": n, "filler": filler})


@pytest.mark.deadline(60)
async def test_by_default_a_slow_consumer_is_disconnected(server):
    async with await slow(server, ["slow.a"]) as raw:
        await flood(server, ["slow.a"])
        await eventually(lambda: server.metrics().value("connections_closed_total", reason="slow_consumer") + server.metrics().value("connections", state="closing") >= 1)
        messages, code = await rest(raw, lambda _: False)
        assert code == 1013
        numbers = [message["data"]["n"] for message in messages if message["type"] == "event" and "n" in (message["data"] or {})]
        assert numbers == list(range(len(numbers))), "what was delivered has no hole"
    await eventually(lambda: server.metrics().value("connections_closed_total", reason="slow_consumer") == 1)
    assert server.metrics().value("events_dropped_total", policy="disconnect") >= 1


@pytest.mark.deadline(60)
async def test_a_consumer_that_never_reads_is_let_go(server):
    before = server.metrics().value("connections_closed_total", reason="slow_consumer")
    async with await slow(server, ["never.a"], overflow="disconnect"):
        await flood(server, ["never.a"])
        await eventually(lambda: server.metrics().value("connections_closed_total", reason="slow_consumer") == before + 1, timeout=12)


@pytest.mark.deadline(60)
async def test_the_oldest_events_are_dropped_and_the_client_is_told(server):
    before = server.metrics().value("events_dropped_total", policy="drop_oldest")
    async with await slow(server, ["drop.a"], overflow="drop_oldest") as raw:
        await flood(server, ["drop.a"])
        messages, code = await rest(raw, lambda message: (message.get("data") or {}).get("n") == EVENTS - 1)
        assert code is None
        async with Client.open(server, server.admin) as client:
            await client.publish("drop.a", {"n": "after"})
        more, code = await rest(raw, lambda message: (message.get("data") or {}).get("n") == "after")
        assert code is None
        messages += more
    numbers = [message["data"]["n"] for message in messages if message.get("channel") == "drop"][:-1]
    told = [message["data"] for message in messages if message.get("channel") == "system" and message.get("action") == "dropped"]
    assert numbers == sorted(set(numbers)) and numbers[-1] == EVENTS - 1
    assert told and all("drop.a" in notice["topics"] for notice in told)
    assert len(numbers) + sum(notice["dropped"] for notice in told) == EVENTS
    assert server.metrics().value("events_dropped_total", policy="drop_oldest") - before == EVENTS - len(numbers)


@pytest.mark.deadline(60)
async def test_conflation_keeps_the_newest_of_each_topic(server):
    topics = ["conflate.a", "conflate.b", "conflate.c"]
    async with await slow(server, ["conflate.*"], conflate=True) as raw:
        await flood(server, topics)
        last = {topic: max(n for n in range(EVENTS) if topics[n % 3] == topic) for topic in topics}
        seen = {}

        def complete(message):
            if message.get("channel") == "conflate":
                seen.setdefault(f"conflate.{message['action']}", []).append(message["data"]["n"])
            return all(seen.get(topic, [None])[-1] == last[topic] for topic in topics)

        _, code = await rest(raw, complete)
        assert code is None
    for numbers in seen.values():
        assert numbers == sorted(set(numbers))
    assert sum(map(len, seen.values())) < EVENTS
    assert server.metrics().value("events_dropped_total", policy="conflate") > 0


@pytest.mark.deadline(60)
async def test_one_slow_client_does_not_hold_up_the_others(server):
    async with await slow(server, ["shared.a"], overflow="drop_oldest"), Client.open(server, server.admin) as quick:
        await quick.subscribe("shared.a")
        await flood(server, ["shared.a"])
        assert [(await quick.event("shared.a"))["data"]["n"] for _ in range(EVENTS)] == list(range(EVENTS))


@pytest.mark.deadline(60)
async def test_what_waits_for_a_connection_that_ends_is_given_back(server):
    async with await slow(server, ["gone.a"], overflow="drop_oldest"):
        await flood(server, ["gone.a"])
        assert server.metrics().value("outbound_bytes") > 0
    await eventually(lambda: server.metrics().value("outbound_bytes") < 65536)


def ping(id, filler):
    return frame(TEXT, f'{{"type":"command","id":"{id}","channel":"system","action":"ping","data":{{"filler":"{filler}"}}}}')


@pytest.mark.deadline(60)
async def test_a_client_that_sends_and_never_reads_is_held_back(server):
    # It asks for more than it takes: the server stops reading, and goes on when the answers are read.
    async with await Raw.websocket(server, server.admin, receive_buffer=4096) as raw:
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 500000:
                await raw.send(b"".join(ping(n, "y" * 200) for n in range(sent, sent + 1000)), timeout=1)
                sent += 1000
        assert server.metrics().value("outbound_bytes") < QUEUE
        async with Client.open(server, server.admin) as client:
            await client.ok("ping", {})
        answered = []
        while len(answered) < sent:
            message = json.loads(await raw.text_frame())
            answered += [int(message["id"])] if message["type"] == "response" else []
        assert answered == list(range(sent))


@pytest.mark.deadline(60)
async def test_a_client_that_asks_for_more_than_fits_and_never_reads_is_held_back_or_let_go(server):
    async with await Raw.websocket(server, server.admin, receive_buffer=4096) as raw:
        message, most, until = ping("q", "y" * 50000) * 100, 0, time.monotonic() + 30
        with pytest.raises((TimeoutError, ConnectionError)):
            while time.monotonic() < until:
                await raw.send(message, timeout=2)
                most = max(most, server.metrics().value("outbound_bytes"))
        assert most < 16 * QUEUE
        async with Client.open(server, server.admin) as client:
            await client.ok("ping", {})


@pytest.mark.deadline(60)
async def test_a_client_that_reads_gets_every_answer_however_fast_it_asks(server):
    count = 300
    async with await Raw.websocket(server, server.admin) as raw:

        async def ask():
            await raw.send(b"".join(ping(n, "y" * 50000) for n in range(count)), timeout=20)

        async def listen():
            found = []
            while len(found) < count:
                message = json.loads(await raw.text_frame())
                found += [int(message["id"])] if message["type"] == "response" else []
            return found

        answered, _ = await asyncio.gather(listen(), ask())
        assert answered == list(range(count))
