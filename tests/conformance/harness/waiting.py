"""Polling against a deadline, in place of sleeps."""

import asyncio
import inspect
import time


async def eventually(check, timeout=5.0, every=0.02, what=None):
    """Calls `check` (plain or async) until it gives something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        found = check()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or inspect.getsource(check).strip()}; last: {found!r}")
        await asyncio.sleep(every)
