"""Guaranteed subscriptions: durable names and their groups, ends, permissions, options."""

import asyncio

import pytest
from harness import Client, eventually, grows

EACH_SHAPE = True
CONFIG = {
    "Delivery": {"Window": 20, "MaxWindow": 50, "AckTimeoutMs": 15_000, "MaxAttempts": 20},
    "Topics": {"Rules": [{"Topics": "kept.>", "History": True}, {"Topics": "pub.>", "Guarantee": "at_least_once"}]},
}




def data(events):
    return [event["data"] for event in events]


# -- durable subscriptions


async def test_a_durable_subscription_keeps_what_its_client_misses(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as other:
        async with Client.open(server, server.admin) as client:
            await client.subscribe_guaranteed(topic, name=name)
            await other.guaranteed(topic, 1)
            await client.take(topic, 1)
            await other.guaranteed(topic, 2)
            await client.take(topic, 1, ack=False)
        for n in (3, 4, 5):
            await other.guaranteed(topic, n)
        async with Client.open(server, server.admin) as client:
            await client.subscribe_guaranteed(topic, name=name)
            got = await client.take(topic, 4)
            assert data(got) == [2, 3, 4, 5], "what was not acked, in order, and then what is new"
            await client.quiet(topic)
        async with Client.open(server, server.admin) as client:
            await client.subscribe_guaranteed(topic, name=name)
            await client.quiet(topic)


async def test_a_durable_name_belongs_to_its_identity(server, names):
    topic, name = names() + ".a", names()
    other = server.key(names(), "connect", "subscribe:>")
    async with Client.open(server, server.admin) as one, Client.open(server, other) as two:
        await one.subscribe_guaranteed(topic, name=name)
        await two.subscribe_guaranteed(topic, name=name)
        await one.guaranteed(topic, 1)
        assert data(await one.take(topic, 1)) == data(await two.take(topic, 1)) == [1], "two subscriptions, not one group"
        await two.ok("unsubscribe", {"name": name})
        await one.guaranteed(topic, 2)
        assert data(await one.take(topic, 1)) == [2]
        await two.quiet(topic, 0.2)


async def test_two_names_are_two_subscriptions(server, names):
    topic, a, b = names() + ".a", names(), names()
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await one.subscribe_guaranteed(topic, name=a)
        await two.subscribe_guaranteed(topic, name=b)
        await one.guaranteed(topic, 1)
        assert data(await one.take(topic, 1)) == data(await two.take(topic, 1)) == [1]


# -- groups: several connections under one name


async def test_a_group_shares_its_events(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        for client in (one, two):
            await client.subscribe_guaranteed(topic, name=name, window=50)
        for n in range(40):
            await one.guaranteed(topic, n)
        got = {client: [] for client in (one, two)}

        async def all_there():
            for client in (one, two):
                for event in await client.events_now(topic):
                    got[client].append(event["data"])
                    await client.ack(event)
            return len(got[one]) + len(got[two]) >= 40

        await eventually(all_there)
        assert sorted(got[one] + got[two]) == list(range(40)), "each event comes to one of them"
        assert got[one] and got[two], "both are given some"
        assert got[one] == sorted(got[one]) and got[two] == sorted(got[two])


async def test_what_a_member_leaves_goes_to_another(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as one:
        async with Client.open(server, server.admin) as two:
            await two.subscribe_guaranteed(topic, name=name, ack_timeout_ms=10_000)
            for n in range(6):
                await one.guaranteed(topic, n)
            assert data(await two.take(topic, 6, ack=False)) == list(range(6))
            await one.subscribe_guaranteed(topic, name=name, ack_timeout_ms=10_000)
        got = await one.take(topic, 6, timeout=3)
        assert data(got) == list(range(6)), "at once, not after the ack timeout"


async def test_a_member_that_does_not_ack_gives_way_to_another(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        for client in (one, two):
            await client.subscribe_guaranteed(topic, name=name, ack_timeout_ms=200)
        await one.guaranteed(topic, 1)
        got = []

        async def twice():
            for client in (one, two):
                got.extend(await client.events_now(topic))
            return len(got) >= 2

        await eventually(twice)
        assert {event["id"] for event in got} == {got[0]["id"]} and got[-1]["attempt"] == len(got)
        await one.ack(got[0])
        await two.ack(got[0])
        await one.quiet(topic, 0.5)
        await two.quiet(topic, 0.1)


# -- the end of a subscription


async def test_an_unnamed_subscription_ends_by_its_topics(server, names):
    t = names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(f"{t}.a", f"{t}.b", ack_timeout_ms=200)
        for which in "ab":
            await client.guaranteed(f"{t}.{which}", which)
        await client.event(f"{t}.b")
        await client.ok("unsubscribe", {"topics": [f"{t}.a"]})
        while not client.events.empty():
            client.events.get_nowait()
        again = await client.event()
        assert again["data"] == "b" and again["attempt"] >= 2, "what was not acked of the other still comes again"
        await client.ack(again)
        await client.ok("ping", {})
        assert (await client.guaranteed(f"{t}.a", "late"))["receivers"] == 0
        await client.quiet(t, 0.5)


async def test_a_durable_subscription_ends_by_its_name_for_all_its_connections(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await one.subscribe_guaranteed(topic, name=name, ack_timeout_ms=200)
        await two.subscribe_guaranteed(topic, name=name, ack_timeout_ms=200)
        await one.guaranteed(topic, 1)
        await one.ok("unsubscribe", {"name": name})
        for client in (one, two):
            await client.events_now(topic)
        await one.guaranteed(topic, 2)
        await one.quiet(topic, 0.4)
        await two.quiet(topic, 0.1)
        await one.subscribe_guaranteed(topic, name=name)
        await one.quiet(topic, 0.2)
        response = await one.command("unsubscribe", {"name": names()})
        assert response["status"] == "success" or response["error"]["code"] == "not_found"


async def test_subscribing_again_tells_the_window_that_holds(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, name=name, window=3, ack_timeout_ms=7000)
        (granted,) = (await client.subscribe_guaranteed(topic, name=name))["topics"]
        assert granted["window"] == 3 and granted["ack_timeout_ms"] == 7000, granted


async def test_a_window_given_again_changes_it(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, name=name, window=3)
        for n in range(8):
            await client.guaranteed(topic, n)
        assert data(await client.take(topic, 3, ack=False)) == [0, 1, 2]
        (granted,) = (await client.subscribe_guaranteed(topic, name=name, window=5))["topics"]
        assert granted["window"] == 5
        assert data(await client.take(topic, 2, ack=False)) == [3, 4]
        await client.quiet(topic, 0.2)


async def test_closing_does_not_end_a_durable_subscription(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as one:
        for n in range(4):
            async with Client.open(server, server.admin) as client:
                await client.subscribe_guaranteed(topic, name=name)
                if n:
                    assert data(await client.take(topic, 1)) == [n - 1]
                    await client.ok("ping", {})
            await one.guaranteed(topic, n)


async def test_a_durable_subscription_that_nobody_uses_expires(start, shape):
    server = start({"Delivery": {"DurableExpiry": 1}})
    async with Client.open(server, server.admin) as one:
        # Every worker has a topic to look after.
        for n in range(12):
            await one.publish(f"busy.t{n}", 1, retain=True)
        async with Client.open(server, server.admin) as client:
            for n in range(6):
                await client.subscribe_guaranteed(f"a.b{n}", name=f"d{n}")
        await eventually(lambda: server.metrics().value("guaranteed_subscriptions") == 0)
        for n in range(6):
            assert (await one.guaranteed(f"a.b{n}", n))["receivers"] == 0
        async with Client.open(server, server.admin) as client:
            for n in range(6):
                await client.subscribe_guaranteed(f"a.b{n}", name=f"d{n}")
            await client.quiet("a")


async def test_a_durable_subscription_expires_where_nothing_else_happens(start):
    server = start({"Delivery": {"DurableExpiry": 1}, "Monitoring": {"StatusInterval": 0}})
    async with Client.open(server, server.admin) as one:
        async with Client.open(server, server.admin) as client:
            for n in range(6):
                await client.subscribe_guaranteed(f"a.b{n}", name=f"d{n}")
        await asyncio.sleep(3)
        for n in range(6):
            assert (await one.guaranteed(f"a.b{n}", n))["receivers"] == 0


async def test_durable_subscriptions_are_bounded(start):
    server = start({"Delivery": {"MaxDurableSubscriptions": 6}})
    async with Client.open(server, server.admin) as client:
        refused = 0
        for n in range(20):
            response = await client.command("subscribe", {"topics": ["a.b"], "guarantee": "at_least_once", "name": f"d{n}"})
            if response["status"] == "error":
                refused += 1
                assert response["error"]["code"] in ("too_large", "unavailable", "conflict", "storage_full"), response
        assert refused >= 14, f"{refused} of 20 were refused"
        await client.ok("unsubscribe", {"name": "d0"})
        await client.subscribe_guaranteed("a.b", name="d0")


# -- permissions


async def test_a_subscription_needs_the_permission(server, names):
    t = names()
    token = server.key(names(), "connect", f"subscribe:{t}.mine.>", f"publish:{t}.>")
    async with Client.open(server, token) as client:
        await client.error("forbidden", "subscribe", {"topics": [f"{t}.yours.a"], "guarantee": "at_least_once"})
        await client.error("forbidden", "subscribe", {"topics": [f"{t}.>"], "guarantee": "at_least_once", "name": "n"})
        found = (await client.subscribe_guaranteed(f"{t}.yours.a", f"{t}.mine.a"))["topics"]
        assert [row["granted"] for row in found] == [False, True] and found[0]["error"]["code"] == "forbidden"
        await client.guaranteed(f"{t}.yours.a", 1)
        await client.guaranteed(f"{t}.mine.a", 2)
        assert data(await client.take(f"{t}.mine.a", 1)) == [2]
        await client.quiet(f"{t}.yours", 0.1)


@pytest.mark.parametrize("named", [False, True])
async def test_a_permission_that_is_taken_away_ends_deliveries(server, names, named):
    topic, who = names() + ".a", names()
    options = {"name": names()} if named else {}
    token, less = server.key(who, "connect", f"subscribe:{topic}"), server.key(who, "connect")
    async with Client.open(server, token) as client, Client.open(server, server.admin) as admin:
        await client.subscribe_guaranteed(topic, ack_timeout_ms=200, **options)
        await admin.guaranteed(topic, 1)
        await client.event(topic)
        await client.ok("authenticate", {"token": less})
        told = await client.event("system.unsubscribed")
        assert topic in told["data"]["topics"] and told["data"]["reason"] == "forbidden", told
        await client.events_now(topic)
        await admin.guaranteed(topic, 2)
        await client.quiet(topic, 0.6)
        await client.error("forbidden", "subscribe", {"topics": [topic], "guarantee": "at_least_once", **options})


# -- bad data


BAD = [
    {"guarantee": "at_least_twice"}, {"guarantee": 1}, {"guarantee": None, "name": 5},
    {"name": ""}, {"name": 1}, {"name": []}, {"name": "x" * 300}, {"name": "a b"}, {"name": "é"},
    {"window": 0}, {"window": -1}, {"window": 1.5}, {"window": "7"}, {"window": []}, {"window": 10**12},
    {"ack_timeout_ms": 0}, {"ack_timeout_ms": -5}, {"ack_timeout_ms": "1"}, {"ack_timeout_ms": 10**15}, {"ack_timeout_ms": 1},
    {"from": "never"}, {"from": -1}, {"from": 1.5}, {"from": {}}, {"from": True}, {"from": "2026-13-45T00:00:00Z"},
    {"filter": 1}, {"filter": {"x": {"like": 1}}}, {"priority": "urgent"}, {"priority": 3},
    {"conflate": "yes"}, {"conflate": True}, {"overflow": "drop_oldest"},
    {"topics": []}, {"topics": ["a"]}, {"topics": "a.b"},
]


@pytest.mark.parametrize("options", BAD, ids=str)
async def test_a_bad_option_is_refused(server, options):
    async with Client.open(server, server.admin) as client:
        async with grows(server, "errors_total", code="bad_data"):
            await client.error("bad_data", "subscribe", {"topics": ["bad.a"], "guarantee": "at_least_once"} | options)
        assert (await client.guaranteed("bad.a", 1))["receivers"] == 0


@pytest.mark.parametrize("option", [{"name": "n"}, {"window": 5}, {"ack_timeout_ms": 500}], ids=str)
async def test_options_of_guaranteed_delivery_need_it(server, option):
    async with Client.open(server, server.admin) as client:
        await client.error("bad_data", "subscribe", {"topics": ["bad.a"], "guarantee": "at_most_once", **option})
        if "name" not in option:
            await client.error("bad_data", "subscribe", {"topics": ["bad.a"], **option})


async def test_a_name_alone_says_that_acks_are_wanted(server, names):
    topic, name = names() + ".a", names()
    async with Client.open(server, server.admin) as client:
        (granted,) = (await client.subscribe(topic, name=name))["topics"]
        assert granted["guarantee"] == "at_least_once" and granted["name"] == name
        await client.guaranteed(topic, 1)
        assert (await client.take(topic, 1))[0]["ack"] is True


async def test_no_window_is_larger_than_the_configured_one(server, names):
    async with Client.open(server, server.admin) as client:
        (granted,) = (await client.subscribe_guaranteed(names() + ".a", window=51))["topics"]
        assert granted["window"] == 50
        (granted,) = (await client.subscribe_guaranteed(names() + ".a", name=names()))["topics"]
        assert granted["window"] == 20 and granted["ack_timeout_ms"] == 15_000


@pytest.mark.parametrize("priority", ["normal", "bulk"])
async def test_a_guaranteed_subscription_has_a_priority(server, names, priority):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, priority=priority)
        for n in range(20):
            await client.guaranteed(topic, n, priority="low")
        assert data(await client.take(topic, 20)) == list(range(20))
