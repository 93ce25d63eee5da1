"""What outlives the server: a stop, a kill, and who may use the store."""

import asyncio
import json

import pytest
from harness import Client, Server, StartFailed, eventually

EACH_SHAPE = True
ENDS = ["stop", "kill"]
CONFIG = {"Topics": {"Rules": [{"Topics": "kept.>", "History": True}, {"Topics": "pure.>", "Guarantee": "at_least_once"}]}}


def data(events):
    return [event["data"] for event in events]


async def again(server, end):
    """Ends the server, in order or not, and starts it anew on the same data."""
    if end == "stop":
        assert await asyncio.to_thread(server.stop) == 0
    else:
        server.kill()
    server.start()


@pytest.mark.parametrize("end", ENDS)
async def test_a_durable_subscription_goes_on_where_it_was(start, end):
    server = start()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("a.>", name="d", window=50, ack_timeout_ms=7_000)
        for n in range(20):
            await client.guaranteed(f"a.s{n % 2}", n)
        got = [event for event in [await client.event() for _ in range(21)] if event["channel"] == "a"]
        await client.ack(*got[:10])
        await client.ok("ping", {})
        await asyncio.sleep(0.4)
    await again(server, end)
    async with Client.open(server, server.admin) as client:
        await client.guaranteed("a.s0", 20)
        await client.subscribe_guaranteed("a.>", name="d")
        got = []
        while 20 not in data(got):
            event = await client.event()
            if event["channel"] == "a":
                got.append(event)
                await client.ack(event)
        expected = list(range(10, 21))
        # The acks had some 50 ms to be written down; a kill may still lose them.
        assert data(got)[-11:] == expected and (end == "kill" or data(got) == expected), data(got)


@pytest.mark.parametrize("end", ENDS)
async def test_no_answered_event_is_lost(start, end):
    server = start()
    answered = []

    async def publish(client, k):
        n = 0
        while True:
            try:
                await client.guaranteed(f"a.s{k}", [k, n])
            except (ConnectionError, Exception):
                return
            answered.append((k, n))
            n += 1

    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("a.*", name="d")
        async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two:
            publishing = [asyncio.create_task(publish(each, k)) for k, each in enumerate((one, two, one, two))]
            await eventually(lambda: len(answered) > 150)
            if end == "kill":
                server.kill()
            else:
                assert await asyncio.to_thread(server.stop) == 0
            for each in publishing:
                each.cancel()
    server.start()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("a.*", name="d")
        seen, last = set(), {}
        while not seen.issuperset(answered):
            event = await client.event()
            if event["channel"] == "a":
                k, n = event["data"]
                assert n == last.get(k, -1) + 1, "in order, and none twice"
                last[k] = n
                seen.add((k, n))
                await client.ack(event)


@pytest.mark.parametrize("end", ENDS)
async def test_offsets_and_epoch_of_guaranteed_events_go_on(start, end):
    server = start(CONFIG)
    async with Client.open(server, server.admin) as client:
        before = {topic: [await client.guaranteed(topic, n) for n in range(3)] for topic in ("a.b", "pure.a")}
    await again(server, end)
    async with Client.open(server, server.admin) as client:
        for topic, answers in before.items():
            answer = await client.guaranteed(topic, 3)
            assert answer["offset"] == 4 and answer["event"].split("-")[0] == answers[0]["event"].split("-")[0], answer
            found = await client.ok("history", {"topic": topic})
            assert data(found["events"]) == [0, 1, 2, 3] and found["missing"] is False
            assert [event["id"] for event in found["events"][:3]] == [each["event"] for each in answers]


@pytest.mark.parametrize("end", ENDS)
async def test_no_id_is_given_twice_to_best_effort_events(start, end):
    server = start(CONFIG)
    ids = []
    for _ in range(3):
        async with Client.open(server, server.admin) as client:
            ids += [(await client.publish("kept.a", n))["event"] for n in range(5)]
            ids += [(await client.publish("none.a", n))["event"] for n in range(5)]
            ids.append((await client.guaranteed("kept.a", 5))["event"])
        await again(server, end)
    assert len(set(ids)) == len(ids), ids


async def test_a_mixed_log_goes_on_after_a_stop_in_order(start):
    server = start(CONFIG)
    async with Client.open(server, server.admin) as client:
        before = [await client.publish("kept.a", n) for n in range(3)]
    await again(server, "stop")
    async with Client.open(server, server.admin) as client:
        answer = await client.publish("kept.a", 3)
        assert answer["offset"] == 4 and answer["event"].split("-")[0] == before[0]["event"].split("-")[0], answer
        assert data((await client.ok("history", {"topic": "kept.a"}))["events"]) == [0, 1, 2, 3]


async def test_a_mixed_log_begins_an_epoch_after_a_kill_and_nothing_guaranteed_is_lost(start):
    server = start(CONFIG)
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("kept.*", name="d")
        await client.publish("kept.a", "best effort")
        before = await client.guaranteed("kept.a", "guaranteed")
    await again(server, "kill")
    async with Client.open(server, server.admin) as client:
        after = await client.publish("kept.a", "after")
        assert after["event"].split("-")[0] != before["event"].split("-")[0] and after["offset"] == 1
        await client.subscribe_guaranteed("kept.*", name="d")
        got = data(await client.take("kept.a", 2))
        got += data(await client.take("kept.a", 1)) if "best effort" in got else []
        assert got[-2:] == ["guaranteed", "after"]


@pytest.mark.parametrize("end", ENDS)
async def test_a_repeated_publish_is_known_after_a_restart(start, end):
    server = start()
    async with Client.open(server, server.admin) as client:
        first = await client.guaranteed("a.b", 1, id="order-1")
    await again(server, end)
    async with Client.open(server, server.admin) as client:
        repeat = await client.guaranteed("a.b", 1, id="order-1")
        assert repeat["event"] == first["event"] and repeat["offset"] == 1
        assert (await client.guaranteed("a.b", 2, id="order-2"))["offset"] == 2


async def test_what_was_ended_stays_ended(start):
    server = start()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("a.b", name="d")
        await client.guaranteed("a.b", 1)
        await client.ok("unsubscribe", {"name": "d"})
        await client.ok("ping", {})
    await again(server, "stop")
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("a.b", name="d")
        await client.quiet("a", 0.3)


async def test_what_was_before_a_retained_event_is_missing_after_a_restart(start):
    server = start()
    async with Client.open(server, server.admin) as client:
        await client.publish("plain.a", 1)
        await client.publish("plain.a", 2, retain=True)
        assert (await client.ok("history", {"topic": "plain.a"}))["missing"] is True
    await again(server, "stop")
    async with Client.open(server, server.admin) as client:
        found = await client.ok("history", {"topic": "plain.a"})
        assert [event["data"] for event in found["events"]] == [2] and found["missing"] is True


@pytest.mark.parametrize("end", ENDS)
async def test_what_was_newest_is_there_after_a_restart(start, end):
    server = start()
    async with Client.open(server, server.admin) as client:
        for state in ("off", "on"):
            await client.guaranteed("lamp.hall", state, retain=True)
    await again(server, end)
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("lamp.hall", **{"from": "last"})
        assert data(await client.take("lamp.hall", 1)) == ["on"]


async def test_a_filter_outlives_the_server(start):
    server = start()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("a.b", name="d", filter={"n": {"ge": 2}})
    await again(server, "kill")
    async with Client.open(server, server.admin) as client:
        for n in range(4):
            await client.guaranteed("a.b", {"n": n})
        await client.subscribe_guaranteed("a.b", name="d", filter={"n": {"ge": 2}})
        assert [event["data"]["n"] for event in await client.take("a.b", 2)] == [2, 3]
        await client.quiet("a", 0.2)


@pytest.mark.deadline(40)
async def test_many_ends_one_after_another(start):
    server = start()
    published, got = 0, []
    for n in range(6):
        async with Client.open(server, server.admin) as client:
            await client.subscribe_guaranteed("a.b", name="d")
            for _ in range(3):
                await client.guaranteed("a.b", published)
                published += 1
            if n % 2:
                got += data(await client.take("a.b", 6))
                await client.ok("ping", {})
                await asyncio.sleep(0.3)
        await again(server, ENDS[n % 2])
    assert sorted(set(got)) == list(range(published))


# -- the store itself


async def test_a_second_server_on_the_same_data_does_not_start(start):
    server = start()
    second = Server(server.config | {"DataDir": server.config["DataDir"]})
    try:
        with pytest.raises(StartFailed) as failed:
            second.start()
        assert failed.value.code == 71, failed.value
        assert "store" in failed.value.output or "lock" in failed.value.output, failed.value
    finally:
        second.remove()
    async with Client.open(server, server.admin) as client:
        assert (await client.guaranteed("a.b", 1))["offset"] == 1


async def test_readiness_and_figures_tell_of_the_store(start):
    server = start()
    assert server.http(path="/ready")[0] == 200
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("a.b", name="d")
        for n in range(5):
            await client.guaranteed("a.b", n)
        events = await client.take("a.b", 5, ack=False)
        await client.ack(*events[:2])
        await client.ok("ping", {})
        figures = server.metrics()
        assert figures.value("store_sync_duration_seconds_count") >= 1
        assert figures.value("guaranteed_publish_duration_seconds_count") == 5
        assert figures.value("acks_total") == 2

        status = await client.ok("status", {})
        assert status["delivery"]["acked"] == 2 and status["store"]["well"] is True and status["store"]["bytes"] > 0, status


async def test_figures_tell_what_is_outstanding(start):
    server = start()
    async with Client.open(server, server.admin) as client:
        await client.subscribe_guaranteed("a.b", name="d")
        for n in range(5):
            await client.guaranteed("a.b", n)
        events = await client.take("a.b", 5, ack=False)
        await client.ack(*events[:2])

        async def told():
            delivery = (await client.ok("status", {}))["delivery"]
            return delivery["outstanding"] == 3 and delivery["durable_subscriptions"] == 1

        await eventually(told, timeout=4)


@pytest.mark.parametrize("end", ENDS)
async def test_a_stopped_store_is_checked(start, end):
    server = start()
    async with Client.open(server, server.admin) as client:
        for n in range(7):
            await client.guaranteed("a.b", n)
    if end == "stop":
        assert await asyncio.to_thread(server.stop) == 0
    else:
        server.kill()
    path = f"{server.config['DataDir']}/store"
    found = json.loads(server.cli("store", "check", "--path", path, "--json").stdout)
    assert not found["damage"], found
    assert "7" in json.dumps(found), found
    server.cli("store", "check", "--path", path)
    server.start()
    async with Client.open(server, server.admin) as client:
        assert (await client.guaranteed("a.b", 7))["offset"] == 8


async def test_a_store_in_use_or_absent_is_not_checked(start):
    server = start()
    path = f"{server.config['DataDir']}/store"
    assert server.cli("store", "check", "--path", path, check=False).returncode not in (0, 6)
    assert server.cli("store", "check", "--path", str(server.dir / "nothing"), check=False).returncode not in (0, 6)
    async with Client.open(server, server.admin) as client:
        await client.guaranteed("a.b", 1)


async def test_a_full_store_refuses_what_is_guaranteed_and_nothing_else(start):
    server = start({"Store": {"MaxBytes": 1_048_576}})
    async with Client.open(server, server.admin) as client:
        await client.subscribe("b.c")
        refused = None
        for n in range(60):
            response = await client.command("publish", {"topic": "a.b", "payload": "x" * 40_000, "guarantee": "at_least_once"})
            if response["status"] == "error":
                refused = response["error"]
                break
        assert refused and refused["code"] == "storage_full" and refused["retryable"] is True and refused["retry_after_ms"] > 0, refused
        await client.publish("b.c", 1)
        assert (await client.event("b.c"))["data"] == 1
        assert len((await client.ok("history", {"topic": "a.b", "limit": 1}))["events"]) == 1
        assert server.http(path="/ready")[0] == 503
        assert server.http(path="/health")[0] == 200
