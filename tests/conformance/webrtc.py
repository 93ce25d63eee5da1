#!/usr/bin/env python3
"""Starts a server for `webrtc.mjs`, and runs it with the browser and the modules that are here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness import Server
from harness.server import TOP
from harness.signaling import CONFIG

LIMIT_S = 120
RELAY = {"Relay": {"BytesPerMinute": 1 << 20, "RoomBytesPerMinute": 1 << 20}}


def main():
    state = TOP / ".test"
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    node = str(state / "venv/bin/node") if (state / "venv/bin/node").exists() else shutil.which("node")
    modules = state / "node"
    if not chromium or not node or not (modules / "node_modules/playwright-core").is_dir():
        print("skipped: chromium, node or playwright-core is not here and cannot be installed")
        return 0
    server = Server({"Signaling": CONFIG["Signaling"] | RELAY | {"PeerKeys": "alias"}})
    try:
        server.admin
        server.start()
        here = Path(__file__).parent
        done = subprocess.run(
            [node, here / "webrtc.mjs", modules, chromium, server.url, here / "webrtc.html"], timeout=LIMIT_S, env=os.environ | {"HOME": str(state)},
        )
        if done.returncode:
            print("\n".join(server.log().splitlines()[-30:]), file=sys.stderr)
        server.check_sound()
        return done.returncode or server.stop()
    finally:
        server.remove()


if __name__ == "__main__":
    sys.exit(main())
