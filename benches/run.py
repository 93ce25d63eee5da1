#!/usr/bin/env python3
"""Measures the built server and its peers with `hydrogen bench`, and writes a table.

All servers run a cell one after another, so that a disturbance which lasts a while strikes them
alike; then comes the next cell, and at last the next repetition. Figures are medians over the
repetitions, and ratios are taken within a repetition. A server that is not installed, or does not
do what a cell asks for, is left out and said so.

    run.py                                    what `make bench` runs: all that the targets need
    run.py --write                            and puts the result into docs/performance.md
    run.py --install                          install the peers first
    run.py --servers hydrogen,nats --cells fanout-1000-w1 --repeats 9
    run.py --cells guaranteed                 all cells of guaranteed delivery
    run.py --report target/bench.jsonl        the tables of an earlier run

The targets are in targets.py. Each is printed with what was measured, and whether that meets it.

What servers store goes below target/peers, or HYDROGEN_PEERS_DIR: take a disk, since a file system
in memory syncs for nothing. How long that disk takes to sync is measured in the same run.
"""
import argparse
import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

# The folder stays as it is.
sys.dont_write_bytecode = True
from cells import CELLS, DEFAULT_CELLS, GUARANTEED_CELLS, WIDE, is_asked
from report import report

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benches" / "peers"
STATE = Path(os.environ.get("HYDROGEN_PEERS_DIR", ROOT / "target" / "peers"))
SERVERS = ("hydrogen,hydrogen-2x2,floor,floor-merged,tungstenite,libwebsockets,socketify,node-ws,"
           "mosquitto,mosquitto-ws,nats,nchan")


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


def pinned(cpus, command, cell):
    return ["taskset", "-c", cpus, *command] if cpus and cell not in WIDE else command


def machine():
    """What the figures were measured on, and when."""
    cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    model = next((line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), platform.machine())
    kernel = ".".join(platform.release().split(".")[:2])
    return {"date": datetime.date.today().isoformat(), "cpus": os.cpu_count(), "cpu": model, "kernel": kernel}


def pins(options):
    return {"repeats": options.repeats, "duration": options.duration, "server_cpus": options.server_cpus,
            "generator_cpus": options.generator_cpus}


def measure(server, cell, port, options):
    """One run; None if the server does not do it."""
    mode, _, more = CELLS[cell].partition(" ")
    scenario = mode.partition("-")[0]
    wait_for_quiet(options)
    start = [str(PEERS / f"{server}.sh"), "start", mode, str(port)]
    started = subprocess.run(pinned(options.server_cpus, start, cell), stdout=subprocess.PIPE, text=True, check=False)
    if started.returncode != 0:
        say(f"{cell} {server}: did not start")
        return None
    try:
        words = [scenario, *shlex.split(more)] + shlex.split(script(server, "args", mode, port).stdout)
        words += ["--server-pid", started.stdout.strip(), "--label", server, "--json",
                  "--max-time", str(options.duration + 90)]
        # A server that syncs may be silent for a while.
        drain = 10 if scenario == "guaranteed" else 3
        for name, value in [("-d", options.duration), ("--warmup", 0.5), ("--drain", drain)]:
            if name not in words:
                words += [name, str(value)]
        command = pinned(options.generator_cpus, [options.generator, "bench", *words], cell)
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
        lines.write(json.dumps({"versions": servers, "machine": machine(), "options": pins(options)}) + "\n")
        for repetition in range(options.repeats):
            if any(cell.startswith("guaranteed") for cell in options.cells.split(",")):
                wait_for_quiet(options)
                times = sync_us(STATE)
                disk = {"file_system": file_system(STATE), "syncs": len(times), "p50_us": median(times),
                        "max_us": max(times)}
                lines.write(json.dumps({"disk": disk}) + "\n")
            for cell in options.cells.split(","):
                for server in servers:
                    if CELLS[cell].split()[0] not in modes[server] or not is_asked(cell, server):
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


def add_machine_options(parser):
    """What concerns the machine, and not what is measured."""
    parser.add_argument("--generator", default=os.environ.get("HYDROGEN", str(ROOT / "target/release/hydrogen")))
    parser.add_argument("--server-cpus", default="", help="pin servers to these CPUs, as taskset has them")
    parser.add_argument("--generator-cpus", default="", help="the same for the generator")
    parser.add_argument("--quiet", type=float, default=0.1, help="wait until less than this part of the machine is busy")
    parser.add_argument("--patience", type=float, default=3, help="but no longer than this, in seconds")
    parser.add_argument("--port", type=int, default=23400)


def check_generator(options):
    if not Path(options.generator).exists():
        sys.exit(f"{options.generator} does not exist: build it with `cargo build --release`")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default=SERVERS, help="scripts in benches/peers, comma-separated")
    parser.add_argument("--cells", default=DEFAULT_CELLS, help=f"comma-separated, of: {', '.join(CELLS)}")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--duration", type=float, default=2, help="seconds measured in each run")
    parser.add_argument("--out", default=str(ROOT / "target" / "bench.jsonl"), help="one line for each run")
    parser.add_argument("--report", metavar="FILE", help="measure nothing, print the tables of FILE")
    parser.add_argument("--write", action="store_true", help="put targets and costs into docs/performance.md")
    parser.add_argument("--reference", default="floor", help="whose costs the others' are divided by")
    parser.add_argument("--install", action="store_true", help="install the servers first")
    add_machine_options(parser)
    options = parser.parse_args()
    if options.report:
        report(options)
        return
    cells = [GUARANTEED_CELLS if cell == "guaranteed" else [cell] for cell in options.cells.split(",")]
    options.cells = ",".join(sum(cells, []))
    for cell in options.cells.split(","):
        if cell not in CELLS:
            sys.exit(f"no cell {cell}; there are: {', '.join(CELLS)}")
    check_generator(options)
    run_all(options)
    report(options)


if __name__ == "__main__":
    main()
