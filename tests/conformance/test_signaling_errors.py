"""Signaling: the exact errors, in the exact order of the checks, and what they leave behind: nothing."""

import base64
import contextlib

import pytest
from harness.signaling import CONFIG, ERAS, NETWORK, ROOM, Peer, random_key

each_era = pytest.mark.parametrize("era", ERAS, ids=str)
NOWHERE = "0123456789abcdef"
NO_KEY = base64.b64encode(b"x" * 31).decode()


@contextlib.asynccontextmanager
async def cast(server, era):
    """An owner with a room, a member that is there, and somebody whom nobody knows."""
    async with Peer.open(server, era=era) as owner, Peer.open(server, era=era) as member, Peer.open(server, era=era) as stranger:
        room = await owner.create()
        await member.join(room)
        await owner.meets(), await member.meets()
        yield owner, member, stranger, room


# Of each request, the wrongs in the order in which they are looked for. A row is wrong in its own way and in all that come
# after it and can be: `{room}` is the room, `{nowhere}` none, `{owner}` and `{new}` keys.
TABLES = {
    "Create": [
        ({"name": "", "secret": "x", "key": "garbage"}, "{Noun} name, {secret}, and public key are required"),
        ({"name": "n", "secret": "", "key": "garbage"}, "{Noun} name, {secret}, and public key are required"),
        ({"name": "n", "secret": "x", "key": ""}, "{Noun} name, {secret}, and public key are required"),
        ({"name": "n", "secret": "123", "key": "{owner}"}, "{Secret} does not match required pattern"),
        ({"name": "n", "secret": "12345", "key": "garbage"}, "{Secret} does not match required pattern"),
        ({"name": "n", "secret": "12a4", "key": "garbage"}, "{Secret} does not match required pattern"),
        ({"name": "n", "secret": " 123", "key": "garbage"}, "{Secret} does not match required pattern"),
        ({"name": "n", "secret": "1234\n", "key": "garbage"}, "{Secret} does not match required pattern"),
        ({"name": "n", "secret": "١٢٣٤", "key": "garbage"}, "{Secret} does not match required pattern"),
        ({"name": "n", "secret": "１２３４", "key": "garbage"}, "{Secret} does not match required pattern"),
        ({"name": "n", "secret": "1234", "key": "{owner}"}, "This public key has already created {noun}: {room}"),
        ({"name": "n", "secret": "1234", "key": "garbage"}, "Invalid public key format"),
        ({"name": "n", "secret": "1234", "key": NO_KEY}, "Invalid public key format"),
        ({"name": "n", "secret": "1234", "key": "{unpadded}"}, "Invalid public key format"),
        ({"name": "n", "secret": "1234", "key": "{urlsafe}"}, "Invalid public key format"),
    ],
    "Join": [
        ({"id": "{nowhere}", "secret": "x", "key": ""}, "{Noun} does not exist"),
        ({"id": "", "secret": "x", "key": ""}, "{Noun} does not exist"),
        ({"id": "{ROOM}", "secret": "1234", "key": "{new}"}, "{Noun} does not exist"),
        ({"id": "{room} ", "secret": "1234", "key": "{new}"}, "{Noun} does not exist"),
        ({"id": "{room}", "secret": "0000", "key": ""}, "Incorrect {Pin}"),
        ({"id": "{room}", "secret": "", "key": ""}, "Incorrect {Pin}"),
        ({"id": "{room}", "secret": "12345", "key": "{new}"}, "Incorrect {Pin}"),
        ({"id": "{room}", "secret": "1234", "key": ""}, "Public key is required"),
        ({"id": "{room}", "secret": "1234", "key": "garbage"}, "Invalid public key format"),
    ],
    "Connect": [
        ({"id": "{nowhere}", "key": ""}, "{Noun} does not exist"),
        ({"id": "", "key": "{owner}"}, "{Noun} does not exist"),
        ({"id": "{room}", "key": ""}, "Public key is required"),
        ({"id": "{room}", "key": "{new}"}, "You must join this {noun} first"),
        ({"id": "{room}", "key": "garbage"}, "You must join this {noun} first"),
    ],
    "Disconnect": [
        ({}, "Not connected to any {noun}"),
        ({"id": ""}, "Not connected to any {noun}"),
        ({"id": "{room}"}, "Not connected to this {noun}"),
        ({"id": "{nowhere}"}, "Not connected to this {noun}"),
    ],
    "Leave": [
        ({}, "Not connected to any {noun}"),
        ({"key": "{owner}"}, "Not connected to any {noun}"),
        ({"id": "{room}"}, "Public key is required"),
        ({"id": "{nowhere}"}, "Public key is required"),
        ({"id": "{nowhere}", "key": "{new}"}, "{Noun} not found"),
    ],
    "Kick": [
        ({"id": "{nowhere}", "target": "{owner}", "key": "{owner}"}, "{Noun} does not exist"),
        ({"target": "x"}, "{Noun} does not exist"),
        ({"id": "{room}", "target": "x", "key": "{owner}"}, "Only {noun} owner can kick {members}"),
        ({"id": "{room}", "target": "{member}"}, "Only {noun} owner can kick {members}"),
    ],
    "Rename": [
        ({"id": "{nowhere}", "name": "x", "key": "{owner}"}, "{Noun} does not exist"),
        ({"id": "{room}", "name": "x", "key": "{owner}"}, "Only {noun} owner can rename the {noun}"),
        ({"id": "{room}", "name": ""}, "Only {noun} owner can rename the {noun}"),
    ],
    "List": [
        ({}, "Public key is required"),
        ({"key": ""}, "Public key is required"),
    ],
}
ROWS = [pytest.param(verb, row, error, id=f"{verb}-{n}") for verb, rows in TABLES.items() for n, (row, error) in enumerate(rows)]


@pytest.mark.parametrize("verb,row,error", ROWS)
@each_era
async def test_a_wrong_request_of_a_stranger(server, era, verb, row, error):
    async with cast(server, era) as (owner, member, stranger, room):
        raw = bytes([0xFB] * 32)
        words = {
            "room": room, "ROOM": room.upper() + "A", "nowhere": NOWHERE, "owner": owner.key, "member": member.key, "new": stranger.key,
            "unpadded": stranger.key.rstrip("="), "urlsafe": base64.urlsafe_b64encode(raw).decode(), "noun": str(era), "Noun": era.noun,
            "secret": era.secret, "Secret": era.pattern_secret, "Pin": "PIN" if era is NETWORK else "password",
            "members": era.members,
        }  # fmt: skip
        names = {"id": era.id, "name": era.name, "secret": era.secret, "key": "public_key", "target": "target_id"}
        payload = {names[field]: value.format(**words) if "{" in value else value for field, value in row.items()}
        if verb in ("Kick", "Rename"):
            # These types are one for both eras: the field's name tells which.
            payload.setdefault(era.id, "")
        request = {"Kick": "Kick", "Rename": "Rename", "List": era.list}.get(verb) or era.of(verb)
        assert await stranger.error(request, payload) == error.format(**words)
        for peer in (owner, member):
            await peer.quiet(0.05)
        assert set(await owner.rooms()) == {room}
        await owner.rename(room, "still")
        await member.told(era.of("Renamed"), **{era.name: "still"})


@each_era
async def test_a_room_that_one_is_not_in(server, era):
    async with cast(server, era) as (_, member, stranger, _), cast(server, era) as (_, _, _, other):
        disconnect = era.of("Disconnect")
        assert await member.error(disconnect, {era.id: other}) == f"Not connected to this {era}"
        assert await member.error(disconnect, {era.id: NOWHERE}) == f"Not connected to this {era}"
        assert await member.disconnect("")
        assert await member.error(disconnect, {}) == f"Not connected to any {era}"
        assert await stranger.error(era.of("Leave"), {"public_key": stranger.key}) == f"Not connected to any {era}"


@each_era
async def test_only_the_owner_and_only_a_target_that_is_there(server, era):
    async with cast(server, era) as (owner, member, _, room), cast(server, era) as (_, other, _, _):
        for target in ("", "nobody", "127.0.0.1:1", other.key, owner.key, random_key()):
            assert await owner.error("Kick", {era.id: room, "target_id": target}) == "Target client not found", target
        assert await member.error("Kick", {era.id: room, "target_id": owner.key}) == f"Only {era} owner can kick {era.members}"
        await member.disconnect(room)
        assert await member.error("Rename", {era.id: room, era.name: "x"}) == f"Only {era} owner can rename the {era}"


@each_era
async def test_an_empty_name_is_a_name(server, era):
    async with cast(server, era) as (owner, member, _, room):
        assert await owner.rename(room, "") == {era.id: room, era.name: ""}
        await member.told(era.of("Renamed"), **{era.id: room, era.name: ""})


@each_era
@pytest.mark.parametrize(
    "key", ["garbage", "x" * 43, "A" * 42 + "==", "A" * 43, "A" * 44, "A" * 42 + "B=", "-" * 43 + "=", "a\nb", "\x7f"],
)  # fmt: skip
async def test_who_joins_has_a_key_of_32_bytes(server, era, key):
    async with cast(server, era) as (owner, _, stranger, room):
        joins = {era.id: room, era.secret: "1234", "public_key": key}
        assert await stranger.error(era.of("Join"), joins) == "Invalid public key format"
        assert await stranger.error(era.of("Join"), joins | {era.secret: "0000"}) == ("Incorrect PIN" if era is NETWORK else "Incorrect password")
        await owner.quiet()
        # It has stated none, and may come with its own.
        await stranger.join(room)


@each_era
async def test_names_and_their_limits(server, era):
    async with cast(server, era) as (owner, member, stranger, room):
        longest = "ü" * 127 + "x"
        assert (await owner.rename(room, longest))[era.name] == longest
        assert await owner.error("Rename", {era.id: room, era.name: longest + "x"}) == "Invalid rename request format"
        long = {era.name: "x" * 256, era.secret: "1234", "public_key": stranger.key}
        assert await stranger.error(era.of("Create"), long) == era.malformed("Create")
        joining = stranger.joining(room) | {era.member_name: "y" * 256}
        assert await stranger.error(era.of("Join"), joining) == era.malformed("Join")
        for id in ("x" * 65, "x" * 5000):
            assert (await stranger.request(era.of("Join"), stranger.joining(id))).type == "Error"
        await owner.quiet(besides=[era.of("Renamed")])


@pytest.mark.parametrize(
    "payload,error",
    [
        ({}, "Public key is required for updating client info"),
        ({"public_key": ""}, "Public key is required for updating client info"),
        ({"public_key": "KEY"}, "Client name is required"),
        ({"public_key": "KEY", "client_name": ""}, "Client name is required"),
    ],
)
async def test_a_client_without_a_name(server, payload, error):
    async with Peer.open(server, era=NETWORK) as a:
        payload = {name: a.key if value == "KEY" else value for name, value in payload.items()}
        assert await a.error("UpdateClientInfo", payload) == error


# -- signals


async def test_signals_in_a_network_that_cannot_go(server):
    async with cast(server, NETWORK) as (owner, member, stranger, _), cast(server, NETWORK) as (_, other, _, _):
        async with Peer.open(server, era=NETWORK) as nobody:
            for kind in ("Offer", "Answer", "Candidate"):
                type, payload = nobody.signal(kind, "", member.key, "x")
                assert await nobody.error(type, payload | {"sender_public_key": ""}) == "Sender public key not found"
        await stranger.rooms()
        for kind in ("Offer", "Answer", "Candidate"):
            assert await stranger.error(*stranger.signal(kind, "", member.key, "x")) == "Sender not in any network"
            for target in (other.key, "", "nobody"):
                wanted = f"Target client {target} not found or not in the same network"
                assert await owner.error(*owner.signal(kind, "", target, "x")) == wanted
        await member.quiet(), await other.quiet()


async def test_signals_in_a_room_that_cannot_go(server):
    async with cast(server, ROOM) as (owner, member, stranger, room), cast(server, ROOM) as (_, other, _, elsewhere):
        for kind in ("Offer", "Answer", "Candidate"):
            for target in (other.key, "", "nobody"):
                assert await owner.error(*owner.signal(kind, room, target, "x")) == "Target client not found"
            assert (await stranger.request(*stranger.signal(kind, room, member.key, "x"))).type == "Error"
            assert (await owner.request(*owner.signal(kind, elsewhere, other.key, "x"))).type == "Error"
        await member.disconnect(room)
        assert await owner.error(*owner.signal("Offer", room, member.key, "x")) == "Target client not found"
        await other.quiet()
        assert not [note for note in member.notes if note.type != "PeerDisconnected"]


@pytest.mark.parametrize(
    "kind,size,error", [("Offer", 49 << 10, "Invalid SDP offer format"), ("Answer", 49 << 10, "Invalid SDP answer format"), ("Candidate", 5 << 10, "Invalid ICE candidate format")]
)
async def test_a_signal_has_a_size(server, kind, size, error):
    async with cast(server, NETWORK) as (owner, member, _, _), cast(server, ROOM) as (a, b, _, room):
        assert await owner.error(*owner.signal(kind, "", member.key, "x" * size), encoding="object") == error
        assert await a.error(*a.signal(kind, room, b.key, "x" * size), encoding="object") == f"Invalid {kind.lower()} format"
        for peer in (member, b):
            await peer.quiet()
        largest = 4000 if kind == "Candidate" else 47 << 10
        await a.send(*a.signal("Offer", room, b.key, "first"))
        await b.note("Offer")
        await a.send(*a.signal(kind, room, b.key, "x" * largest), encoding="object")
        assert len((await b.note(kind))[kind.lower()]) == largest
