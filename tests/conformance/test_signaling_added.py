"""Signaling: what is added for who asks: presence, coming back, TURN credentials, and data through the server."""

import asyncio
import base64
import hashlib
import hmac
import json
import time

import pytest
from harness import Raw
from harness.raw import TEXT
from harness.signaling import CONFIG, ERAS, NETWORK, Message, Peer, couple, open_way, random_key

EACH_SHAPE = True
TURN_SECRET = "north-of-the-river"
# Four messages of 1,000 bytes, with what the server writes into each.
QUOTA = 4 * (1002 + 384)
CONFIG = {
    "Signaling": CONFIG["Signaling"] | {
        "GraceSeconds": 2,
        "IceServers": {
            "Stun": ["stun:stun.example.org:3478"],
            "Turn": {"Urls": ["turn:turn.example.org:3478?transport=udp", "turns:turn.example.org:5349"], "Secret": TURN_SECRET, "LifetimeSeconds": 600},
        },
        "Relay": {"BytesPerMinute": QUOTA, "RoomBytesPerMinute": 1 << 20},
    }
}  # fmt: skip
each_era = pytest.mark.parametrize("era", ERAS, ids=str)


# -- presence


async def test_presence_names_who_is_there(server):
    async with couple(server) as (a, b, room), Peer.open(server) as stranger:
        for each in (a, b):
            answer = await each.ok("Presence", {"room_id": room}, "Presence")
            assert answer["room_id"] == room
            peers = {peer["public_key"]: peer for peer in answer["peers"]}
            assert set(peers) == {a.key, b.key}
            assert all(peer["state"] == "online" for peer in peers.values())
            assert peers[a.key]["connection_id"] == b.of_other["connection_id"]
            assert peers[b.key]["username"] == "b"
        assert (await stranger.request("Presence", {"room_id": room})).type == "Error"
        assert (await a.request("Presence", {"room_id": "0123456789abcdef"})).type == "Error"
        await b.disconnect(room)
        answer = await a.ok("Presence", {"room_id": room}, "Presence")
        assert [peer["public_key"] for peer in answer["peers"]] == [a.key]


# -- coming back within the grace time


async def test_a_place_is_kept_and_what_came_meanwhile(server):
    async with couple(server, grace=True) as (a, b, room):
        joined = await b.join(room, grace=True)
        assert joined["grace_seconds"] == 2 and len(joined["resume_token"]) >= 22
        await open_way(a, b, room)
        b.cut()
        away = await a.told("PeerAway", room_id=room, public_key=b.key, connection_id=a.of_other["connection_id"])
        presence = await a.ok("Presence", {"room_id": room}, "Presence")
        assert {peer["public_key"]: peer["state"] for peer in presence["peers"]} == {a.key: "online", b.key: "away"}
        for n in range(3):
            await a.send(*a.signal("Candidate", room, b.key, str(n)))
        await a.sync()
        async with Peer.open(server, b.key) as back:
            resumed = await back.ok("Resume", {"resume_token": joined["resume_token"]}, "Resumed")
            assert resumed["rooms"] == [{"room_id": room, "room_name": "room"}] and resumed["missed"] == 0
            assert back.order[0] == "Resumed"
            assert [(await back.note("Candidate"))["candidate"] for _ in range(3)] == ["0", "1", "2"]
            found = await a.told("PeerBack", room_id=room, public_key=b.key)
            await back.send(*back.signal("Answer", room, a.key, "here"))
            assert (await a.told("Answer", answer="here"))["public_key"] == b.key
            await a.send(*a.signal("Candidate", room, found["connection_id"], "new"))
            await back.told("Candidate", candidate="new")
            assert away["public_key"] == found["public_key"]

            token = resumed["resume_token"]
            assert token != joined["resume_token"]
            async with Peer.open(server, b.key) as thief:
                for used in (joined["resume_token"], "", "x" * 22, token[:-1]):
                    assert (await thief.request("Resume", {"resume_token": used})).type == "Error"
            back.cut()
            await a.told("PeerAway", public_key=b.key)
            async with Peer.open(server) as again:
                await again.ok("Resume", {"resume_token": token}, "Resumed")
                await a.told("PeerBack", public_key=b.key)
                assert not [note for note in a.notes if note.type == "PeerLeft"]


@each_era
async def test_who_does_not_come_back_has_left(server, era):
    async with couple(server, era, grace=True) as (a, b, room):
        joined = await b.join(room, grace=True)
        before = time.monotonic()
        b.cut()
        await a.told(era.peer_left, **{era.id: room, "public_key": b.key})
        assert 1 < time.monotonic() - before < 5
        if era is NETWORK:
            await a.told("ComputerDisconnected", network_id=room, public_key=b.key)
        async with Peer.open(server, b.key) as late:
            assert (await late.request("Resume", {"resume_token": joined["resume_token"]})).type == "Error"
            late.era = era
            await late.connect(room)


@pytest.mark.parametrize("how", ["leave", "disconnect"])
async def test_who_goes_on_purpose_has_no_grace(server, how):
    async with couple(server) as (a, b, room):
        token = (await b.join(room, grace=True))["resume_token"]
        await (b.leave(room) if how == "leave" else b.disconnect(room))
        await a.told("PeerLeft" if how == "leave" else "PeerDisconnected", public_key=b.key)
        b.cut()
        await a.quiet()
        async with Peer.open(server) as other:
            answer = await other.request("Resume", {"resume_token": token})
            assert answer.type == "Error" or answer["rooms"] == []


async def test_who_was_kicked_has_no_grace(server):
    async with couple(server) as (a, b, room):
        token = (await b.join(room, grace=True))["resume_token"]
        await a.kick(room, b.key)
        await b.closed()
        await a.quiet(besides=["PeerLeft"])
        async with Peer.open(server) as other:
            answer = await other.request("Resume", {"resume_token": token})
            assert answer.type == "Error" or answer["rooms"] == []


async def test_without_asking_there_is_no_grace(server):
    async with couple(server) as (a, b, room):
        assert "resume_token" not in await b.join(room)
        b.cut()
        await a.told("PeerLeft", public_key=b.key)
        assert "PeerAway" not in a.order


async def test_the_place_of_an_absent_peer_is_not_free(start):
    server = start({"Signaling": CONFIG["Signaling"] | {"MaxClientsPerRoom": 2}})
    async with couple(server) as (a, b, room), Peer.open(server) as c:
        await b.join(room, grace=True)
        b.cut()
        await a.note("PeerAway")
        assert await c.error("JoinRoom", c.joining(room)) == "Room is full"
        await a.note("PeerLeft")
        await c.join(room)


@pytest.mark.parametrize("places", [2, 50])
async def test_who_comes_back_without_its_token_is_not_taken_for_gone(start, places):
    """As after reloading a page: whoever knows members by their keys hears what it would hear without a place that is kept."""
    server = start({"Signaling": CONFIG["Signaling"] | {"MaxClientsPerRoom": places}})
    async with couple(server) as (a, b, room):
        token = (await b.join(room, grace=True))["resume_token"]
        b.cut()
        away = await a.told("PeerAway", public_key=b.key)
        async with Peer.open(server, b.key) as back:
            await back.connect(room)
            assert (await a.told("PeerLeft", public_key=b.key))["connection_id"] == away["connection_id"]
            here = await a.told("PeerConnected", public_key=b.key)
            assert here["connection_id"] != away["connection_id"]
            async with Peer.open(server, b.key) as late:
                assert await late.error("Resume", {"resume_token": token}) == "Resume token is not valid"
            await a.send(*a.signal("Offer", room, here["connection_id"], "still"))
            await back.told("Offer", offer="still")
            await asyncio.sleep(2.5)
            assert [note.type for note in a.notes if note.type == "PeerLeft"] == []
            presence = await a.ok("Presence", {"room_id": room}, "Presence")
            assert {peer["public_key"]: peer["state"] for peer in presence["peers"]} == {a.key: "online", b.key: "online"}


async def test_who_comes_is_told_who_is_away(server):
    async with couple(server) as (a, b, room), Peer.open(server) as c:
        await b.join(room, grace=True)
        b.cut()
        await a.note("PeerAway")
        await c.join(room)
        await c.told("PeerJoined", public_key=a.key)
        joined = await c.told("PeerJoined", public_key=b.key)
        await c.told("PeerAway", public_key=b.key, connection_id=joined["connection_id"])


async def test_what_is_too_much_to_keep_is_counted(server):
    async with couple(server) as (a, b, room):
        token = (await b.join(room, grace=True))["resume_token"]
        await open_way(a, b, room)
        b.cut()
        await a.note("PeerAway")
        for n in range(100):
            await a.send(*a.signal("Candidate", room, b.key, str(n)))
        await a.sync()
        async with Peer.open(server) as back:
            resumed = await back.ok("Resume", {"resume_token": token}, "Resumed")
            await back.sync()
            kept = [int(note["candidate"]) for note in back.notes if note.type == "Candidate"]
            assert kept == list(range(100 - len(kept), 100)), "the oldest go first"
            assert len(kept) == 64 and resumed["missed"] == 36


# -- TURN


async def test_credentials_for_turn_are_what_coturn_recomputes(server):
    async with couple(server) as (a, _, _), Peer.open(server) as stranger:
        assert await stranger.error("GetIceServers", {}) == "Not connected to any room"
        answer = await a.ok("GetIceServers", {}, "IceServers")
        assert answer["ttl"] == 600
        stun, turn = answer["ice_servers"]
        assert stun == {"urls": ["stun:stun.example.org:3478"]}
        assert turn["urls"] == CONFIG["Signaling"]["IceServers"]["Turn"]["Urls"]
        expiry, _, who = turn["username"].partition(":")
        assert abs(int(expiry) - time.time() - 600) < 10
        assert len(who) == 16 and who not in a.key
        mac = hmac.new(TURN_SECRET.encode(), turn["username"].encode(), hashlib.sha1).digest()
        assert turn["credential"] == base64.b64encode(mac).decode()
    assert TURN_SECRET not in server.log()


# -- the relay


@each_era
async def test_data_goes_through_the_server(server, era):
    async with couple(server, era) as (a, b, room), Peer.open(server, era=era) as c:
        await c.join(room)
        await a.meets(), await b.meets(), await c.meets(2)
        relayed = {"data": 'any "text" ü😀\0', "room_id": room}
        await a.send("Relay", relayed)
        for each in (b, c):
            got = await each.told("Relay", data=relayed["data"], public_key=a.key, sender_id=b.of_other["connection_id"])
            assert got.get("room_id", got.get("network_id")) == room
        await a.send("Relay", relayed | {"destination_id": a.of_other["connection_id"]})
        await b.told("Relay", data=relayed["data"])
        await c.quiet()
        assert a.notes == [], "it does not come back"


async def test_the_relay_has_a_quota(server):
    async with couple(server) as (a, b, room):
        for _ in range(4):
            await a.send("Relay", {"room_id": room, "data": "x" * 1000})
        for _ in range(4):
            await b.note("Relay")
        assert await a.error("Relay", {"room_id": room, "data": "x" * 1000}) == "Relay quota exceeded"
        await b.quiet()
        await b.send("Relay", {"room_id": room, "data": "the other has its own"})
        await a.note("Relay")


async def test_what_is_relayed_and_says_nothing_counts_too(server):
    async with couple(server) as (a, b, room):
        for _ in range(100):
            await a.send("Relay", {"room_id": room, "data": ""})
        await a.sync(), await b.sync()
        assert b.order.count("Relay") == QUOTA // (2 + 384)
        assert sum(note.type == "Error" for note in a.notes) == 100 - QUOTA // (2 + 384)


async def test_a_room_has_a_quota_of_its_own(start):
    server = start({"Signaling": CONFIG["Signaling"] | {"Relay": {"BytesPerMinute": 3000, "RoomBytesPerMinute": 4000}}})
    async with couple(server) as (a, b, room), couple(server) as (c, d, other):
        await a.send("Relay", {"room_id": room, "data": "x" * 2500})
        await b.note("Relay")
        assert await b.error("Relay", {"room_id": room, "data": "x" * 2500}) == "Relay quota exceeded"
        await c.send("Relay", {"room_id": other, "data": "x" * 2500})
        await d.note("Relay")


async def test_the_relay_can_be_off(start):
    server = start({"Signaling": CONFIG["Signaling"] | {"Relay": {"BytesPerMinute": 0, "RoomBytesPerMinute": 0}}})
    async with couple(server) as (a, b, room):
        assert await a.error("Relay", {"room_id": room, "data": "x"}) == "Relay is not enabled"
        await b.quiet()


async def test_what_the_relay_does_not_take(server):
    async with couple(server) as (a, b, room), Peer.open(server) as stranger:
        for wrong in ({"room_id": room, "data": 5}, {"room_id": 5, "data": "x"}, {"room_id": room, "data": "x" * (49 << 10)}):
            error = await a.error("Relay", wrong, encoding="object")
            assert error.startswith("Invalid") or error == "Relay quota exceeded", error
        assert (await stranger.request("Relay", {"room_id": room, "data": "x"})).type == "Error"
        assert await a.error("Relay", {"room_id": room, "destination_id": "nobody", "data": "x"}) == "Target client not found"
        await b.quiet()


# -- who does not read


@pytest.mark.deadline(60)
async def test_a_peer_that_never_reads_costs_the_others_nothing(start):
    relay = {"Relay": {"BytesPerMinute": 1 << 28, "RoomBytesPerMinute": 1 << 29}}
    # It does not read its close frame either: it is gone when the server no longer waits for its answer.
    limits = {"WebSocketServer": {"MaxMessageSize": 131072, "CloseTimeout": 1}, "Outbound": {"MaxBytesPerConnection": 262144}}
    server = start({"Signaling": CONFIG["Signaling"] | relay} | limits)
    async with couple(server) as (a, b, room):
        async with await Raw.websocket(server, protocols="", path="/ws", receive_buffer=4096) as deaf:
            key = random_key()
            await deaf.text(json.dumps({"message_id": "1", "type": "JoinRoom", "payload": {"room_id": room, "password": "1234", "public_key": key}}))
            while Message((found := await deaf.frame()).payload.decode()).type != "RoomJoined":
                assert found.opcode == TEXT
            await a.note("PeerJoined"), await b.note("PeerJoined")
            filler = "x" * 30000
            for n in range(400):
                await a.send("Relay", {"room_id": room, "data": f"{n} {filler}"})
                assert (await b.note("Relay"))["data"].startswith(f"{n} ")
            for each in (a, b):
                await each.told("PeerLeft", room_id=room, public_key=key)
        assert server.metrics().value("connections_closed_total", reason="slow_consumer") == 1
        await a.rename(room, "still right")
        await b.told("RoomRenamed", room_name="still right")
        assert set(peer["public_key"] for peer in (await a.ok("Presence", {"room_id": room}, "Presence"))["peers"]) == {a.key, b.key}
