#!/usr/bin/env python3
"""Runs wstest's fuzzing client against an echo server, and judges its report.

    autobahn.py FOLDER SET...     FOLDER holds venv/bin/wstest, and gets the reports

A case passes if it and its closing are OK or INFORMATIONAL. The last line is `N passed, N failed`.
"""

import collections
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from harness import Server

# Case patterns, and how many cases they are: fewer in a report means that wstest broke off.
SETS = {
    "core": (["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"], 247),
    "limits": (["9.*"], 54),
    # Of each text and each offer: small, large, and large in fragments.
    "compressed": (["12.*.3", "12.*.7", "12.*.11", "13.*.3", "13.*.7", "13.*.11"], 36),
    # All of that: it takes wstest long.
    "compression": (["12.*", "13.*"], 216),
}
GOOD = {"OK", "INFORMATIONAL"}
AGENT = "hydrogen"
LIMIT_S = 3600

MIB = 1024 * 1024
# 16 MiB in one message, and one message in 65,536 fragments.
CONFIG = {
    "WebSocketServer": {
        "AuthRequired": False,
        "Echo": True,
        "MaxMessageSize": 32 * MIB,
        "MaxFragments": 131072,
        "IdleTimeout": 300,
        "Compression": {"Enabled": True, "Threshold": 0},
    },
    "Outbound": {"MaxBytesPerConnection": 128 * MIB, "MaxMessagesPerConnection": 1000000},
    "Logging": {"Level": "warn"},
}


def run(folder, url, name):
    patterns, count = SETS[name]
    out = folder / name
    out.mkdir(parents=True, exist_ok=True)
    index = out / "index.json"
    index.unlink(missing_ok=True)
    spec = {
        "outdir": str(out),
        "options": {"failByDrop": False},
        "servers": [{"agent": AGENT, "url": url}],
        "cases": patterns,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (out / "spec.json").write_text(json.dumps(spec))
    before = time.monotonic()
    with open(out / "wstest.log", "wb") as log:
        code = subprocess.run(
            [folder / "venv/bin/wstest", "-m", "fuzzingclient", "-s", out / "spec.json"], stdout=log, stderr=log, timeout=LIMIT_S,
        ).returncode
    cases = json.loads(index.read_text())[AGENT] if index.exists() else {}
    print(f"{name}: {len(cases)} cases, {time.monotonic() - before:.0f} s, wstest's exit code {code}")
    return judge(cases, out, count)


def judge(cases, out, count):
    groups = collections.defaultdict(collections.Counter)
    failed = []
    for case, result in cases.items():
        groups[int(case.split(".")[0])][result["behavior"]] += 1
        if not {result["behavior"], result["behaviorClose"]} <= GOOD:
            failed.append((case, result))
    for group in sorted(groups):
        print(f"  group {group}: " + ", ".join(f"{n} {behaviour}" for behaviour, n in sorted(groups[group].items())))
    for case, result in sorted(failed, key=lambda each: [int(part) for part in each[0].split(".")]):
        print(f"  FAILED {case}: {result['behavior']}, closing {result['behaviorClose']}, code {result['remoteCloseCode']}, {out / result['reportfile']}")
    missing = max(0, count - len(cases))
    if missing:
        print(f"  FAILED: {missing} of {count} cases are not in the report; see {out / 'wstest.log'}")
    return len(cases) - len(failed), len(failed) + missing


def main():
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    url, server = os.environ.get("AUTOBAHN_URL"), None
    if url is None:
        server = Server(CONFIG).start()
        url = server.ws_url + "/echo"
    passed = failed = 0
    try:
        for name in names:
            good, bad = run(folder, url, name)
            passed, failed = passed + good, failed + bad
        if server:
            server.check_sound()
    finally:
        if server:
            if failed:
                print("\n".join(server.log().splitlines()[-20:]))
            server.stop()
            server.remove()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
