"""One server under test: its folder, its configuration, its process."""

import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from .metrics import Metrics

TOP = Path(__file__).resolve().parents[3]
BINARY = os.environ.get("HYDROGEN_BIN", str(TOP / "target/release/hydrogen"))

# Everything that the tests need not care about is out of their way: the limits have tests of their own.
DEFAULTS = {
    "WebSocketServer": {
        "Enabled": True,
        "Port": 0,
        "Interface": "127.0.0.1",
        "SecureMode": "none",
        "AuthRequired": True,
        "CloseTimeout": 2,
    },
    "RateLimit": {"MessagesPerSecond": 0, "HandshakeFailures": 0},
    "Logging": {"Level": "debug"},
}

ADMIN = ["admin"]


class StartFailed(Exception):
    def __init__(self, code, output):
        super().__init__(f"exit code {code}\n{output}")
        self.code = code
        self.output = output


def merged(base, over):
    out = dict(base)
    for key, value in (over or {}).items():
        out[key] = merged(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    running = []

    def __init__(self, config=None, *, descriptors=None, env=None, config_text=None):
        self.dir = Path(tempfile.mkdtemp(prefix="hydrogen-test-"))
        self.config = merged(merged(DEFAULTS, {"DataDir": str(self.dir / "data")}), config)
        self.config_path = self.dir / "hydrogen.json"
        self.config_path.write_text(json.dumps(self.config, indent=1) if config_text is None else config_text)
        self.descriptors = descriptors
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("HYDROGEN_")} | {"NO_COLOR": "1"} | (env or {})
        self.process = None
        self.url = None
        self.tokens = {}

    # -- the process

    def start(self, timeout=15.0):
        def limit():
            if self.descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, self.descriptors))

        out, err = open(self.dir / "stdout", "wb"), open(self.dir / "stderr", "ab")
        self.process = subprocess.Popen(
            [BINARY, "serve", "--config", str(self.config_path)],
            stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=self.dir, env=self.env, preexec_fn=limit,
        )
        out.close(), err.close()
        Server.running.append(self)
        deadline = time.monotonic() + timeout
        while True:
            found = re.search(r"^listening on (https?://\S+)$", (self.dir / "stdout").read_text(), re.M)
            if found:
                break
            code = self.process.poll()
            if code is not None or time.monotonic() > deadline:
                text = self.log()
                self.kill()
                raise StartFailed(code, text)
            time.sleep(0.01)
        self.url = found[1].rstrip("/")
        parts = urlsplit(self.url)
        self.host, self.port, self.tls = parts.hostname, parts.port, parts.scheme == "https"
        self.ws_url = self.url.replace("http", "ws", 1)
        return self

    def signal(self, which=signal.SIGTERM):
        self.process.send_signal(which)

    def wait(self, timeout=15.0):
        try:
            return self.process.wait(timeout)
        finally:
            if self.process.poll() is not None and self in Server.running:
                Server.running.remove(self)

    def stop(self, timeout=15.0):
        """Ends it the ordinary way; gives the exit code."""
        if self.process.poll() is None:
            self.signal()
        return self.wait(timeout)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self in Server.running:
            Server.running.remove(self)

    def remove(self):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        texts = [self.dir / "stdout", self.dir / "stderr", self.dir / "hydrogen.log"]
        return "".join(path.read_text(errors="replace") for path in texts if path.exists())

    # -- the command line

    def cli(self, *args, env=None, timeout=15, check=True, stdin=None):
        done = subprocess.run(
            [BINARY, *args], capture_output=True, text=True, timeout=timeout, cwd=self.dir, env=self.env | (env or {}),
            input=stdin,
        )
        if check:
            assert done.returncode == 0, f"{args}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def key(self, name, *permits, expires=None):
        """Makes a key, and gives its token."""
        args = ["key", "create", name, "--config", str(self.config_path)]
        for permit in permits:
            args += ["--permit", permit]
        if expires:
            args += ["--expires", expires]
        lines = self.cli(*args).stdout.splitlines()
        assert len(lines) == 1, f"the token alone is expected: {lines}"
        self.tokens[name] = lines[0].strip()
        if self.process and self.process.poll() is None:
            self.await_key(self.tokens[name])
        return self.tokens[name]

    def await_key(self, token, timeout=5.0):
        """Waits until the running server has seen a new key: it looks at the file from time to time."""
        deadline = time.monotonic() + timeout
        while (status := self.http(path="/health", headers={"Authorization": f"Key {token}"})[0]) != 200:
            assert status == 401 and time.monotonic() < deadline, f"a new key is answered with {status}"
            time.sleep(0.05)

    def signing(self, name, kind, key):
        """Registers how an identity signs: `ed25519` with a public key, or `hmac_sha256` with a secret."""
        path = Path(self.config["DataDir"]) / "keys.json"
        file = json.loads(path.read_text())
        for record in file["keys"]:
            if record["name"] == name:
                record["signing"] = {kind: key}
        path.write_text(json.dumps(file))

    def revoke(self, name):
        self.cli("key", "revoke", name, "--config", str(self.config_path))

    @property
    def admin(self):
        """The token of an identity that may do everything."""
        return self.tokens.get("admin") or self.key("admin", *ADMIN)

    # -- plain HTTP

    def http(self, method="GET", path="/", headers=None, body=None, timeout=5):
        """One request on a connection of its own: (status, headers in lower case, body)."""
        if self.tls:
            import ssl

            connection = http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=ssl._create_unverified_context())
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, path, **kwargs):
        status, headers, body = self.http(path=path, **kwargs)
        assert headers["content-type"].startswith("application/json"), headers
        return status, json.loads(body)

    def metrics(self):
        public = self.config.get("Security", {}).get("PublicStatus") != "none"
        status, _, body = self.http(path="/metrics", headers={} if public else {"Authorization": f"Key {self.admin}"})
        assert status == 200, (status, body)
        return Metrics(body.decode())

    # -- what must hold for every server at any time

    def check_sound(self):
        """No defect was met, and every socket is accounted for."""
        for _ in range(50):
            figures = self.metrics()
            opened, closed = figures.value("connections_opened_total"), figures.value("connections_closed_total")
            states = figures.by("connections", "state")
            living = sum(n for state, n in states.items() if state not in ("failed", "rejected", "closed"))
            ended = sum(n for state, n in states.items() if state in ("failed", "rejected", "closed"))
            if opened == closed + living and ended == closed:
                break
            time.sleep(0.05)
        assert opened == closed + living, f"{opened} opened, {closed} closed, {states}"
        assert ended == closed, f"{ended} in a terminal state, {closed} with a reason"
        for defect in ("impossible_transitions_total", "handler_panics_total"):
            assert figures.value(defect) == 0, defect
        assert figures.value("errors_total", code="internal") == 0
        assert "panicked" not in self.log()
