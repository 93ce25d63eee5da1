"""Guaranteed subscriptions: where they begin, filters, and what stands in each other's way."""

import asyncio
import datetime

import pytest
from harness import Client
from harness.client import topic_of

EACH_SHAPE = True
CONFIG = {
    "Delivery": {"Window": 20, "MaxWindow": 50, "AckTimeoutMs": 15_000},
    "Topics": {"Rules": [{"Topics": "kept.>", "History": True}]},
}


def data(events):
    return [event["data"] for event in events]


# -- where a subscription begins


async def five(client, topic):
    answers = [await client.guaranteed(topic, n) for n in range(1, 6)]
    assert [answer["offset"] for answer in answers] == [1, 2, 3, 4, 5]
    # The worker of a subscription may hear of an event a little later than its publisher.
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize(
    "start_from,expected",
    [
        (None, []),
        ("new", []),
        ("last", [5]),
        ("all", [1, 2, 3, 4, 5]),
        (0, [1, 2, 3, 4, 5]),
        (3, [4, 5]),
        (5, []),
        (99, []),
    ],
)
async def test_from(server, names, start_from, expected, named):
    topic = names() + ".a"
    options = {"name": names()} if named else {}
    if start_from is not None:
        options["from"] = start_from
    async with Client.open(server, server.admin) as client:
        await five(client, topic)
        await client.subscribe_guaranteed(topic, **options)
        await client.guaranteed(topic, "then")
        got = data(await client.take(topic, 1))
        while got[-1] != "then":
            got += data(await client.take(topic, 1))
        assert got == [*expected, "then"]


async def test_new_is_what_is_published_after_the_subscription_alone(server, names):
    t = names()
    async with Client.open(server, server.admin) as client:
        for n in range(80):
            await client.guaranteed(f"{t}.s{n}", "before")
            await client.subscribe_guaranteed(f"{t}.s{n}", name=names())
        await client.quiet(t)


async def test_from_a_time(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.guaranteed(topic, "before")
        await asyncio.sleep(0.05)
        then = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        await asyncio.sleep(0.05)
        await client.guaranteed(topic, "after")
        await client.subscribe_guaranteed(topic, **{"from": then})
        assert data(await client.take(topic, 1)) == ["after"]
        await client.quiet(topic, 0.2)


async def test_from_counts_when_a_durable_subscription_is_new(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as one:
        await five(one, topic)
        async with Client.open(server, server.admin) as client:
            await client.subscribe_guaranteed(topic, name=name, **{"from": "all"})
            assert data(await client.take(topic, 5)) == [1, 2, 3, 4, 5]
            await client.ok("ping", {})
        async with Client.open(server, server.admin) as client:
            await client.subscribe_guaranteed(topic, name=name, **{"from": "all"})
            await client.quiet(topic)


async def test_from_all_through_a_pattern(server, names):
    t = names()
    async with Client.open(server, server.admin) as client:
        for n in range(12):
            await client.guaranteed(f"{t}.s{n % 3}", n)
        await client.subscribe_guaranteed(f"{t}.*", name=names(), **{"from": "all"})
        got = [await client.event() for _ in range(13)]
        got = [event for event in got if topic_of(event) != "system.session"]
        assert sorted(data(got)) == list(range(12))
        for s in range(3):
            assert data(event for event in got if topic_of(event) == f"{t}.s{s}") == [s, s + 3, s + 6, s + 9]


async def test_from_last_through_a_pattern(server, names):
    t = names()
    async with Client.open(server, server.admin) as client:
        for n in range(12):
            await client.guaranteed(f"{t}.s{n % 3}", n)
        await client.subscribe_guaranteed(f"{t}.*", **{"from": "last"})
        got = [await client.event(timeout=1) for _ in range(4)]
        assert sorted(data(event for event in got if topic_of(event) != "system.session")) == [9, 10, 11]


async def test_nothing_is_missed_or_doubled_between_the_past_and_the_present(server, names):
    topic, count = names() + ".a", 300
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:

        async def publish():
            for n in range(count):
                await one.guaranteed(topic, n)

        publishing = asyncio.create_task(publish())
        await asyncio.sleep(0.05)
        await two.subscribe_guaranteed(topic, window=50, **{"from": "all"})
        got = await two.take(topic, count)
        await publishing
        assert data(got) == list(range(count))
        await two.quiet(topic, 0.1)


async def test_a_best_effort_subscription_begins_in_the_past_too(server, names):
    topic = f"kept.{names()}"
    async with Client.open(server, server.admin) as client:
        for n in range(3):
            await client.publish(topic, n)
        await client.subscribe(topic, **{"from": "all"})
        assert data([await client.event(topic) for _ in range(3)]) == [0, 1, 2]


@pytest.mark.parametrize("guarantee", ["at_most_once", "at_least_once"])
async def test_a_retained_guaranteed_event_comes_first_with_from_last(server, names, guarantee):
    topic = names() + ".lamp"
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await one.guaranteed(topic, "off", retain=True)
        await one.guaranteed(topic, "on", retain=True)
        await two.subscribe(topic, guarantee=guarantee, **{"from": "last"})
        await one.guaranteed(topic, "dim", retain=True)
        got = [await two.event(topic) for _ in range(2)]
        assert data(got) == ["on", "dim"]
        assert [event.get("ack") for event in got] == ([True] * 2 if guarantee == "at_least_once" else [None] * 2)


# -- filters, overlaps


@pytest.mark.parametrize("named", [False, True])
async def test_what_a_filter_leaves_out_waits_for_no_ack(server, names, named):
    topic = names() + ".a"
    options = {"name": names()} if named else {}
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, filter={"n": {"ge": 18}}, window=2, **options)
        for n in range(20):
            await client.guaranteed(topic, {"n": n})
        got = await client.take(topic, 2)
        assert [event["data"]["n"] for event in got] == [18, 19]
        assert [(event["offset"], event["prev"]) for event in got] == [(19, 18), (20, 19)]
        await client.quiet(topic, 0.2)


async def test_overlapping_patterns_of_one_subscription_deliver_once(server, names):
    t = names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(f"{t}.*", f"{t}.a", f"{t}.>")
        await client.guaranteed(f"{t}.a", 1)
        assert data(await client.take(f"{t}.a", 1)) == [1]
        await client.quiet(t, 0.2)


async def test_a_guaranteed_subscription_takes_the_place_of_a_best_effort_one(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.subscribe(topic)
        await client.subscribe_guaranteed(topic)
        assert (await client.guaranteed(topic, 1))["receivers"] == 1
        assert (await client.event(topic))["ack"] is True
        await client.quiet(topic, 0.2)
