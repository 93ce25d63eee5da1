#!/usr/bin/env python3
"""Starts a server for `browser.mjs`, and runs it with the browser and the modules that are here."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness import Server
from harness.server import TOP

LIMIT_S = 120


def main():
    state = TOP / ".test"
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    node = str(state / "venv/bin/node") if (state / "venv/bin/node").exists() else shutil.which("node")
    modules = state / "node"
    if not chromium or not node or not (modules / "node_modules/playwright-core").is_dir():
        print("skipped: chromium, node or playwright-core is not here and cannot be installed")
        return 0
    server = Server({"Monitoring": {"StatusInterval": 1}})
    try:
        token = server.key("page", "connect", "publish:browser.>", "subscribe:browser.>")
        server.start()
        script = Path(__file__).with_name("browser.mjs")
        done = subprocess.run(
            [node, script, modules, chromium, server.url, token, state / "dashboard.png"], timeout=LIMIT_S, env=os.environ | {"HOME": str(state)},
        )
        if done.returncode:
            print("\n".join(server.log().splitlines()[-30:]), file=sys.stderr)
        server.stop()
        return done.returncode
    finally:
        server.remove()


if __name__ == "__main__":
    sys.exit(main())
