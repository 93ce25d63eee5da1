"""Envelopes: what is a good one, what is a bad one, and that a bad one costs itself alone."""

import json

import pytest
from harness import Client, grows
from harness.client import check_error

CONFIG = {"WebSocketServer": {"MaxDepth": 16, "MaxBadMessages": 1000}}


def ping(**over):
    """A good envelope, with fields changed; None takes a field out."""
    envelope = {"type": "command", "id": "p", "channel": "system", "action": "ping", "data": {}} | over
    return json.dumps({name: value for name, value in envelope.items() if value is not None})


def nested(depth):
    """A command that is so many objects and lists deep, its own object included."""
    if depth == 1:
        return '{"type":"command","id":"d","channel":"system","action":"ping"}'
    return '{"type":"command","id":"d","channel":"system","action":"ping","data":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


BAD = {
    "no JSON": ("bad_json", "test_message"),
    "nothing": ("bad_json", ""),
    "white space": ("bad_json", " \n"),
    "cut off": ("bad_json", '{"type":"command","id":"x"'),
    "two values": ("bad_json", '{"type":"k"}{"type":"k"}'),
    "single quotes": ("bad_json", "{'type':'k'}"),
    "trailing comma": ("bad_json", '{"type":"k",}'),
    "a comment": ("bad_json", '{"type":"k"} // hello'),
    "NaN": ("bad_json", '{"type":"command","id":"x","channel":"system","action":"ping","data":NaN}'),
    "leading zero": ("bad_json", '{"type":"command","id":"x","channel":"system","action":"ping","data":01}'),
    "line break in a string": ("bad_json", '{"type":"command","id":"x","channel":"system","action":"ping","data":"\n"}'),
    "unknown escape": ("bad_json", r'{"type":"command","id":"x","channel":"system","action":"ping","data":"\x41"}'),
    "byte order mark": ("bad_json", '\ufeff{"type":"k"}'),
    "duplicate key": ("bad_json", '{"type":"command","type":"k"}'),
    "duplicate key, escaped": ("bad_json", r'{"type":"command","\u0074ype":"k"}'),
    "duplicate key inside": ("bad_json", '{"type":"command","id":"x","channel":"system","action":"ping","data":{"a":{"b":1,"b":2}}}'),
    "lone high surrogate": ("bad_json", r'{"type":"command","id":"\ud800","channel":"system","action":"ping"}'),
    "lone low surrogate": ("bad_json", r'{"type":"command","id":"x","channel":"system","action":"ping","data":"\udc00"}'),
    "surrogates in the wrong order": ("bad_json", r'{"type":"command","id":"x","channel":"system","action":"ping","data":"\udc00\ud800"}'),
    "an array": ("bad_json", "[]"),
    "a string": ("bad_json", '"command"'),
    "a number": ("bad_json", "1"),
    "null": ("bad_json", "null"),
    "too deep": ("too_deep", nested(17)),
    "far too deep": ("too_deep", nested(20000)),
    "objects too deep": ("too_deep", '{"type":"command","id":"d","channel":"system","action":"ping","data":' + '{"a":' * 16 + "1" + "}" * 17),
    "an empty object": ("bad_envelope", "{}"),
    "no type": ("bad_envelope", ping(type=None)),
    "type a number": ("bad_envelope", ping(type=1)),
    "type an object": ("bad_envelope", ping(type={})),
    "type unknown": ("bad_type", ping(type="order")),
    "type in capitals": ("bad_type", ping(type="Command")),
    "a type of the server's: event": ("bad_type", ping(type="event")),
    "a type of the server's: response": ("bad_type", ping(type="response")),
    "id a number": ("bad_envelope", ping(id=7)),
    "id an object": ("bad_envelope", ping(id={})),
    "id null": ("bad_envelope", '{"type":"command","id":null,"channel":"system","action":"ping"}'),
    "id empty": ("bad_envelope", ping(id="")),
    "id of 129 bytes": ("bad_envelope", ping(id="i" * 129)),
    "id of 129 bytes in 43 characters": ("bad_envelope", ping(id="€" * 43)),
    "no channel": ("bad_envelope", ping(channel=None)),
    "channel a number": ("bad_envelope", ping(channel=1)),
    "channel empty": ("bad_envelope", ping(channel="")),
    "channel in capitals": ("bad_envelope", ping(channel="System")),
    "channel that begins with a digit": ("bad_envelope", ping(channel="1a")),
    "channel with a dot": ("bad_envelope", ping(channel="a.b")),
    "channel of 65 bytes": ("bad_envelope", ping(channel="c" * 65)),
    "no action": ("bad_envelope", ping(action=None)),
    "action a number": ("bad_envelope", ping(action=1)),
    "action empty": ("bad_envelope", ping(action="")),
    "action with an empty word": ("bad_envelope", ping(action="a..b")),
    "action that ends in a dot": ("bad_envelope", ping(action="a.")),
    "action in capitals": ("bad_envelope", ping(action="Ping")),
    "action with a space": ("bad_envelope", ping(action="a b")),
    "action of 129 bytes": ("bad_envelope", ping(action="a" * 129)),
    "timestamp a number": ("bad_envelope", ping(timestamp=1)),
    "timestamp no time": ("bad_envelope", ping(timestamp="yesterday")),
    "auth a string": ("bad_envelope", ping(auth="x")),
    "auth.token a number": ("bad_envelope", ping(auth={"token": 1})),
    "auth.signature a number": ("bad_envelope", ping(auth={"signature": 1})),
    "ack of nothing": ("bad_envelope", '{"type":"ack"}'),
    "ack of a number": ("bad_envelope", '{"type":"ack","id":1}'),
    "acks that are no list": ("bad_envelope", '{"type":"ack","ids":"x"}'),
    "acks of numbers": ("bad_envelope", '{"type":"ack","ids":[1]}'),
    "ack through no number": ("bad_envelope", '{"type":"ack","topic":"a.b","through":"x"}'),
    "ack of a topic through nothing": ("bad_envelope", '{"type":"ack","topic":"a.b"}'),
    "ack of a topic that is a number": ("bad_envelope", '{"type":"ack","topic":1,"through":1}'),
    "ack with a status that is a number": ("bad_envelope", '{"type":"ack","id":"x","status":1}'),
    "ack with an unknown status": ("bad_envelope", '{"type":"ack","id":"x","status":"perhaps"}'),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_message_is_answered_counted_and_survived(server, what):
    code, text = BAD[what]
    async with Client.open(server, server.admin) as client:
        await client.ok("ping", {})
        async with grows(server, "errors_total", code=code), grows(server, "messages_received_total", type="bad"):
            await client.text(text)
            answer = await client.other()
            assert answer["type"] == "response" and answer["status"] == "error", answer
            check_error(answer["error"], code)
            assert isinstance(answer["id"], str) and answer["id"]
        await client.ok("ping", {})


async def test_the_id_of_a_bad_message_is_repeated_where_it_can_be_read(server):
    async with Client.open(server, server.admin) as client:
        waiting = client.expect("readable")
        await client.text('{"type":"command","id":"readable","channel":"SYSTEM","action":"ping"}')
        assert check_error((await waiting)["error"], "bad_envelope")


@pytest.mark.parametrize("id", ["i", "i" * 128, "€" * 42, 'quo"te\\and\u0007', "😀", "null"])
async def test_ids_up_to_the_limit_come_back_as_they_were(server, id):
    async with Client.open(server, server.admin) as client:
        assert (await client.command("ping", {}, id=id))["id"] == id


async def test_a_command_without_an_id_gets_one(server):
    async with Client.open(server, server.admin) as client:
        await client.text('{"type":"command","channel":"system","action":"ping"}')
        await client.text('{"type":"command","channel":"system","action":"ping"}')
        first, second = await client.other(), await client.other()
        assert first["status"] == second["status"] == "success"
        assert first["id"] and second["id"] and first["id"] != second["id"]


@pytest.mark.parametrize("depth", [1, 2, 15, 16])
async def test_depth_up_to_the_limit_is_taken(server, depth):
    async with Client.open(server, server.admin) as client:
        waiting = client.expect("d")
        await client.text(nested(depth))
        response = await waiting
        assert response["status"] == "success" or response["error"]["code"] == "bad_data", response


async def test_unknown_fields_are_ignored(server):
    async with Client.open(server, server.admin) as client:
        response = await client.command("ping", {}, priority=3, sender="x", version={"a": []})
        assert response["status"] == "success"


async def test_order_and_white_space_do_not_matter(server):
    async with Client.open(server, server.admin) as client:
        waiting = client.expect("o")
        await client.text('\n{ "data" :\t{} ,"action":"ping", "id" : "o","channel":"system"\r, "type":"command" } ')
        assert (await waiting)["status"] == "success"


async def test_escaped_names_are_names(server):
    async with Client.open(server, server.admin) as client:
        waiting = client.expect("é")
        await client.text(r'{"\u0074ype":"comm\u0061nd","id":"\u00e9","channel":"system","action":"ping"}')
        assert (await waiting)["status"] == "success"


@pytest.mark.parametrize("channel", ["nobody", "c" * 64, "a-b_9", "print", "file"])
async def test_a_channel_that_nobody_handles(server, channel):
    async with Client.open(server, server.admin) as client:
        async with grows(server, "errors_total", code="no_handler"):
            await client.error("no_handler", "do.it", {}, channel=channel)


@pytest.mark.parametrize("action", ["unheard_of", "a" * 128, "status.more"])
async def test_an_action_that_the_system_channel_does_not_have(server, action):
    async with Client.open(server, server.admin) as client:
        async with grows(server, "errors_total", code="no_handler"):
            await client.error("no_handler", action, {})


async def test_too_many_bad_messages_end_the_connection(start):
    server = start({"WebSocketServer": {"MaxBadMessages": 5}})
    async with Client.open(server, server.admin) as client, Client.open(server, server.admin) as other:
        for _ in range(6):
            await client.text("rubbish")
        assert (await client.closed())[0] == 1008
        await other.ok("ping", {})
    assert server.metrics().value("connections_closed_total", reason="bad_messages") == 1


async def test_responses_come_for_each_of_many_commands_at_once(server):
    async with Client.open(server, server.admin) as client:
        waiting = [client.expect(f"m-{n}") for n in range(500)]
        for n in range(500):
            await client.text(ping(id=f"m-{n}", data={"n": n}))
        for n, each in enumerate(waiting):
            assert (await each)["data"]["n"] == n
        assert client.others.empty()


async def test_an_ack_of_nothing_outstanding_is_ignored_and_counted(server):
    async with Client.open(server, server.admin) as client:
        async with grows(server, "acks_ignored_total", exact=False):
            await client.text('{"type":"ack","id":"never-1"}')
        await client.ok("ping", {})
        assert client.others.empty()


async def test_more_commands_than_the_rate_are_refused(start):
    server = start({"RateLimit": {"MessagesPerSecond": 5, "Burst": 10}})
    async with Client.open(server, server.admin) as client:
        codes = []
        for _ in range(40):
            response = await client.command("ping", {})
            codes.append(response.get("error", {}).get("code"))
            if codes[-1] == "rate_limited":
                assert response["error"]["retryable"] is True
                assert response["error"]["retry_after_ms"] > 0
                break
        assert codes[-1] == "rate_limited" and 8 <= len(codes) <= 30, codes
    assert server.metrics().value("rate_limited_total") >= 1
