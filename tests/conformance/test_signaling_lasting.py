"""Signaling: what outlives a stop and a kill, how a stop is told, and the two pages of figures."""

import asyncio
import json
import re
import signal
import time

import pytest
from harness import eventually
from harness.signaling import CONFIG, ENCODINGS, ERAS, NETWORK, RANDOM_ID, Peer

EACH_SHAPE = True
ENDS = ["stop", "kill"]
each_era = pytest.mark.parametrize("era", ERAS, ids=str)
each_end = pytest.mark.parametrize("end", ENDS)


async def again(server, end):
    if end == "stop":
        assert await asyncio.to_thread(server.stop) == 0
    else:
        server.kill()
    server.start()


@each_end
@each_era
async def test_rooms_and_memberships_outlive_the_server(start, end, era):
    server = start(CONFIG)
    async with Peer.open(server, era=era) as a, Peer.open(server, era=era, name="b") as b, Peer.open(server, era=era) as gone:
        room = await a.create("first", "9876")
        await b.join(room, "9876")
        await gone.join(room, "9876")
        await gone.leave(room)
        kicked = Peer.open(server, era=era)
        async with kicked as c:
            await c.join(room, "9876")
            await a.kick(room, c.key)
        await a.rename(room, "second")
        before = (await b.rooms())[room]
        await again(server, end)
    async with Peer.open(server, a.key, era=era) as a, Peer.open(server, b.key, era=era) as b, Peer.open(server, era=era) as d:
        assert (await b.connect(room))[era.name] == "second"
        after = (await b.rooms())[room]
        assert after["joined_at"] == before["joined_at"] and after[era.name] == "second"
        if era is NETWORK:
            assert after["computer_ip"] == before["computer_ip"] == "10.10.0.2"
        await a.connect(room)
        await a.told(era.peer_connected, **{era.id: room, "public_key": b.key})
        assert await a.error(era.of("Create"), {era.name: "x", era.secret: "1234", "public_key": a.key}) == (
            f"This public key has already created {era}: {room}"
        )
        for left in (gone.key, c.key):
            async with Peer.open(server, left, era=era) as other:
                assert await other.error(era.of("Connect"), {era.id: room, "public_key": left}) == f"You must join this {era} first"
        wrong = "Incorrect PIN" if era is NETWORK else "Incorrect password"
        assert await d.error(era.of("Join"), d.joining(room, "9875")) == wrong
        await d.join(room, "9876")
        await a.rename(room, "third")
        await d.told(era.of("Renamed"), **{era.name: "third"})


@each_end
async def test_after_a_restart_nobody_is_there(start, end):
    server = start(CONFIG | {"Signaling": CONFIG["Signaling"] | {"MaxClientsPerRoom": 2}})
    async with Peer.open(server) as a, Peer.open(server) as b:
        room = await a.create()
        await b.join(room)
        await again(server, end)
    async with Peer.open(server, a.key) as a:
        assert (await a.rooms())[room]["is_connected"] is False
        await a.connect(room)
        assert [peer["public_key"] for peer in (await a.ok("Presence", {"room_id": room}, "Presence"))["peers"]] == [a.key]
        await a.quiet()
        async with Peer.open(server, b.key) as b:
            await b.connect(room)


@each_end
async def test_a_deleted_room_stays_deleted(start, end):
    server = start(CONFIG)
    async with Peer.open(server) as a, Peer.open(server) as b:
        room = await a.create()
        await b.join(room)
        await a.leave(room)
        await again(server, end)
    async with Peer.open(server, a.key) as a, Peer.open(server, b.key) as b:
        assert await b.error("ConnectRoom", {"room_id": room, "public_key": b.key}) == "Room does not exist"
        assert await a.rooms() == {} == await b.rooms()
        assert await a.create() != room


@pytest.mark.deadline(60)
async def test_no_answered_room_is_lost_by_a_kill(start):
    """What was answered is there, whenever the kill comes; what was not answered is whole or not at all."""
    server = start(CONFIG)
    answered, tried = {}, set()

    async def make(n):
        try:
            async with Peer.open(server) as a:
                while True:
                    tried.add(a.key)
                    room = await a.create(f"r{n}")
                    answered[a.key] = room
                    await a.leave(room)
                    answered.pop(a.key)
        except Exception:
            return

    making = [asyncio.create_task(make(n)) for n in range(8)]
    await asyncio.sleep(1)
    server.kill()
    await asyncio.gather(*making)
    server.start()
    for key in tried:
        async with Peer.open(server, key) as a:
            rooms = await a.rooms()
            assert len(rooms) <= 1
            # The leave that was on its way may have been done, without its answer.
            for room in rooms:
                await a.connect(room)
                await a.leave(room)
            await a.create()


# -- a stop is told


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "which,info", [(signal.SIGTERM, "Server is being restarted for maintenance."), (signal.SIGINT, "Server will be back soon.")], ids=["TERM", "INT"]
)
async def test_a_stop_is_told_to_everyone(start, which, info, encoding):
    server = start(CONFIG | {"Shutdown": {"DrainTimeout": 5}})
    async with Peer.open(server, encoding=encoding) as a, Peer.open(server, encoding=encoding) as idle, Peer.open(server) as silent:
        await a.create()
        await idle.sync()
        server.signal(which)
        for peer in (a, idle, silent):
            note = await peer.note("ServerShutdown")
            assert RANDOM_ID.fullmatch(note.id)
            assert note.encoding == ("base64" if peer is silent else encoding)
            assert set(note.payload) == {"message", "shutdown_in_seconds", "restart_info"}
            assert note["message"] == "Server is shutting down for maintenance" and note["restart_info"] == info
            told = time.monotonic()
            assert (await peer.closed())[0] == 1001
            assert note["shutdown_in_seconds"] == round(time.monotonic() - told) == 0
    assert await asyncio.to_thread(server.wait) in (0, None)


# -- figures


async def test_stats_have_their_shape(start):
    server = start({"Signaling": CONFIG["Signaling"] | {"MaxClientsPerRoom": 7, "RoomExpiryDays": 9, "CleanupIntervalHours": 24}})
    async with Peer.open(server) as a, Peer.open(server) as b, Peer.open(server):
        room = await a.create()
        await b.join(room)

        async def counted():
            status, found = server.json("/stats")
            assert status == 200
            return found if found["server_stats"]["active_connections"] == 2 and found["server_stats"]["active_rooms"] == 1 else None

        found = await eventually(counted)
    config, stats = found["config"], found["server_stats"]
    assert config["max_clients_per_room"] == 7 and config["room_expiry_days"] == 9 and config["cleanup_interval"] == "24h0m0s"
    assert isinstance(config["allow_all_origins"], bool)
    assert set(stats) == set(
        "start_time uptime connections_total active_connections active_rooms peak_connections peak_rooms messages_processed version last_cleanup_time stale_rooms_removed".split()
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", stats["start_time"])
    assert re.fullmatch(r"\d+d \d+h \d+m \d+s", stats["uptime"])
    assert stats["connections_total"] >= 3 and stats["peak_connections"] >= 2 and stats["peak_rooms"] >= 1
    assert stats["messages_processed"] >= 2 and stats["stale_rooms_removed"] == 0 and isinstance(stats["version"], str)
    assert stats["last_cleanup_time"] == "0001-01-01T00:00:00Z"

    async def empty():
        stats = server.json("/stats")[1]["server_stats"]
        return stats["active_connections"] == 0 and stats["active_rooms"] == 0 and stats["peak_rooms"] >= 1

    await eventually(empty)


async def test_stats_are_for_those_who_may_where_the_status_is_not_public(start):
    server = start(CONFIG | {"Security": {"PublicStatus": "none"}})
    for path in ("/stats", "/ws/stats"):
        assert server.http(path=path)[0] == 401
        assert server.http(path=path, headers={"Authorization": f"Key {server.admin}"})[0] == 200


@pytest.mark.parametrize(
    "path,headers", [("/health", {"Accept": "text/plain"}), ("/health", {"X-Client-ID": "x"}), ("/ws/health", {})], ids=["accept", "client", "path"]
)
async def test_health_is_ok_for_who_expects_it_so(start, path, headers):
    status, found, body = start(CONFIG).http(path=path, headers=headers)
    assert (status, body) == (200, b"OK") and found["content-type"].startswith("text/plain")


async def test_health_is_the_server_s_own_for_all_others(start):
    status, found = start(CONFIG).json("/health")
    assert status == 200 and isinstance(found, dict)


async def test_the_figures_are_below_the_path_too(start):
    server = start(CONFIG)
    assert set(server.json("/ws/stats")[1]) == set(server.json("/stats")[1]) == {"config", "server_stats"}


@each_end
async def test_no_secret_is_in_the_store_in_plain_text(start, end):
    server = start(CONFIG)
    async with Peer.open(server) as a:
        await a.create("a name to look for", "7319")
        await again(server, end)
    assert await asyncio.to_thread(server.stop) == 0
    found = b"".join(path.read_bytes() for path in (server.dir / "data").rglob("*") if path.is_file())
    assert b"a name to look for" in found
    for plain in (b'"7319"', b": 7319", json.dumps({"password": "7319"}).encode()):
        assert plain not in found
