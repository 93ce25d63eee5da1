"""The loads: for each cell the mode that a server is started in, and arguments of `hydrogen bench`."""
import resource

import targets

# For a thousand subscribers who acknowledge: a backlog that is worked off within a second, and time
# enough for several such.
LARGE = "--backlog 64 --warmup 2 -d 5"

# So much that the deaf fill the kernel's buffer, of 4 MiB, and then the server's within the run.
DEAF = "fanout -c 1000 -s 8192 --rate 50 --warmup 1 -d 16"

def peers(rooms, allowed=resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
    """Connections for so many rooms of two: each guest in one, or as few in two as the process's descriptors ask for.

    Where not even that is enough, all guests are in two of fewer rooms.
    """
    # A server has its own files, besides.
    fits = 2 * rooms if allowed == resource.RLIM_INFINITY else max(2, allowed - 200)
    if fits >= 2 * rooms:
        return f"-c {2 * rooms}"
    return f"-c {fits} --rooms {min(rooms, 2 * fits // 3)}"


# The first word is the mode that the server is started in. It begins with the scenario; the rest are
# arguments of `hydrogen bench`.
CELLS = {
    "echo-1x1": "echo -c 1 -p 1 -s 128",
    "echo-100x8": "echo -c 100 -p 8 -s 128",
    "rpc-1x1": "rpc -c 1 -p 1 -s 128",
    "rpc-100x1": "rpc -c 100 -p 1 -s 128",
    "rpc-100x8": "rpc -c 100 -p 8 -s 128",
    "fanout-1-w1": "fanout -c 1 -s 256 --window 1",
    "fanout-1000-w1": "fanout -c 1000 -s 256 --window 1",
    "fanout-1000-w16": "fanout -c 1000 -s 256 --window 16",
    "fanout-1000-t100": "fanout-topics -c 1000 -s 256 --window 16 --topics 100",
    "fanout-5000-w1": "fanout -c 5000 -s 256 --window 1",
    "fanout-1000-r20": "fanout -c 1000 -s 256 --rate 20",
    "fanout-1000-json": "fanout -c 1000 -s 1024 --body records --window 1",
    "fanout-1000-deflate": "fanout-deflate -c 1000 -s 1024 --body records --window 1",
    "topics-1000": "fanout-topics -c 1000 -s 256 --topics 1000 --window 256",
    "topics-10000": "fanout-topics -c 1000 -s 256 --topics 10000 --wildcards 10 --window 256",
    "deaf-0": DEAF,
    "deaf-100": f"{DEAF} --deaf 100",
    "guaranteed-100": "guaranteed -c 100 -p 16 -s 256",
    "guaranteed-1x1": "guaranteed -c 0 -p 1 -s 256",
    "guaranteed-1x1-s1": "guaranteed -c 1 -p 1 -s 256",
    "guaranteed-1x1-s1000": f"guaranteed -c 1000 -p 1 -s 256 {LARGE}",
    "guaranteed-1x256": "guaranteed -c 0 -p 256 -s 256",
    "guaranteed-1x256-s1": "guaranteed -c 1 -p 256 -s 256",
    "guaranteed-1x256-s1000": f"guaranteed -c 1000 -p 256 -s 256 {LARGE}",
    "guaranteed-64": "guaranteed -c 0 --publishers 64 -p 16 -s 256",
    "guaranteed-64-s1": "guaranteed -c 1 --publishers 64 -p 16 -s 256",
    "guaranteed-64-s1000": f"guaranteed -c 1000 --publishers 64 -p 16 -s 256 {LARGE}",
    "idle-5k": "idle -c 5000 --subscribe --warmup 0",
    "idle-10k": "idle -c 10000 --subscribe --warmup 0",
    "idle-10k-topics": "idle -c 10000 --subscribe --topics 10000 --warmup 0",
    "idle-10k-tls": "idle-tls -c 10000 --subscribe --warmup 0",
    "idle-10k-still": "idle -c 10000 --subscribe --ping-rate 0 --settle 1 --warmup 0 -d 5",
    "connect": "connect -c 64",
    "connect-tls": "connect-tls -c 64",
    # Two peers in each room.
    "signal-100": f"signal {peers(100)}",
    "signal-10k": f"signal {peers(10_000)} --settle 1 --warmup 2",
}
# Cells for which nothing is pinned: several threads share a CPU nowhere else.
WIDE = {f"{cell}-wide": CELLS[cell] for cell in targets.WIDE}
CELLS.update(WIDE)
FLOORS = {"floor", "floor-merged"}
# Cells that not all servers are asked for: some compare hydrogen with itself, others with the bare loops alone.
ASKED = {
    **{cell: {"hydrogen"} for cell in
       ["deaf-0", "deaf-100", "fanout-1000-json", "fanout-1000-deflate", "idle-10k-topics", "idle-10k-still",
        "idle-10k-tls", "topics-1000", "topics-10000"]},
    **{cell: {"hydrogen", *FLOORS} for cell in ["fanout-5000-w1", "fanout-1000-r20"]},
    **{cell: {"hydrogen", "hydrogen-2x2"} for cell in WIDE},
}


def is_asked(cell, server):
    """Whether a run has the server do the cell, if it can."""
    return server in ASKED[cell] if cell in ASKED else server != "hydrogen-2x2"


SIGNAL_CELLS = [cell for cell in CELLS if cell.startswith("signal")]
GUARANTEED_CELLS = [cell for cell in CELLS if cell.startswith("guaranteed")]
DEFAULT_CELLS = ",".join(targets.cells() + SIGNAL_CELLS)
