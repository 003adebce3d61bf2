#!/usr/bin/env python3
"""Expressions of squall beside the Python libraries that StackStorm uses, in one run. Prints one table.

    tests/bench_expr.py [--quick] [--venv DIR]

Makes a virtual environment of its own (target/bench-venv) with yaql and Jinja2, measures both sides on the same cases and
the same data, processor time, best of several rounds, and says for each mark whether it is met. Aliases and rules are
measured on squall's side alone: their marks are times.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from peers.environment import python

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT / "crates/expr/benches/cases.json"
PACKAGES = ["yaql==3.2.0", "Jinja2==3.1.6"]

# Marks: ratio to Python at least, or microseconds at most. The worst case of a group counts.
RATIOS = [
    ("YAQL, small, parsed once", "yaql_small", "yaql_small", 200),
    ("YAQL, 1,000 rows, parsed once", "yaql_rows", "yaql_rows", 100),
    ("YAQL, small, with parsing", "yaql_small_parsed", "yaql_small_parsed", 50),
    ("Jinja, compiled template", "jinja", "jinja", 3),
    ("Jinja, new environment per call", "jinja_new", "jinja_new", 200),
]
TIMES = [("one line against 10,000 aliases", "alias_10000", 200), ("one event against 1,000 rules", "rules_1000", 1000)]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="small counts; the figures mean nothing")
    options.add_argument("--venv", type=Path, default=ROOT / "target/bench-venv")
    options.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = options.parse_args()
    if options.inside:
        return python_side(options.quick)
    table(rust_side(options.quick), ask_python(options))


def rust_side(quick):
    environment = dict(os.environ, SQUALL_BENCH_JSON="1", **({"SQUALL_BENCH_QUICK": "1"} if quick else {}))
    command = [os.environ.get("CARGO", "cargo"), "bench", "--locked", "--profile", "fast", "--workspace", "--bench", "expr"]
    out = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
    return collected(out)


def ask_python(options):
    command = [python(options.venv, PACKAGES), __file__, "--inside", *(["--quick"] if options.quick else [])]
    return collected(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


def collected(text):
    """{group: {case: nanoseconds}}"""
    groups = {}
    for line in text.splitlines():
        if line.startswith("{"):
            one = json.loads(line)
            groups.setdefault(one["group"], {})[one["case"]] = one["ns"]
    return groups


# ---- inside of the virtual environment -----------------------------------------------------------------------------


def best(call, quick):
    calls, start = 0, time.process_time_ns()
    while time.process_time_ns() - start < (1 if quick else 30) * 1_000_000:
        call()
        calls += 1
    calls = max(calls, 1)
    rounds = []
    for _ in range(1 if quick else 5):
        start = time.process_time_ns()
        for _ in range(calls):
            call()
        rounds.append((time.process_time_ns() - start) / calls)
    return min(rounds)


def data(rows):
    row = lambda i: {"name": f"vm{i}", "ram": i % 64 * 512, "host": f"h{i % 10}", "up": i % 3 == 0}
    head = {"name": "web-01", "code": 200, "a": {"b": {"c": 7}}, "tags": ["a", "b", "c"]}
    return {**head, "rows": [row(i) for i in range(rows)]}


def python_side(quick):
    import jinja2.sandbox
    import yaql
    from yaql.language import factory, utils

    cases, whole = json.loads(CASES.read_text()), data(1000)
    # What Mistral sets; input is converted once for each evaluation, as it does.
    engine = factory.YaqlFactory().create(options={"yaql.convertOutputData": True})
    root = yaql.create_context()
    small = {key: value for key, value in whole.items() if key != "rows"}

    def evaluated(expression, given):
        context = root.create_child_context()
        context["$"] = utils.convert_input_data(given)
        result = expression.evaluate(context=context)
        return list(result) if hasattr(result, "__next__") else result

    def say(group, case, ns):
        print(json.dumps({"group": group, "case": case, "ns": ns}), flush=True)

    # Small expressions get small data, which is kind to Python: converting the rows would take it 10 ms each time.
    for group, given in (("yaql_small", small), ("yaql_rows", whole)):
        for text in cases[group]:
            expression = engine(text)
            say(group, text, best(lambda: evaluated(expression, given), quick))
            say(f"{group}_parsed", text, best(lambda: evaluated(engine(text), given), quick))

    def environment():
        kind = jinja2.sandbox.SandboxedEnvironment
        return kind(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)

    for text in cases["jinja"]:
        template = environment().from_string(text)
        say("jinja", text, best(lambda: template.render(whole), quick))
        say("jinja_new", text, best(lambda: environment().from_string(text).render(whole), quick))


# ---- the table -----------------------------------------------------------------------------------------------------


def table(rust, python):
    rows = [("measure", "squall", "Python", "ratio", "mark", "")]
    for title, mine, theirs, mark in RATIOS:
        ratios = {case: python[theirs][case] / rust[mine][case] for case in rust[mine]}
        worst = min(ratios, key=ratios.get)
        met = "pass" if ratios[worst] >= mark else "MISS"
        rows.append((title, micro(rust[mine][worst]), micro(python[theirs][worst]), f"{ratios[worst]:.0f} x", f"{mark} x", met))
        rows += [(f"  {case[:58]}", micro(rust[mine][case]), micro(python[theirs][case]), f"{ratio:.0f} x", "", "") for case, ratio in ratios.items()]
    for title, group, mark in TIMES:
        worst = max(rust[group].values()) / 1e3
        rows.append((title, micro(max(rust[group].values())), "", "", f"{mark} us", "pass" if worst <= mark else "MISS"))
    for case, small in rust["growth_1000"].items():
        ratio = rust["growth_10000"][case] / small
        rows.append((f"growth to 10 times the rows: {case}"[:60], "", "", f"{ratio:.1f} x", "12 x", "pass" if ratio <= 12 else "MISS"))
    widths = [max(len(row[n]) for row in rows) for n in range(6)]
    for row in rows:
        print("  ".join(cell.ljust(width) if n == 0 else cell.rjust(width) for n, (cell, width) in enumerate(zip(row, widths))).rstrip())


def micro(ns):
    return f"{ns / 1e3:,.2f} us"


if __name__ == "__main__":
    sys.exit(main())
