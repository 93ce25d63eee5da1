"""What goes wrong around the server: floods of connections, no descriptors, ports, folders and files that are not as they should be."""

import asyncio
import json
import os
import resource
import socket

import pytest
from harness import Client, Raw, Server, StartFailed, eventually
from harness.raw import TEXT, frame


@pytest.mark.deadline(90)
@pytest.mark.parametrize("count,upgraded", [(2000, False), (2000, True), (10000, False)])
async def test_many_connections_opened_and_dropped_at_once(start, count, upgraded):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2 * count:
        pytest.skip("the descriptor limit here is too low")
    server = start({"WebSocketServer": {"MaxConnections": 20000}, "Logging": {"Level": "warn"}})
    async with Client.open(server, server.admin) as witness:
        await witness.ok("ping", {})
        memory = (await witness.ok("status"))["process"]["memory_usage"]
        gate = asyncio.Semaphore(500)

        async def visit(n):
            async with gate:
                raw = await Raw.open(server)
            if upgraded:
                assert (await raw.upgrade(server, server.admin)).status == 101
            elif n % 3 == 0:
                await raw.send("GET / HT")
            return raw

        visitors = await asyncio.gather(*(visit(n) for n in range(count)))
        for n, raw in enumerate(visitors):
            if n % 2:
                raw.reset()
            else:
                raw.sock.close()
        await witness.ok("ping", {})
        await eventually(
            lambda: server.metrics().value("connections_closed_total") >= count, timeout=30, what=f"{count} connections are closed"
        )
        open_now = lambda: sum(
            server.metrics().value("connections", state=state) for state in ("connecting", "verifying", "established", "connected", "closing")
        )
        await eventually(lambda: open_now() <= 3, timeout=20)
        assert (await witness.ok("ping", {})) is not None
        grown = (await witness.ok("status"))["process"]["memory_usage"] - memory
        assert grown < count * 16384 + (32 << 20), f"{grown} bytes more"


@pytest.mark.deadline(40)
async def test_without_descriptors_the_server_waits_and_goes_on(start):
    server = start({"WebSocketServer": {"MaxConnections": 1000, "HandshakeTimeout": 30}}, descriptors=96)
    async with Client.open(server, server.admin) as witness:
        idle = [await Raw.open(server) for _ in range(150)]
        await witness.ok("ping", {})
        # While all descriptors are taken no new connection can be asked for figures.
        status = json.dumps(await witness.ok("status"))
        assert "connections" in status
        for raw in idle:
            raw.sock.close()

        async def let_in():
            try:
                async with Client.open(server, server.admin) as client:
                    return await client.ok("ping", {})
            except (OSError, TimeoutError):
                return False

        await eventually(let_in, timeout=15)
        figures = server.metrics()
        assert figures.value("accept_pauses_total") + figures.value("accept_dropped_total") > 0


def failed_start(server, *words):
    try:
        with pytest.raises(StartFailed) as failed:
            server.start()
        error = failed.value
        # 101 is a panic, a negative code a signal.
        assert error.code is not None and 0 < error.code < 101, error
        assert "panicked" not in error.output
        for word in words:
            assert word in error.output, f"{word!r} is not in:\n{error.output}"
        return error
    finally:
        server.remove()


def test_a_port_that_is_in_use_is_named():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        failed_start(Server({"WebSocketServer": {"Port": port}}), str(port))


def test_an_address_that_is_not_ours_is_named():
    failed_start(Server({"WebSocketServer": {"Interface": "192.0.2.1"}}), "192.0.2.1")


def test_a_data_folder_that_cannot_be_written_is_named(tmp_path):
    # A file in its place stops root too.
    (tmp_path / "data").write_text("in the way")
    failed_start(Server({"DataDir": str(tmp_path / "data")}), str(tmp_path / "data"))


def test_a_data_folder_without_the_right_to_write_is_named(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o500)
    if os.geteuid() == 0:
        # Root may write everywhere but into the kernel's own folders.
        folder = "/sys"
    failed_start(Server({"DataDir": str(folder)}), str(folder))


CONFIGS = {
    "empty": ("", ["empty"]),
    "white space": (" \n\n", ["empty"]),
    "cut off": ('{"WebSocketServer": {"Port": 0,', ["1"]),
    "no object": ("[]", []),
    "rubbish": ("rubbish", []),
    "binary": ("\0\1\2", []),
    "a wrong type": ('{"WebSocketServer": {"Port": "many"}}', ["Port"]),
    "a number out of range": ('{"WebSocketServer": {"Port": 70000}}', ["Port"]),
    "a wrong choice": ('{"WebSocketServer": {"SecureMode": "perhaps"}}', ["SecureMode", "perhaps"]),
    "a duplicate key": ('{"WebSocketServer": {"Port": 0, "Port": 1}}', ["Port"]),
    "tls without files": ('{"WebSocketServer": {"Port": 0, "SecureMode": "tls"}}', ["CertificatePath"]),
    "an unknown key": ('{"WebSocketServer": {"Prot": 0, "Port": 0}}', ["Prot"]),
}


@pytest.mark.parametrize("what", CONFIGS)
def test_a_configuration_that_is_wrong_is_told_with_its_place(what):
    text, words = CONFIGS[what]
    server = Server(config_text=text)
    failed_start(server, str(server.config_path.name), *words)


def test_a_configuration_that_is_not_there_or_a_folder_is_named(tmp_path):
    for path in (tmp_path, tmp_path / "no.json"):
        server = Server()
        server.config_path = path
        failed_start(server, str(path))


def test_a_damaged_keys_file_is_told_and_never_ignored(start):
    server = Server()
    server.admin
    (path,) = [path for path in (server.dir / "data").iterdir() if "key" in path.name and path.suffix == ".json"]
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    failed_start(server, path.name)


async def test_a_keys_file_that_is_damaged_later_changes_nothing(start):
    server = start()
    (path,) = [path for path in (server.dir / "data").iterdir() if "key" in path.name and path.suffix == ".json"]
    path.write_text("rubbish")
    async with Client.open(server, server.admin) as client:
        await asyncio.sleep(1.5)
        await client.ok("ping", {})
    async with Client.open(server, server.admin) as client:
        await client.ok("ping", {})


@pytest.mark.deadline(40)
async def test_random_bytes_in_any_phase_harm_nobody(start):
    import random

    server = start()
    chance = random.Random(7)
    async with Client.open(server, server.admin) as witness:
        for round in range(60):
            if round % 3 == 0:
                raw = await Raw.open(server)
                data = chance.randbytes(chance.randrange(1, 3000)) + b"\r\n\r\n"
            elif round % 3 == 1:
                raw = await Raw.websocket(server, server.admin)
                data = chance.randbytes(chance.randrange(1, 3000))
            else:
                raw = await Raw.websocket(server, server.admin)
                good = bytearray(b'{"type":"command","id":"r","channel":"system","action":"ping","data":{"a":[1,2]}}')
                for _ in range(3):
                    good[chance.randrange(len(good))] = chance.randrange(32, 127)
                data = frame(TEXT, bytes(good))
            async with raw:
                try:
                    await raw.send(data)
                except OSError:
                    pass
            if round % 10 == 0:
                await witness.ok("ping", {})
        await witness.ok("ping", {})


@pytest.mark.deadline(60)
async def test_commands_from_many_clients_at_once_all_have_their_answers(start):
    server = start({"WebSocketServer": {"ThreadPoolSize": 4, "IoThreads": 2}})

    async def one(n):
        async with Client.open(server, server.admin) as client:
            for round in range(20):
                assert (await client.ok("ping", {"n": n, "round": round}))["n"] == n

    await asyncio.gather(*(one(n) for n in range(100)))
