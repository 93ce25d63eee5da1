"""Plain HTTP/1.1: the routes, and the connection as RFC 9112 has it."""

import json

import pytest
from harness import Raw, eventually, grows
from harness.client import check_error

CONFIG = {"Http": {"MaxHeadSize": 4096, "MaxBodySize": 4096, "KeepAliveTimeout": 2}, "WebSocketServer": {"HandshakeTimeout": 2}}


def get(path="/health", *headers, method="GET", version="1.1", host="Host: x"):
    lines = [f"{method} {path} HTTP/{version}", *([host] if host else []), *headers]
    return "\r\n".join(lines) + "\r\n\r\n"


@pytest.mark.parametrize("path", ["/health", "/ready", "/api/status"])
async def test_routes_answer_json(server, path):
    status, data = server.json(path)
    assert status == 200 and isinstance(data, dict)


async def test_the_dashboard_is_a_page_that_loads_nothing_from_elsewhere(server):
    status, headers, body = server.http()
    assert status == 200
    assert headers["content-type"].startswith("text/html")
    assert b"<html" in body.lower()
    for mark in (b'src="http', b'href="http', b"src='http", b"@import"):
        assert mark not in body, mark
    assert headers.get("x-content-type-options") == "nosniff"


@pytest.mark.parametrize("path", ["/nowhere", "/api", "/api/", "/api/status/more", "/metrics/", "/HEALTH", "/..%2f..%2fetc/passwd"])
async def test_404_is_json(server, path):
    async with grows(server, "http_requests_total", exact=False):
        status, headers, body = server.http(path=path)
    assert status == 404
    assert headers["content-type"].startswith("application/json")
    check_error(json.loads(body)["error"], "not_found")


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics", "/api/status", "/"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_405_names_what_is_allowed(server, path, method):
    status, headers, body = server.http(method, path, body=b"")
    assert status == 405
    assert {"GET", "HEAD"} <= {each.strip() for each in headers["allow"].split(",")}
    check_error(json.loads(body)["error"])


@pytest.mark.parametrize("path", ["/health", "/metrics", "/", "/nowhere"])
async def test_head_has_the_same_head_and_no_body(server, path):
    async with await Raw.open(server) as raw:
        answer = await raw.request(get(path, method="HEAD"), head_only=True)
        assert answer.status == (404 if path == "/nowhere" else 200)
        # A dashboard's or a health check's length does not change from one request to the next.
        if path != "/metrics":
            assert int(answer.headers["content-length"]) > 0
        if answer.headers.get("connection", "").lower() == "close":
            assert await raw.ended() == b""
        else:
            assert (await raw.request(get("/health"))).status == 200


async def test_a_connection_serves_many_requests(server):
    async with await Raw.open(server) as raw:
        for _ in range(50):
            answer = await raw.request(get())
            assert answer.status == 200 and answer.headers.get("connection", "keep-alive").lower() == "keep-alive"
        answer = await raw.request(get("/health", "Connection: close"))
        assert answer.headers["connection"].lower() == "close"
        assert await raw.ended() == b""


async def test_pipelined_requests_are_answered_in_order(server):
    async with await Raw.open(server) as raw:
        paths = ["/health", "/api/status", "/ready", "/nowhere", "/health"] * 4
        # An answer of 404 need not end the connection; what comes must be in order.
        await raw.send("".join(get(path) for path in paths))
        for path in paths:
            answer = await raw.answer()
            assert answer.status == (404 if path == "/nowhere" else 200), path
            if path == "/api/status":
                assert "connections" in json.loads(answer.body)
            if answer.headers.get("connection", "").lower() == "close":
                assert await raw.ended() == b""
                break


async def test_http_1_0_is_answered_and_closed(server):
    async with await Raw.open(server) as raw:
        assert (await raw.request(get(version="1.0", host=None))).status == 200
        assert await raw.ended() == b""


async def test_100_continue_is_sent_before_the_body(server):
    async with await Raw.open(server) as raw:
        await raw.send(get("/health", "Content-Length: 5", "Expect: 100-continue", method="GET"))
        assert (await raw.answer()).status == 100
        await raw.send("hello")
        assert (await raw.answer()).status == 200
        assert (await raw.request(get())).status == 200


async def test_an_unknown_expectation_is_refused(server):
    async with grows(server, "http_refusals_total", refusal="expectation"):
        async with await Raw.open(server) as raw:
            assert (await raw.request(get("/health", "Expect: tea"))).status == 417


async def test_a_chunked_body_is_read_to_its_end(server):
    async with await Raw.open(server) as raw:
        body = "5;ext=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
        assert (await raw.request(get("/health", "Transfer-Encoding: chunked") + body)).status == 200
        for byte in get("/health", "Transfer-Encoding: chunked") + body:
            await raw.send(byte)
        assert (await raw.answer()).status == 200
        assert (await raw.request(get())).status == 200


REFUSED = {
    "no request at all": ("malformed", {400}, "hello there\r\n\r\n"),
    "binary": ("malformed", {400}, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "three words too many": ("malformed", {400}, "GET / and more HTTP/1.1\r\nHost: x\r\n\r\n"),
    "version 2": ("version", {505}, get(version="2.0")),
    "version 0.9": ("version", {400, 505}, get(version="0.9")),
    "no host": ("host", {400}, get(host=None)),
    "two hosts": ("host", {400}, get("/health", "Host: y")),
    "a host with a space": ("host", {400}, get(host="Host: a b")),
    "bare LF": ("bare_line_break", {400}, "GET /health HTTP/1.1\nHost: x\n\n"),
    "a bare LF in the middle": ("bare_line_break", {400}, "GET /health HTTP/1.1\r\nHost: x\nX: y\r\n\r\n"),
    "a bare CR": ("bare_line_break", {400}, "GET /health HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n"),
    "a folded header": ("folded_header", {400}, get("/health", "X: a", " b")),
    "white space before the colon": ("header_name", {400}, get("/health", "X : a")),
    "a name that is no token": ("header_name", {400}, get("/health", "X[]: a")),
    "no colon": ("header_name", {400}, get("/health", "X")),
    "NUL in a value": ("header_value", {400}, get("/health", "X: a\0b")),
    "both lengths": ("both_lengths", {400}, get("/health", "Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n"),
    "two lengths": ("bad_length", {400}, get("/health", "Content-Length: 5", "Content-Length: 6") + "hello"),
    "a list of lengths": ("bad_length", {400}, get("/health", "Content-Length: 5, 6") + "hello"),
    "a negative length": ("bad_length", {400}, get("/health", "Content-Length: -5")),
    "a length with a sign": ("bad_length", {400}, get("/health", "Content-Length: +5") + "hello"),
    "a length in words": ("bad_length", {400}, get("/health", "Content-Length: five")),
    "a length beyond all numbers": ("bad_length", {400, 413}, get("/health", "Content-Length: 99999999999999999999999")),
    "gzip, chunked": ("transfer_encoding", {400, 501}, get("/health", "Transfer-Encoding: gzip, chunked") + "0\r\n\r\n"),
    "chunked twice": ("transfer_encoding", {400}, get("/health", "Transfer-Encoding: chunked, chunked") + "0\r\n\r\n"),
    "chunked not last": ("transfer_encoding", {400, 501}, get("/health", "Transfer-Encoding: chunked, gzip") + "0\r\n\r\n"),
    "xchunked": ("transfer_encoding", {400, 501}, get("/health", "Transfer-Encoding: xchunked") + "0\r\n\r\n"),
    "chunked on 1.0": ("transfer_encoding", {400}, get("/health", "Transfer-Encoding: chunked", version="1.0") + "0\r\n\r\n"),
    "a chunk size that is no number": ("chunk", {400}, get("/health", "Transfer-Encoding: chunked") + "x\r\nhello\r\n0\r\n\r\n"),
    "a chunk size with a prefix": ("chunk", {400}, get("/health", "Transfer-Encoding: chunked") + "0x5\r\nhello\r\n0\r\n\r\n"),
    "a chunk longer than it says": ("chunk", {400}, get("/health", "Transfer-Encoding: chunked") + "3\r\nhello\r\n0\r\n\r\n"),
    "a chunk with a bare LF": ("chunk", {400}, get("/health", "Transfer-Encoding: chunked") + "5\nhello\r\n0\r\n\r\n"),
    "a body that says it is too large": ("body_too_large", {413}, get("/health", "Content-Length: 4097")),
    "a chunked body that is too large": ("body_too_large", {413}, get("/health", "Transfer-Encoding: chunked") + "1001\r\n" + "x" * 0x1001 + "\r\n0\r\n\r\n"),
    "a head that is too large": ("head_too_large", {431}, get("/health", "X: " + "x" * 4096)),
    "a head that never ends": ("head_too_large", {431}, "GET / HTTP/1.1\r\n" + "X: y\r\n" * 1000),
    "a path that is too long": ("head_too_large", {414, 431}, get("/" + "a" * 5000)),
    "too many headers": ("too_many_headers", {431}, get("/health", *(f"X{n}: y" for n in range(70)))),
    "a target without a slash": ("target", {400}, get("health")),
    "a fragment alone": ("target", {400}, get("#top")),
    "a target that is not ASCII": ("target", {400}, get("/h\xe9")),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_a_bad_request_is_refused_once_and_counted(server, what):
    refusal, statuses, text = REFUSED[what]
    data = text if isinstance(text, bytes) else text.encode("latin-1")
    async with grows(server, "http_refusals_total", refusal=refusal):
        async with await Raw.open(server) as raw:
            # A second request behind it must never be answered.
            await raw.send(data + get("/ready").encode())
            answer = await raw.answer()
            assert answer.status in statuses, answer
            assert answer.headers["connection"].lower() == "close"
            check_error(json.loads(answer.body)["error"])
            assert await raw.ended() == b""


async def test_an_idle_connection_is_closed_after_its_time(server):
    async with await Raw.open(server) as raw:
        assert (await raw.request(get())).status == 200
        assert await raw.ended(timeout=6) == b""


async def test_a_body_that_never_comes_is_given_up(server):
    async with await Raw.open(server) as raw:
        await raw.send(get("/health", "Content-Length: 100"))
        data = await raw.ended(timeout=6)
        assert not data or data.startswith(b"HTTP/1.1 408 ")


async def test_a_blank_line_before_a_request_is_passed_over(server):
    # RFC 9112 section 2.2.
    async with await Raw.open(server) as raw:
        assert (await raw.request("\r\n" + get())).status == 200


async def test_the_absolute_form_is_taken(server):
    # RFC 9112 section 3.2.2.
    async with await Raw.open(server) as raw:
        assert (await raw.request(get(f"http://{server.host}:{server.port}/health"))).status == 200


async def test_a_fragment_is_no_part_of_the_path(server):
    async with await Raw.open(server) as raw:
        assert (await raw.request(get("/health#top"))).status == 200
        assert (await raw.request(get("/#/health"))).headers["content-type"].startswith("text/html")


async def test_a_wrong_credential_is_refused_on_plain_requests_too(server):
    for path in ("/metrics", "/api/status"):
        assert server.http(path=path, headers={"Authorization": "Key hyd1.wrong"})[0] == 401


async def test_plain_requests_leave_nothing_behind(server):
    for _ in range(20):
        server.http(path="/health")
    await eventually(lambda: server.metrics().value("connections", state="connecting") <= 1)
