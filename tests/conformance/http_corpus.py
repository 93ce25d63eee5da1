#!/usr/bin/env python3
"""Replays the HTTP/1.1 request corpus of gunicorn's own tests against a server.

    http_corpus.py CORPUS [--url http://HOST:PORT]

CORPUS is the folder `tests/requests` of gunicorn's source. Without --url a server is started. Each request of `invalid` must
be refused or left without an answer, and nothing behind it may be answered; each of `valid` must not be called malformed.
What is decided otherwise here stands in `http_corpus.known`, each with its reason; an entry that is no longer needed
fails too. The last line is `N passed, N failed, N skipped`.
"""

import argparse
import re
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

REFUSALS = {400, 405, 408, 411, 413, 414, 417, 421, 426, 431, 500, 501, 505}
MALFORMED = {400, 500, 505}
ESCAPES = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0"}
SILENCE_S = 2.0


def request(path):
    """The bytes of a case: line breaks of the file mean nothing, those that are written out do."""
    text = path.read_bytes().replace(b"\n", b"")
    text = re.sub(rb"\\([rnt0])", lambda found: ESCAPES[found[1]], text)
    return re.sub(rb"\\x([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), text)


def with_host(data):
    """Adds the Host that HTTP/1.1 wants to each request that has none, so that a refusal is for the thing tested."""

    def add(found):
        head = data[found.end() :].split(b"\r\n\r\n")[0]
        has_host = re.search(rb"(?im)^host\s*:", head)
        return found[0] if has_host else found[0] + b"Host: 127.0.0.1\r\n"

    return re.sub(rb"(?m)^\S+ \S+ HTTP/1\.1\r\n", add, data)


def replay(address, data):
    """Statuses of all answers, and how the connection was left: open, closed or reset."""
    out, how = b"", "open"
    with socket.create_connection(address, timeout=SILENCE_S) as peer:
        try:
            peer.sendall(data)
            while True:
                more = peer.recv(65536)
                if not more:
                    how = "closed"
                    break
                out += more
        except TimeoutError:
            pass
        except OSError:
            how = "reset"
    # Behind a JSON or HTML body the next answer follows at once.
    return [int(status) for status in re.findall(rb"(?:^|[\n}>\w])HTTP/1\.[01] (\d{3})", out)], how


def is_as_it_should_be(kind, statuses, how):
    if kind == "valid":
        return bool(statuses) and not MALFORMED & set(statuses)
    return not statuses or (statuses[-1] in REFUSALS and how != "open")


def known_cases():
    lines = (Path(__file__).parent / "http_corpus.known").read_text().splitlines()
    return dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("corpus", type=Path)
    arguments.add_argument("--url")
    arguments = arguments.parse_args()
    server = None
    if arguments.url is None:
        from harness import Server

        # The limits are those of gunicorn's request line.
        server = Server({"Http": {"MaxHeadSize": 4094}}).start()
    try:
        parts = urlsplit(arguments.url or server.url)
        return run(arguments.corpus, (parts.hostname, parts.port))
    finally:
        if server:
            server.check_sound()
            server.stop()
            server.remove()


def run(corpus, address):
    files = [(kind, path) for kind in ("invalid", "valid") for path in sorted((corpus / kind).glob("*.http"))]
    # These expect settings of gunicorn's that no other server has.
    plain = [(kind, path) for kind, path in files if "cfg.set" not in path.with_suffix(".py").read_text()]
    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda case: replay(address, with_host(request(case[1]))), plain))
    known = known_cases()
    passed = failed = 0
    for (kind, path), (statuses, how) in zip(plain, outcomes):
        name = f"{kind}/{path.stem}"
        good = is_as_it_should_be(kind, statuses, how)
        if good != (name in known):
            passed += 1
        else:
            failed += 1
            print(f"{'UNEXPECTED' if not good else 'NO LONGER NEEDED IN THE KNOWN LIST'} {name}: statuses {statuses}, connection {how}")
    missing = set(known) - {f"{kind}/{path.stem}" for kind, path in plain}
    for name in sorted(missing):
        failed += 1
        print(f"UNKNOWN CASE in the known list: {name}")
    if not plain:
        failed += 1
        print(f"no cases in {corpus}")
    print(f"{passed} passed, {failed} failed, {len(files) - len(plain)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
