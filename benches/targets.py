"""What the server is to reach: figures of one cell against those of a reference, or against a limit.

A ratio is taken within each repetition, and the median of the ratios counts.
"""
from statistics import median
from typing import NamedTuple, Optional

CPU = "server_cpu_us_per_message"
DELIVERY_CPU = "deliveries/server_cpu_us"
P50, P99 = "latency/p50_us", "latency/p99_us"
MEMORY = "set_up/server_rss_kib_per_connection"
WORDS = {
    CPU: "CPU a message",
    DELIVERY_CPU: "CPU a delivery",
    P50: "latency p50",
    P99: "latency p99",
    MEMORY: "KiB a connection",
    "server/cpu_pct": "CPU, % of one",
    "server/peak_rss_kib": "KiB at most",
}


class Target(NamedTuple):
    """At most `factor` times what the reference does; without one, at most `factor`."""
    cell: str
    factor: float
    reference: Optional[str] = None
    reference_cell: Optional[str] = None
    path: str = CPU
    server: str = "hydrogen"

    def words(self):
        what = WORDS[self.path] + (f" of {self.server}" if self.server != "hydrogen" else "")
        if self.reference is None:
            return what, f"{self.factor:,g}"
        against = self.reference + (f" at `{self.reference_cell}`" if self.reference_cell else "")
        return what, f"{self.factor:g} × {against}"


# What two reactors and two workers are held against one and one in.
WIDE = ["fanout-1000-w1", "fanout-1000-w16", "rpc-100x8"]
# One topic, one write for each delivery: what deliveries on many topics are held against.
ONE_TOPIC = "fanout-1000-w1"
TARGETS = [
    Target("fanout-1000-w1", 1.15, "floor-merged"),
    Target("fanout-1000-w1", 0.6, "mosquitto"),
    Target("fanout-1000-w1", 0.55, "nats"),
    Target("fanout-5000-w1", 1.2, "floor-merged"),
    Target("fanout-1000-w16", 1.6, "floor-merged"),
    Target("fanout-1000-w16", 0.3, "nats"),
    Target("fanout-1000-w16", 0.06, "mosquitto"),
    Target("fanout-1000-r20", 1.3, "floor"),
    Target("topics-1000", 1.5, "hydrogen", ONE_TOPIC),
    Target("topics-10000", 1.5, "hydrogen", ONE_TOPIC),
    Target("rpc-100x8", 2.5, "floor", "echo-100x8"),
    Target("rpc-100x8", 1, "tungstenite", "echo-100x8"),
    Target("rpc-100x8", 1, "libwebsockets", "echo-100x8"),
    Target("rpc-1x1", 2, "floor", "echo-1x1", P50),
    Target("guaranteed-100", 0.5, "mosquitto", None, DELIVERY_CPU),
    Target("idle-10k", 1, path=MEMORY),
    Target("idle-10k-tls", 8, path=MEMORY),
    # Half a percent: what a timer that wakes now and then may take.
    Target("idle-10k-still", 0.5, path="server/cpu_pct"),
    *[Target("connect", 1, peer)
      for peer in ["mosquitto", "nats", "nchan", "socketify", "tungstenite", "libwebsockets", "node-ws"]],
    Target("fanout-1000-deflate", 1.3, "hydrogen", "fanout-1000-json"),
    *[Target(f"{cell}-wide", 1.15, "hydrogen", path=CPU, server="hydrogen-2x2") for cell in WIDE],
    Target("deaf-100", 1.5, "hydrogen", "deaf-0", P99),
    # A hundred times MaxBytesPerConnection, and 32 MiB for everything else.
    Target("deaf-100", 132 * 1024, path="server/peak_rss_kib"),
]


def cells():
    """All that the targets need, each once."""
    names = []
    for target in TARGETS:
        names += [target.cell, target.reference_cell or target.cell]
    return list(dict.fromkeys(names))


def dig(result, path):
    """The figure of a result, where it has one."""
    for name in path.split("/"):
        result = result.get(name) if result else None
    return result


def figures(target, by_cell):
    """The target's figure in each repetition that has it; `by_cell` are results by cell and server."""
    ours = by_cell.get(target.cell, {}).get(target.server, [])
    if target.reference is None:
        return [value for value in (dig(result, target.path) for result in ours) if value is not None]
    others = by_cell.get(target.reference_cell or target.cell, {}).get(target.reference, [])
    theirs = {result["repetition"]: dig(result, target.path) for result in others}
    pairs = [(dig(result, target.path), theirs.get(result["repetition"])) for result in ours]
    return [own / other for own, other in pairs if own is not None and other]


def table(by_cell):
    """Markdown: each target, what was measured, and whether that meets it."""
    lines = ["| cell | what | at most | measured | spread | met |", "|---|---|---|---:|---:|---|"]
    for target in TARGETS:
        what, bound = target.words()
        found = figures(target, by_cell)
        row = [f"`{target.cell}`", what, bound, "–", "–", "not measured"]
        if found:
            digits = 0 if target.factor > 100 else 2
            row[3:] = [f"{median(found):,.{digits}f}", f"{min(found):,.{digits}f} – {max(found):,.{digits}f}",
                       "yes" if median(found) <= target.factor else "**no**"]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)
