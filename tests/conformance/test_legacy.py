"""Older Hydrogen clients: their message types, their status object, and their manners."""

import re
import time
from urllib.parse import quote

import pytest
from harness import Client, Refused

KEY = "abcdefghijklmnopqrstuvwxyz-0123456789!"
CONFIG = {"WebSocketServer": {"Key": KEY, "SessionEvent": "first_command"}}


async def first(client, text):
    """The first message back, as a client sees it that takes one message and goes."""
    await client.text(text)
    return await client.other()


@pytest.mark.parametrize("text", ['{"type":"status"}', '{"type": "status"}', '{"type":"status","id":"x"}'])
async def test_status_is_the_bare_object(server, text):
    async with Client.open(server, headers={"Authorization": f"Key {KEY}"}, protocols=("hydrogen",)) as client:
        status = await first(client, text)
        assert "type" not in status and "id" not in status
        assert status["system"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", status["status"]["server_started"])
        assert status["status"]["server_running"] is True
        assert isinstance(status["status"]["server_uptime"], int)
        socket = status["services"]["websocket"]
        assert socket["enabled"] is True
        assert socket["status"]["activeConnections"] >= 1
        assert socket["status"]["totalConnections"] >= socket["status"]["activeConnections"]
        for name in ("server_running", "memory_usage", "cpu_load", "thread_count"):
            assert name in status, name


async def test_the_machine_is_described_under_the_old_names(server):
    async with Client.open(server, headers={"Authorization": f"Key {KEY}"}, protocols=("hydrogen",)) as client:
        status = await first(client, '{"type":"status"}')
        system = status["system"]
        for name in ("sysname", "nodename", "release", "version", "machine", "load_1min", "memory"):
            assert name in system, name
        assert isinstance(system["load_1min"], str), "loads are strings"
        assert isinstance(system["memory"]["total"], int) and isinstance(system["memory"]["used_percent"], str)
        assert status["version"]["server"]


@pytest.mark.parametrize("text", ['{"type":"keepalive"}', '{"type":"k"}'])
async def test_keepalive(server, text):
    async with Client.open(server, headers={"Authorization": f"Key {KEY}"}, protocols=("hydrogen",)) as client:
        answer = await first(client, text)
        assert answer["type"] == "keepalive_ok"
        assert isinstance(answer["ts"], int) and abs(answer["ts"] - time.time()) < 5


async def test_text_that_is_no_json_does_not_end_the_connection(server):
    async with Client.open(server, headers={"Authorization": f"Key {KEY}"}, protocols=("hydrogen",)) as client:
        await client.text("test_message")
        await client.text('{"type":"k"}')
        while (await client.other()).get("type") != "keepalive_ok":
            pass
        await client.socket.close(1000)
        assert client.socket.close_code == 1000


async def test_nothing_comes_unasked(server):
    async with Client.open(server, headers={"Authorization": f"Key {KEY}"}, protocols=("hydrogen",)) as client:
        assert "status" in await first(client, '{"type":"status"}')
        assert client.others.empty() and client.events.empty()


@pytest.mark.parametrize("protocol", ["hydrogen", "hydrogen-protocol"])
@pytest.mark.parametrize("path", ["/", "", "/ws", "/wss", "/websocket"])
async def test_the_shared_key_in_the_address(server, protocol, path):
    async with Client.open(server, path=f"{path}?key={quote(KEY, safe='')}" if path else f"/?key={quote(KEY, safe='')}", protocols=(protocol,)) as client:
        assert client.protocol == protocol
        assert (await first(client, '{"type":"k"}'))["type"] == "keepalive_ok"
    assert KEY not in server.log()


async def test_a_wrong_key_is_answered_with_401(server):
    for wrong in ({"headers": {"Authorization": "Key wrong-key-wrong-key-wrong-key-wrong"}}, {"path": "/?key=wrong"}):
        with pytest.raises(Refused) as refused:
            async with Client.open(server, protocols=("hydrogen",), **wrong):
                pass
        assert refused.value.status == 401


async def test_the_name_of_the_subprotocol_is_configurable(start):
    server = start({"WebSocketServer": {"Protocols": ["hydrogen-test"]}})
    async with Client.open(server, server.admin, protocols=("hydrogen-test",)) as client:
        assert client.protocol == "hydrogen-test"
        await client.ok("ping", {})
    with pytest.raises(Refused) as refused:
        async with Client.open(server, server.admin, protocols=("hydrogen",), path="/nowhere"):
            pass
    assert refused.value.status == 404


async def test_older_configuration_keys_are_understood(start):
    server = start({"WebSocketServer": {"Protocol": "hydrogen-test", "Key": "${env.WEBSOCKET_KEY}"}}, env={"WEBSOCKET_KEY": KEY})
    async with Client.open(server, headers={"Authorization": f"Key {KEY}"}, protocols=("hydrogen-test",)) as client:
        assert (await first(client, '{"type":"k"}'))["type"] == "keepalive_ok"
    assert KEY not in server.log()
