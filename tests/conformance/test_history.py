"""The logs of topics: what `history` tells, and what their bounds let go."""

import asyncio
import datetime

import pytest
from harness import Client, eventually, grows

EACH_SHAPE = True
CONFIG = {
    "Delivery": {"AckTimeoutMs": 15_000},
    "Topics": {
        "Rules": [
            {"Topics": "kept.>", "History": True},
            {"Topics": "count.>", "History": True, "MaxEvents": 5},
            {"Topics": "bytes.>", "History": True, "MaxBytes": 4096},
            {"Topics": "age.>", "History": True, "MaxAge": 1},
        ]
    },
}


def data(events):
    return [event["data"] for event in events]


def now():
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def history(client, topic, **options):
    return await client.ok("history", {"topic": topic, **options})


async def cut(client, topic):
    """What is left, as soon as something is gone."""

    async def is_cut():
        found = await history(client, topic)
        return found if found["missing"] else None

    return await eventually(is_cut, timeout=8)


KINDS = ["at_most_once", "at_least_once"]


@pytest.mark.parametrize("guarantee", KINDS)
async def test_history_gives_what_a_topic_keeps_in_order(server, names, guarantee):
    topic = f"kept.{names()}"
    async with Client.open(server, server.admin) as client:
        answers = [await client.publish(topic, {"n": n}, guarantee=guarantee) for n in range(4)]
        found = await history(client, topic)
        assert [event["data"]["n"] for event in found["events"]] == [0, 1, 2, 3]
        assert [event["id"] for event in found["events"]] == [answer["event"] for answer in answers]
        assert [event["offset"] for event in found["events"]] == [1, 2, 3, 4]
        assert [event.get("prev", 0) for event in found["events"]] == [0, 1, 2, 3]
        assert found["missing"] is False and found["more"] is False and found["first"] == 1 and found["last"] == 4
        assert all("ack" not in event and "attempt" not in event for event in found["events"])


async def test_history_gives_the_same_event_as_a_subscription(server, names):
    topic = f"kept.{names()}"
    async with Client.open(server, server.admin) as client:
        await client.subscribe(topic)
        await client.ok("publish", raw_data=f'{{"topic":"{topic}","payload":{{ "x" : 1.50 }},"guarantee":"at_least_once"}}')
        event = await client.event(topic)
        response = await client.command("history", {"topic": topic})
        assert response["data"]["events"] == [event] and '{ "x" : 1.50 }' in response.raw


@pytest.mark.parametrize("since,expected", [(None, [1, 2, 3, 4, 5]), (0, [1, 2, 3, 4, 5]), (3, [4, 5]), (5, [])])
async def test_since_an_offset_gives_what_is_newer(server, names, since, expected):
    topic = f"kept.{names()}"
    async with Client.open(server, server.admin) as client:
        for n in range(1, 6):
            await client.guaranteed(topic, n)
        found = await history(client, topic, since=since)
        assert data(found["events"]) == expected and found["missing"] is False


async def test_since_an_event(server, names):
    topic = f"kept.{names()}"
    async with Client.open(server, server.admin) as client:
        ids = [(await client.guaranteed(topic, n))["event"] for n in range(5)]
        found = await history(client, topic, since=ids[2])
        assert data(found["events"]) == [3, 4] and found["missing"] is False
        other = "0" * 15 + "1-3"
        found = await history(client, topic, since=other)
        assert data(found["events"]) == [0, 1, 2, 3, 4] and found["missing"] is True, "of another epoch"


async def test_since_a_time(server, names):
    topic = f"kept.{names()}"
    async with Client.open(server, server.admin) as client:
        times = []
        for n in range(3):
            times.append(now())
            await asyncio.sleep(0.02)
            await client.guaranteed(topic, n)
            await asyncio.sleep(0.02)
        for n, time in enumerate(times):
            assert data((await history(client, topic, since=time))["events"]) == list(range(n, 3))
        assert (await history(client, topic, since=now()))["events"] == []
        assert len((await history(client, topic, since="2020-01-01T00:00:00Z"))["events"]) == 3


async def test_history_comes_in_pages(server, names):
    topic = f"kept.{names()}"
    async with Client.open(server, server.admin) as client:
        for n in range(10):
            await client.publish(topic, n)
        await client.guaranteed(topic, 10)
        seen, since = [], None
        while True:
            page = await history(client, topic, limit=4, since=since)
            assert len(page["events"]) <= 4 and page["missing"] is False
            seen += data(page["events"])
            if not page["more"]:
                break
            since = page["events"][-1]["id"]
        assert seen == list(range(11))


async def test_large_events_come_in_more_pages(server, names):
    topic = f"kept.{names()}"
    async with Client.open(server, server.admin) as client:
        for n in range(4):
            await client.guaranteed(topic, [n, "x" * 300_000])
        seen, since = [], None
        while True:
            page = await history(client, topic, since=since)
            assert page["events"]
            seen += [event["data"][0] for event in page["events"]]
            if not page["more"]:
                break
            since = page["events"][-1]["id"]
        assert seen == [0, 1, 2, 3]


async def test_a_guaranteed_publish_begins_a_log_where_no_rule_wants_one(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        assert (await history(client, topic))["events"] == []
        await client.guaranteed(topic, 1)
        assert data((await history(client, topic))["events"]) == [1]


async def test_a_topic_without_a_log_gives_what_it_retains(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.publish(topic, 1)
        assert (await history(client, topic))["events"] == []
        await client.publish(topic, 2, retain=True)
        assert data((await history(client, topic))["events"]) == [2]


async def test_what_is_beyond_the_number_of_events_is_gone(server, names):
    topic = f"count.{names()}"
    async with Client.open(server, server.admin) as client:
        for n in range(1, 21):
            await client.guaranteed(topic, n)

        async def settled():
            found = await history(client, topic)
            return found if len(found["events"]) <= 5 else None

        found = await eventually(settled)
        assert data(found["events"]) == [16, 17, 18, 19, 20] and found["missing"] is True
        assert found["first"] == 16 and found["last"] == 20
        assert (await history(client, topic, since=15))["missing"] is False
        assert (await history(client, topic, since=14))["missing"] is True


async def test_what_is_beyond_the_bytes_is_gone(server, names):
    topic = f"bytes.{names()}"
    async with Client.open(server, server.admin) as client:
        for n in range(20):
            await client.guaranteed(topic, [n, "x" * 1000])
        found = await cut(client, topic)
        kept = [event["data"][0] for event in found["events"]]
        assert kept == list(range(kept[0], 20)) and 1 <= len(kept) <= 4, kept


@pytest.mark.deadline(30)
async def test_what_is_too_old_is_gone(server, names):
    topic = f"age.{names()}"
    async with Client.open(server, server.admin) as client:
        await client.guaranteed(topic, "old")
        assert data((await history(client, topic))["events"]) == ["old"]
        await asyncio.sleep(1.2)

        async def gone():
            found = await history(client, topic)
            return not found["events"] and found["missing"]

        await eventually(gone, timeout=12)
        answer = await client.guaranteed(topic, "young")
        assert answer["offset"] == 2, "offsets go on"
        found = await history(client, topic)
        assert data(found["events"]) == ["young"] and found["missing"] is True


async def test_an_event_past_its_time_to_live_is_neither_shown_nor_delivered(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as client:
        async with Client.open(server, server.admin) as other:
            await other.subscribe_guaranteed(topic, name=name)
        await client.guaranteed(topic, "short", ttl_s=1)
        await client.guaranteed(topic, "long", ttl_s=600)
        assert data((await history(client, topic))["events"]) == ["short", "long"]
        await asyncio.sleep(1.3)
        found = await history(client, topic)
        assert data(found["events"]) == ["long"] and found["missing"] is True
        async with grows(server, "events_expired_total"):
            await client.subscribe_guaranteed(topic, name=name)
            assert data(await client.take(topic, 1)) == ["long"]


async def test_a_subscription_that_is_behind_the_cut_goes_on_and_it_is_counted(server, names):
    topic, name = f"count.{names()}", names()
    async with Client.open(server, server.admin) as client:
        async with Client.open(server, server.admin) as other:
            await other.subscribe_guaranteed(topic, name=name)
        async with grows(server, "events_expired_total", by=15):
            for n in range(1, 21):
                await client.guaranteed(topic, n)
            await cut(client, topic)
            await client.subscribe_guaranteed(topic, name=name)
            assert data(await client.take(topic, 5)) == [16, 17, 18, 19, 20]


async def test_what_is_too_old_is_gone_where_nothing_else_happens(start):
    server = start({"Topics": {"LogMaxAge": 1}})
    async with Client.open(server, server.admin) as client:
        await client.guaranteed("a.b", "old")
        await asyncio.sleep(4)
        assert (await history(client, "a.b"))["events"] == []


BAD = [
    None, [], {}, {"topic": 1}, {"topic": "a.*"}, {"topic": "a.>"}, {"topic": "a"},
    *({"topic": "a.b"} | more for more in (
        {"since": -1}, {"since": 1.5}, {"since": {}}, {"since": True}, {"since": "yesterday"}, {"since": "xyz-3"},
        {"limit": 0}, {"limit": 1001}, {"limit": -1}, {"limit": "x"}, {"limit": 1.5},
    )),
]  # fmt: skip


@pytest.mark.parametrize("asked", BAD, ids=str)
async def test_data_of_the_wrong_form_is_refused(server, asked):
    async with Client.open(server, server.admin) as client:
        await client.error("bad_data", "history", asked)


async def test_history_needs_the_permission(server, names):
    topic = f"kept.{names()}"
    token = server.key(names(), "connect", "subscribe:other.>", "publish:>")
    async with Client.open(server, token) as client:
        await client.guaranteed(topic, 1)
        await client.error("forbidden", "history", {"topic": topic})
