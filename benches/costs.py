#!/usr/bin/env python3
"""Counts what operations of the server take, and holds the counts against benches/history.ndjson.

Instructions are callgrind's. They are the same in every run on the same machine, but depend on the
compiler, on valgrind and on the C library: figures are compared with the last ones that were made
with the same of all. Where there are none, that is said (`left out: why`), and nothing fails.

    costs.py                  the instructions of each operation, against the history
    costs.py --bless          count everything, and append it to the history
    costs.py --topics         what finding a topic's subscribers takes among 1 to 1,000,000

A line of the history is one figure: when it was counted, at which commit, by what.
"""
import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HISTORY = ROOT / "benches" / "history.ndjson"
CARGO = os.environ.get("CARGO", "cargo")
# How much worse a figure may get, here and in tests/costs/figures.rs.
SLACK = 1.1
OPERATIONS = ("decode", "match", "route", "encode", "publish", "deliver", "deliver16", "command", "ack", "timer")
SIZES = (1, 1_000, 100_000, 1_000_000)


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def build(name):
    """The path of a benchmark, built as the server is."""
    command = [CARGO, "build", "--locked", "--release", "--bench", name, "--message-format=json-render-diagnostics"]
    made = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in made.splitlines():
        artifact = json.loads(line)
        if artifact.get("executable") and artifact["target"]["name"] == name:
            return artifact["executable"]
    raise SystemExit(f"costs: cargo built no {name}")


def toolchain():
    """What instruction counts depend on, besides the code."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return {
        "machine": platform.machine() + ("+avx2" if re.search(r"\bavx2\b", flags) else ""),
        "rustc": output("rustc", "--version").split()[1],
        "valgrind": output("valgrind", "--version").removeprefix("valgrind-"),
        "libc": "-".join(platform.libc_ver()),
    }


def instructions(program, *args):
    """Instructions for one operation, inside of what the program measures."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*measured*", program, *args]
    run = subprocess.run(command, capture_output=True, text=True)
    counted = re.search(r"Collected\s*:\s*(\d+)", run.stderr)
    if run.returncode != 0 or not counted or int(counted[1]) == 0:
        raise SystemExit(f"costs: {' '.join(command)}\n{run.stderr}")
    return round(int(counted[1]) / int(run.stdout), 1)


def last(history, figure, tools):
    """The last value of a figure that was counted with these tools, and the last one of all."""
    same = every = None
    for line in history:
        if line["figure"] == figure:
            every = line
            if all(line.get(key) == value for key, value in tools.items()):
                same = line
    return same, every


def compare():
    history = [json.loads(line) for line in HISTORY.read_text().splitlines()]
    tools = toolchain()
    program = build("costs")
    passed = failed = 0
    strange = None
    print(f"{'instructions':<14}{'now':>12}{'history':>12}")
    for operation in OPERATIONS:
        figure = f"instructions.{operation}"
        value = instructions(program, operation)
        same, every = last(history, figure, tools)
        if same is None:
            strange = every or strange
            print(f"{operation:<14}{value:>12}{'none':>12}")
        elif value > same["value"] * SLACK:
            failed += 1
            print(f"{operation:<14}{value:>12}{same['value']:>12}  more than a tenth worse than at {same['commit']}")
        else:
            passed += 1
            print(f"{operation:<14}{value:>12}{same['value']:>12}")
    if passed + failed < len(OPERATIONS):
        now = ", ".join(f"{key} {value}" for key, value in tools.items())
        then = ", ".join(f"{key} {strange.get(key)}" for key in tools) if strange else "nothing"
        print(f"left out: the history has no instructions for {now}, but for {then}; make costs BLESS=1 adds some")
    if failed:
        print("if that is meant to be: make costs BLESS=1")
    if passed + failed:
        # In the form of cargo's, whose results stand in the same log.
        print(f"test result: {passed} passed; {failed} failed")
    return failed == 0


def bless():
    """Counts everything and appends it to the history."""
    found = []
    with tempfile.NamedTemporaryFile("r", suffix=".ndjson") as file:
        subprocess.run([CARGO, "test", "--locked", "--test", "costs"], cwd=ROOT, check=True,
                       env={**os.environ, "HYDROGEN_COSTS_BLESS": file.name})
        found += [json.loads(line) for line in Path(file.name).read_text().splitlines()]
    program = build("costs")
    found += [{"figure": f"instructions.{name}", "value": instructions(program, name)} for name in OPERATIONS]
    commit = output("git", "rev-parse", "--short", "HEAD")
    if output("git", "status", "--porcelain", "--", "src", "Cargo.toml", "Cargo.lock"):
        commit += "+"
    about = {"commit": commit, "date": time.strftime("%Y-%m-%d", time.gmtime())}
    tools = toolchain()
    with HISTORY.open("a") as history:
        for line in sorted(found, key=lambda line: line["figure"]):
            history.write(json.dumps({**about, **line, **tools}) + "\n")
            print(f"{line['figure']:<34}{line['value']:>14}")


def topics():
    """What finding a topic's subscribers takes, and whether it grows with what does not match."""
    program = build("topics")
    subprocess.run([program], check=True)
    print(f"{'subscriptions':>14}{'first instr.':>14}{'next instr.':>14}")
    table = {size: [instructions(program, str(size), kind) for kind in ("first", "next")] for size in SIZES}
    for size, counts in table.items():
        print(f"{size:>14}" + "".join(f"{count:>14}" for count in counts))
    # One subscription has no wildcards beside it, a thousand have all kinds; from there on nothing grows.
    few, many = table[SIZES[1]], table[SIZES[-1]]
    return all(later <= SLACK * earlier for earlier, later in zip(few, many))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bless", action="store_true", help="append all figures to the history")
    parser.add_argument("--topics", action="store_true", help="finding subscribers among 1 to 1,000,000")
    args = parser.parse_args()
    try:
        output("valgrind", "--version")
    except (OSError, subprocess.CalledProcessError):
        print("left out: valgrind is not installed, and no instructions were counted")
        return 1 if args.bless else 0
    if args.bless:
        bless()
        return 0
    if args.topics:
        is_flat = topics()
        print("it does not grow from a thousand to a million" if is_flat else "IT GROWS by more than a tenth")
        return 0 if is_flat else 1
    return 0 if compare() else 1


if __name__ == "__main__":
    sys.exit(main())
