"""Guaranteed delivery: publishing to disk, acks, redelivery, order, windows."""

import asyncio
import re
import time

import pytest
from harness import Client, grows
from harness.client import topic_of

EACH_SHAPE = True
CONFIG = {
    "Delivery": {"Window": 50, "MaxWindow": 100, "AckTimeoutMs": 20_000, "MaxAttempts": 4},
    "Topics": {"Rules": [{"Topics": "always.>", "Guarantee": "at_least_once"}, {"Topics": "kept.>", "History": True}]},
}


def data(events):
    return [event["data"] for event in events]


def same(answer, first):
    """The answer to a publish that was there already: of the same event."""
    return all(answer[field] == first[field] for field in ("event", "offset", "level"))


# -- publishing


async def test_a_guaranteed_publish_is_answered_when_it_is_on_disk(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        answers = [await client.guaranteed(topic, n) for n in range(3)]
        for offset, answer in enumerate(answers, 1):
            assert answer["level"] == "disk" and answer["offset"] == offset and answer["receivers"] == 0, answer
            assert re.fullmatch(rf"[0-9a-f]+-{offset}", answer["event"]), answer
        assert len({answer["event"].split("-")[0] for answer in answers}) == 1, answers


async def test_what_is_not_guaranteed_is_not_said_to_be_on_disk(server, names):
    async with Client.open(server, server.admin) as client:
        assert (await client.publish(names() + ".a", 1)).get("level") != "disk"
        assert (await client.publish(f"kept.{names()}", 1)).get("level") != "disk"


async def test_a_topic_may_be_configured_so_that_every_publish_is_guaranteed(server, names):
    topic = f"always.{names()}"
    async with Client.open(server, server.admin) as client:
        answer = await client.publish(topic, 1)
        assert answer["level"] == "disk" and answer["offset"] == 1, answer
        await client.subscribe_guaranteed(topic)
        await client.publish(topic, 2)
        event = await client.event(topic)
        assert event["ack"] is True and event["offset"] == 2 and event["prev"] == 1


async def test_receivers_count_those_who_are_there(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await one.subscribe(topic)
        assert (await two.guaranteed(topic, 1))["receivers"] == 1
        await two.subscribe_guaranteed(topic)
        assert (await two.guaranteed(topic, 2))["receivers"] == 2


async def test_the_same_id_again_is_answered_as_the_first_time_and_stored_once(server, names):
    topic = names() + ".a"
    id = names()
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await two.subscribe_guaranteed(topic)
        first = await one.guaranteed(topic, 1, id=id)
        assert same(await one.guaranteed(topic, 1, id=id), first)
        assert same(await two.guaranteed(topic, 1, id=id), first), "on another connection of the same identity"
        assert (await one.guaranteed(topic, 2))["offset"] == 2
        assert data(await two.take(topic, 2)) == [1, 2]
        await two.quiet(topic)


async def test_the_same_id_twice_at_once_is_stored_once(server, names):
    topic = names() + ".a"
    text = '{"type":"command","id":"%s","channel":"system","action":"publish","data":{"topic":"%s","guarantee":"at_least_once"}}'
    text %= (names(), topic)
    async with Client.open(server, server.admin) as one:
        for _ in range(5):
            await one.text(text)
        answers = [(await one.other())["data"] for _ in range(5)]
        assert len({answer["event"] for answer in answers}) == 1, answers
        assert (await one.guaranteed(topic, 2))["offset"] == 2


async def test_ids_of_different_identities_have_nothing_to_do_with_each_other(server, names):
    topic = names() + ".a"
    other = server.key(names(), "connect", "publish:>")
    id = names()
    async with Client.open(server, server.admin) as one, Client.open(server, other) as two:
        assert (await one.guaranteed(topic, 1, id=id))["offset"] == 1
        assert (await two.guaranteed(topic, 1, id=id))["offset"] == 2


async def test_an_id_is_new_again_after_the_deduplication_window(start, names):
    server = start({"Delivery": {"DeduplicationWindow": 1}})
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        first = await client.guaranteed(topic, 1, id="same")
        assert same(await client.guaranteed(topic, 1, id="same"), first)
        await asyncio.sleep(2.2)
        assert (await client.guaranteed(topic, 1, id="same"))["offset"] == 2


async def test_a_best_effort_publish_with_the_same_id_is_another_one(server, names):
    topic = names() + ".a"
    id = names()
    async with Client.open(server, server.admin) as client:
        data = {"topic": topic, "payload": 1}
        assert (await client.ok("publish", data, id=id))["event"] != (await client.ok("publish", data, id=id))["event"]


async def test_publishing_needs_the_permission(server, names):
    token = server.key(names(), "connect", "publish:mine.>")
    async with Client.open(server, token) as client:
        await client.guaranteed("mine.a", 1)
        await client.error("forbidden", "publish", {"topic": "yours.a", "guarantee": "at_least_once"})
        await client.error("forbidden", "publish", {"topic": "system.a", "guarantee": "at_least_once"})
        await client.error("bad_data", "publish", {"topic": "mine.*", "guarantee": "at_least_once"})


# -- delivery and acks


@pytest.mark.parametrize("name", [None, "durable"])
async def test_an_event_asks_for_an_ack_and_comes_once_if_it_is_acked(server, names, name):
    topic = names() + ".a"
    options = {"name": names()} if name else {}
    async with Client.open(server, server.admin) as client:
        (granted,) = (await client.subscribe_guaranteed(topic, ack_timeout_ms=200, **options))["topics"]
        assert granted["granted"] is True and granted["guarantee"] == "at_least_once" and granted["topic"] == topic
        assert granted["ack_timeout_ms"] == 200 and granted["window"] == 50 and granted.get("name") == options.get("name")
        first = await client.guaranteed(topic, {"n": 1})
        second = await client.guaranteed(topic, {"n": 2})
        one, two = await client.take(topic, 2)
        assert one["id"] == first["event"] and two["id"] == second["event"]
        assert one["ack"] is True and "attempt" not in one and one["offset"] == 1 and one.get("prev") in (None, 0)
        assert two["offset"] == 2 and two["prev"] == 1
        await client.quiet(topic, 0.7)


async def test_the_payload_is_passed_on_as_it_was_written(server, names):
    topic = names() + ".a"
    payload = '{ "n": 1.50, "big":123456789012345678901234567890, "s":"\\u00e9/\\/😀", "z":[ ] }'
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, ack_timeout_ms=100)
        await client.ok("publish", raw_data=f'{{"topic":"{topic}","payload":{payload},"guarantee":"at_least_once"}}')
        first, again = await client.event(topic), await client.event(topic)
        assert payload in first.raw and payload in again.raw
        await client.ack(first)


async def test_an_event_that_is_not_acked_comes_again_and_says_so(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, ack_timeout_ms=200)
        await client.guaranteed(topic, "x")
        seen, times = [], []
        for _ in range(3):
            seen.append(await client.event(topic))
            times.append(time.monotonic())
        assert [event.get("attempt") for event in seen] == [None, 2, 3]
        for event in seen[1:]:
            assert {key: value for key, value in event.items() if key != "attempt"} == seen[0]
        gaps = [later - earlier for earlier, later in zip(times, times[1:])]
        assert min(gaps) > 0.15, gaps
        assert sum(gaps) > 0.45, f"the waits grow: {gaps}"
        await client.ack(seen[0])
        await client.quiet(topic, 1.2)


async def test_acks_of_one_of_several_and_of_all_up_to_an_offset(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, ack_timeout_ms=400)
        for n in range(1, 8):
            await client.guaranteed(topic, n)
        events = await client.take(topic, 7, ack=False)
        async with grows(server, "acks_total", by=6):
            await client.ack(events[6])
            await client.ack(events[4], events[5])
            await client.ack_through(events[2])
        again = await client.event(topic)
        assert again["data"] == 4 and again["attempt"] == 2, again
        await client.ack(again)
        await client.quiet(topic, 0.6)


async def test_through_is_of_one_topic_alone(server, names):
    t = names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(f"{t}.*", ack_timeout_ms=300)
        await client.guaranteed(f"{t}.a", "a")
        await client.guaranteed(f"{t}.b", "b")
        a = await client.event(f"{t}.a")
        await client.ack_through(a)
        again = await client.event(f"{t}.b")
        while "attempt" not in again:
            again = await client.event()
        assert again["data"] == "b"
        await client.ack(again)
        await client.quiet(t, 0.5)


async def test_an_ack_up_to_an_event_is_of_its_epoch_alone(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, ack_timeout_ms=400)
        for n in range(3):
            await client.guaranteed(topic, n)
        events = await client.take(topic, 3, ack=False)
        async with grows(server, "acks_ignored_total"):
            await client.send({"type": "ack", "topic": topic, "through": "0123456789abcdef-3"})
        async with grows(server, "acks_total", by=2):
            await client.send({"type": "ack", "topic": topic, "through": events[1]["id"]})
        again = await client.event(topic)
        assert again["data"] == 2 and again["attempt"] == 2, again
        await client.ack(again)
        await client.quiet(topic, 0.6)


async def test_acks_of_what_is_not_outstanding_are_counted_and_nothing_else(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic)
        await client.guaranteed(topic, 1)
        event = await client.event(topic)
        await client.ack(event)
        await client.ok("ping", {})
        for message in (
            {"type": "ack", "id": event["id"]},
            {"type": "ack", "id": "0123456789abcdef-7"},
            {"type": "ack", "id": "no event's id"},
            {"type": "ack", "topic": "never.heard", "through": 9},
            {"type": "ack", "topic": topic, "through": 1},
            {"type": "ack", "id": event["id"], "status": "reject", "reason": "late"},
        ):
            async with grows(server, "acks_ignored_total"):
                await client.send(message)
        await client.ok("ping", {})
        assert client.others.empty(), "acks get no response"


async def test_nobody_can_ack_for_another(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await one.subscribe_guaranteed(topic, ack_timeout_ms=300)
        await one.guaranteed(topic, 1)
        event = await one.event(topic)
        async with grows(server, "acks_ignored_total"):
            await two.ack(event)
        again = await one.event(topic)
        assert again["id"] == event["id"] and again["attempt"] == 2
        await one.ack(again)


async def test_each_subscription_waits_for_its_own_ack(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await one.subscribe_guaranteed(topic, ack_timeout_ms=300)
        await two.subscribe_guaranteed(topic, ack_timeout_ms=300)
        await one.guaranteed(topic, 1)
        await one.ack(await one.event(topic))
        first = await two.event(topic)
        assert (await two.event(topic))["attempt"] == 2
        await two.ack(first)
        await one.quiet(topic, 0.4)


# -- order and windows


@pytest.mark.parametrize("window", [1, 7, 100])
async def test_first_deliveries_are_in_order_through_every_window(server, names, window):
    topic, count = names() + ".a", 150
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await two.subscribe_guaranteed(topic, window=window)
        await asyncio.gather(*(one.guaranteed(topic, n) for n in range(count)))
        got = await two.take(topic, count, timeout=10)
        assert [event["offset"] for event in got] == list(range(1, count + 1))
        assert data(got) == list(range(count))
        assert [event.get("prev") for event in got[1:]] == list(range(1, count))


async def test_no_more_than_the_window_is_in_flight(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        (granted,) = (await client.subscribe_guaranteed(topic, window=3))["topics"]
        assert granted["window"] == 3
        for n in range(10):
            await client.guaranteed(topic, n)
        first = await client.take(topic, 3, ack=False)
        assert data(first) == [0, 1, 2]
        await client.quiet(topic, 0.2)
        await client.ack(first[1])
        assert (await client.event(topic))["data"] == 3
        await client.quiet(topic, 0.2)
        await client.ack(first[0], first[2])
        assert data(await client.take(topic, 2, ack=False)) == [4, 5]
        await client.quiet(topic, 0.2)


async def test_a_redelivery_does_not_hold_up_what_is_new_within_the_window(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic, window=2, ack_timeout_ms=200)
        await client.guaranteed(topic, "stuck")
        stuck = await client.event(topic)
        got = []
        for n in range(5):
            await client.guaranteed(topic, n)
            while len(got) <= n:
                event = await client.event(topic)
                if event["id"] != stuck["id"]:
                    got.append(event["data"])
                    await client.ack(event)
        assert got == list(range(5))
        await client.ack(stuck)


async def test_a_slow_subscriber_is_kept_and_its_events_wait_in_the_store(server, names):
    topic = names() + ".a"
    payload = "x" * 50_000
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await two.subscribe_guaranteed(topic, window=2)
        for _ in range(40):
            await one.guaranteed(topic, payload)
        got = await two.take(topic, 40)
        assert [event["offset"] for event in got] == list(range(1, 41))


# -- several guarantees on one topic


async def test_a_best_effort_subscriber_of_a_logged_topic_can_see_that_it_missed_nothing(server, names):
    topic = f"kept.{names()}"
    async with Client.open(server, server.admin) as client:
        await client.subscribe(topic)
        for n in range(3):
            await (client.guaranteed if n == 1 else client.publish)(topic, n)
        got = [await client.event(topic) for _ in range(3)]
        assert [event["offset"] for event in got] == [1, 2, 3]
        assert [event.get("prev", 0) for event in got] == [0, 1, 2]
        assert all("ack" not in event and "attempt" not in event for event in got)


async def test_events_of_both_guarantees_have_one_line_of_offsets(server, names):
    topic = f"kept.{names()}"
    async with Client.open(server, server.admin) as client:
        answers = []
        for n in range(6):
            answers.append(await (client.guaranteed if n % 2 else client.publish)(topic, n))
        assert [answer["offset"] for answer in answers] == [1, 2, 3, 4, 5, 6], answers
        assert len({answer["event"].split("-")[0] for answer in answers}) == 1, answers


async def test_the_first_best_effort_event_among_guaranteed_ones_begins_an_epoch(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        answers = []
        for n in range(6):
            answers.append(await (client.publish if n % 2 else client.guaranteed)(topic, n))
        assert [answer["offset"] for answer in answers] == [1, 1, 2, 3, 4, 5], answers
        assert len({answer["event"] for answer in answers}) == 6, answers
        assert len({answer["event"].split("-")[0] for answer in answers}) == 2, answers


async def test_a_guaranteed_subscription_gets_events_of_both_kinds(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed(topic)
        answers = [await (client.publish if n % 2 else client.guaranteed)(topic, n) for n in range(6)]
        got = await client.take(topic, 6)
        assert data(got) == list(range(6)) and all(event["ack"] for event in got)
        assert [event["id"] for event in got] == [answer["event"] for answer in answers]


async def test_event_ids_are_unique_and_equal_for_all(server, names):
    t = names()
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await one.subscribe_guaranteed(f"{t}.>")
        await two.subscribe(f"{t}.>")
        ids = [(await one.guaranteed(f"{t}.s{n % 5}", n))["event"] for n in range(40)]
        assert len(set(ids)) == 40
        ones, twos = [[await client.event() for _ in range(41)] for client in (one, two)]
        for events in (ones, twos):
            assert sorted(event["id"] for event in events if topic_of(event) != "system.session") == sorted(ids)
