"""Connecting: the handshake, where a credential may stand, and how a client is refused."""

import asyncio

import pytest
from harness import Client, Raw, Refused, eventually, frame, grows
from harness.client import check_error

CONFIG = {"WebSocketServer": {"AllowQueryKey": True, "AllowedOrigins": ["https://good.example"]}}

WRONG = "hyd1.0000000000000000.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def bearing(scheme, token):
    return {"Authorization": f"{scheme}{token}"}


async def refusal(server, **kwargs):
    with pytest.raises(Refused) as refused:
        async with Client.open(server, **kwargs):
            pass
    return refused.value


@pytest.mark.parametrize("name", ["hydrogen-protocol", "hydrogen"])
async def test_the_offered_name_is_echoed(server, name):
    async with Client.open(server, server.admin, protocols=(name,)) as client:
        assert client.protocol == name
        await client.ok("ping", {})


@pytest.mark.parametrize("path", ["/", "/ws", "/wss", "/websocket", "/any/where?x=1"])
async def test_any_path_leads_to_the_dialect_that_was_offered(server, path):
    async with Client.open(server, server.admin, path=path) as client:
        await client.ok("ping", {})


async def test_only_one_of_several_names_is_echoed(server):
    async with Client.open(server, server.admin, protocols=("mqtt", "hydrogen-protocol", "graphql-ws")) as client:
        assert client.protocol == "hydrogen-protocol"


async def test_an_extension_that_is_not_known_is_not_echoed(server):
    async with await Raw.open(server) as raw:
        answer = await raw.upgrade(server, server.admin, extra="Sec-WebSocket-Extensions: x-unheard-of; a=1\r\n")
        assert answer.status == 101
        assert "x-unheard-of" not in answer.headers.get("sec-websocket-extensions", "")


async def test_the_accept_key_is_that_of_the_rfc(server):
    async with await Raw.open(server) as raw:
        # RFC 6455 section 1.3.
        answer = await raw.upgrade(server, server.admin, key="dGhlIHNhbXBsZSBub25jZQ==")
        assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert answer.headers["upgrade"].lower() == "websocket"
        assert answer.headers["connection"].lower() == "upgrade"


@pytest.mark.parametrize("scheme", ["Key ", "key ", "KEY ", "Key    "])
async def test_a_key_in_the_header(server, scheme):
    async with Client.open(server, headers=bearing(scheme, server.admin)) as client:
        assert (await client.session())["identity"] == "admin"


async def test_a_key_as_a_second_subprotocol_is_never_echoed(server):
    async with Client.open(server, protocols=("hydrogen-protocol", f"key.{server.admin}")) as client:
        assert client.protocol == "hydrogen-protocol"
        assert (await client.session())["identity"] == "admin"
    async with await Raw.open(server) as raw:
        answer = await raw.upgrade(server, protocols=f"key.{server.admin}, hydrogen-protocol")
        assert (answer.status, answer.headers["sec-websocket-protocol"]) == (101, "hydrogen-protocol")


async def test_a_key_in_the_query(server):
    async with Client.open(server, path=f"/?key={server.admin}") as client:
        assert (await client.session())["identity"] == "admin"
    escaped = "".join(f"%{byte:02x}" for byte in server.admin.encode())
    async with Client.open(server, path=f"/ws?a=1&key={escaped}") as client:
        await client.ok("ping", {})
    assert server.admin not in server.log()
    assert server.admin not in server.metrics().text


@pytest.mark.parametrize("query", ["?key=", "?key=%00", "?key=%zz", "?monkey={token}", "?key={token}x", "?Key={token}"])
async def test_what_is_no_key_in_the_query(server, query):
    refused = await refusal(server, path="/" + query.replace("{token}", server.admin))
    assert refused.status == 401


async def test_plus_is_no_space_in_the_query(start):
    key = "a+b-0123456789abcdefghijklmnopqrstuv"
    server = start({"WebSocketServer": {"Key": key}})
    async with Client.open(server, path=f"/?key={key}") as client:
        await client.ok("ping", {})


async def test_a_key_in_the_query_only_where_it_is_allowed(start):
    server = start({"WebSocketServer": {"AllowQueryKey": False}})
    assert (await refusal(server, path=f"/?key={server.admin}")).status == 401
    async with Client.open(server, server.admin) as client:
        await client.ok("ping", {})


PLACES = {
    "header": lambda token: {"headers": bearing("Key ", token)},
    "subprotocol": lambda token: {"protocols": ("hydrogen-protocol", f"key.{token}")},
    "query": lambda token: {"path": f"/?key={token}"},
}


@pytest.mark.parametrize("right", PLACES)
@pytest.mark.parametrize("wrong", PLACES)
async def test_a_wrong_credential_is_refused_even_beside_a_right_one(server, right, wrong):
    if right == wrong:
        async with Client.open(server, **PLACES[right](server.admin)) as client:
            await client.ok("ping", {})
        return
    refused = await refusal(server, **(PLACES[right](server.admin) | PLACES[wrong](WRONG)))
    assert refused.status == 401


@pytest.mark.parametrize("place", [*PLACES, "none", "unknown scheme", "bearer", "empty"])
async def test_401_says_which_scheme_and_tells_nothing_else(server, place):
    kwargs = {
        "none": {},
        "unknown scheme": {"headers": bearing("Basic ", "YTpi")},
        "bearer": {"headers": bearing("Bearer ", "a.b.c")},
        "empty": {"headers": {"Authorization": "Key "}},
    }.get(place) if place not in PLACES else PLACES[place](WRONG)
    async with grows(server, "http_refusals_total", refusal="unauthenticated"):
        async with grows(server, "connections_closed_total", reason="unauthenticated"):
            refused = await refusal(server, **kwargs)
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"] == 'Key realm="hydrogen"'
    assert refused.headers["Content-Type"].startswith("application/json")
    assert refused.headers["Connection"].lower() == "close"
    check_error(refused.error, "unauthenticated")


async def test_a_wrong_key_and_an_unknown_one_are_told_apart_by_nothing(server):
    token = server.admin
    known_id = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    first, second = await refusal(server, token=known_id), await refusal(server, token=WRONG)
    assert (first.status, first.error) == (second.status, second.error)


async def test_a_key_that_is_expired_or_revoked_is_refused(server):
    revoked = server.key("revoked", "connect")
    async with Client.open(server, revoked) as client:
        await client.ok("ping", {})
    server.revoke("revoked")

    async def is_refused():
        try:
            async with Client.open(server, revoked):
                return False
        except Refused as refused:
            return refused.status == 401

    await eventually(is_refused, timeout=10)


async def test_an_identity_without_the_permission_may_not_connect(start):
    server = start(keys={"mute": ["publish:a.>"]})
    async with grows(server, "http_refusals_total", refusal="forbidden"):
        refused = await refusal(server, token=server.tokens["mute"])
    assert refused.status == 403
    check_error(refused.error, "forbidden")


async def test_an_origin_that_is_not_allowed_is_refused(server):
    async with grows(server, "http_refusals_total", refusal="origin"):
        async with grows(server, "connections_closed_total", reason="origin_refused"):
            refused = await refusal(server, token=server.admin, origin="https://evil.example")
    assert refused.status == 403
    check_error(refused.error, "forbidden")
    for origin in ("https://good.example", None):
        async with Client.open(server, server.admin, origin=origin) as client:
            await client.ok("ping", {})


@pytest.mark.parametrize("protocols", [("mqtt",), ("relay-of-old", "x"), ()])
async def test_404_where_no_dialect_answers(server, protocols):
    async with grows(server, "http_refusals_total", refusal="not_found"):
        refused = await refusal(server, token=server.admin, protocols=protocols, path="/nowhere")
    assert refused.status == 404
    check_error(refused.error)


async def test_426_for_another_version(server):
    for version in ("8", "12", "14", "x"):
        async with grows(server, "http_refusals_total", refusal="upgrade_required"):
            async with await Raw.open(server) as raw:
                answer = await raw.upgrade(server, server.admin, version=version)
                assert answer.status == 426
                assert answer.headers["sec-websocket-version"] == "13"
                assert "websocket" in answer.headers["upgrade"].lower()


async def test_426_without_an_upgrade(server):
    status, headers, _ = server.http(path="/ws", headers={"Authorization": f"Key {server.admin}"})
    assert status == 426
    assert headers["sec-websocket-version"] == "13"


BROKEN = {
    "no key": ("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", ""),
    "short key": ("AAAAAAAAAAAAAAAAAAAAAA==", "AAAA"),
    "key that is no base64": ("AAAAAAAAAAAAAAAAAAAAAA==", "????????????????????????"),
    "two keys": ("Upgrade: websocket\r\n", "Upgrade: websocket\r\nSec-WebSocket-Key: BAAAAAAAAAAAAAAAAAAAAA==\r\n"),
    "post": ("GET /", "POST /"),
    "no host": ("Host:", "X-Host:"),
    "subprotocol that is no token": ("Sec-WebSocket-Protocol: ", "Sec-WebSocket-Protocol: hydrogen protocol, "),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_what_is_no_valid_handshake_is_refused(server, what):
    old, new = BROKEN[what]
    async with await Raw.open(server) as raw:
        request = raw.upgrade_request(server, server.admin, key="AAAAAAAAAAAAAAAAAAAAAA==")
        assert old in request
        answer = await raw.request(request.replace(old, new, 1))
        assert answer.status in (400, 404, 405, 426), answer
        await raw.ended()


async def test_an_upgrade_to_something_else_is_ignored(server):
    # RFC 9110 section 7.8: the server may go on as if it had not been asked.
    async with await Raw.open(server) as raw:
        request = raw.upgrade_request(server, server.admin).replace("Upgrade: websocket", "Upgrade: h2c")
        answer = await raw.request(request.replace("GET /", "GET /health"))
        assert answer.status == 200 and "upgrade" not in answer.headers


async def test_words_and_lists_in_headers_are_read_as_lists(server):
    async with await Raw.open(server) as raw:
        request = raw.upgrade_request(server, server.admin).replace("Connection: Upgrade", "Connection: keep-alive, UPGRADE")
        answer = await raw.request(request.replace("Upgrade: websocket", "Upgrade: WebSocket"))
        assert answer.status == 101


async def test_messages_behind_the_request_are_not_lost(server):
    async with await Raw.open(server) as raw:
        await raw.send(raw.upgrade_request(server, server.admin).encode() + frame(1, '{"type":"k"}'))
        assert (await raw.answer()).status == 101
        while "keepalive_ok" not in await raw.text_frame():
            pass


async def test_a_request_may_come_byte_by_byte(server):
    async with await Raw.open(server) as raw:
        for byte in raw.upgrade_request(server, server.admin).encode():
            await raw.send(bytes([byte]))
        assert (await raw.answer()).status == 101


async def test_503_at_the_connection_limit(start):
    server = start({"WebSocketServer": {"MaxConnections": 3}})
    async with Client.open(server, server.admin) as one, Client.open(server, server.admin):
        third = Client.open(server, server.admin)
        await third.__aenter__()

        async def full():
            try:
                async with Client.open(server, server.admin):
                    return None
            except Refused as refused:
                return refused

        refused = await full()
        assert refused and refused.status == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert check_error(refused.error, "server_full")["retryable"] is True
        await one.ok("ping", {})
        await third.__aexit__(None, None, None)

        async def let_in():
            return await full() is None

        await eventually(let_in)
    assert server.metrics().value("connections_closed_total", reason="server_full") >= 1
    assert server.metrics().value("http_refusals_total", refusal="server_full") >= 1


async def test_429_after_too_many_wrong_credentials(start):
    server = start({"RateLimit": {"HandshakeFailures": 5}})
    statuses = []
    for _ in range(12):
        refused = await refusal(server, token=WRONG)
        statuses.append(refused.status)
        if refused.status == 429:
            assert int(refused.headers["Retry-After"]) >= 1
            check_error(refused.error, "rate_limited")
            break
    assert 4 <= statuses.count(401) <= 6 and statuses[-1] == 429, statuses
    # A right key does not buy more guesses, and has its turn when the wait is over.
    assert (await refusal(server, token=server.admin)).status == 429
    await asyncio.sleep(int(refused.headers["Retry-After"]))
    async with Client.open(server, server.admin) as client:
        await client.ok("ping", {})


async def test_behind_a_trusted_proxy_each_client_counts_by_its_own_address(start):
    """And what a client writes before the proxy does is nobody's word."""
    server = start({"RateLimit": {"HandshakeFailures": 3}, "WebSocketServer": {"TrustedProxies": ["127.0.0.0/8"]}})

    def via(*addresses):
        return {"X-Forwarded-For": ", ".join(addresses)}

    for n in range(10):
        refused = await refusal(server, token=WRONG, headers=via(f"198.51.100.{n}", "192.0.2.1"))
    assert refused.status == 429, "one client, whatever it calls itself"
    async with Client.open(server, server.admin, headers=via("192.0.2.1", "192.0.2.2")) as client:
        assert "192.0.2.2" in str(await client.ok("connections", {}))
        # The block strikes the one, whether it is here already or comes.
        async with Client.open(server, server.admin, headers=via("192.0.2.3")) as other:
            await client.ok("block", {"address": "192.0.2.3"})
            assert (await other.closed())[0] == 1008
        check_error((await refusal(server, token=server.admin, headers=via("192.0.2.3"))).error, "blocked")
        await client.ok("ping", {})


async def test_nobody_else_s_word_is_taken_for_an_address(start):
    server = start({"RateLimit": {"HandshakeFailures": 3}, "WebSocketServer": {"TrustedProxies": ["192.0.2.0/24"]}})
    for n in range(10):
        refused = await refusal(server, token=WRONG, headers={"X-Forwarded-For": f"198.51.100.{n}", "X-Real-IP": f"198.51.100.{n}"})
    assert refused.status == 429


async def test_revoking_a_key_ends_its_connections_and_no_others(server):
    token = server.key("leaver", "connect")
    async with Client.open(server, token) as leaver, Client.open(server, server.admin) as stayer:
        await leaver.ok("ping", {})
        async with grows(server, "connections_closed_total", reason="credential_expired"):
            server.revoke("leaver")
            assert (await leaver.closed(15))[0] == 4001
        await stayer.ok("ping", {})


async def test_an_expired_key_ends_its_connections(server):
    token = server.key("short", "connect", expires="3s")
    async with Client.open(server, token) as client:
        session = await client.session()
        assert session["expires"]
        await client.ok("ping", {})
        async with grows(server, "connections_closed_total", reason="credential_expired"):
            assert (await client.closed(15))[0] == 4001
    assert (await refusal(server, token=token)).status == 401


async def test_a_connection_without_a_credential_where_none_is_asked_for(start):
    server = start({"WebSocketServer": {"AuthRequired": False}})
    async with Client.open(server) as client:
        await client.ok("ping", {})
    assert (await refusal(server, token=WRONG)).status == 401


IN_BAND = {"WebSocketServer": {"AllowInBandAuth": True, "HandshakeTimeout": 2}}


async def test_a_credential_in_band(start):
    server = start(IN_BAND, keys={"reader": ["connect", "subscribe:a.>"]})
    async with Client.open(server) as client:
        data = await client.ok("authenticate", {"token": server.tokens["reader"]})
        assert data["identity"] == "reader"
        assert "subscribe:a.>" in str(data["permissions"])
        assert "expires" in data
        await client.subscribe("a.b")


async def test_a_command_before_the_credential_is_refused(start):
    server = start(IN_BAND)
    async with Client.open(server) as client:
        async with grows(server, "errors_total", code="unauthenticated", exact=False):
            await client.error("unauthenticated", "subscribe", {"topics": ["a.b"]})


async def test_a_wrong_credential_in_band_is_refused(start):
    server = start(IN_BAND)
    async with Client.open(server) as client:
        for _ in range(2):
            await client.error("unauthenticated", "authenticate", {"token": WRONG})
            await client.error("unauthenticated", "info", {})
        # The third is the last: whether its answer comes before the close is left open.
        await client.send({"type": "command", "id": "last", "channel": "system", "action": "authenticate", "data": {"token": WRONG}})
        assert (await client.closed(1))[0] == 1008
    async with Client.open(server) as client:
        await client.error("unauthenticated", "authenticate", {"token": WRONG})
        await client.ok("authenticate", {"token": server.admin})
        await client.ok("ping", {})
    assert server.metrics().value("connections_closed_total", reason="authentication_failed") == 1


async def test_no_credential_in_band_within_the_time_ends_the_connection(start):
    server = start(IN_BAND)
    async with Client.open(server) as client:
        assert (await client.closed(8))[0] == 1008
    assert server.metrics().value("connections_closed_total", reason="authentication_failed") == 1


async def test_a_credential_can_be_renewed(server):
    token = server.key("renewed", "connect", expires="4s")
    longer = server.key("renewed", "connect", "subscribe:later.>")
    async with Client.open(server, token) as client:
        await client.error("forbidden", "subscribe", {"topics": ["later.a"]})
        assert (await client.ok("authenticate", {"token": longer}))["identity"] == "renewed"
        await client.subscribe("later.a")
        await asyncio.sleep(4.5)
        await client.ok("ping", {})


async def test_the_session_event_tells_what_a_client_needs(server):
    async with Client.open(server, server.admin) as client:
        session = await client.session()
        assert session["identity"] == "admin" and session["resumed"] is False
        for name in ("session", "permissions", "expires", "ping_ms", "idle_ms", "limits", "server"):
            assert name in session, name
        assert session["ping_ms"] > 0 and session["idle_ms"] > session["ping_ms"]


async def test_the_session_event_may_wait_for_the_first_command(start):
    server = start({"WebSocketServer": {"SessionEvent": "first_command"}})
    async with Client.open(server, server.admin) as client:
        await client.text('{"type":"k"}')
        assert (await client.other())["type"] == "keepalive_ok"
        assert client.events.empty()
        await client.ok("ping", {})
        await client.session()


async def test_a_silent_peer_is_pinged_and_then_let_go(start):
    server = start({"WebSocketServer": {"PingInterval": 1, "IdleTimeout": 2}})
    async with await Raw.websocket(server, server.admin) as raw:
        ping = None
        while ping is None:
            found = await raw.frame(timeout=4)
            ping = found if found.opcode == 9 else None
        assert (await raw.close_frame(timeout=6))[0] == 4002
    await eventually(lambda: server.metrics().value("connections_closed_total", reason="idle") == 1)


async def test_a_peer_that_answers_pings_stays(start):
    server = start({"WebSocketServer": {"PingInterval": 1, "IdleTimeout": 2}})
    # The library answers pings by itself.
    async with Client.open(server, server.admin) as client:
        await asyncio.sleep(4)
        await client.ok("ping", {})
    assert server.metrics().value("pings_sent_total") >= 2
