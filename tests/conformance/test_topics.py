"""Topics: subscribing, publishing, patterns, options, history, presence, and who may do what."""

import asyncio
import contextlib

import pytest
from harness import Client, eventually, grows
from harness.client import check_error, topic_of


async def test_an_event_reaches_a_subscriber_as_it_was_published(server, names):
    topic = names() + ".kitchen.temp"
    payload = '{ "n": 1.50, "big":123456789012345678901234567890, "e":1E5,"s":"\\u00e9/\\/😀", "z":[ ] }'
    async with Client.open(server, server.admin) as client:
        await client.subscribe(topic)
        response = await client.command("publish", raw_data=f'{{"topic":"{topic}","payload":{payload}}}')
        assert response["status"] == "success", response
        assert response["data"]["receivers"] == 1, response
        event = await client.event(topic)
        assert payload in event.raw, "the payload is passed through byte for byte"
        assert event["id"] == response["data"]["event"]
        assert event["channel"] == topic.split(".")[0] and event["action"] == "kitchen.temp"


async def test_the_publisher_needs_no_subscription_and_receivers_are_counted(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        assert (await one.publish(topic, 1))["receivers"] == 0
        await two.subscribe(topic)
        assert (await one.publish(topic, 2))["receivers"] == 1
        await one.subscribe(topic)
        assert (await one.publish(topic, 3))["receivers"] == 2
        assert (await two.event(topic))["data"] == 2
        assert (await two.event(topic))["data"] == 3
        first = await one.event(topic)
        assert first["data"] == 3


async def test_an_event_is_the_same_bytes_for_all(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
        await one.subscribe(topic)
        await two.subscribe(topic)
        await one.publish(topic, {"x": 1})
        assert (await one.event(topic)).raw == (await two.event(topic)).raw


@pytest.mark.parametrize("payload", [None, True, 0, -1.5e-3, "text", "", [], {}, [1, [2]], {"a": {"b": None}}])
async def test_any_json_value_is_a_payload(server, names, payload):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.subscribe(topic)
        await client.publish(topic, payload)
        event = await client.event(topic)
        assert "data" in event and event["data"] == payload


PATTERNS = [
    ("{t}.a", ["{t}.a"], ["{t}.b", "{t}.a.b"]),
    ("{t}.*", ["{t}.a", "{t}.b"], ["{t}.a.b"]),
    ("{t}.>", ["{t}.a", "{t}.a.b", "{t}.a.b.c.d"], []),
    ("{t}.*.c", ["{t}.a.c", "{t}.b.c"], ["{t}.c", "{t}.a.b.c", "{t}.a.d"]),
    ("{t}.a.>", ["{t}.a.b", "{t}.a.b.c"], ["{t}.a", "{t}.b.a"]),
    ("{t}.*.>", ["{t}.a.b", "{t}.a.b.c"], ["{t}.a"]),
    ("*.{t}", ["x.{t}", "y.{t}"], ["x.y.{t}", "{t}.x"]),
]


@pytest.mark.parametrize("pattern,matching,others", PATTERNS)
async def test_patterns(server, names, pattern, matching, others):
    t = names()
    fill = lambda text: text.replace("{t}", t)
    async with Client.open(server, server.admin) as client:
        await client.subscribe(fill(pattern))
        for topic in matching + others:
            expected = 1 if topic in matching else 0
            assert (await client.publish(fill(topic), fill(topic)))["receivers"] == expected, topic
        assert sorted(event["data"] for event in await client.events_now() if topic_of(event) != "system.session") == sorted(
            fill(topic) for topic in matching
        )


async def test_overlapping_patterns_deliver_once(server, names):
    t = names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe(f"{t}.*", f"{t}.a", f"{t}.>")
        await client.subscribe(f"{t}.a")
        assert (await client.publish(f"{t}.a", 1))["receivers"] == 1
        assert len(await client.events_now(t)) == 1


BAD_TOPICS = ["", ".", "a", "a..b", ".a", "a.", "a b.c", "a.ü", "a.b/c", "x" * 257 + ".a", "c" * 64 + "." + "x" * 192, ".".join("a" * 33)]


@pytest.mark.parametrize("topic", BAD_TOPICS + ["a.*", "a.>", "*.a"])
async def test_what_is_no_topic_cannot_be_published_to(server, topic):
    async with Client.open(server, server.admin) as client:
        await client.error("bad_data", "publish", {"topic": topic, "payload": 1})


@pytest.mark.parametrize("topic", ["c" * 64 + "." + "x" * 191, ".".join("a" * 32), "a.b-c_9"])
async def test_names_up_to_the_limit_are_topics(server, topic):
    async with Client.open(server, server.admin) as client:
        await client.subscribe(topic)
        assert (await client.publish(topic, 1))["receivers"] == 1
        assert topic_of(await client.event(topic)) == topic


@pytest.mark.parametrize("topic", [t for t in BAD_TOPICS if t != "a"] + ["a.>.b", "a.b*", "a.**", ">.a"])
async def test_what_is_no_pattern_cannot_be_subscribed_to(server, topic):
    async with Client.open(server, server.admin) as client:
        response = await client.command("subscribe", {"topics": [topic]})
        assert response["status"] == "error" or "error" in str(response["data"]), response
        if response["status"] == "error":
            check_error(response["error"], "bad_data")


BAD_DATA = {
    "subscribe": [None, [], "a.b", {}, {"topics": "a.b"}, {"topics": []}, {"topics": [1]}, {"topics": [None]},
                  {"topics": ["a.b"], "guarantee": "always"}, {"topics": ["a.b"], "from": "never"}, {"topics": ["a.b"], "from": -1},
                  {"topics": ["a.b"], "filter": 1}, {"topics": ["a.b"], "filter": {"x": {"like": 1}}},
                  {"topics": ["a.b"], "conflate": "yes"}, {"topics": ["a.b"], "overflow": "explode"}, {"topics": ["a.b"], "overflow": 1},
                  {"topics": [f"a.b{n}" for n in range(257)]},
                  {"topics": ["a.b"], "filter": {f"k{n}": n for n in range(33)}}],
    "unsubscribe": [None, [], {}, {"topics": "a.b"}, {"topics": [1]}],
    "publish": [None, [], {}, {"topic": 1, "payload": 1}, {"payload": 1}, {"topic": "a.b", "payload": 1, "retain": "yes"},
                {"topic": "a.b", "payload": 1, "ttl_s": "x"}, {"topic": "a.b", "payload": 1, "guarantee": 7}],
    "history": [None, {}, {"topic": 1}, {"topic": "a.*"}, {"topic": "a.b", "limit": "x"}, {"topic": "a.b", "since": {}}],
    "presence": [None, {}, {"topic": 1}, {"topic": ""}],
}


@pytest.mark.parametrize("action,data", [(action, data) for action, all in BAD_DATA.items() for data in all])
async def test_data_of_the_wrong_form_is_refused(server, action, data):
    async with Client.open(server, server.admin) as client:
        async with grows(server, "errors_total", code="bad_data"):
            await client.error("bad_data", action, data)
        await client.ok("ping", {})


async def test_unsubscribe_ends_just_what_it_names(server, names):
    t = names()
    async with Client.open(server, server.admin) as client:
        await client.subscribe(f"{t}.a", f"{t}.b.*")
        await client.ok("unsubscribe", {"topics": [f"{t}.a"]})
        assert (await client.publish(f"{t}.a", 1))["receivers"] == 0
        assert (await client.publish(f"{t}.b.c", 2))["receivers"] == 1
        response = await client.command("unsubscribe", {"topics": [f"{t}.never"]})
        assert response["status"] == "success" or response["error"]["code"] == "not_found"


async def test_a_closed_connection_has_no_subscriptions(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as one:
        before = server.metrics().value("subscriptions")
        async with Client.open(server, server.admin) as two:
            await two.subscribe(topic)
            assert server.metrics().value("subscriptions") == before + 1
        await eventually(lambda: server.metrics().value("subscriptions") == before)
        assert (await one.publish(topic, 1))["receivers"] == 0


async def test_a_retained_event_comes_first_with_from_last(server, names):
    topic = names() + ".lamp"
    async with Client.open(server, server.admin) as one:
        await one.publish(topic, "off", retain=True)
        await one.publish(topic, "on", retain=True)
        async with Client.open(server, server.admin) as two, Client.open(server, server.admin) as three:
            await three.subscribe(topic)
            await two.subscribe(topic, **{"from": "last"})
            await one.publish(topic, "dim", retain=True)
            assert (await two.event(topic))["data"] == "on"
            assert (await two.event(topic))["data"] == "dim"
            assert (await three.event(topic))["data"] == "dim"


async def test_from_last_works_through_patterns(server, names):
    t = names()
    async with Client.open(server, server.admin) as client:
        for n in range(5):
            await client.publish(f"{t}.s{n}", n, retain=True)
        await client.subscribe(f"{t}.*", **{"from": "last"})
        got = []
        while len(got) < 5:
            event = await client.event()
            got += [event["data"]] if event["channel"] == t else []
        assert sorted(got) == [0, 1, 2, 3, 4]
        assert await client.events_now(t) == []


FILTERS = [
    ({"n": 1}, [1], [2, 0]),
    ({"n": {"gt": 1}}, [2, 1.5], [1, 0]),
    ({"n": {"ge": 1, "lt": 3}}, [1, 2, 2.9], [0, 3]),
    ({"n": {"le": 1}}, [1, -5], [2]),
    ({"n": {"ne": 1}}, [2, "1", None], [1, 1.0]),
    ({"n": {"eq": "x"}}, ["x"], ["y", 1, None]),
    ({"n": {"in": [1, "two"]}}, [1, "two"], [2, "one"]),
    ({"n": {"prefix": "ab"}}, ["ab", "abc"], ["a", "b", 1]),
    ({"n": {"exists": True}}, [1, None], []),
    ({"n": {"exists": False}}, [], [1]),
    ({"n": 1, "m.k": "v"}, [], [1]),
    ({"o.k": "v"}, [1], []),
]


@pytest.mark.parametrize("filter,passing,others", FILTERS)
async def test_filters(server, names, filter, passing, others):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.subscribe(topic, filter=filter)
        for value in passing + others:
            await client.publish(topic, {"n": value, "o": {"k": "v"}})
        got = [event["data"]["n"] for event in await client.events_now(topic.split(".")[0])]
        assert got == passing


async def test_events_of_a_topic_keep_their_order(server, names):
    topic = names() + ".a"
    count = 2000
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two, Client.open(server, server.admin) as three:
        await two.subscribe(topic)
        await three.subscribe(topic.split(".")[0] + ".*")
        waiting = [one.expect(f"o-{n}") for n in range(count)]
        for n in range(count):
            await one.text(
                f'{{"type":"command","id":"o-{n}","channel":"system","action":"publish","data":{{"topic":"{topic}","payload":{n}}}}}'
            )
        for each in waiting:
            assert (await each)["data"]["receivers"] == 2
        for client in (two, three):
            assert [(await client.event(topic))["data"] for _ in range(count)] == list(range(count))


async def test_a_publisher_sees_its_own_event_only_once_and_ids_are_unique(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.subscribe(topic)
        ids = {(await client.publish(topic, n))["event"] for n in range(50)}
        assert len(ids) == 50
        assert {event["id"] for event in await client.events_now(topic.split(".")[0])} == ids


async def test_history_gives_what_a_topic_keeps_or_says_that_it_keeps_nothing(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        await client.publish(topic, "kept", retain=True)
        data = await client.ok("history", {"topic": topic, "limit": 10})
        assert [event["data"] for event in data["events"]] == ["kept"] and data["missing"] is False, data


async def test_presence_tells_who_is_subscribed(server, names):
    topic = names() + ".room"
    ann, ben = server.key("ann", "connect", f"subscribe:{topic}"), server.key("ben", "connect", f"subscribe:{topic}")
    async with Client.open(server, server.admin) as admin:
        async with Client.open(server, ann) as one, Client.open(server, ann) as two, Client.open(server, ben) as three:
            for client in (one, two, three):
                await client.subscribe(topic)
            found = await admin.ok("presence", {"topic": topic})
            assert found["topic"] == topic and found["connections"] == 3 and found["next"] is None, found
            assert found["identities"] == [{"identity": "ann", "connections": 2}, {"identity": "ben", "connections": 1}]
            first = await admin.ok("presence", {"topic": topic, "limit": 1})
            assert [row["identity"] for row in first["identities"]] == ["ann"] and first["next"] == "ann", first
            rest = await admin.ok("presence", {"topic": topic, "limit": 1, "after": first["next"]})
            assert [row["identity"] for row in rest["identities"]] == ["ben"] and rest["next"] is None, rest

        async def empty():
            return (await admin.ok("presence", {"topic": topic}))["connections"] == 0

        await eventually(empty)


VERBS = {
    "publish": (["connect", "publish:mine.>"], "publish", {"topic": "{}.a", "payload": 1}),
    "subscribe": (["connect", "subscribe:mine.>"], "subscribe", {"topics": ["{}.a"]}),
}


def put(data, value):
    if isinstance(data, str):
        return data.replace("{}", value)
    if isinstance(data, list):
        return [put(each, value) for each in data]
    if isinstance(data, dict):
        return {name: put(each, value) for name, each in data.items()}
    return data


@pytest.mark.parametrize("verb", VERBS)
async def test_a_permission_goes_as_far_as_its_pattern(server, verb):
    permits, action, data = VERBS[verb]
    token = server.tokens.get(verb) or server.key(verb, *permits)
    async with Client.open(server, token) as client:
        await client.ok(action, put(data, "mine"))
        async with grows(server, "errors_total", code="forbidden"):
            await client.error("forbidden", action, put(data, "yours"))
        for other, (_, action, data) in VERBS.items():
            if other != verb:
                await client.error("forbidden", action, put(data, "mine"))


async def test_a_subscription_must_lie_within_one_permission(server):
    token = server.key("narrow", "connect", "subscribe:n.a.*", "subscribe:n.b")
    async with Client.open(server, token) as client:
        for allowed in ("n.a.*", "n.a.x", "n.b"):
            await client.subscribe(allowed)
        for refused in ("n.*", "n.>", "n.a.>", ">", "*.b", "n.c"):
            await client.error("forbidden", "subscribe", {"topics": [refused]})


@pytest.mark.parametrize("channel", ["system", "network", "print", "file"])
async def test_topics_of_the_built_in_channels_are_the_servers(server, channel):
    async with Client.open(server, server.admin) as client:
        await client.error("forbidden", "publish", {"topic": f"{channel}.news", "payload": 1})


async def test_a_wildcard_in_the_first_place_leaves_out_the_built_in_channels(start):
    server = start({"Monitoring": {"StatusInterval": 1}})
    async with Client.open(server, server.admin) as wide, Client.open(server, server.admin) as exact:
        await wide.subscribe(">")
        await exact.subscribe("system.status_update")
        await exact.event("system.status_update")
        assert await wide.events_now("system.status_update") == []


async def test_a_permission_that_is_taken_away_ends_the_subscription(server, names):
    # Two keys of one identity: the second credential has less.
    t = names()
    token = server.key("shrunk", "connect", f"subscribe:{t}.>")
    less = server.key("shrunk", "connect")
    async with Client.open(server, token) as client, Client.open(server, server.admin) as admin:
        await client.subscribe(f"{t}.a")
        assert (await admin.publish(f"{t}.a", 1))["receivers"] == 1
        await client.ok("authenticate", {"token": less})
        assert (await admin.publish(f"{t}.a", 2))["receivers"] == 0


async def test_many_subscribers_each_get_each_event(server, names):
    topic = names() + ".a"
    async with contextlib.AsyncExitStack() as stack:
        clients = await asyncio.gather(*(stack.enter_async_context(Client.open(server, server.admin)) for _ in range(200)))
        await asyncio.gather(*(client.subscribe(topic) for client in clients))
        for n in range(10):
            assert (await clients[0].publish(topic, n))["receivers"] == 200
        for client in clients:
            assert [(await client.event(topic))["data"] for _ in range(10)] == list(range(10))


async def test_many_subscriptions_of_one_client(server, names):
    t = names()
    async with Client.open(server, server.admin) as client:
        for start in range(0, 1000, 250):
            await client.subscribe(*(f"{t}.s{n}" for n in range(start, start + 250)))
        for n in (0, 249, 250, 999):
            assert (await client.publish(f"{t}.s{n}", n))["receivers"] == 1
        assert len(await client.events_now(t)) == 4
