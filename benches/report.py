"""Tables of what was measured, for a terminal and for the page."""
import json
import sys
from pathlib import Path
from statistics import median

import targets
from cells import CELLS
from targets import dig

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"
MARKS = ("<!-- make bench: begin -->\n", "<!-- make bench: end -->")
GUARANTEED_REFERENCES = ["nats", "mosquitto"]
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
MEMORY_CELL = "idle-10k"


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
    """The results by cell and server, and what was written beside them. Where the file holds several runs one
    after another, nothing of one is held against another's."""
    cells, about, disks, runs = {}, {"versions": {}}, [], 0
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        result = json.loads(line)
        if "versions" in result:
            runs += 1
            about = {**result, "versions": {**about["versions"], **result["versions"]}, "runs": runs}
        elif "disk" in result:
            disks.append(result["disk"])
        else:
            result["repetition"] = (runs, result["repetition"])
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
                  f" {options['duration']:g} s" + (f", in {about['runs']} runs" if about["runs"] > 1 else "")]
    lines += [f"* {server}: {version}" for server, version in about["versions"].items()]
    if disks:
        medians = [disk["p50_us"] for disk in disks]
        lines += [f"* disk: {disks[0]['file_system']}; fdatasync of a 4 KiB append {median(medians):,.0f} µs"
                  f" (medians of the repetitions {min(medians):,.0f} – {max(medians):,.0f},"
                  f" longest {max(disk['max_us'] for disk in disks):,.0f})"]
    return "\n".join(lines)


def spread(results, path):
    found = [value for value in (dig(result, path) for result in results) if value]
    return f"{median(found):.2f} ({min(found):.2f} – {max(found):.2f})" if found else "–"


def cost_table(cells, servers):
    """µs of server CPU a message, of all servers side by side, and their memory."""
    rows = []
    for server in servers:
        row = [server]
        for names in COLUMNS.values():
            results = next((cells[name][server] for name in names if server in cells.get(name, {})), [])
            row += [spread(results, targets.CPU)]
        row += [spread(cells.get(MEMORY_CELL, {}).get(server, []), targets.MEMORY)]
        if set(row[1:]) != {"–"}:
            rows.append("| " + " | ".join(row) + " |")
    head = ["server", *COLUMNS, "KiB an idle connection"]
    return "\n".join(["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|", *rows])


def summary(cells, about, disks):
    """What --write puts into the page."""
    unclean = [f"{cell}, {server}: {faults(results)}" for cell, by_server in cells.items()
               for server, results in by_server.items() if faults(results) != "none"]
    return "\n\n".join([
        preface(about, disks), targets.table(cells),
        "Server CPU time, µs a message: medians, the spread behind them. 1 × 1 and 100 × 8 are connections × messages in"
        " flight, of command and response for hydrogen, and of a plain echo for the others. The last is a connection that"
        " is opened and closed. Memory is of 10,000 connections, with a subscription where the server knows any.", cost_table(cells, about["versions"]),
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
