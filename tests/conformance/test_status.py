"""The four views of the status, and that they show the same figures."""

import contextlib
import http.client
import json
import socket

import pytest
from harness import Client, eventually
from harness.client import TIMESTAMP

CONFIG = {"Monitoring": {"StatusInterval": 1}}

SECTIONS = ["server", "process", "connections", "sessions", "subscriptions", "messages", "queues", "errors"]


async def command_view(server):
    async with Client.open(server, server.admin) as client:
        return await client.ok("status")


async def event_view(server):
    async with Client.open(server, server.admin) as client:
        await client.subscribe("system.status_update")
        return (await client.event("system.status_update"))["data"]


async def http_view(server):
    status, data = server.json("/api/status", headers={"Authorization": f"Key {server.admin}"})
    assert status == 200
    return data


VIEWS = {"command": command_view, "event": event_view, "http": http_view}


@pytest.mark.parametrize("view", VIEWS)
async def test_each_view_has_every_section(server, view):
    data = await VIEWS[view](server)
    for section in SECTIONS:
        assert section in data, f"{section} is missing in {sorted(data)}"
    assert data["server"]["running"] is True and data["server"]["draining"] is False
    assert TIMESTAMP.fullmatch(data["server"]["started"])
    assert data["server"]["uptime_s"] >= 0
    assert data["server"]["name"] and data["server"]["version"]
    assert data["process"]["memory_usage"] > 0 and data["process"]["thread_count"] >= 2 and data["process"]["open_files"] > 3
    assert 0 <= data["process"]["cpu_load"]


def shape(value):
    """The names in an object, all the way down."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return None


async def test_the_views_have_the_same_shape(server):
    command, event, http = [shape(await view(server)) for view in VIEWS.values()]
    assert command == event == http


def numbers(value, path=""):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from numbers(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path, value


async def test_the_views_agree_in_their_figures(server):
    async with Client.open(server, server.admin) as client, Client.open(server, server.admin):
        for _ in range(20):
            await client.ok("ping", {})
        for _ in range(3):
            await client.text("rubbish")
            await client.other()

        async def agree():
            first, metrics, last = await http_view(server), server.metrics(), await http_view(server)
            for code, count in metrics.by("errors_total", "code").items():
                if count:
                    assert str(code) in json.dumps(first["errors"]), (code, first["errors"])
            pairs = {path: value for path, value in numbers(first)}
            steady = {path: value for path, value in numbers(last) if pairs.get(path) == value}
            by_state = metrics.by("connections", "state")
            for state in ("connected", "heartbeat"):
                found = [value for path, value in steady.items() if path.startswith("connections") and path.endswith(f".{state}")]
                if found and found[0] != by_state[state]:
                    return False
            bad = metrics.value("errors_total", code="bad_json")
            return any(value == bad for path, value in steady.items() if path.startswith("errors") and path.endswith("bad_json")) and bad >= 3

        await eventually(agree)


async def test_every_state_is_named(server):
    data = await http_view(server)
    text = json.dumps(data["connections"])
    for state in "connecting verifying established connected heartbeat inactive closing failed rejected closed".split():
        assert f'"{state}"' in text, f"{state} is missing in {text}"


async def test_what_happens_moves_the_figures(server):
    before = server.metrics()
    async with Client.open(server, server.admin) as client:
        await client.subscribe("moved.a")
        await client.publish("moved.a", 1)
        await client.event("moved.a")
        await client.text('{"type":"k"}')
        await client.other()
        during = server.metrics()
    moved = lambda name, **labels: during.value(name, **labels) - before.value(name, **labels)
    assert moved("messages_received_total", type="command") == 2
    assert moved("messages_received_total", type="keepalive") == 1
    assert moved("messages_sent_total", type="response") == 2
    assert moved("messages_sent_total", type="event") >= 2
    assert moved("events_published_total") >= 1 and moved("events_delivered_total") >= 1
    assert moved("subscriptions") == 1
    assert moved("received_bytes_total") > 300 and moved("sent_bytes_total") > 300
    # Keepalives are answered messages too.
    assert moved("command_duration_seconds_count") == 3
    assert moved("dialect_connections", dialect="hydrogen") == 1


async def test_histograms_are_cumulative_and_end_in_infinity(server):
    metrics = server.metrics()
    for name in ("command_duration_seconds", "delivery_duration_seconds", "worker_queue_wait_seconds"):
        buckets = [(labels["le"], value) for full, labels, value in metrics.samples if full == f"hydrogen_{name}_bucket"]
        values = [value for _, value in buckets]
        assert values == sorted(values) and buckets[-1][0] == "+Inf", name
        assert values[-1] == metrics.value(f"{name}_count"), name
        bounds = [float(le) for le, _ in buckets]
        assert bounds == sorted(bounds), name


async def test_each_family_has_help_and_type_once(server):
    seen = set()
    for line in server.metrics().text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in seen and name.startswith("hydrogen_"), line
            seen.add(name)
    for name in ("errors_total", "websocket_violations_total", "http_refusals_total", "connections_closed_total", "connections"):
        assert f"hydrogen_{name}" in seen, name


async def test_the_text_format_is_declared(server):
    status, headers, body = server.http(path="/metrics")
    assert status == 200
    assert headers["content-type"].startswith("text/plain; version=0.0.4") or headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith(b"\n")


STATUS = ("/metrics", "/api/status", "/stats")
SERVES_STATS = {"Signaling": {"Enabled": True}}
# A client of this machine, and one that a proxy on it speaks for.
HERE, ELSEWHERE = {}, {"X-Forwarded-For": "192.0.2.1"}


@pytest.mark.parametrize(
    "public,shown,refused", [(None, [HERE], [ELSEWHERE]), ("all", [HERE, ELSEWHERE], []), ("none", [], [HERE, ELSEWHERE])],
    ids=["as it comes", "all", "none"],
)  # fmt: skip
async def test_the_status_is_for_those_to_whom_it_is_public_and_for_who_may_ask(start, public, shown, refused):
    server = start(SERVES_STATS | ({"Security": {"PublicStatus": public}} if public else {}))
    for path in STATUS:
        for asks in shown:
            assert server.http(path=path, headers=asks)[0] == 200, (path, asks)
        for asks in refused:
            status, headers, body = server.http(path=path, headers=asks)
            assert status == 401 and headers["www-authenticate"].startswith("Key"), (path, asks)
            assert b"uptime" not in body
            assert server.http(path=path, headers=asks | {"Authorization": f"Key {server.admin}"})[0] == 200
    for path in ("/", "/health", "/ready"):
        assert server.http(path=path, headers=ELSEWHERE)[0] == 200


def own_address():
    """The address that others reach this machine by, or `None`."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        # No packet is sent: it is looked which address would be used.
        route.connect(("192.0.2.1", 9))
        return route.getsockname()[0]
    return None


@pytest.mark.skipif(own_address() is None, reason="nobody reaches this machine")
async def test_as_the_server_comes_other_machines_need_a_key_for_the_status(start):
    server = start(SERVES_STATS | {"WebSocketServer": {"Interface": "*"}})
    for path in STATUS:
        connection = http.client.HTTPConnection(own_address(), server.port, timeout=5)
        connection.request("GET", path)
        assert connection.getresponse().status == 401, path
        connection.close()


async def test_the_status_event_is_also_told_to_a_pattern_of_its_channel(server):
    async with Client.open(server, server.admin) as client:
        await client.subscribe("system.>")
        assert (await client.event("system.status_update"))["data"]["server"]["running"] is True
