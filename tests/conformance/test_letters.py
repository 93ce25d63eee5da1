"""Dead letters: why events end there, what is told of them, and what can be done."""

import asyncio

import pytest
from harness import Client, eventually, grows

EACH_SHAPE = True
CONFIG = {"Delivery": {"MaxAttempts": 2, "AckTimeoutMs": 15_000, "MaxBackoffMs": 15_000}}


def data(events):
    return [event["data"] for event in events]


async def letters(client, **choice):
    return (await client.ok("dead_letters", choice))["items"]


async def some(client, count=1, **choice):
    """The letters of this choice, as soon as there are so many."""

    async def there():
        found = await letters(client, **choice)
        return found if len(found) >= count else None

    found = await eventually(there)
    assert len(found) == count, found
    return found


async def refuse(client, topic, count=1, reason="no use"):
    """Publishes so many events, and rejects each."""
    for n in range(count):
        await client.guaranteed(topic, n)
        await client.reject(await client.event(topic), reason)


@pytest.mark.parametrize("named", [False, True])
async def test_a_rejected_event_is_a_dead_letter_at_once(server, names, named):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as client:
        session = await client.session()
        await client.subscribe_guaranteed(topic, ack_timeout_ms=200, **({"name": name} if named else {}))
        answer = await client.guaranteed(topic, {"n": 1})
        async with grows(server, "events_dead_total"):
            await client.reject(await client.event(topic), "no such room")
            (letter,) = await some(client, topic=topic)
        assert letter["reason"] == "rejected" and letter["text"] == "no such room", letter
        assert letter["event"] == answer["event"] and letter["topic"] == topic and letter["offset"] == 1, letter
        assert letter["payload"] == {"n": 1} and letter["deliveries"] == 1, letter
        if named:
            assert letter["subscription"] == name and letter["identity"] == "admin" and letter["session"] is None, letter
        else:
            assert letter["subscription"] is None and letter["session"] == session["session"], letter
        (attempt,) = letter["attempts"]
        assert attempt["outcome"] == "rejected" and attempt["at"] <= letter["died"] and letter["published"] <= letter["died"], letter
        await client.quiet(topic, 0.7)


async def test_an_event_that_is_never_acked_is_given_up(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, name=name, ack_timeout_ms=100, window=1)
        await client.guaranteed(topic, "never")
        await client.guaranteed(topic, "next")
        assert data(await client.take(topic, 2, ack=False)) == ["never", "never"]
        assert data(await client.take(topic, 1)) == ["next"], "the letter makes room in the window"
        (letter,) = await some(client, subscription=name)
        assert letter["reason"] == "attempts_exhausted" and letter["deliveries"] == 2, letter
        assert [attempt["outcome"] for attempt in letter["attempts"]] == ["timed_out", "timed_out"], letter


async def test_a_lost_connection_counts_for_nothing(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as other:
        await other.guaranteed(topic, "patient")
        for n in range(5):
            async with Client.open(server, server.admin) as client:
                await client.subscribe_guaranteed(topic, name=name, **{"from": "all"})
                event = await client.event(topic)
                assert event.get("attempt", 1) == n + 1
                client.socket.transport.abort()
                await client.closed()
        assert await letters(other, topic=topic) == []


async def test_a_letter_of_one_subscription_changes_nothing_for_another(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await one.subscribe_guaranteed(topic, name=names())
        await two.subscribe_guaranteed(topic, name=names(), ack_timeout_ms=300)
        await refuse(one, topic)
        await some(one, topic=topic)
        first, again = await two.event(topic), await two.event(topic)
        assert again["attempt"] == 2 and first["id"] == again["id"]
        await two.ack(first)


async def test_letters_are_chosen_and_come_in_pages(server, names):
    t, a, b = names(), names(), names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(f"{t}.a", name=a)
        await client.subscribe_guaranteed(f"{t}.b", name=b)
        await refuse(client, f"{t}.a", 5)
        await refuse(client, f"{t}.b", 2)
        assert len(await some(client, 5, subscription=a)) == len(await some(client, 5, topic=f"{t}.a"))
        assert {letter["topic"] for letter in await some(client, 2, subscription=b)} == {f"{t}.b"}
        assert await letters(client, subscription=a, topic=f"{t}.b") == []
        assert await letters(client, identity=names()) == []
        assert len(await letters(client, identity="admin", subscription=b)) == 2
        seen, after = [], None
        while True:
            page = await client.ok("dead_letters", {"subscription": a, "limit": 2} | ({"after": after} if after else {}))
            assert len(page["items"]) <= 2
            seen += page["items"]
            after = page["next"]
            if after is None:
                break
        assert [letter["offset"] for letter in seen] == [1, 2, 3, 4, 5]


async def test_a_replay_delivers_again_to_the_letters_own_subscription(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as client, Client.open(server, server.admin) as other:
        await client.subscribe_guaranteed(topic, name=name)
        await other.subscribe_guaranteed(topic)
        await refuse(client, topic)
        await other.take(topic, 1)
        (letter,) = await some(client, subscription=name)
        assert await client.ok("dead_letters.replay", {"ids": [letter["id"], "d/not/there#01"]}) == {"replayed": 1}
        event = await client.event(topic)
        assert event["id"] == letter["event"] and event["ack"] is True and event["data"] == 0, event
        assert len(await letters(client, subscription=name)) == 1, "it stays until it is acked"
        await client.ack(event)

        async def gone():
            return await letters(client, subscription=name) == []

        await eventually(gone)
        await other.quiet(topic, 0.2)


async def test_a_replayed_letter_can_die_again(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, name=name)
        await refuse(client, topic, reason="first")
        await some(client, subscription=name)
        assert await client.ok("dead_letters.replay", {"all": True, "subscription": name}) == {"replayed": 1}
        await client.reject(await client.event(topic), "second")

        async def told():
            found = await letters(client, subscription=name)
            return len(found) == 1 and found[0]["text"] == "second"

        await eventually(told)


async def test_letters_outlive_their_subscription(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, name=name)
        await refuse(client, topic)
        (letter,) = await some(client, subscription=name)
        await client.ok("unsubscribe", {"name": name})
        await client.ok("dead_letters.replay", {"ids": [letter["id"]]})
        await client.quiet(topic, 0.2)
        assert len(await letters(client, subscription=name)) == 1
        assert await client.ok("dead_letters.discard", {"ids": [letter["id"]]}) == {"discarded": 1}
        assert await letters(client, subscription=name) == []
        assert await client.ok("dead_letters.discard", {"ids": [letter["id"]]}) == {"discarded": 0}


async def test_letters_are_discarded_by_id_and_by_choice(server, names):
    topic, name, other = names() + ".a", names(), names()
    async with Client.open(server, server.admin) as client:
        for each in (name, other):
            await client.subscribe_guaranteed(topic, name=each)
        # The event comes once for each of the two, and one answer serves both.
        await refuse(client, topic, 1)
        await some(client, 2, topic=topic)
        assert await client.ok("dead_letters.discard", {"all": True, "subscription": name}) == {"discarded": 1}
        assert await letters(client, subscription=name) == []
        assert len(await letters(client, subscription=other)) == 1
        assert await client.ok("dead_letters.discard", {"all": True, "topic": topic}) == {"discarded": 1}


BAD = [
    ("dead_letters", {"limit": 0}), ("dead_letters", {"limit": "x"}), ("dead_letters", {"subscription": 1}), ("dead_letters", {"topic": []}),
    *(
        (action, bad)
        for action in ("dead_letters.replay", "dead_letters.discard")
        for bad in (None, {}, [], {"ids": []}, {"ids": "x"}, {"ids": [1]}, {"all": False}, {"all": True, "ids": ["x"]}, {"subscription": "x"},
                    {"ids": ["x"] * 1025})
    ),
]  # fmt: skip


@pytest.mark.parametrize("action,bad", BAD)
async def test_data_of_the_wrong_form_is_refused(server, action, bad):
    async with Client.open(server, server.admin) as client:
        await client.error("bad_data", action, bad)


@pytest.mark.parametrize("action", ["dead_letters", "dead_letters.replay", "dead_letters.discard"])
async def test_letters_are_an_administrators(server, names, action):
    token = server.tokens.get("plain") or server.key("plain", "connect", "subscribe:>", "publish:>", "call:>")
    async with Client.open(server, token) as client:
        await client.error("forbidden", action, {"all": True})


async def test_a_reason_is_bounded(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, name=name)
        await client.guaranteed(topic, 1)
        event = await client.event(topic)
        await client.reject(event, "x" * 513)
        assert (await client.other())["status"] == "error"
        assert await letters(client, subscription=name) == []
        await client.reject(event, "ü" * 256)
        (letter,) = await some(client, subscription=name)
        assert letter["text"] == "ü" * 256
        await client.ok("dead_letters.discard", {"all": True, "subscription": name})


async def test_the_oldest_letters_make_room(start, shape):
    server = start({"Delivery": {"MaxDeadLetters": 9}})
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("a.b", name="d")
        await refuse(client, "a.b", 12)

        async def settled():
            return (found := await letters(client)) and found[-1]["offset"] == 12 and len(found) <= 9

        await eventually(settled)
        offsets = [letter["offset"] for letter in await letters(client)]
        assert offsets == list(range(offsets[0], 13)), offsets
        assert server.metrics().value("dead_letters_evicted_total") == 12 - len(offsets)


async def test_letters_survive_a_restart(start):
    server = start()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("a.b", name="d")
        await refuse(client, "a.b", 3, "kept")
        before = await some(client, 3)
    for end in ("stop", "kill"):
        if end == "stop":
            assert await asyncio.to_thread(server.stop) == 0
        else:
            server.kill()
        server.start()
        async with Client.open(server, server.admin) as client:
            assert await letters(client) == before
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("a.b", name="d")
        assert await client.ok("dead_letters.replay", {"all": True}) == {"replayed": 3}
        assert data(await client.take("a.b", 3)) == [0, 1, 2]
