"""Signaling: every flow of both eras, with every encoding, and who is told what."""

import asyncio
import time

import pytest
from harness import eventually
from harness.signaling import CONFIG, ENCODINGS, ERAS, NETWORK, RANDOM_ID, ROOM, ROOM_ID, Peer, random_key

EACH_SHAPE = True
CONFIG = {"Signaling": CONFIG["Signaling"] | {"MaxClientsPerRoom": 4}}
each_era = pytest.mark.parametrize("era", ERAS, ids=str)
each_encoding = pytest.mark.parametrize("encoding", ENCODINGS)


@each_encoding
@each_era
async def test_an_evening_of_two(server, era, encoding):
    """The checklist of an independent client, from the first ping to the end of the room."""
    options = {"era": era, "encoding": encoding}
    async with Peer.open(server, announce=True, **options) as a, Peer.open(server, name="bea", announce=True, **options) as b:
        pushed = await a.note("UserRooms")
        assert pushed["rooms"] == [] and RANDOM_ID.fullmatch(pushed.id)
        await a.sync()
        room = await a.create("evening", "4711")
        assert ROOM_ID.fullmatch(room)
        again = await a.error(era.of("Create"), {era.name: "other", era.secret: "4711", "public_key": a.key})
        assert again == f"This public key has already created {era}: {room}"

        join = era.of("Join")
        wrong = "Incorrect password" if era is ROOM else "Incorrect PIN"
        assert await b.error(join, b.joining(room, "4712")) == wrong
        assert await b.error(join, b.joining("0123456789abcdef", "4711")) == f"{era.noun} does not exist"
        b.order.clear()
        joined = await b.join(room, "4711")
        assert joined[era.id] == room and joined[era.name] == "evening"
        await b.told(era.peer_joined, **{era.id: room, "public_key": a.key})
        assert b.order[0] == era.of("Joined"), "the answer is before the peers"
        await a.told(era.peer_joined, **{era.id: room, "public_key": b.key, era.member_name: "bea"})
        a.forget(), b.forget()

        named = {era.id: room, era.name: "late evening"}
        assert await b.error("Rename", named) == f"Only {era} owner can rename the {era}"
        a.order.clear()
        assert await a.rename(room, "late evening") == named
        assert a.order == [era.of("Renamed"), era.rename_answer]
        await a.told(era.of("Renamed"), **named)
        await b.told(era.of("Renamed"), **named)

        mine = (await b.rooms())[room]
        assert mine[era.name] == "late evening" and mine["joined_at"] and mine["last_connected"]

        assert await b.disconnect(room) == {era.id: room}
        await a.told(era.peer_disconnected, **{era.id: room, "public_key": b.key})
        assert (await b.connect(room))[era.name] == "late evening"
        await b.told(era.peer_connected, **{era.id: room, "public_key": a.key})
        await a.told(era.peer_connected, **{era.id: room, "public_key": b.key})
        assert await a.error("Kick", {era.id: room, "target_id": "nobody"}) == "Target client not found"

        assert await b.leave(room) == {era.id: room}
        await a.told(era.peer_left, **{era.id: room, "public_key": b.key})
        assert await b.rooms() == {}
        assert await b.error(era.of("Connect"), {era.id: room, "public_key": b.key}) == f"You must join this {era} first"
        assert await a.error("Dance", {}) == "Unknown message type"

        await b.join(room, "4711")
        assert await a.leave(room) == {era.id: room}
        await b.told(era.of("Deleted"), **{era.id: room})
        assert await b.error(era.of("Connect"), {era.id: room, "public_key": b.key}) == f"{era.noun} does not exist"
        assert await a.rooms() == {}
        await a.create("a key that lost its room may make another")


async def test_what_a_created_room_is_answered_with(server):
    async with Peer.open(server) as a:
        answer = await a.ok("CreateRoom", {"room_name": "<b>&ü😀</b>", "password": "0042", "public_key": a.key}, "RoomCreated")
        room = answer["room_id"]
        assert answer == {"room_id": room, "room_name": "<b>&ü😀</b>", "password": "0042", "public_key": a.key}


async def test_what_a_created_network_is_answered_with(server):
    async with Peer.open(server, era=NETWORK) as a:
        payload = {"network_name": "n", "pin": "0042", "public_key": a.key, "computer_name": "desk"}
        answer = await a.ok("CreateNetwork", payload, "NetworkCreated")
        computer = {"name": "desk", "computer_ip": "10.10.0.1", "public_key": a.key, "is_online": True}
        assert answer == {
            "network_id": answer["network_id"], "network_name": "n", "public_key": a.key, "computers": [computer],
        }  # fmt: skip


async def test_what_peers_of_a_room_are_told_at_a_join(server):
    """Those who were there get the true name, the newcomer gets a constant one for each of them, and not itself."""
    async with Peer.open(server, name="ann") as a, Peer.open(server, name="bea") as b, Peer.open(server) as c:
        room = await a.create()
        assert await b.join(room) == {"room_id": room, "room_name": "room"}
        met = await b.told("PeerJoined", room_id=room, public_key=a.key, username="Peer")
        assert set(met) >= {"room_id", "public_key", "username"}
        await a.told("PeerJoined", room_id=room, public_key=b.key, username="bea")
        await c.join(room)
        seen = [await c.told("PeerJoined", room_id=room, username="Peer") for _ in range(2)]
        assert {each["public_key"] for each in seen} == {a.key, b.key}
        for other in (a, b):
            await other.told("PeerJoined", room_id=room, public_key=c.key, username="")
        for each in (a, b, c):
            await each.quiet()


async def test_addresses_of_a_network_are_the_lowest_free_and_stay(server):
    async with (
        Peer.open(server, era=NETWORK) as a, Peer.open(server, era=NETWORK, name="two") as b, Peer.open(server, era=NETWORK, name="three") as c,
        Peer.open(server, era=NETWORK, name="four") as d,
    ):  # fmt: skip
        network = await a.create()
        assert await b.join(network) == {"network_id": network, "network_name": "room", "computer_ip": "10.10.0.2"}
        assert (await c.join(network))["computer_ip"] == "10.10.0.3"
        await a.told("ComputerConnected", network_id=network, public_key=b.key, computername="two", computer_ip="10.10.0.2")
        await b.disconnect(network)
        assert (await d.join(network))["computer_ip"] == "10.10.0.4", "an absent member keeps its address"
        assert (await b.connect(network))["computer_ip"] == "10.10.0.2"
        await c.leave(network)
        await c.sync()
        assert (await c.join(network))["computer_ip"] == "10.10.0.3"
        assert (await a.rooms())[network]["computer_ip"] == "10.10.0.1"


async def test_a_newcomer_to_a_network_is_told_of_as_joined_too(server):
    async with Peer.open(server, era=NETWORK) as a, Peer.open(server, era=NETWORK, name="b") as b:
        network = await a.create()
        await b.join(network)
        fields = {"network_id": network, "public_key": b.key, "computername": "b", "computer_ip": "10.10.0.2"}
        await a.told("ComputerJoined", **fields)
        await a.told("ComputerConnected", **fields)


async def test_the_list_of_networks_names_owner_and_computers(server):
    async with Peer.open(server, era=NETWORK) as a, Peer.open(server, era=NETWORK, name="b") as b:
        network = await a.create(computer_name="a")
        await b.join(network)
        found = (await b.rooms())[network]
        assert found["admin_public_key"] == a.key and found["computer_ip"] == "10.10.0.2"
        assert {(each["name"], each["public_key"], each["is_online"]) for each in found["computers"]} == {("a", a.key, True), ("b", b.key, True)}
        await b.disconnect(network)

        async def is_offline():
            computers = (await a.rooms())[network]["computers"]
            return {each["public_key"]: each["is_online"] for each in computers} == {a.key: True, b.key: False}

        await eventually(is_offline)


async def test_a_computer_gets_another_name(server):
    async with Peer.open(server, era=NETWORK) as a, Peer.open(server, era=NETWORK, name="b") as b:
        network = await a.create()
        await b.join(network)
        payload = {"public_key": b.key, "client_name": "laptop"}
        assert await b.ok("UpdateClientInfo", payload, "UpdateClientInfoResponse") == payload
        await a.told("ComputerRenamed", network_id=network, public_key=b.key, new_computer_name="laptop")
        await b.disconnect(network)
        a.forget()
        await b.connect(network)
        await a.told("ComputerConnected", computername="laptop")


@each_era
async def test_a_kick_ends_connection_and_membership(server, era):
    async with Peer.open(server, era=era) as a, Peer.open(server, era=era) as b, Peer.open(server, era=era) as c:
        room = await a.create()
        await b.join(room), await c.join(room)
        assert await c.error("Kick", {era.id: room, "target_id": b.key}) == f"Only {era} owner can kick {era.members}"
        assert await a.error("Kick", {era.id: room, "target_id": a.key}) == "Target client not found"
        assert await a.kick(room, b.key) == {era.id: room, "target_id": b.key}
        await b.told("Kicked", **{era.id: room})
        assert (await b.closed())[0] == 1000
        await c.told(era.peer_left, **{era.id: room, "public_key": b.key})
        async with Peer.open(server, b.key, era=era) as back:
            assert await back.error(era.of("Connect"), {era.id: room, "public_key": b.key}) == f"You must join this {era} first"
            assert await back.rooms() == {}


@pytest.mark.parametrize("named", ["connection", "address", "key"])
async def test_whom_a_kick_can_name(server, named):
    async with Peer.open(server) as a, Peer.open(server) as b:
        room = await a.create()
        await b.join(room)
        met = await a.note("PeerJoined")
        host, port = b.socket.local_address
        target = {"connection": met["connection_id"], "address": f"{host}:{port}", "key": b.key}[named]
        await a.kick(room, target)
        await b.told("Kicked", room_id=room)


@each_era
async def test_a_lost_connection_is_told_of_and_the_room_stays(server, era):
    async with Peer.open(server, era=era) as a:
        room = await a.create()
        async with Peer.open(server, era=era) as b:
            await b.join(room)
            await a.note(era.peer_joined)
            b.cut()
            await a.told(era.peer_left, **{era.id: room, "public_key": b.key})
        if era is NETWORK:
            await a.told("ComputerDisconnected", network_id=room, public_key=b.key)
            assert [type for type in a.order if type in ("ComputerLeft", "ComputerDisconnected")] == ["ComputerLeft", "ComputerDisconnected"]
        await a.quiet(besides=["ComputerJoined"])
    async with Peer.open(server, b.key, era=era) as b:
        assert await b.connect(room)
        await b.quiet()
        if era is ROOM:
            assert (await b.rooms())[room]["is_connected"] is True
    async with Peer.open(server, a.key) as a:
        assert (await a.rooms())[room]["is_connected"] is False


@each_era
async def test_disconnecting_twice_is_told_of_once(server, era):
    async with Peer.open(server, era=era) as a, Peer.open(server, era=era) as b:
        room = await a.create()
        await b.join(room)
        await a.note(era.peer_joined)
        await b.disconnect("")
        assert await b.error(era.of("Disconnect"), {}) == f"Not connected to any {era}"
        await a.told(era.peer_disconnected, public_key=b.key)
        await b.socket.close()
        await a.quiet(besides=["ComputerJoined"])


@each_era
async def test_joining_again_from_one_connection_changes_nothing(server, era):
    async with Peer.open(server, era=era) as a, Peer.open(server, era=era) as b:
        room = await a.create()
        for _ in range(6):
            await b.join(room)
            await b.connect(room)
        await a.note(era.peer_joined)
        await a.rename(room, "once")
        await b.told(era.of("Renamed"), **{era.name: "once"})
        await b.sync()
        assert not [note for note in b.notes if note.type == era.of("Renamed")]


@each_era
async def test_one_connection_in_several_rooms(server, era):
    async with Peer.open(server, era=era) as a, Peer.open(server, era=era) as b, Peer.open(server, era=era) as both:
        one, two = await a.create("one"), await b.create("two")
        await both.join(one), await both.join(two)
        await a.note(era.peer_joined), await b.note(era.peer_joined)
        await a.rename(one, "1"), await b.rename(two, "2")
        assert {(await both.note(era.of("Renamed")))[era.name] for _ in range(2)} == {"1", "2"}
        await both.disconnect(one)
        await a.told(era.peer_disconnected, public_key=both.key)
        await both.connect(one)
        await a.note(era.peer_connected)
        both.cut()
        await a.told(era.peer_left, **{era.id: one, "public_key": both.key})
        await b.told(era.peer_left, **{era.id: two, "public_key": both.key})


@each_era
async def test_a_room_has_so_many_places(server, era):
    async with Peer.open(server, era=era) as a, Peer.open(server, era=era) as b, Peer.open(server, era=era) as c:
        room = await a.create()
        await b.join(room), await c.join(room)
        async with Peer.open(server, era=era) as d, Peer.open(server, era=era) as e:
            await d.join(room)
            full = f"{era.noun} is full"
            assert await e.error(era.of("Join"), e.joining(room)) == full
            await b.join(room), await b.connect(room)
            await d.disconnect(room)
            await e.join(room)
            assert await d.error(era.of("Connect"), {era.id: room, "public_key": d.key}) == full
        await eventually(lambda: len([note for note in a.notes if note.type == era.peer_left]) >= 1)
        async with Peer.open(server, era=era) as f:
            await f.join(room)


@each_era
async def test_two_connections_with_one_key(server, era):
    key = random_key()
    async with Peer.open(server, era=era) as a, Peer.open(server, key, era=era) as one, Peer.open(server, key, era=era) as two:
        room = await a.create()
        await one.join(room), await two.join(room)
        ids = {(await a.told(era.peer_joined, public_key=key))["connection_id"] for _ in range(2)}
        assert len(ids) == 2
        one.forget(), two.forget(), a.forget()
        one.cut()
        left = (await a.told(era.peer_left, public_key=key))["connection_id"]
        # Who knows members by their keys would take this one for gone.
        again = await a.told("PeerJoined" if era is ROOM else "ComputerJoined", public_key=key)
        assert again["again"] is True and {left, again["connection_id"]} == ids
        await a.rename(room, "still here")
        await two.told(era.of("Renamed"), **{era.name: "still here"})
        if era is ROOM:
            assert (await two.rooms())[room]["is_connected"] is True
        await two.leave(room)
        assert await two.rooms() == {}


async def test_both_eras_share_a_room_and_each_hears_its_own_words(server):
    async with Peer.open(server, name="old") as old, Peer.open(server, era=NETWORK, name="new") as new:
        room = await old.create()
        assert (await new.join(room))["network_name"] == "room"
        await old.told("PeerJoined", room_id=room, public_key=new.key, username="new")
        await new.told("ComputerConnected", network_id=room, public_key=old.key)
        await old.rename(room, "shared")
        await old.told("RoomRenamed", room_id=room, room_name="shared")
        await new.told("NetworkRenamed", network_id=room, network_name="shared")
        await new.disconnect(room)
        await old.told("PeerDisconnected", room_id=room, public_key=new.key)
        await new.connect(room)
        await old.told("PeerConnected", room_id=room, public_key=new.key)
        new.forget()
        await old.leave(room)
        await new.told("NetworkDeleted", network_id=room)


async def test_a_member_that_is_not_connected_may_leave(server):
    async with Peer.open(server) as a, Peer.open(server) as b:
        room = await a.create()
        await b.join(room)
        await b.disconnect(room)
        assert await b.leave(room) == {"room_id": room}
        assert await b.rooms() == {}


async def test_the_owner_may_end_a_room_from_a_new_connection(server):
    async with Peer.open(server) as a, Peer.open(server) as b:
        room = await a.create()
        await b.join(room)
        await a.socket.close()
        async with Peer.open(server, a.key) as back:
            assert await back.leave(room) == {"room_id": room}
        await b.told("RoomDeleted", room_id=room)
        assert await b.error("DisconnectRoom", {}) == "Not connected to any room"


async def test_the_header_alone_pins_nothing_and_the_list_it_brings_is_that_key_s(server):
    async with Peer.open(server) as a:
        room = await a.create("mine")
        async with Peer.open(server, a.key, announce=True) as other:
            pushed = await other.note("UserRooms")
            assert [each["room_id"] for each in pushed["rooms"]] == [room]
            assert set(pushed["rooms"][0]) == {"room_id", "room_name", "is_connected", "joined_at", "last_connected"}
            told = await other.note("ClientIPInfo")
            assert told["ipv4"] == "127.0.0.1" and isinstance(told["ipv6"], str) and RANDOM_ID.fullmatch(told.id)
            other.key = random_key()
            assert await other.create("under another key")


async def test_times_are_rfc_3339_and_now(server):
    async with Peer.open(server) as a:
        room = await a.create()
        row = (await a.rooms())[room]
        for name in ("joined_at", "last_connected"):
            day = time.strftime("%Y-%m-%d", time.gmtime())
            assert row[name].startswith(day) and "T" in row[name] and (row[name].endswith("Z") or row[name][-6] in "+-"), row


@pytest.mark.deadline(60)
async def test_a_hundred_rooms_at_once(server):
    """Each pair finds itself, and nobody hears of another room."""
    gate = asyncio.Semaphore(40)

    async def pair(n):
        async with gate, Peer.open(server) as a, Peer.open(server, name=f"b{n}") as b:
            room = await a.create(f"r{n}")
            await b.join(room)
            await a.told("PeerJoined", room_id=room, public_key=b.key, username=f"b{n}")
            await b.told("PeerJoined", room_id=room, public_key=a.key)
            await a.leave(room)
            await b.told("RoomDeleted", room_id=room)
            await a.sync()
            assert a.notes == [] and b.notes == []

    await asyncio.gather(*(pair(n) for n in range(100)))


async def test_a_table_by_keys_has_who_was_lost_and_comes_back(server):
    """As GoVPN's clients keep it: who joined is a row, who left is none, and who is connected is online if there is a row."""
    rows = {}

    def hear(messages):
        for message in messages:
            match message.type:
                case "ComputerJoined":
                    rows.setdefault(message["public_key"], False)
                case "ComputerLeft":
                    rows.pop(message["public_key"], None)
                case "ComputerConnected" | "ComputerDisconnected" if message["public_key"] in rows:
                    rows[message["public_key"]] = message.type == "ComputerConnected"

    key, late = random_key(), random_key()
    async with Peer.open(server, era=NETWORK) as a:
        room = await a.create()
        async with Peer.open(server, late, era=NETWORK) as absent:
            await absent.join(room)
            await absent.disconnect(room)
        async with Peer.open(server, key, era=NETWORK) as b:
            await b.join(room)
            b.cut()
            await a.note("ComputerLeft")
            await a.note("ComputerDisconnected")
        # Who comes later has not heard of the one that is a member and away.
        async with Peer.open(server, key, era=NETWORK) as b, Peer.open(server, late, era=NETWORK) as absent:
            await b.connect(room)
            await absent.connect(room)
            await a.sync()
            hear(a.heard)
            assert rows == {key: True, late: True}
            rows.clear()
            hear(b.heard)
            assert rows == {a.key: True, late: True}
