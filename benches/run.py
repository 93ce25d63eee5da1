#!/usr/bin/env python3
"""Measures the built server and its peers with `hydrogen bench`, and writes a table.

All servers run a cell one after another, so that a disturbance which lasts a while strikes them
alike; then comes the next cell, and at last the next repetition. Figures are medians over the
repetitions, and ratios are taken within a repetition. A server that is not installed, or does not
do what a cell asks for, is left out and said so.

    run.py                                    what `make bench` runs
    run.py --install                          install the peers first
    run.py --servers hydrogen,nats --cells fanout-1000-w1 --repeats 9
    run.py --cells guaranteed                 all cells of guaranteed delivery
    run.py --report target/bench.jsonl        the table of an earlier run

What servers store goes below target/peers, or HYDROGEN_PEERS_DIR: take a disk, since a file system
in memory syncs for nothing. How long that disk takes to sync is measured in the same run.
"""
import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benches" / "peers"
STATE = Path(os.environ.get("HYDROGEN_PEERS_DIR", ROOT / "target" / "peers"))
SERVERS = "hydrogen,floor,floor-merged,node-ws,mosquitto,mosquitto-ws,nats"

# For a thousand subscribers who acknowledge: a backlog that is worked off within a second, and time
# enough for several such.
LARGE = "--backlog 64 --warmup 2 -d 5"

# The scenario is the first word; the rest are arguments of `hydrogen bench`.
CELLS = {
    "echo-1x1": "echo -c 1 -p 1 -s 128",
    "echo-100x8": "echo -c 100 -p 8 -s 128",
    "rpc-1x1": "rpc -c 1 -p 1 -s 128",
    "rpc-100x1": "rpc -c 100 -p 1 -s 128",
    "rpc-100x8": "rpc -c 100 -p 8 -s 128",
    "fanout-1-w1": "fanout -c 1 -s 256 --window 1",
    "fanout-1000-w1": "fanout -c 1000 -s 256 --window 1",
    "fanout-1000-w16": "fanout -c 1000 -s 256 --window 16",
    "fanout-1000-t100": "fanout -c 1000 -s 256 --window 16 --topics 100",
    "fanout-5000-w1": "fanout -c 5000 -s 256 --window 1",
    "fanout-1000-r20": "fanout -c 1000 -s 256 --rate 20",
    "guaranteed-1x1": "guaranteed -c 0 -p 1 -s 256",
    "guaranteed-1x1-s1": "guaranteed -c 1 -p 1 -s 256",
    "guaranteed-1x1-s1000": f"guaranteed -c 1000 -p 1 -s 256 {LARGE}",
    "guaranteed-1x256": "guaranteed -c 0 -p 256 -s 256",
    "guaranteed-1x256-s1": "guaranteed -c 1 -p 256 -s 256",
    "guaranteed-1x256-s1000": f"guaranteed -c 1000 -p 256 -s 256 {LARGE}",
    "guaranteed-64": "guaranteed -c 0 --publishers 64 -p 16 -s 256",
    "guaranteed-64-s1": "guaranteed -c 1 --publishers 64 -p 16 -s 256",
    "guaranteed-64-s1000": f"guaranteed -c 1000 --publishers 64 -p 16 -s 256 {LARGE}",
    "idle-5k": "idle -c 5000 --warmup 0",
    "idle-10k": "idle -c 10000 --warmup 0",
}
GUARANTEED_REFERENCES = ["nats", "mosquitto"]
GUARANTEED_CELLS = [cell for cell in CELLS if cell.startswith("guaranteed")]
DEFAULT_CELLS = ",".join(["echo-100x8,rpc-100x8,fanout-1000-w1,fanout-1000-w16,fanout-1000-t100,fanout-1000-r20",
                          *GUARANTEED_CELLS, "idle-5k"])


def script(server, *words):
    """Runs a server's script; its log stays out of our pipes."""
    return subprocess.run([PEERS / f"{server}.sh", *map(str, words)], stdout=subprocess.PIPE, text=True, check=False)


def say(text):
    print(text, file=sys.stderr, flush=True)


def installed(servers, install):
    """The versions of those that are there."""
    versions = {}
    for server in servers:
        if not (PEERS / f"{server}.sh").exists():
            sys.exit(f"benches/peers/{server}.sh does not exist")
        if install:
            script(server, "install")
        answer = subprocess.run([PEERS / f"{server}.sh", "version"], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip():
            versions[server] = answer.stdout.strip()
        else:
            say(f"{server}: missing, left out (benches/peers/{server}.sh install)")
    return versions


def busy_share(seconds):
    """The part of all CPUs' time that is worked away, over a short while."""
    def read():
        ticks = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(ticks), ticks[3] + ticks[4]
    total, idle = read()
    time.sleep(seconds)
    total_after, idle_after = read()
    return 1 - (idle_after - idle) / max(1, total_after - total)


def wait_for_quiet(options):
    until = time.monotonic() + options.patience
    while time.monotonic() < until and busy_share(0.2) > options.quiet:
        pass


def sync_us(folder):
    """How long each of a second's worth of appends of 4 KiB takes to reach the disk, in µs."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sync-probe"
    times, block = [], os.urandom(4096)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    try:
        until = time.monotonic() + 1
        while time.monotonic() < until and len(times) < 1000:
            started = time.perf_counter()
            os.write(file, block)
            os.fdatasync(file)
            times.append(1e6 * (time.perf_counter() - started))
    finally:
        os.close(file)
        path.unlink()
    return times


def file_system(folder):
    """Its type, by the longest mount point that holds the folder."""
    folder, best = folder.resolve(), (-1, "?")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, point, kind = line.split()[:3]
        if folder.is_relative_to(point):
            best = max(best, (len(point), kind))
    return best[1]


def pinned(cpus, command):
    return ["taskset", "-c", cpus, *command] if cpus else command


def measure(server, cell, port, options):
    """One run; None if the server does not do it."""
    mode = CELLS[cell].split()[0]
    wait_for_quiet(options)
    started = subprocess.run(pinned(options.server_cpus, [str(PEERS / f"{server}.sh"), "start", mode, str(port)]),
                             stdout=subprocess.PIPE, text=True, check=False)
    if started.returncode != 0:
        say(f"{cell} {server}: did not start")
        return None
    try:
        words = shlex.split(CELLS[cell]) + shlex.split(script(server, "args", mode, port).stdout)
        words += ["--server-pid", started.stdout.strip(), "--label", server, "--json",
                  "--max-time", str(options.duration + 90)]
        # A server that syncs may be silent for a while.
        drain = 10 if mode == "guaranteed" else 3
        for name, value in [("-d", options.duration), ("--warmup", 0.5), ("--drain", drain)]:
            if name not in words:
                words += [name, str(value)]
        command = pinned(options.generator_cpus, [options.generator, "bench", *words])
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        script(server, "stop", mode, port)
    if done.returncode != 0:
        say(f"{cell} {server}: {done.stderr.strip()}")
        return None
    return json.loads(done.stdout)


def run_all(options):
    servers = installed(options.servers.split(","), options.install)
    modes = {server: script(server, "modes").stdout.split() for server in servers}
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    runs = 0
    with out.open("w", encoding="utf-8") as lines:
        lines.write(json.dumps({"versions": servers}) + "\n")
        for repetition in range(options.repeats):
            if any(cell.startswith("guaranteed") for cell in options.cells.split(",")):
                wait_for_quiet(options)
                times = sync_us(STATE)
                disk = {"file_system": file_system(STATE), "syncs": len(times), "p50_us": median(times),
                        "max_us": max(times)}
                lines.write(json.dumps({"disk": disk}) + "\n")
            for cell in options.cells.split(","):
                for server in servers:
                    if CELLS[cell].split()[0] not in modes[server]:
                        continue
                    # Another port each time: the last one's connections may linger.
                    port = options.port + runs % 200
                    runs += 1
                    result = measure(server, cell, port, options)
                    if result is None:
                        continue
                    result.update(cell=cell, repetition=repetition)
                    lines.write(json.dumps(result) + "\n")
                    lines.flush()
                    cost = result["server_cpu_us_per_message"]
                    say(f"{cell:17} {repetition} {server:13} {cost or 0:8.2f} µs {result['messages_per_s']:9.0f}/s"
                        f"  server {result['server']['cpu_pct']:4.0f} %  generator {result['generator']['cpu_pct']:4.0f} %"
                        f"  others {result['machine']['other_cpu_pct']:4.0f} %")


def dig(result, path):
    for name in path.split("/"):
        result = result.get(name) if result else None
    return result


def middle(results, path):
    values = [value for value in (dig(result, path) for result in results) if value is not None]
    return median(values) if values else None


def number(value, digits=0):
    return "–" if value is None else f"{value:,.{digits}f}"


def ratio(results, others, path="server_cpu_us_per_message"):
    """The median over the repetitions of our figure by theirs, which is a cost unless said otherwise."""
    theirs = {result["repetition"]: dig(result, path) for result in others}
    pairs = [(dig(result, path), theirs.get(result["repetition"])) for result in results]
    ratios = [ours / other for ours, other in pairs if ours and other]
    return median(ratios) if ratios else None


def faults(results):
    names = ["lost", "duplicates", "out_of_order", "unexpected", "stalls", "throttled"]
    counts = [(name, sum(result["faults"][name] for result in results)) for name in names]
    words = [f"{name.replace('_', ' ')} {count}" for name, count in counts if count]
    failed = sum(result["set_up"]["failed"] for result in results)
    words += [f"failed connections {failed}"] * (failed > 0)
    words += ["generator-bound"] * any(result["generator"]["is_bottleneck"] for result in results)
    return ", ".join(words) or "none"


def table(cell, by_server, reference):
    idle = cell.startswith("idle")
    head = ["server", "µs CPU/message", "spread", f"× {reference}", "messages/s", "p50 µs", "p99 µs"]
    if idle:
        head = ["server", "connections/s", "KiB RSS/connection", "KiB own/connection", "pong p50 µs", "pong p99 µs"]
    head += ["others' CPU %", "faults"]
    rows = []
    for server, results in by_server.items():
        costs = [result["server_cpu_us_per_message"] for result in results if result["server_cpu_us_per_message"]]
        row = [server]
        if idle:
            row += [number(middle(results, "set_up/connections_per_s")),
                    number(middle(results, "set_up/server_rss_kib_per_connection"), 2),
                    number(middle(results, "set_up/server_anon_kib_per_connection"), 2)]
        else:
            row += [number(median(costs) if costs else None, 2),
                    f"{min(costs):.2f} – {max(costs):.2f}" if costs else "–",
                    number(ratio(results, by_server.get(reference, [])), 2),
                    number(middle(results, "messages_per_s"))]
        row += [number(middle(results, "latency/p50_us")), number(middle(results, "latency/p99_us")),
                number(middle(results, "machine/other_cpu_pct")), faults(results)]
        rows.append(row)
    return rendered(cell, by_server, head, rows)


def guaranteed_table(cell, by_server, reference):
    """A message is an answered publication here."""
    # The reference of the other cells may not do this one.
    if reference not in by_server:
        reference = next(server for server in [*GUARANTEED_REFERENCES, *by_server] if server in by_server)
    theirs = by_server[reference]
    head = ["server", "publishes/s", "spread", f"× {reference}", "answer p50 µs", "answer p99 µs", "deliveries/s",
            "µs CPU/publish", f"× {reference}", "µs CPU/delivery", "others' CPU %", "faults"]
    rows = []
    for server, results in by_server.items():
        rates = [result["messages_per_s"] for result in results]
        rows.append([server, number(median(rates)), f"{min(rates):,.0f} – {max(rates):,.0f}",
                     number(ratio(results, theirs, "messages_per_s"), 2),
                     number(middle(results, "accepted/p50_us")), number(middle(results, "accepted/p99_us")),
                     number(middle(results, "deliveries/per_s")),
                     number(middle(results, "server_cpu_us_per_message"), 2), number(ratio(results, theirs), 2),
                     number(middle(results, "deliveries/server_cpu_us"), 2),
                     number(middle(results, "machine/other_cpu_pct")), faults(results)])
    return rendered(cell, by_server, head, rows)


def rendered(cell, by_server, head, rows):
    lines = [f"### {cell}", "", f"`{CELLS.get(cell, '')}`, {max(map(len, by_server.values()))} repetitions", ""]
    lines += ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 2) + "|---|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def report(path, reference):
    cells, versions, disks = {}, {}, []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        if "versions" in result:
            versions = result["versions"]
            continue
        if "disk" in result:
            disks.append(result["disk"])
            continue
        cells.setdefault(result["cell"], {}).setdefault(result["label"], []).append(result)
    print("\n".join(f"* {server}: {version}" for server, version in versions.items()))
    if disks:
        medians = [disk["p50_us"] for disk in disks]
        print(f"* disk: {disks[0]['file_system']}; fdatasync of a 4 KiB append {median(medians):,.0f} µs"
              f" (medians of the repetitions {min(medians):,.0f} – {max(medians):,.0f},"
              f" longest {max(disk['max_us'] for disk in disks):,.0f})")
    print()
    for cell, by_server in cells.items():
        make = guaranteed_table if cell.startswith("guaranteed") else table
        print(make(cell, by_server, reference))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default=SERVERS, help="scripts in benches/peers, comma-separated")
    parser.add_argument("--cells", default=DEFAULT_CELLS, help=f"comma-separated, of: {', '.join(CELLS)}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--duration", type=float, default=2, help="seconds measured in each run")
    parser.add_argument("--out", default=str(ROOT / "target" / "bench.jsonl"), help="one line for each run")
    parser.add_argument("--report", metavar="FILE", help="measure nothing, print the table of FILE")
    parser.add_argument("--reference", default="floor", help="whose costs the others' are divided by")
    parser.add_argument("--generator", default=os.environ.get("HYDROGEN", str(ROOT / "target/release/hydrogen")))
    parser.add_argument("--install", action="store_true", help="install the servers first")
    parser.add_argument("--server-cpus", default="", help="pin servers to these CPUs, as taskset has them")
    parser.add_argument("--generator-cpus", default="", help="the same for the generator")
    parser.add_argument("--quiet", type=float, default=0.1, help="wait until less than this part of the machine is busy")
    parser.add_argument("--patience", type=float, default=3, help="but no longer than this, in seconds")
    parser.add_argument("--port", type=int, default=23400)
    options = parser.parse_args()
    if options.report:
        report(options.report, options.reference)
        return
    cells = [GUARANTEED_CELLS if cell == "guaranteed" else [cell] for cell in options.cells.split(",")]
    options.cells = ",".join(sum(cells, []))
    for cell in options.cells.split(","):
        if cell not in CELLS:
            sys.exit(f"no cell {cell}; there are: {', '.join(CELLS)}")
    if not Path(options.generator).exists():
        sys.exit(f"{options.generator} does not exist: build it with `cargo build --release`")
    run_all(options)
    report(options.out, options.reference)


if __name__ == "__main__":
    main()
