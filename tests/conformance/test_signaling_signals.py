"""Signaling: offers, answers and candidates, who gives way, and candidates that are too early."""

import asyncio
import time

import pytest
from harness import eventually
from harness.signaling import CONFIG, ENCODINGS, ERAS, NETWORK, ROOM, Peer, couple, open_way, random_key

EACH_SHAPE = True
each_era = pytest.mark.parametrize("era", ERAS, ids=str)
each_kind = pytest.mark.parametrize("kind", ["Offer", "Answer", "Candidate"])


# -- signals


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("named", ["key", "connection"])
@each_kind
@each_era
async def test_a_signal_reaches_its_peer(server, era, kind, named, encoding):
    async with couple(server, era) as (a, b, room):
        await open_way(a, b, room)
        a.encoding = encoding
        target = b.key if named == "key" else a.of_other["connection_id"]
        text = 'v=0\r\no=- 1 "<ü😀>" \\ \u2028\r\n'
        type, payload = a.signal(kind, room, target, text)
        answer = await a.request(type, payload | {"extra": {"kept": [1, None]}}, id="0badcafe")
        assert answer.type == "SignalSent" and answer.encoding == encoding
        got = await b.note(type)
        assert b.content(kind, got) == text and got["extra"] == {"kept": [1, None]}
        assert got["sender_public_key" if era is NETWORK else "public_key"] == a.key
        assert got["sender_id"] == b.of_other["connection_id"]
        assert got[era.target] == target
        if era is ROOM:
            assert got.id == "" and got["room_id"] == room
        else:
            assert got.id == "0badcafe", "the sender's id stays"
        if kind == "Candidate" and era is NETWORK:
            assert got["sdp_mid"] == "0" and got["sdp_m_line_index"] == 0
        await a.quiet()


@each_kind
@each_era
async def test_nobody_signals_in_another_s_name(server, era, kind):
    async with couple(server, era) as (a, b, room):
        await open_way(a, b, room)
        type, payload = a.signal(kind, room, b.key, "x")
        for forged in (random_key(), b.key, ""):
            for name in ("public_key", "sender_public_key", "sender_id"):
                if name == "public_key" and forged:
                    continue
                await a.send(type, payload | {name: forged})
                got = await b.note(type)
                assert got["sender_public_key" if era is NETWORK else "public_key"] == a.key
                assert got["sender_id"] == b.of_other["connection_id"]


@each_era
async def test_without_an_id_no_answer(server, era):
    async with couple(server, era) as (a, b, room):
        await a.send(*a.signal("Offer", room, b.key, "x"))
        await b.note(era.offer)
        await a.quiet()


async def test_a_signal_without_its_room_goes_through_the_shared_one(server):
    async with couple(server) as (a, b, _):
        await a.send("Offer", {"destination_id": b.key, "offer": "x"})
        assert (await b.told("Offer", offer="x"))["public_key"] == a.key


async def test_a_third_hears_nothing(server):
    async with couple(server) as (a, b, room), Peer.open(server) as c:
        await c.join(room)
        await a.meets(), await b.meets(), await c.meets(2)
        await open_way(a, b, room)
        await b.ok(*b.signal("Answer", room, a.key, "y"), "SignalSent")
        await a.note("Answer")
        await c.quiet()


async def test_signals_between_two_keep_their_order(server):
    async with couple(server) as (a, b, room):
        await open_way(a, b, room)
        for n in range(200):
            await a.send(*a.signal("Candidate", room, b.key, str(n)))
        assert [(await b.note("Candidate"))["candidate"] for _ in range(200)] == [str(n) for n in range(200)]


async def test_of_two_connections_with_one_key_the_named_one_gets_it(server):
    async with couple(server) as (a, b, room), Peer.open(server, b.key) as twin:
        await twin.join(room)
        id = (await a.meets())["connection_id"]
        assert id != a.of_other["connection_id"]
        await twin.meets(2), await b.meets()
        await a.send(*a.signal("Offer", room, id, "for the twin"))
        await twin.told("Offer", offer="for the twin")
        await b.quiet()
        await a.send(*a.signal("Offer", room, b.key, "for either"))
        await eventually(lambda: any(note.type == "Offer" for note in b.notes + twin.notes))


async def test_the_eras_signal_each_other_in_the_sender_s_words(server):
    """A shared room, two vocabularies: the type is passed on as it was sent."""
    async with couple(server, ROOM, NETWORK) as (old, new, room):
        await old.send(*old.signal("Offer", room, new.key, "x"))
        assert (await new.note("Offer"))["offer"] == "x"
        await new.send(*new.signal("Answer", room, old.key, "y"))
        assert (await old.note("SdpAnswer"))["sdp"] == "y"


# -- who gives way


@each_era
async def test_the_newcomer_is_polite(server, era):
    async with couple(server, era) as (a, b, room):
        assert a.of_other["polite"] is False and b.of_other["polite"] is True
        await b.disconnect(room)
        await b.connect(room)
        assert (await a.note(era.peer_connected))["polite"] is False
        assert (await b.note(era.peer_connected))["polite"] is True


@each_era
async def test_the_id_of_a_connection_is_the_same_for_all(server, era):
    async with couple(server, era) as (a, b, room), Peer.open(server, era=era) as c:
        await c.join(room)
        seen = {note["public_key"]: note["connection_id"] for note in [await c.note(era.peer_joined) for _ in range(2)]}
        assert seen == {a.key: b.of_other["connection_id"], b.key: a.of_other["connection_id"]}
        assert len(set(seen.values())) == 2 and all(isinstance(id, str) and id for id in seen.values())


# -- candidates that are too early


@each_era
async def test_early_candidates_wait_for_the_offer(server, era):
    async with couple(server, era) as (a, b, room):
        for n in range(5):
            await a.send(*a.signal("Candidate", room, b.key, str(n)))
        await b.quiet(0.5)
        await a.send(*a.signal("Offer", room, b.key, "o"))
        await eventually(lambda: len(b.notes) == 6)
        assert [note.type for note in b.notes] == [era.offer] + [era.candidate] * 5
        assert [note["candidate"] for note in b.notes[1:]] == [str(n) for n in range(5)]
        await a.send(*a.signal("Candidate", room, b.key, "late"))
        await b.note(era.candidate)


async def test_an_offer_of_the_other_side_frees_them_too(server):
    async with couple(server) as (a, b, room):
        await a.send(*a.signal("Candidate", room, b.key, "early"))
        await b.quiet(0.3)
        await b.send(*b.signal("Offer", room, a.key, "o"))
        await a.note("Offer")
        await b.told("Candidate", candidate="early")


async def test_without_an_offer_they_are_sent_after_a_while(server):
    async with couple(server) as (a, b, room):
        before = time.monotonic()
        await a.send(*a.signal("Candidate", room, b.key, "alone"))
        await asyncio.wait_for(b.note("Candidate", timeout=9), 9)
        assert 3 < time.monotonic() - before < 8


async def test_as_many_as_are_held_and_no_more(server):
    """A flood before the offer is bounded; what comes is in order, and the pair goes on."""
    async with couple(server) as (a, b, room):
        for n in range(500):
            await a.send(*a.signal("Candidate", room, b.key, str(n)))
        await a.sync()
        await a.send(*a.signal("Offer", room, b.key, "o"))
        await b.note("Offer")
        await a.send(*a.signal("Candidate", room, b.key, "500"))
        await eventually(lambda: b.notes and b.notes[-1]["candidate"] == "500")
        numbers = [int(note["candidate"]) for note in b.notes]
        assert 64 <= len(numbers) <= 501 and numbers == sorted(numbers)


@pytest.mark.parametrize(
    "kind,field,values,error",
    [
        ("Offer", "offer", [7, [1], True], "Invalid offer format"),
        ("Answer", "answer", [7, [1], True], "Invalid answer format"),
        ("Candidate", "candidate", [7, [1]], "Invalid candidate format"),
        ("Offer", "public_key", [7, {}], "Invalid offer format"),
        ("SdpOffer", "sdp", [7, [1], {}], "Invalid SDP offer format"),
        ("SdpAnswer", "sdp", [7, [1], {}], "Invalid SDP answer format"),
        ("IceCandidate", "candidate", [7, {}], "Invalid ICE candidate format"),
        ("IceCandidate", "sdp_mid", [7, {}], "Invalid ICE candidate format"),
        ("IceCandidate", "sdp_m_line_index", ["x", 0.5], "Invalid ICE candidate format"),
        ("SdpOffer", "sender_public_key", [7, []], "Invalid SDP offer format"),
    ],
)
async def test_a_signal_of_a_wrong_type_reaches_nobody(server, kind, field, values, error):
    async with Peer.open(server) as a, Peer.open(server) as b:
        room = await a.create()
        await b.join(room)
        await b.meets()
        for value in values:
            payload = {"destination_id": b.key, "target_public_key": b.key, "offer": "o", "sdp": "s", "candidate": "c"}
            assert await a.error(kind, payload | {field: value}) == error
        await b.sync()
        await b.quiet()


async def test_the_objects_that_browsers_make_pass(server):
    async with Peer.open(server) as a, Peer.open(server) as b:
        room = await a.create()
        await b.join(room)
        offer = {"type": "offer", "sdp": "v=0"}
        await a.send("Offer", {"room_id": room, "destination_id": b.key, "offer": offer})
        assert (await b.note("Offer"))["offer"] == offer
        await a.send("Candidate", {"room_id": room, "destination_id": b.key, "candidate": None})
        assert (await b.note("Candidate"))["candidate"] is None


@each_era
async def test_who_sends_signals_cannot_try_addresses(server, era):
    """Only the owner who kicks may name a connection by where it comes from."""
    async with couple(server, era) as (a, b, room):
        host, port = b.socket.local_address[:2]
        assert "arget client" in await a.error(*a.signal("Offer", room, f"{host}:{port}", "x"))
        assert await a.error("Relay", {era.id: room, "destination_id": f"{host}:{port}", "data": "x"}) == "Target client not found"
        await b.quiet()
        await a.kick(room, f"{host}:{port}")
        await b.note("Kicked")


@each_era
async def test_who_is_named_by_an_alias_is_told_its_own_key(start, era):
    """So that a client which looks whether a signal is for it finds that it is."""
    server = start({"Signaling": CONFIG["Signaling"] | {"PeerKeys": "alias"}})
    async with couple(server, era) as (a, b, room):
        at_a = a.of_other
        for kind, type in (("Offer", era.offer), ("Candidate", era.candidate)):
            await a.ok(*a.signal(kind, room, at_a["public_key"], "x"), "SignalSent")
            assert (await b.note(type))[era.target] == b.key
        type, payload = a.signal("Offer", room, at_a["connection_id"], "x")
        await a.ok(type, payload, "SignalSent")
        assert (await b.note(era.offer))[era.target] == at_a["connection_id"]


@pytest.mark.parametrize("wrong", ['"sdp":{"a":[1]},"SDP":"x"', '"sdp":"%s","Sdp":"x"' % ("x" * 60_000), '"sdp":7,"sDP":null'])
async def test_what_another_spelling_hides_is_not_passed_on(server, wrong):
    """Peers look for one spelling, and must find nothing that the server did not look at."""
    async with couple(server, NETWORK) as (a, b, room):
        await a.send("SdpOffer", '{"target_public_key":"%s",%s}' % (b.key, wrong))
        offer = await b.note("SdpOffer")
        assert [name for name in offer.payload if name.lower() == "sdp"] != [] and "sdp" not in offer.payload
        assert len(offer.raw) < 2000


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_line_breaks_between_fields_stay_with_who_wrote_them(server, encoding):
    """A message of the server is one line: `Message` looks at each."""
    async with couple(server) as (a, b, room):
        for peer in (a, b):
            await peer.request("Ping", '{\n"timestamp":\r\n[1,\n2]}', encoding=encoding)
        await a.send("Offer", '{"destination_id":"%s",\n"offer":{\r\n"type": "offer",\n"sdp":"a\\nb"\n}}' % b.key, encoding=encoding)
        assert (await b.note("Offer"))["offer"] == {"type": "offer", "sdp": "a\nb"}
