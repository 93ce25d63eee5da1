#!/usr/bin/env python3
"""Writes the metrics of a fresh server, and of one that has seen some of everything, into a folder."""

import asyncio
import contextlib
import sys
from pathlib import Path

from harness import Client, Raw, Refused, Server


async def use(server):
    async with Client.open(server, server.admin) as client:
        await client.subscribe("scraped.>")
        for n in range(20):
            await client.publish("scraped.a", n)
        await client.text("rubbish")
        await client.other()
        await client.command("nothing", channel="nobody")
    with contextlib.suppress(Refused):
        async with Client.open(server, "wrong"):
            pass
    async with await Raw.open(server) as raw:
        await raw.request("rubbish\r\n\r\n")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    server = Server()
    try:
        server.admin
        server.start()
        (folder / "fresh.txt").write_text(server.metrics().text)
        asyncio.run(use(server))
        (folder / "used.txt").write_text(server.metrics().text)
        server.stop()
    finally:
        server.remove()


if __name__ == "__main__":
    main()
