#!/usr/bin/env python3
"""Measures how the cost of a message grows with connections, topics, subscribers and payload, and
draws it as docs/plots/*.svg, which docs/performance.md shows.

    plots.py                             what `make bench-plots` runs: some ten minutes
    plots.py --growth topics             one of the plots
    plots.py --draw target/plots.jsonl   draws an earlier run, and measures nothing

The floor runs beside hydrogen wherever it can do the same. matplotlib is taken from where it is
found, or installed below .test/venv.
"""
import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from statistics import median

# The folder stays as it is.
sys.dont_write_bytecode = True
import run
from report import faults
from targets import CPU

PLOTS = run.ROOT / "docs" / "plots"
VENV = run.ROOT / ".test" / "venv"
# Where each connection has its part in every round, a round of many takes long.
CROWDS, MANY = {"connections", "subscribers"}, " --warmup 1 -d 3"
COUNTS = [100, 300, 1000, 3000, 10000, 15000]

# For each plot: its title, what is along the axis, the values, and by server the cell with the value in
# its place.
GROWTH = {
    "connections": ("Command and response, one in flight on each connection", "connections", COUNTS, {
        "hydrogen": "rpc -c {} -p 1 -s 128",
        "floor": "echo -c {} -p 1 -s 128",
    }),
    "subscribers": ("Fan-out, one publication in flight", "subscribers of one topic", [10, 30, *COUNTS], {
        "hydrogen": "fanout -c {} -s 256 --window 1",
        "floor-merged": "fanout -c {} -s 256 --window 1",
    }),
    "topics": ("1,000 subscribers share the topics out, 256 publications in flight", "topics",
               [1000, 3000, 10000, 30000, 100000], {
        "hydrogen": "fanout-topics -c 1000 -s 256 --window 256 --topics {}",
        "hydrogen, one subscriber in ten by a pattern": "fanout-topics -c 1000 -s 256 --window 256 --topics {} --wildcards 10",
    }),
    "payload": ("Fan-out to 100, one publication in flight", "bytes of a payload",
                [64, 256, 1024, 4096, 16384, 60000], {
        "hydrogen": "fanout -c 100 -s {} --window 1",
        "floor-merged": "fanout -c 100 -s {} --window 1",
    }),
}


def measure_all(options):
    """Runs every point in turn, repetition by repetition, a line for each run."""
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    runs = 0
    with out.open("w", encoding="utf-8") as lines:
        lines.write(json.dumps({"machine": run.machine(), "options": run.pins(options)}) + "\n")
        for repetition in range(options.repeats):
            for name in options.growth.split(","):
                _, _, values, servers = GROWTH[name]
                for value in values:
                    for label, words in servers.items():
                        server = label.partition(",")[0]
                        cell = f"growth-{name}"
                        run.CELLS[cell] = words.format(value) + (MANY if value >= 3000 and name in CROWDS else "")
                        result = run.measure(server, cell, options.port + runs % 200, options)
                        runs += 1
                        if result is None:
                            continue
                        result.update(growth=name, value=value, label=label, repetition=repetition)
                        lines.write(json.dumps(result) + "\n")
                        lines.flush()
                        run.say(f"{name:12} {value:7} {label:45} {result[CPU] or 0:9.2f} µs  faults: {faults([result])}")


def points(lines):
    """By plot and label: the value, and the least, middle and largest cost."""
    costs = {}
    for line in lines:
        if line.get("growth") and line[CPU]:
            costs.setdefault(line["growth"], {}).setdefault(line["label"], {}).setdefault(line["value"], []).append(line[CPU])
    return {name: {label: [(value, min(found), median(found), max(found)) for value, found in sorted(by_value.items())]
                   for label, by_value in labels.items()} for name, labels in costs.items()}


def draw(path):
    """Writes an SVG for each plot that was measured."""
    import matplotlib
    matplotlib.use("svg")
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter
    # Text as text, and no ids by chance: small files, and the same ones for the same figures.
    pyplot.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "hydrogen", "font.size": 9})
    lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    about = lines[0]["machine"]
    PLOTS.mkdir(parents=True, exist_ok=True)
    for name, labels in points(lines).items():
        title, axis, values, _ = GROWTH[name]
        figure, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
        for label, row in labels.items():
            xs, least, middle, most = zip(*row)
            style = {"linestyle": "--", "color": "grey"} if label.startswith("floor") else {}
            line, = axes.plot(xs, middle, marker="o", markersize=3, label=label, **style)
            axes.fill_between(xs, least, most, alpha=0.2, linewidth=0, color=line.get_color())
        axes.set(title=title, xlabel=axis, ylabel="server CPU, µs a message", xscale="log", ylim=(0, None))
        axes.set_xticks(values, [f"{value // 1000}k" if value % 1000 == 0 else f"{value}" for value in values])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        figure.text(1, 0, f"{about['date']}, {about['cpus']} × {about['cpu']}, Linux {about['kernel']} ", ha="right",
                    va="bottom", fontsize=6, color="grey")
        target = PLOTS / f"{name}.svg"
        figure.savefig(target, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
        run.say(f"{target.relative_to(run.ROOT)}: {target.stat().st_size / 1024:.0f} KiB")


def draw_where_possible(path):
    """In this process, or in one whose Python has matplotlib."""
    try:
        import matplotlib as _
    except ImportError:
        if not VENV.exists():
            venv.create(VENV, with_pip=True)
        python = VENV / "bin" / "python"
        if subprocess.run([python, "-c", "import matplotlib"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "matplotlib"], check=True)
        subprocess.run([python, __file__, "--draw", path], check=True)
    else:
        draw(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--growth", default=",".join(GROWTH), help=f"comma-separated, of: {', '.join(GROWTH)}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--duration", type=float, default=1, help="seconds measured in each run")
    parser.add_argument("--out", default=str(run.ROOT / "target" / "plots.jsonl"), help="one line for each run")
    parser.add_argument("--draw", metavar="FILE", help="measure nothing, draw FILE")
    run.add_machine_options(parser)
    options = parser.parse_args()
    for name in options.growth.split(","):
        if name not in GROWTH:
            sys.exit(f"no growth {name}; there are: {', '.join(GROWTH)}")
    if not options.draw:
        run.check_generator(options)
        measure_all(options)
    draw_where_possible(options.draw or options.out)


if __name__ == "__main__":
    main()
