"""Signaling and hydrogen-protocol behind one door: who is taken for what, and both at the same time."""

import asyncio
import json

import pytest
from harness import Client, Raw, Refused, eventually
from harness.raw import TEXT, frame
from harness.signaling import CONFIG, Message, Peer


async def pings(peer):
    answer = await peer.request("Ping", {"timestamp": 1})
    return answer.type == "Ping"


@pytest.mark.parametrize("path", ["/", "/ws", "/elsewhere"])
async def test_by_the_subprotocol(server, path):
    async with Peer.open(server, path=path, protocols=["signaling"]) as a:
        assert a.socket.subprotocol == "signaling" and await pings(a)


@pytest.mark.parametrize("path", ["/ws", "/ws?room=5", "/ws?"])
async def test_by_the_path(server, path):
    async with Peer.open(server, path=path) as a:
        assert a.socket.subprotocol is None and await pings(a)


@pytest.mark.parametrize("path", ["/", "/ws"])
async def test_by_the_header(server, path):
    async with Peer.open(server, path=path, announce=True) as a:
        assert (await a.note("UserRooms"))["rooms"] == [] and await pings(a)


@pytest.mark.parametrize("text", ['{"message_id":"1","type":"Ping","payload":{}}', '{"type":"Ping","payload":"e30=","message_id":"1"}'])
async def test_by_the_first_message(server, text):
    async with await Raw.websocket(server, protocols="", path="/") as raw:
        await raw.text(text)
        assert Message(await raw.text_frame()).type == "Ping"


@pytest.mark.parametrize("path", ["/", "/ws", "/elsewhere"])
async def test_who_offers_hydrogen_speaks_hydrogen(server, path):
    async with Client.open(server, server.admin, path=path) as client:
        assert client.protocol == "hydrogen-protocol"
        await client.ok("ping", {})
        # An envelope is no command.
        await client.text('{"message_id":"1","type":"Ping","payload":{}}')
        assert (await client.other())["status"] == "error"
        await client.ok("ping", {})


async def test_hydrogen_without_a_key_stays_shut(server):
    for path in ("/", "/ws"):
        with pytest.raises(Refused) as refused:
            async with Client.open(server, path=path):
                pass
        assert refused.value.status == 401


@pytest.mark.parametrize("text", ['{"type":"command","id":"1","channel":"system","action":"subscribe","data":{"topics":[">"]}}', '{"type":"status"}'])
async def test_a_command_through_signaling_s_door_commands_nothing(server, text):
    async with Peer.open(server) as a:
        await a.text(text)
        await a.quiet()


async def test_a_rubbish_first_message_opens_nothing(server):
    async with await Raw.open(server) as raw:
        answer = await raw.upgrade(server, protocols="", path="/")
        if answer.status == 101:
            await raw.send(frame(TEXT, "rubbish"))
            assert b'"success"' not in (await raw.frame()).payload


async def test_a_plain_request_for_the_path(server):
    status, headers, _ = server.http(path="/ws")
    assert status in (400, 426)
    assert headers.get("sec-websocket-version") == "13"


async def test_switched_off_it_is_not_there(start):
    server = start({"Signaling": {"Enabled": False}})
    for options in ({"path": "/ws"}, {"path": "/", "protocols": ["signaling"]}):
        with pytest.raises(Refused) as refused:
            async with Peer.open(server, **options):
                pass
        assert refused.value.status in (401, 404)
    assert server.http(path="/stats")[0] == 404


async def test_a_key_can_be_asked_for(start):
    server = start({"Signaling": CONFIG["Signaling"] | {"Authentication": "key"}})
    token = server.key("guest", "connect")
    for path in ("/ws", "/ws?key=wrong"):
        with pytest.raises(Refused) as refused:
            async with Peer.open(server, path=path):
                pass
        assert refused.value.status == 401
    async with Peer.open(server, path=f"/ws?key={token}") as a, Peer.open(server, headers={"Authorization": f"Key {token}"}) as b:
        room = await a.create()
        await b.join(room)


@pytest.mark.parametrize("shown", ["x" * 129, "", " ", "garbage"])
async def test_a_header_that_is_no_key_is_passed_over(server, shown):
    async with Peer.open(server, headers={"X-Client-ID": shown}) as a:
        assert await pings(a)
        await a.create()


async def test_paths_and_names_are_configured(start):
    server = start({"Signaling": CONFIG["Signaling"] | {"Paths": ["/rooms", "/a/b"], "Protocols": ["one", "two"]}})
    for path in ("/rooms", "/a/b"):
        async with Peer.open(server, path=path) as a:
            assert await pings(a)
    for protocol in ("one", "two"):
        async with Peer.open(server, path="/", protocols=["unknown", protocol]) as a:
            assert a.socket.subprotocol == protocol and await pings(a)


async def test_both_at_the_same_time(server):
    """Neither hears of the other, and neither waits for it."""
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin) as two, Peer.open(server) as a, Peer.open(server) as b:
        await one.subscribe("mixed.>")
        room = await a.create()
        await b.join(room)
        await a.note("PeerJoined")

        async def events():
            for n in range(200):
                await two.publish("mixed.a", n)

        async def names():
            for n in range(100):
                await a.rename(room, str(n))

        async def signals():
            for n in range(200):
                await b.send(*b.signal("Offer", room, a.key, str(n)))
                await b.sync()

        await asyncio.gather(events(), names(), signals())
        assert [(await one.event("mixed.a"))["data"] for _ in range(200)] == list(range(200))
        assert [(await b.note("RoomRenamed"))["room_name"] for _ in range(100)] == [str(n) for n in range(100)]
        assert [(await a.note("Offer"))["offer"] for _ in range(200)] == [str(n) for n in range(200)]


async def test_each_dialect_is_counted(server):
    def count():
        return server.metrics().by("dialect_connections", "dialect").get("signaling", 0)

    before = count()
    async with Peer.open(server) as a:
        await a.sync()
        assert count() == before + 1


async def test_an_administrator_sees_them(server):
    rights = {"headers": {"Authorization": f"Key {server.admin}"}}
    async with Peer.open(server) as a, Client.open(server, server.admin) as client:
        room = await a.create("seen", "5173")

        async def listed():
            status, found = server.json(f"/api/rooms?room={room}", **rights)
            return found if status == 200 else None

        found = json.dumps(await eventually(listed))
        assert room in found and "seen" in found and a.key in found and "5173" not in found
        assert server.http(path="/api/rooms")[0] == 401
        assert server.http(path="/api/rooms?room=0123456789abcdef", **rights)[0] == 404
        status, found = server.json("/api/status", **rights)
        assert status == 200 and "signaling" in json.dumps(found) and "signaling" in json.dumps(await client.ok("status"))
