#!/usr/bin/env python3
"""Workflow engines side by side: squall's conductor, Orquesta and Mistral play the same definitions in one run. Prints one table.

    tests/bench_workflow.py [--quick] [--venvs DIR]

Makes a virtual environment for each (target/bench-orquesta, target/bench-mistral). Orquesta is 1.2.0, the newest on PyPI;
StackStorm uses 1.6.0, which is not there. Every action succeeds at once. Figures are tasks for a second of processor time, in memory; what
each of the others does for a task is said in `peers/play_*.py`. Their time grows faster than the number of tasks, so they are given fewer
where 1,000 would take many minutes, and the ratio is that of equal numbers. It only grows with more.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from peers.environment import Missing, python

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"Orquesta": ["orquesta==1.2.0", "yaql==3.2.0"], "Mistral": ["mistral==23.0.0", "yaql==3.2.0"]}
# Tasks a second that squall shall reach.
MARK = 100_000
# Shape, how many tasks the mark is for, how many the others are given.
CASES = [
    ("Orquesta", "sequence", 1_000, [100, 200]),
    ("Orquesta", "join", 100, [100]),
    ("Orquesta", "items", 1_000, [50, 100]),
    ("Mistral", "sequence", 1_000, [50, 100]),
    ("Mistral", "join", 100, [100]),
    ("Mistral", "items", 1_000, [200, 1_000]),
]
# Seconds for all cases of one engine. They take a fifth of it.
PATIENCE = 300


class Failed(Exception):
    """An engine did not play everything."""


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="small counts; the figures mean nothing")
    options.add_argument("--venvs", type=Path, default=ROOT / "target", help="where the virtual environments are made")
    options = options.parse_args()
    cases = [(engine, shape, 10, [10]) for engine, shape, *_ in CASES] if options.quick else CASES
    # The texts come from squall's own bench, so that both sides play the same.
    squall = {(engine, shape, count): squall_side(f"{engine}, {shape}", count) for engine, shape, most, few in cases for count in {most, *few}}
    rates, failures = {}, []
    for engine in PACKAGES:
        asked = [(engine, shape, count) for e, shape, _, few in cases if e == engine for count in few]
        try:
            seconds = peer_side(options.venvs, engine, [(squall[case][1], case[2]) for case in asked])
            rates |= {case: case[2] / took for case, took in zip(asked, seconds)}
        except (Failed, Missing) as error:
            failures.append(f"{engine} is not measured: {error}")
    table(cases, {case: rate for case, (rate, _) in squall.items()}, rates)
    print(*failures, sep="\n", end="\n" if failures else "")
    return 1 if failures else 0


def squall_side(label, count):
    """Tasks a second, and the definition."""
    cargo = [os.environ.get("CARGO", "cargo"), "bench", "--quiet", "--locked", "--profile", "fast", "--workspace"]
    command = [*cargo, "--bench", "conductor", "--", "--say", label, str(count)]
    out = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True).stdout
    seconds, _, text = out.partition("\n")
    return 1 / float(seconds), text


def peer_side(venvs, engine, cases):
    """Seconds for each definition."""
    interpreter = python(venvs / f"bench-{engine.lower()}", PACKAGES[engine])
    command = [interpreter, Path(__file__).parent / f"peers/play_{engine.lower()}.py"]
    lines = "".join(json.dumps({"text": text, "count": count}) + "\n" for text, count in cases)
    try:
        done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {PATIENCE} s") from None
    seconds = [json.loads(line)["seconds"] for line in done.stdout.splitlines()]
    if done.returncode or len(seconds) != len(cases):
        raise Failed(done.stderr.strip().rpartition("\n")[2] or f"it ended with {done.returncode}")
    return seconds


def table(cases, squall, others):
    versions = ", ".join(packages[0].replace("==", " ") for packages in PACKAGES.values())
    print(f"\nworkflows, tasks a second of processor time, in memory; the others are {versions}")
    rows = [("shape", "tasks", "squall", "original", "ratio", "mark", "")]
    for engine, shape, most, few in cases:
        for count in sorted({most, *few}):
            case = (engine, shape, count)
            rate, other = squall[case], others.get(case)
            against = (f"{other:,.1f}", f"{rate / other:,.0f} x") if other else ("", "")
            mark = (f"{MARK:,}", "pass" if rate >= MARK else "MISS") if count == most else ("", "")
            rows.append((f"{engine}, {shape}", f"{count:,}", f"{rate:,.0f}", *against, *mark))
    widths = [max(len(row[n]) for row in rows) for n in range(7)]
    for row in rows:
        print("  ".join(cell.ljust(width) if n == 0 else cell.rjust(width) for n, (cell, width) in enumerate(zip(row, widths))).rstrip())


if __name__ == "__main__":
    sys.exit(main())
