"""The same over TLS, with a certificate of our own."""

import asyncio
import socket
import ssl
import subprocess
import warnings

import pytest
from harness import Client, Server, StartFailed, grows


def certificate(folder, name):
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )
    return cert, key


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"), "one")


def config(cert, key, **over):
    return {"WebSocketServer": {"SecureMode": "tls", "CertificatePath": str(cert), "KeyPath": str(key), "HandshakeTimeout": 2, **over}}


@pytest.fixture(scope="module")
def server(files):
    server = Server(config(*files))
    server.admin
    server.start()
    yield server
    try:
        server.check_sound()
        assert server.stop() == 0
    finally:
        server.remove()


async def test_the_protocol_works_over_tls(server, files):
    assert server.url.startswith("https://")
    trusted = ssl.create_default_context(cafile=str(files[0]))
    async with Client.open(server, server.admin, ssl=trusted) as one, Client.open(server, server.admin) as two:
        await two.subscribe("tls.a")
        for n in range(200):
            await one.publish("tls.a", {"n": n, "filler": "x" * (n * 97 % 20000)})
        assert [(await two.event("tls.a"))["data"]["n"] for _ in range(200)] == list(range(200))


async def test_plain_requests_work_over_tls(server):
    assert server.json("/health")[0] == 200
    assert server.metrics().value("connections_opened_total") >= 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_are_spoken(server, version):
    context = ssl._create_unverified_context()
    context.minimum_version = context.maximum_version = version
    async with Client.open(server, server.admin, ssl=context) as client:
        await client.ok("ping", {})


async def test_older_versions_are_not(server):
    context = ssl._create_unverified_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with grows(server, "connections_closed_total", reason="tls_failed"):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            with socket.create_connection((server.host, server.port), 5) as plain, context.wrap_socket(plain):
                pass


async def test_plain_text_on_the_tls_port_is_counted_as_such(server):
    async with grows(server, "connections_closed_total", reason="tls_failed"):
        with socket.create_connection((server.host, server.port), 5) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            plain.settimeout(5)
            try:
                while plain.recv(4096):
                    pass
            except ConnectionError:
                pass


async def test_a_handshake_that_stops_is_given_up(server):
    async with grows(server, "connections_closed_total", reason="handshake_timeout"):
        with socket.create_connection((server.host, server.port), 5) as plain:
            plain.sendall(b"\x16\x03\x01\x02\x00\x01")
            plain.settimeout(6)
            try:
                while await asyncio.to_thread(plain.recv, 4096):
                    pass
            except ConnectionError:
                pass


async def test_many_handshakes_at_once(server):
    async def one():
        async with Client.open(server, server.admin) as client:
            await client.ok("ping", {})

    await asyncio.gather(*(one() for _ in range(60)))


@pytest.mark.parametrize("what", ["missing", "empty", "rubbish", "not its key"])
def test_files_that_cannot_be_used_are_told_at_the_start(files, tmp_path, what):
    cert, key = files
    if what == "missing":
        cert = tmp_path / "no.pem"
    elif what == "not its key":
        _, key = certificate(tmp_path, "other")
    else:
        cert = tmp_path / "bad.pem"
        cert.write_text("" if what == "empty" else "-----BEGIN CERTIFICATE-----\nrubbish\n-----END CERTIFICATE-----\n")
    server = Server(config(cert, key))
    try:
        with pytest.raises(StartFailed) as failed:
            server.start()
        assert failed.value.code not in (0, None, 101), "an exit code that is no crash"
        assert "CertificatePath" in failed.value.output or "KeyPath" in failed.value.output or str(cert) in failed.value.output
    finally:
        server.remove()
