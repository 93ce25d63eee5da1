"""The commands of the channel `system` that are not about topics."""

import pytest
from harness import Client, Raw, Refused, eventually, grows


def rows(data):
    """The list in a paged answer, whatever it is called."""
    lists = [value for value in data.values() if isinstance(value, list)]
    assert len(lists) == 1, data
    return lists[0]


def row_of(data, text):
    found = [row for row in rows(data) if text in str(row)]
    assert found, f"no row with {text} in {data}"
    return found[0]


async def test_ping_repeats_its_data_and_tells_the_time(server):
    async with Client.open(server, server.admin) as client:
        data = await client.ok("ping", {"a": [1, {"b": "ü"}], "n": 1.5})
        assert data["a"] == [1, {"b": "ü"}] and data["n"] == 1.5
        assert data["server_time"].endswith("Z")


async def test_ping_without_data(server):
    async with Client.open(server, server.admin) as client:
        assert (await client.ok("ping"))["server_time"]


async def test_info_tells_what_the_server_is(server):
    token = server.key("guest", "connect")
    async with Client.open(server, token) as client:
        info = await client.ok("info")
        assert info["server"]["name"] and info["server"]["version"], info
        assert "limits" in info and "channels" in info and "dialects" in info, info
        assert "hydrogen" in info["dialects"], info
        assert "system" in str(info["channels"]), info


async def test_authenticate_tells_who_one_is(server):
    token = server.key("teller", "connect", "publish:a.>", "subscribe:b.*")
    async with Client.open(server, token) as client:
        data = await client.ok("authenticate", {"token": token})
        assert data["identity"] == "teller"
        assert set(data["permissions"]) == {"connect", "publish:a.>", "subscribe:b.*"}
        assert data.get("expires") is None
        for bad in ({}, {"token": 1}, None, [], "x"):
            await client.error("bad_data", "authenticate", bad)
        await client.ok("ping", {})


async def test_a_wrong_credential_does_not_end_what_a_right_one_opened(server):
    async with Client.open(server, server.admin) as client:
        await client.error("unauthenticated", "authenticate", {"token": "hyd1.wrong"})
        assert (await client.ok("authenticate", {"token": server.admin}))["identity"] == "admin"


ADMIN_ONLY = [
    "sessions", "connections", "topics", "disconnect", "block", "unblock",
    "dead_letters", "dead_letters.replay", "dead_letters.discard",
]  # fmt: skip


@pytest.mark.parametrize("action", ADMIN_ONLY)
async def test_admin_commands_want_the_permission(server, action):
    token = server.tokens.get("plain") or server.key("plain", "connect", "subscribe:>", "publish:>")
    async with Client.open(server, token) as client:
        async with grows(server, "errors_total", code="forbidden"):
            await client.error("forbidden", action, {"identity": "nobody", "address": "192.0.2.1"})


async def test_connections_lists_each_with_its_identity(server):
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin):
        data = await one.ok("connections", {})
        assert len([row for row in rows(data) if "admin" in str(row)]) >= 2, data


async def test_lists_are_paged(server):
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin), Client.open(server, server.admin):
        first = await one.ok("connections", {"limit": 1})
        assert len(rows(first)) == 1
        rest = {name: value for name, value in first.items() if name in ("next", "cursor", "after") and value is not None}
        assert len(rest) == 1, f"where the next page starts is told: {first}"
        seen = [str(rows(first)[0])]
        while rest:
            ((_, after),) = rest.items()
            page = await one.ok("connections", {"limit": 1, "after": after})
            seen += [str(row) for row in rows(page)]
            rest = {name: value for name, value in page.items() if name in ("next", "cursor", "after") and value is not None}
        assert len(seen) == len(set(seen)) >= 3
        await one.error("bad_data", "connections", {"limit": "x"})


async def test_sessions_channels_and_topics_are_listed(server):
    async with Client.open(server, server.admin) as client:
        session = (await client.session())["session"]
        assert session in str(await client.ok("sessions", {}))
        assert "system" in str(await client.ok("channels", {}))
        await client.subscribe("listed.topic")
        await client.publish("listed.topic", 1, retain=True)
        assert "listed.topic" in str(await client.ok("topics", {}))


async def test_an_identity_is_disconnected(server):
    token = server.key("thrown", "connect")
    async with Client.open(server, server.admin) as admin:
        async with Client.open(server, token) as first, Client.open(server, token) as second:
            async with grows(server, "connections_closed_total", by=2, reason="disconnected"):
                await admin.ok("disconnect", {"identity": "thrown"})
                assert (await first.closed())[0] == 4003
                assert (await second.closed())[0] == 4003
        await admin.ok("ping", {})


async def test_one_connection_is_disconnected(server):
    token = server.key("single", "connect")
    async with Client.open(server, server.admin) as admin, Client.open(server, token) as one, Client.open(server, token) as two:
        for client in (one, two):
            await client.session()
        row = row_of(await admin.ok("connections", {}), "single")
        await admin.ok("disconnect", {"connection": row.get("connection") or row["id"]})

        async def closed():
            return [client for client in (one, two) if client.reader.done()]

        (gone,) = await eventually(closed)
        assert (await gone.closed())[0] == 4003
        await (two if gone is one else one).ok("ping", {})


async def test_disconnect_wants_to_know_whom(server):
    async with Client.open(server, server.admin) as admin:
        for bad in ({}, {"identity": 1}, {"connection": "x"}, {"address": "nowhere"}, None):
            await admin.error("bad_data not_found", "disconnect", bad)
        await admin.error("not_found", "disconnect", {"connection": "0.9999.1"})


async def test_a_blocked_identity_is_thrown_out_and_kept_out(server):
    token = server.key("nuisance", "connect")
    async with Client.open(server, server.admin) as admin:
        async with Client.open(server, token) as client:
            await client.ok("ping", {})
            async with grows(server, "connections_closed_total", reason="blocked"):
                await admin.ok("block", {"identity": "nuisance", "reason": "noise"})
                assert (await client.closed())[0] == 1008
        async with grows(server, "http_refusals_total", refusal="blocked"):
            with pytest.raises(Refused) as refused:
                async with Client.open(server, token):
                    pass
        assert refused.value.status == 429
        assert refused.value.error["code"] == "blocked"
        await admin.ok("unblock", {"identity": "nuisance"})
        async with Client.open(server, token) as client:
            await client.ok("ping", {})


async def test_an_address_is_blocked(start):
    server = start()
    async with Client.open(server, server.admin) as admin:
        await admin.ok("block", {"address": "192.0.2.7"})
        for bad in ({}, {"address": "nowhere"}, {"identity": ""}, {"address": 1}):
            await admin.error("bad_data", "block", bad)
            await admin.error("bad_data", "unblock", bad)
        assert server.metrics().value("blocks") == 1
        await admin.error("not_found", "unblock", {"address": "192.0.2.8"})
        await admin.ok("unblock", {"address": "192.0.2.7"})
        assert server.metrics().value("blocks") == 0


async def test_a_blocked_address_is_kept_out(start):
    server = start()
    async with Client.open(server, server.admin) as admin:
        await admin.ok("block", {"address": "127.0.0.0/8", "duration_s": 2})
        assert (await admin.closed())[0] == 1008
    with pytest.raises(Refused) as refused:
        async with Client.open(server, server.admin):
            pass
    assert refused.value.status == 429 and refused.value.error["code"] == "blocked"
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 2

    async def let_in():
        try:
            async with Client.open(server, server.admin) as client:
                return await client.ok("ping", {})
        except Refused as refused:
            assert refused.error["code"] == "blocked"

    await eventually(let_in, timeout=6, every=0.2)


async def test_a_name_that_looks_like_an_address_is_a_name(start):
    server = start()
    async with Client.open(server, server.admin) as admin:
        await admin.ok("block", {"identity": "127.0.0.1"})
        await admin.ok("ping", {})
        async with Client.open(server, server.admin) as client:
            await client.ok("ping", {})
        await admin.error("not_found", "unblock", {"address": "127.0.0.1"})
        await admin.ok("unblock", {"identity": "127.0.0.1"})


async def test_a_session_id_is_new_for_each_connection(server):
    seen = set()
    for _ in range(5):
        async with Client.open(server, server.admin) as client:
            seen.add((await client.session())["session"])
    assert len(seen) == 5


async def test_commands_in_flight_are_bounded(start):
    server = start({"WebSocketServer": {"MaxInFlight": 4}})
    async with await Raw.websocket(server, server.admin) as raw:
        for n in range(100):
            await raw.text(f'{{"type":"command","id":"{n}","channel":"system","action":"ping","data":{{}}}}')
        answered = []
        while len(answered) < 100:
            text = await raw.text_frame()
            if '"response"' in text:
                answered.append(text)
        assert len(answered) == 100
