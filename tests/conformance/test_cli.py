"""The command line as a client: publish, subscribe, call and status, and keys."""

import asyncio
import json
import subprocess

import pytest
from harness import Client, eventually
from harness.server import BINARY


def run(server, *args, token=None, env=None, check=True):
    env = env if env is not None else {"HYDROGEN_URL": server.url, "HYDROGEN_KEY": token or server.admin}
    return server.cli(*args, env=env, check=check)


async def aside(*args, **kwargs):
    """The command line beside the running loop."""
    return await asyncio.to_thread(run, *args, **kwargs)


async def test_publish_reaches_a_client(server):
    async with Client.open(server, server.admin) as client:
        await client.subscribe("cli.a")
        await aside(server, "publish", "cli.a", '{"n": 1.50}')
        event = await client.event("cli.a")
        assert event["data"] == {"n": 1.5} and "1.50" in event.raw


async def test_the_address_and_the_key_may_be_given_as_flags(server):
    async with Client.open(server, server.admin) as client:
        await client.subscribe("cli.b")
        await aside(server, "publish", "cli.b", "1", "--url", server.ws_url, "--key", server.admin, env={})
        assert (await client.event("cli.b"))["data"] == 1


async def test_the_address_may_be_the_one_that_the_server_tells(server):
    assert server.url.startswith("http://")
    done = await aside(server, "call", "system.ping", "--url", server.url + "/", "--key", server.admin, env={})
    assert json.loads(done.stdout)["server_time"]


async def test_subscribe_prints_an_event_a_line(server):
    process = subprocess.Popen(
        [BINARY, "subscribe", "cli.sub.*"], stdout=subprocess.PIPE, text=True,
        env=server.env | {"HYDROGEN_URL": server.url, "HYDROGEN_KEY": server.admin},
    )
    try:
        async with Client.open(server, server.admin) as client:
            async def heard():
                return (await client.publish("cli.sub.start", 0))["receivers"]

            await eventually(heard)
            await client.publish("cli.sub.x", {"text": "one\ntwo"})
            lines = []
            while '"one\\ntwo"' not in "".join(lines):
                lines.append(await asyncio.wait_for(asyncio.to_thread(process.stdout.readline), 5))
            event = json.loads(lines[-1])
            assert event["data"] == {"text": "one\ntwo"}
    finally:
        process.terminate()
        process.wait(5)


async def test_call_prints_the_data_of_the_response(server):
    done = await aside(server, "call", "system.ping", '{"a": 1}')
    assert json.loads(done.stdout)["a"] == 1


async def test_status_is_printed(server):
    done = await aside(server, "status")
    assert "running" in done.stdout or "connections" in done.stdout


@pytest.mark.parametrize("args", [("publish", "cli.a", "1"), ("call", "system.ping"), ("status",)])
async def test_a_wrong_key_is_told_and_is_an_error(server, args):
    done = await aside(server, *args, token="hyd1.wrong", check=False)
    assert 0 < done.returncode < 101 and done.stderr
    assert "hyd1.wrong" not in done.stderr + done.stdout


async def test_an_error_of_the_server_is_an_error_here(server):
    done = await aside(server, "publish", "system.news", "1", check=False)
    assert 0 < done.returncode < 101 and "forbidden" in done.stderr
    done = await aside(server, "publish", "cli.a", "{no json", check=False)
    assert 0 < done.returncode < 101


async def test_no_server_there(server):
    done = await aside(server, "status", env={"HYDROGEN_URL": "http://127.0.0.1:9", "HYDROGEN_KEY": "x"}, check=False)
    assert 0 < done.returncode < 101 and "127.0.0.1:9" in done.stderr


def test_keys_are_listed_without_their_secrets(server):
    token = server.key("listed", "connect", "publish:a.>")
    done = server.cli("key", "list", "--config", str(server.config_path))
    assert "listed" in done.stdout and "publish:a.>" in done.stdout
    assert token.split(".")[-1] not in done.stdout
    server.revoke("listed")
    done = server.cli("key", "revoke", "nobody", "--config", str(server.config_path), check=False)
    assert 0 < done.returncode < 101


@pytest.mark.parametrize("permit", ["", "fly", "publish", "publish:", "publish:a..b", "connect:x", "subscribe:a b"])
def test_a_permission_that_is_none_is_refused(server, permit):
    done = server.cli("key", "create", "bad", "--permit", permit, "--config", str(server.config_path), check=False)
    assert 0 < done.returncode < 101 and not done.stdout


def test_a_name_may_have_64_bytes(server):
    assert server.key("n" * 64, "connect")
    for name in ("n" * 65, ""):
        done = server.cli("key", "create", name, "--permit", "connect", "--config", str(server.config_path), check=False)
        assert 0 < done.returncode < 101 and not done.stdout and done.stderr


def test_help_and_version(server):
    for args in (["--help"], ["serve", "--help"], ["key", "create", "--help"], ["--version"]):
        assert "hydrogen" in server.cli(*args).stdout.lower()
    assert 0 < server.cli("fly", check=False).returncode < 101


@pytest.mark.parametrize("scenario", ["rpc", "fanout", "guaranteed", "signal", "signal --rooms 4"])
async def test_the_load_generator_finds_no_fault(start, scenario):
    server = start({"Signaling": {"Enabled": True, "RateLimit": {"Requests": 0}, "SignalBytesPerSecond": 0}})
    done = await aside(server, "bench", *scenario.split(), "-c", "6", "-d", "0.3", "--json", "--url", server.ws_url)
    report = json.loads(done.stdout)
    assert report["messages"] > 0 and report["refusal"] is None and report["set_up"]["failed"] == 0, report
    assert not any(report["faults"].values()), report["faults"]
