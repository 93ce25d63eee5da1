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
import targets
from targets import dig

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benches" / "peers"
STATE = Path(os.environ.get("HYDROGEN_PEERS_DIR", ROOT / "target" / "peers"))
PAGE = ROOT / "docs" / "performance.md"
MARKS = ("<!-- make bench: begin -->\n", "<!-- make bench: end -->")
SERVERS = ("hydrogen,hydrogen-2x2,floor,floor-merged,tungstenite,libwebsockets,socketify,node-ws,"
           "mosquitto,mosquitto-ws,nats,nchan")

# For a thousand subscribers who acknowledge: a backlog that is worked off within a second, and time
# enough for several such.
LARGE = "--backlog 64 --warmup 2 -d 5"

# So much that the deaf fill the kernel's buffer, of 4 MiB, and then the server's within the run.
DEAF = "fanout -c 1000 -s 8192 --rate 50 --warmup 1 -d 16"

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
}
# Cells that compare hydrogen with itself alone.
ALONE = {"deaf-0", "deaf-100", "fanout-1000-json", "fanout-1000-deflate", "idle-10k-topics", "idle-10k-still"}
GUARANTEED_REFERENCES = ["nats", "mosquitto"]
GUARANTEED_CELLS = [cell for cell in CELLS if cell.startswith("guaranteed")]
DEFAULT_CELLS = ",".join(targets.cells())
# What the table of costs shows: a command and response beside the echo of servers that know no commands.
COLUMNS = {
    "1 × 1": ["rpc-1x1", "echo-1x1"],
    "100 × 8": ["rpc-100x8", "echo-100x8"],
    "fan-out to 1,000, one in flight": ["fanout-1000-w1"],
    "to 5,000": ["fanout-5000-w1"],
    "to 1,000, sixteen in flight": ["fanout-1000-w16"],
    "at 20 a second": ["fanout-1000-r20"],
    "a connection": ["connect"],
}


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


def not_asked(cell, server):
    return cell in ALONE and server != "hydrogen"


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
    started = subprocess.run(pinned(options.server_cpus, [str(PEERS / f"{server}.sh"), "start", mode, str(port)]),
                             stdout=subprocess.PIPE, text=True, check=False)
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
                    if CELLS[cell].split()[0] not in modes[server] or not_asked(cell, server):
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
    deaf = cell.startswith("deaf")
    head = ["server", "µs CPU/message", "spread", f"× {reference}", "messages/s", "p50 µs", "p99 µs"]
    if idle:
        head = ["server", "connections/s", "KiB RSS/connection", "KiB own/connection", "CPU %", "pong p50 µs",
                "pong p99 µs"]
    if deaf:
        head += ["MiB at most", "deaf", "of them ended"]
    head += ["others' CPU %", "faults"]
    rows = []
    for server, results in by_server.items():
        costs = [result["server_cpu_us_per_message"] for result in results if result["server_cpu_us_per_message"]]
        row = [server]
        if idle:
            row += [number(middle(results, "set_up/connections_per_s")),
                    number(middle(results, "set_up/server_rss_kib_per_connection"), 2),
                    number(middle(results, "set_up/server_anon_kib_per_connection"), 2),
                    number(middle(results, "server/cpu_pct"), 2)]
        else:
            row += [number(median(costs) if costs else None, 2),
                    f"{min(costs):.2f} – {max(costs):.2f}" if costs else "–",
                    number(ratio(results, by_server.get(reference, [])), 2),
                    number(middle(results, "messages_per_s"))]
        row += [number(middle(results, "latency/p50_us")), number(middle(results, "latency/p99_us"))]
        if deaf:
            peak = middle(results, "server/peak_rss_kib")
            row += [number(peak / 1024 if peak else None), number(middle(results, "deaf/count")),
                    number(middle(results, "deaf/ended"))]
        row += [number(middle(results, "machine/other_cpu_pct")), faults(results)]
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


def load(path):
    """The results by cell and server, and what was written beside them."""
    cells, about, disks = {}, {"versions": {}}, []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        if "versions" in result:
            about = result
        elif "disk" in result:
            disks.append(result["disk"])
        else:
            cells.setdefault(result["cell"], {}).setdefault(result["label"], []).append(result)
    return cells, about, disks


def preface(about, disks):
    lines = []
    if "machine" in about:
        measured, options = about["machine"], about["options"]
        cpus = [f"{name} on CPU {options[key]}" for name, key in
                [("server", "server_cpus"), ("generator", "generator_cpus")] if options[key]]
        lines += [f"* measured on {measured['date']}: {measured['cpus']} × {measured['cpu']}, Linux {measured['kernel']},"
                  f" loopback{''.join(', ' + text for text in cpus)}; {options['repeats']} interleaved repetitions of"
                  f" {options['duration']:g} s"]
    lines += [f"* {server}: {version}" for server, version in about["versions"].items()]
    if disks:
        medians = [disk["p50_us"] for disk in disks]
        lines += [f"* disk: {disks[0]['file_system']}; fdatasync of a 4 KiB append {median(medians):,.0f} µs"
                  f" (medians of the repetitions {min(medians):,.0f} – {max(medians):,.0f},"
                  f" longest {max(disk['max_us'] for disk in disks):,.0f})"]
    return "\n".join(lines)


def cost_table(cells, servers):
    """µs of server CPU a message, of all servers side by side."""
    rows = []
    for server in servers:
        row = [server]
        for names in COLUMNS.values():
            results = next((cells[name][server] for name in names if server in cells.get(name, {})), [])
            costs = [cost for cost in (dig(result, targets.CPU) for result in results) if cost]
            row += [f"{median(costs):.2f} ({min(costs):.2f} – {max(costs):.2f})" if costs else "–"]
        if set(row[1:]) != {"–"}:
            rows.append("| " + " | ".join(row) + " |")
    head = ["server", *COLUMNS]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" + "|---:" * len(COLUMNS) + "|", *rows])


def summary(cells, about, disks):
    """What --write puts into the page."""
    unclean = [f"{cell}, {server}: {faults(results)}" for cell, by_server in cells.items()
               for server, results in by_server.items() if faults(results) != "none"]
    return "\n\n".join([
        preface(about, disks), targets.table(cells),
        "Server CPU time, µs a message: medians, the spread behind them. 1 × 1 and 100 × 8 are connections × messages in"
        " flight, of command and response for hydrogen, and of a plain echo for the others. The last is a connection that"
        " is opened and closed.", cost_table(cells, about["versions"]),
        "Faults: " + ("; ".join(unclean) if unclean else "none") + ".",
    ])


def write(text):
    """Puts it between the page's marks."""
    page = PAGE.read_text(encoding="utf-8")
    begin, end = MARKS
    if page.count(begin) != 1 or page.count(end) != 1:
        sys.exit(f"{PAGE} has not one part between {begin.strip()} and {end}")
    head, _, rest = page.partition(begin)
    PAGE.write_text(head + begin + "\n" + text + "\n\n" + end + rest.partition(end)[2], encoding="utf-8")


def report(options):
    cells, about, disks = load(options.report or options.out)
    print(preface(about, disks) + "\n")
    for cell, by_server in cells.items():
        make = guaranteed_table if cell.startswith("guaranteed") else table
        print(make(cell, by_server, options.reference))
    print("### Targets\n\n" + targets.table(cells) + "\n")
    if options.write:
        write(summary(cells, about, disks))


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
