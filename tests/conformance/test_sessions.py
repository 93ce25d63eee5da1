"""Sessions: resuming after a lost connection, taking over, and what comes back."""

import asyncio
import contextlib
import statistics
import time

import pytest
from harness import Client, eventually, grows

EACH_SHAPE = True
CONFIG = {
    "Delivery": {"AckTimeoutMs": 15_000},
    "Sessions": {"TimeToLive": 60},
    "Topics": {"Rules": [{"Topics": "few.>", "History": True, "MaxEvents": 5}, {"Topics": "kept.>", "History": True}]},
}


def data(events):
    return [event["data"] for event in events]


@contextlib.asynccontextmanager
async def resumed(server, token, session, how="header", seen=None):
    """A connection that resumes, by one of the three ways; `client.resumption` is what it was told."""
    headers, path = {}, "/"
    if how == "header":
        headers = {"Hydrogen-Session": session["session"], "Hydrogen-Secret": session["secret"]}
    elif how == "query":
        path = f"/?session={session['session']}&secret={session['secret']}"
    async with Client.open(server, token, headers=headers, path=path) as client:
        if how == "command":
            await client.session()
            asked = {"session": session["session"], "secret": session["secret"]}
            client.resumption = await client.ok("resume", asked | ({"seen": seen} if seen is not None else {}))
        else:
            client.resumption = await client.session()
        yield client


async def abort(client):
    """Cuts the connection without a close frame."""
    client.socket.transport.abort()
    await client.closed()


WAYS = ["header", "query", "command"]


@pytest.mark.parametrize("how", WAYS)
async def test_a_session_is_resumed_with_its_subscriptions(server, names, how):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as other:
        async with Client.open(server, server.admin) as client:
            session = await client.session()
            assert session["resumed"] is False and session["lost"] == []
            await client.subscribe_guaranteed(topic)
            await other.guaranteed(topic, 1)
            await client.take(topic, 1)
            await abort(client)
        await other.guaranteed(topic, 2)
        async with grows(server, "sessions_resumed_total"):
            async with resumed(server, server.admin, session, how) as client:
                assert client.resumption["resumed"] is True and client.resumption["lost"] == [], client.resumption
                assert client.resumption["session"] == session["session"]
                await other.guaranteed(topic, 3)
                assert data(await client.take(topic, 2)) == [2, 3]
                await client.quiet(topic, 0.2)


@pytest.mark.parametrize("how", WAYS)
async def test_what_was_not_acked_comes_first_and_in_order(server, names, how):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as other:
        async with Client.open(server, server.admin) as client:
            session = await client.session()
            await client.subscribe_guaranteed(topic)
            for n in range(1, 7):
                await other.guaranteed(topic, n)
            events = await client.take(topic, 6, ack=False)
            await client.ack(events[1], events[4])
            await client.ok("ping", {})
            await abort(client)
        for n in range(7, 10):
            await other.guaranteed(topic, n)
        async with resumed(server, server.admin, session, how) as client:
            await other.guaranteed(topic, 10)
            assert data(await client.take(topic, 8)) == [1, 3, 4, 6, 7, 8, 9, 10]


async def test_a_session_without_events_is_resumed_many_times_over(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as other:
        async with Client.open(server, server.admin) as client:
            session = await client.session()
            await client.subscribe_guaranteed(topic)
        for n in range(8):
            async with resumed(server, server.admin, session, WAYS[n % 3]) as client:
                assert client.resumption["resumed"] is True
                # The secret may change with each time.
                session = session | {key: client.resumption[key] for key in ("session", "secret") if key in client.resumption}
                if n % 2:
                    await other.guaranteed(topic, n)
                    assert data(await client.take(topic, 1)) == [n]
                    await client.ok("ping", {})


async def test_a_clean_close_keeps_the_session_too(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        session = await client.session()
        await client.subscribe_guaranteed(topic)
        await client.guaranteed(topic, 1)
        await client.event(topic)
    async with resumed(server, server.admin, session) as client:
        assert client.resumption["resumed"] is True
        assert data(await client.take(topic, 1)) == [1]


async def test_a_best_effort_subscription_is_restored(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as client:
        session = await client.session()
        await client.subscribe(topic, filter={"n": {"gt": 1}})
    async with resumed(server, server.admin, session) as client:
        assert (await client.publish(topic, {"n": 1}))["receivers"] in (0, 1)
        await client.publish(topic, {"n": 2})
        assert (await client.event(topic))["data"] == {"n": 2}


async def test_a_best_effort_subscriber_of_a_kept_topic_can_ask_for_what_it_missed(server, names):
    topic = f"kept.{names()}"
    async with Client.open(server, server.admin) as other:
        async with Client.open(server, server.admin) as client:
            session = await client.session()
            await client.subscribe(topic)
            await other.publish(topic, 1)
            last = await client.event(topic)
            await abort(client)
        for n in (2, 3):
            await other.publish(topic, n)
        async with resumed(server, server.admin, session) as client:
            missed = await client.ok("history", {"topic": topic, "since": last["id"]})
            assert data(missed["events"]) == [2, 3] and missed["missing"] is False
            await other.publish(topic, 4)
            event = await client.event(topic)
            assert event["data"] == 4 and event["prev"] == missed["last"] == 3


async def test_what_was_seen_is_not_sent_again(server, names):
    t = names()
    async with Client.open(server, server.admin) as other:
        async with Client.open(server, server.admin) as client:
            session = await client.session()
            await client.subscribe_guaranteed(f"{t}.*")
            for n in range(1, 5):
                await other.guaranteed(f"{t}.a", n)
            await other.guaranteed(f"{t}.b", "b")
            await client.take(f"{t}.b", 1, ack=False)
            await abort(client)
        async with resumed(server, server.admin, session, "command", seen={f"{t}.a": 3, "never.heard": 9}) as client:
            assert data([await client.event() for _ in range(2)]) == [4, "b"]
            await client.quiet(t, 0.2)


# -- taking over


@pytest.mark.parametrize("how", WAYS)
async def test_a_second_connection_takes_the_session_over(server, names, how):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as first:
        session = await first.session()
        await first.subscribe_guaranteed(topic)
        await first.guaranteed(topic, 1)
        await first.event(topic)
        async with grows(server, "connections_closed_total", by=2, reason="taken_over"):
            async with resumed(server, server.admin, session, how) as second:
                assert second.resumption["resumed"] is True
                assert (await first.closed())[0] == 4004
                assert data(await second.take(topic, 1)) == [1]
                await second.guaranteed(topic, 2)
                assert data(await second.take(topic, 1)) == [2]
                # The ack is on one connection and the takeover on another: the ping says that it was heard.
                await second.ok("ping", {})
                async with resumed(server, server.admin, session | second.resumption, how) as third:
                    assert (await second.closed())[0] == 4004
                    await third.guaranteed(topic, 3)
                    assert data(await third.take(topic, 1)) == [3]
                    await third.ok("ping", {})


async def test_of_many_that_take_over_at_once_one_remains(server, names):
    topic = names() + ".a"
    async with Client.open(server, server.admin) as first:
        session = await first.session()
        await first.subscribe_guaranteed(topic)
        async with contextlib.AsyncExitStack() as stack:
            clients = await asyncio.gather(*(stack.enter_async_context(Client.open(server, server.admin)) for _ in range(6)))
            asked = {"session": session["session"], "secret": session["secret"]}
            answers = await asyncio.gather(*(client.command("resume", asked) for client in clients), return_exceptions=True)
            assert any(not isinstance(answer, Exception) and answer["status"] == "success" for answer in answers), answers
            for answer in answers:
                if not isinstance(answer, Exception) and answer["status"] == "error":
                    assert answer["error"]["code"] in ("conflict", "not_found"), answer
            assert (await first.closed())[0] == 4004
            async with Client.open(server, server.admin) as other:

                async def one():
                    return (await other.guaranteed(topic, 1))["receivers"] == 1

                await eventually(one)


# -- who may not


@pytest.mark.parametrize("how", ["header", "query"])
async def test_a_handshake_with_a_session_that_is_not_there_gets_a_new_one(server, how):
    async with Client.open(server, server.admin) as client:
        real = await client.session()
    for wrong in ({"secret": "x" * 32}, {"session": "0.AAAAAAAAAAAAAAAAAAAAAA"}):
        async with resumed(server, server.admin, real | wrong, how) as client:
            assert client.resumption["resumed"] is False
            assert client.resumption["session"] not in ((real | wrong)["session"], real["session"])


async def test_a_wrong_secret_and_an_unknown_session_are_told_apart_by_nothing(server):
    async with Client.open(server, server.admin) as client:
        real = await client.session()
        async with Client.open(server, server.admin) as other:
            fields = {"session": real["session"], "secret": real["secret"]}
            unknown = "A" + real["session"][1:-1] + ("A" if real["session"][-1] != "A" else "B")
            wrong = [
                fields | {"secret": real["secret"][:-1] + ("A" if real["secret"][-1] != "A" else "B")},
                fields | {"session": real["session"][:-1] + ("A" if real["session"][-1] != "A" else "Q")},
                fields | {"session": unknown},
                {"session": "x", "secret": "x"},
            ]
            errors = [await other.error("not_found", "resume", each) for each in wrong]
            assert all(error == errors[0] for error in errors), errors
            times = []
            for each in wrong[:2]:
                taken = []
                for _ in range(60):
                    before = time.perf_counter()
                    await other.error("not_found", "resume", each)
                    taken.append(time.perf_counter() - before)
                times.append(statistics.median(taken))
            assert max(times) < 3 * min(times) + 0.002, times
        await client.ok("ping", {})


@pytest.mark.parametrize("how", WAYS)
async def test_nobody_gets_the_session_of_another_identity(server, names, how):
    token = server.key(names(), "connect", "subscribe:>")
    async with Client.open(server, server.admin) as client:
        session = await client.session()
        if how == "command":
            async with Client.open(server, token) as other:
                await other.error("not_found", "resume", {"session": session["session"], "secret": session["secret"]})
        else:
            async with resumed(server, token, session, how) as other:
                assert other.resumption["resumed"] is False and other.resumption["identity"] != "admin"
        await client.ok("ping", {})


@pytest.mark.parametrize("options", [{}, {"guarantee": "at_least_once"}], ids=str)
async def test_resuming_with_subscriptions_already_made_is_a_conflict(server, names, options):
    async with Client.open(server, server.admin) as client:
        session = await client.session()
        async with Client.open(server, server.admin) as other:
            await other.subscribe(names() + ".a", **options)
            asked = {"session": session["session"], "secret": session["secret"]}
            await other.error("conflict", "resume", asked)
            await other.ok("ping", {})
        await client.ok("ping", {})


BAD = [
    None, [], {}, {"session": "x"}, {"secret": "x"}, {"session": 1, "secret": "x"}, {"session": "x", "secret": None},
    {"session": "x" * 200, "secret": "x"}, {"session": "x", "secret": "x", "seen": 1}, {"session": "x", "secret": "x", "seen": {"a.b": "c"}},
    {"session": "x", "secret": "x", "seen": {"a.b": -1}},
]


@pytest.mark.parametrize("asked", BAD, ids=str)
async def test_data_of_the_wrong_form_is_refused(server, asked):
    async with Client.open(server, server.admin) as client:
        await client.error("bad_data", "resume", asked)


async def test_secrets_are_not_shown(server):
    async with Client.open(server, server.admin) as client:
        session = await client.session()
        assert session["secret"] not in str(await client.ok("sessions", {}))
        async with resumed(server, server.admin, session, "query"):
            pass
        assert session["secret"] not in server.log()


async def test_permissions_are_looked_at_again(server, names):
    topic, who = names() + ".a", names()
    token, less = server.key(who, "connect", f"subscribe:{topic}"), server.key(who, "connect")
    async with Client.open(server, token) as client:
        session = await client.session()
        await client.subscribe_guaranteed(topic)
        await abort(client)
    async with Client.open(server, server.admin) as admin, resumed(server, less, session) as client:
        await admin.guaranteed(topic, 1)
        await client.quiet(topic, 0.3)


# -- what is lost, and when


@pytest.mark.parametrize("how", WAYS)
async def test_a_topic_whose_history_was_cut_is_named(server, names, how):
    topic = f"few.{names()}"
    async with Client.open(server, server.admin) as other:
        async with Client.open(server, server.admin) as client:
            session = await client.session()
            await client.subscribe_guaranteed(topic)
            await other.guaranteed(topic, 0)
            await client.take(topic, 1)
            await client.ok("ping", {})
            await abort(client)
        for n in range(1, 21):
            await other.guaranteed(topic, n)

        async def is_cut():
            return (await other.ok("history", {"topic": topic}))["missing"]

        await eventually(is_cut)
        async with resumed(server, server.admin, session, how) as client:
            assert client.resumption["resumed"] is True and client.resumption["lost"] == [topic], client.resumption
            got = data(await client.take(topic, 5))
            assert got[-1] == 20 and got == list(range(got[0], 21))


async def test_a_session_ends_after_its_time_to_live(start):
    server = start({"Sessions": {"TimeToLive": 1}})
    async with Client.open(server, server.admin) as client:
        session = await client.session()
        await client.subscribe_guaranteed("a.b")
    async with resumed(server, server.admin, session) as client:
        assert client.resumption["resumed"] is True
        await asyncio.sleep(2.5)
        await client.guaranteed("a.b", 1)
        assert data(await client.take("a.b", 1)) == [1], "a session in use does not end"
    await asyncio.sleep(3)
    async with resumed(server, server.admin, session) as client:
        assert client.resumption["resumed"] is False
    assert server.metrics().value("sessions_expired_total") >= 1


async def test_sessions_may_be_switched_off(start):
    server = start({"Sessions": {"TimeToLive": 0}})
    async with Client.open(server, server.admin) as client:
        session = await client.session()
    async with resumed(server, server.admin, session) as client:
        assert client.resumption["resumed"] is False
        response = await client.command("resume", {"session": session["session"], "secret": session["secret"]})
        assert response["error"]["code"] in ("unsupported", "not_found")


async def test_the_one_that_waits_longest_gives_way(start, shape):
    server = start({"Sessions": {"MaxResumable": 6}})
    sessions = []
    for n in range(20):
        async with Client.open(server, server.admin) as client:
            sessions.append(await client.session())
            await client.subscribe_guaranteed(f"a.b{n}")
    await asyncio.sleep(0.2)
    async with Client.open(server, server.admin) as client:
        for session in sessions[:8]:
            await client.error("not_found", "resume", {"session": session["session"], "secret": session["secret"]})
        last = sessions[-1]
        assert (await client.ok("resume", {"session": last["session"], "secret": last["secret"]}))["resumed"] is True


# -- across the end of the server


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_session_outlives_the_server(start, end, how):
    server = start()
    async with Client.open(server, server.admin) as other, Client.open(server, server.admin) as client:
        session = await client.session()
        await client.subscribe_guaranteed("a.*")
        for n in range(1, 6):
            await other.guaranteed("a.b", n)
        events = await client.take("a.b", 5, ack=False)
        await client.ack(events[0])
        await client.ok("ping", {})
        await asyncio.sleep(0.5)
        if end == "stop":
            assert await asyncio.to_thread(server.stop) == 0
        else:
            server.kill()
    server.start()
    async with resumed(server, server.admin, session, how) as client:
        assert client.resumption["resumed"] is True, client.resumption
        await client.guaranteed("a.b", 6)
        got = data(await client.take("a.b", 5))
        if end == "kill" and got[0] == 1:
            got = got[1:] + data(await client.take("a.b", 1))
        assert got == [2, 3, 4, 5, 6]
        assert client.resumption["lost"] == []
