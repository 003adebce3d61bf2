#!/usr/bin/env python3
"""The measures of squall as people meet them: a real server, its sockets, a disk. Prints one table.

    tests/bench.py PATH_TO_SQUALL [--quick] [--dir DIR]

Each measure has a server of its own on a free loopback port and a temporary data directory under DIR (the system's temporary
directory otherwise; it should lie on a real disk, because a commit waits for it). `--quick` takes every measure with small
counts, to see that it can be taken; its figures mean nothing.

What this does not measure is inside the program: `cargo bench` has the conductor, expressions, the store, and the engine without
HTTP (`-p squall-engine --bench noop`), which is the figure to look at when the clients here are what limits.
"""

import argparse
import base64
import http.client
import json
import multiprocessing
import os
import random
import resource
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# Whatever waits longer than this has failed; nothing here should take more than a fraction of it.
PATIENCE = 120


class Failed(Exception):
    """A measure could not be taken."""


# ---- the server and its clients ------------------------------------------------------------------------------------


class Server:
    """A server on a data directory of its own. Stopped by its own process id."""

    def __init__(self, squall, home, packs=None):
        self.data = Path(tempfile.mkdtemp(dir=home))
        if packs:
            packs(self.data / "packs")
        self.began = time.perf_counter()
        command = [squall, "up", "--quiet", "--data", str(self.data), "--listen", "127.0.0.1:0", "--drain", "1"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            self.endpoints = self._endpoints()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        host, port = self.endpoints["api"].removeprefix("http://").split(":")
        self.address = (host, int(port))
        self.token = None
        self.http = None

    def _endpoints(self):
        path = self.data / "endpoints.json"
        while True:
            try:
                return json.loads(path.read_text())
            except FileNotFoundError:
                pass
            if self.process.poll() is not None:
                raise Failed(f"the server did not start: {self.process.stderr.read().decode().strip()}")
            if time.perf_counter() - self.began > PATIENCE:
                raise Failed("the server did not start in time")
            time.sleep(0.0005)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.http:
            self.http.close()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        shutil.rmtree(self.data, ignore_errors=True)

    def log_in(self):
        credential = json.loads((self.data / "admin-credential.json").read_text())
        pair = base64.b64encode(f"{credential['user']}:{credential['password']}".encode()).decode()
        self.http = http.client.HTTPConnection(*self.address, timeout=PATIENCE)
        self.token = self.call("POST", "/auth/v1/tokens", {}, {"Authorization": f"Basic {pair}"})["token"]

    def call(self, method, path, body=None, headers=None):
        return self.answer(method, path, body, headers)[1]

    def answer(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if self.token:
            headers["X-Auth-Token"] = self.token
        data = None
        if body is not None:
            data = json.dumps(body)
            headers["Content-Type"] = "application/json"
        self.http.request(method, path, data, headers)
        response = self.http.getresponse()
        text = response.read()
        if response.status >= 300:
            raise Failed(f"{method} {path}: {response.status} {text[:300].decode()}")
        return response.headers, json.loads(text)

    def start(self, action, **parameters):
        """Requests an execution and answers its id."""
        return self.call("POST", "/api/v1/executions", {"action": action, "parameters": parameters})["id"]

    def run(self, action, **parameters):
        """The seconds from the request to the moment when its result can be read."""
        began = time.perf_counter()
        id = self.start(action, **parameters)
        while True:
            execution = self.call("GET", f"/api/v1/executions/{id}")
            if execution["status"] == "succeeded":
                return time.perf_counter() - began
            if execution["status"] in ("failed", "timeout", "canceled", "abandoned"):
                raise Failed(f"{action} ended as {execution['status']}: {execution.get('result')}")
            if time.perf_counter() - began > PATIENCE:
                raise Failed(f"{action} is still {execution['status']}")
            time.sleep(0.0002)

    def count(self, **filters):
        """How many executions there are with these properties."""
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        headers, _ = self.answer("GET", f"/api/v1/executions?limit=1&{query}")
        return int(headers["X-Total-Count"])

    def until(self, wanted, pause=0.005, **filters):
        """Waits until there are so many executions with these properties."""
        deadline = time.perf_counter() + PATIENCE
        while (found := self.count(**filters)) < wanted:
            if time.perf_counter() > deadline:
                raise Failed(f"{found} of {wanted} executions with {filters}")
            time.sleep(pause)

    def memory(self):
        """Resident bytes of the server and its children."""
        pids = [self.process.pid]
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            pids += [int(pid) for pid in (task / "children").read_text().split()]
        lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

    def cpu(self):
        """Seconds of processor time that the server has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


class Chat:
    """A client of the terminal chat; see its adapter for the protocol."""

    def __init__(self, server, name, channel="ops"):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(server.endpoints["chat"])
        self.lines = self.socket.makefile("rb")
        self.said = 0
        self.send({"hello": {"name": name, "channel": channel}})
        self.hear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.close()
        self.socket.close()

    def send(self, message):
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def say(self, text):
        self.said += 1
        self.send({"say": {"id": str(self.said), "text": text}})

    def hear(self):
        line = self.lines.readline()
        if not line:
            raise Failed("the chat ended")
        return json.loads(line)

    def hear_bot(self, kind):
        """The next message of this kind from the bot."""
        while True:
            message = self.hear().get("message") or {}
            if message.get("bot") and message.get("failed"):
                raise Failed(f"the bot said: {message['text']}")
            if message.get("bot") and message.get("kind") == kind:
                return message


# Nobody may say more than 20 commands in ten seconds.
LINES_EACH = 15


def say_all(server, texts):
    """Says these lines one after the other, by as many people as may say that much; the seconds from each to its acknowledgement."""
    for first in range(0, len(texts), LINES_EACH):
        with Chat(server, f"person{first}-{time.monotonic_ns()}") as client:
            for text in texts[first : first + LINES_EACH]:
                began = time.perf_counter()
                client.say(text)
                client.hear_bot("ack")
                yield time.perf_counter() - began


# ---- packs for the measures ----------------------------------------------------------------------------------------


def write_pack(packs, name, files):
    pack = f"name: {name}\nref: {name}\ndescription: Made for a measure.\nversion: 1.0.0\nauthor: squall\n"
    for path, text in {"pack.yaml": pack, **files}.items():
        path = packs / name / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


VERBS = ["restart", "deploy", "vacate", "rotate", "inspect", "scale", "backup", "resize", "fence", "reindex"]


def aliases(packs, count=1000):
    """As many aliases as a grown installation has: words that differ, words in common, one or two parameters."""
    files = {}
    for n in range(count):
        name = f"{VERBS[n % len(VERBS)]}_{n}"
        files[f"aliases/{name}.yaml"] = (
            f"name: {name}\ndescription: Command {n}.\naction_ref: core.noop\nformats:\n"
            f'  - "{VERBS[n % len(VERBS)]} service{n} on {{{{ host }}}} {{{{ env=prod }}}}"\n'
            f"ack:\n  format: on it\n  append_url: false\nresult:\n  enabled: false\n"
        )
    write_pack(packs, "crowd", files)


def line(n):
    return f"!{VERBS[n % len(VERBS)]} service{n} on web{n % 97}"


def workflows(packs):
    files = {}
    for tasks in (10, 40):
        files |= mistral(tasks) | chain(tasks) | orquesta(tasks)
    write_pack(packs, "steps", files)


def mistral(count):
    text = "version: '2.0'\n" + f"steps.mistral{count}:\n  type: direct\n  tasks:\n"
    for n in range(count):
        follows = f"      on-success:\n        - t{n + 1}\n" if n + 1 < count else ""
        text += f"    t{n}:\n      action: core.noop\n" + follows
    return workflow(f"mistral{count}", "mistral-v2", text)


def orquesta(count):
    text = "version: 1.0\ntasks:\n"
    for n in range(count):
        follows = f"    next:\n      - do: t{n + 1}\n" if n + 1 < count else ""
        text += f"  t{n}:\n    action: core.noop\n" + follows
    return workflow(f"orquesta{count}", "orquesta", text)


def chain(count):
    text = "chain:\n"
    for n in range(count):
        follows = f"    on-success: t{n + 1}\n" if n + 1 < count else ""
        text += f"  - name: t{n}\n    ref: core.noop\n" + follows
    return workflow(f"chain{count}", "action-chain", text + "default: t0\n")


def workflow(name, runner, definition):
    action = f"name: {name}\nrunner_type: {runner}\nenabled: true\nentry_point: workflows/{name}.yaml\n"
    return {f"actions/{name}.yaml": action, f"actions/workflows/{name}.yaml": definition}


# ---- many requests at once -----------------------------------------------------------------------------------------


def complete(answer):
    """Whether all of an HTTP answer is there."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    at = answer.find(b"content-length: ") + 16
    return len(answer) >= head + 4 + int(answer[at : answer.index(b"\r", at)])


def post_many(address, request, count, connections, ready, go, done):
    """Posts the same request `count` times over keep-alive connections, each as soon as its last one was answered."""
    channels = [socket.create_connection(address) for _ in range(connections)]
    selector = selectors.EpollSelector()
    for channel in channels:
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(channel, selectors.EVENT_READ)
    halves, refused, answered = {}, 0, 0
    ready.release()
    go.wait()
    sent = min(count, connections)
    for channel in channels[:sent]:
        channel.sendall(request)
    while answered < count:
        events = selector.select(PATIENCE)
        if not events:
            break
        for key, _ in events:
            channel = key.fileobj
            answer = halves.pop(channel, b"") + channel.recv(65536)
            if not complete(answer):
                halves[channel] = answer
                continue
            answered += 1
            refused += not answer.startswith(b"HTTP/1.1 201")
            if sent < count:
                sent += 1
                channel.sendall(request)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    done.put((answered - refused, usage.ru_utime + usage.ru_stime))


def flood(server, body, count, connections, processes=2):
    """Seconds, accepted requests, processor seconds of the clients and of the server."""
    text = json.dumps(body)
    request = (
        f"POST /api/v1/executions HTTP/1.1\r\nHost: {server.address[0]}\r\nX-Auth-Token: {server.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
    ).encode()
    context = multiprocessing.get_context("fork")
    ready, go, done = context.Semaphore(0), context.Event(), context.Queue()
    share = (server.address, request, count // processes, connections // processes, ready, go, done)
    workers = [context.Process(target=post_many, args=share) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.acquire()
    before, began = server.cpu(), time.perf_counter()
    go.set()
    results = [done.get(timeout=PATIENCE) for _ in workers]
    took = time.perf_counter() - began
    for worker in workers:
        worker.join()
    accepted = sum(accepted for accepted, _ in results)
    if accepted < count // processes * processes:
        raise Failed(f"{accepted} of {count} requests were accepted")
    return took, accepted, sum(cpu for _, cpu in results), server.cpu() - before


# ---- the measures --------------------------------------------------------------------------------------------------


def share(times, part):
    times = sorted(times)
    return times[min(len(times) - 1, int(len(times) * part))]


class Table:
    """Rows as they come: what, target, result, verdict."""

    def __init__(self):
        self.rows = []

    def add(self, what, result, unit, most=None, least=None, note=""):
        verdict, target = "", ""
        if most is not None:
            target, verdict = f"≤ {most:g} {unit}", "reached" if result <= most else "missed"
        if least is not None:
            target, verdict = f"≥ {least:,} {unit}", "reached" if result >= least else "missed"
        number = f"{result:,.0f}" if result >= 100 else f"{result:.3g}" if result < 10 else f"{result:.1f}"
        self.rows.append((what, target, f"{number} {unit}", verdict, note))

    def failed(self, what, why):
        self.rows.append((what, "", "", "not measured", str(why)))

    def print(self):
        rows = [("measure", "target", "result", "verdict", "")] + self.rows
        widths = [max(len(row[n]) for row in rows) for n in range(4)]
        rows.insert(1, tuple("─" * width for width in widths) + ("",))
        for row in rows:
            cells = [cell.rjust(width) if n in (1, 2) else cell.ljust(width) for n, (cell, width) in enumerate(zip(row, widths))]
            print("  ".join(cells + [row[4]]).rstrip())


def start_and_memory(bench):
    firsts, logins, used, memory = [], [], [], []
    for _ in range(bench.pick(5, 1)):
        with Server(bench.squall, bench.home) as server:
            up = time.perf_counter()
            server.log_in()
            logins.append(time.perf_counter() - up)
            server.run("core.noop")
            firsts.append(time.perf_counter() - server.began)
            used.append(server.cpu())
        with Server(bench.squall, bench.home) as server:
            time.sleep(bench.pick(2, 0.2))
            memory.append(server.memory())
    note = f"of it log-in {share(logins, 0.5) * 1e3:.0f} ms; CPU of the server {share(used, 0.5) * 1e3:.0f} ms"
    bench.table.add("start to first finished execution", share(firsts, 0.5) * 1e3, "ms", most=200, note=note)
    bench.table.add("idle resident memory, all services", share(memory, 0.5) / 1e6, "MB", most=40)


def chat(bench):
    dice, count, warm = random.Random(7), bench.pick(2000, 50), bench.pick(200, 10)
    with Server(bench.squall, bench.home, aliases) as server:
        used = server.cpu()
        lines = [line(dice.randrange(1000)) for _ in range(warm + count)]
        times = list(say_all(server, lines))[warm:]
        used = server.cpu() - used
        server.log_in()
        server.until(warm + count, action="core.noop", status="succeeded")
    note = f"{count} lines, one after the other; CPU of the server {used * 1e3 / (warm + count):.2f} ms each"
    bench.table.add("chat line to acknowledgement, 1,000 aliases, p50", share(times, 0.5) * 1e3, "ms", most=5, note=note)
    bench.table.add("chat line to acknowledgement, 1,000 aliases, p99", share(times, 0.99) * 1e3, "ms", most=20, note=note)


def executions(bench):
    body, count = {"action": "core.noop", "parameters": {}}, bench.pick(40000, 400)
    with Server(bench.squall, bench.home) as server:
        server.log_in()
        flood(server, body, count // 20, 64)
        for connections in (64, 256):
            took, accepted, clients, used = flood(server, body, count, connections)
            each = 1e6 / accepted
            note = f"CPU each: server {used * each:.0f} µs, clients {clients * each:.0f} µs ({clients / (clients + used):.0%} of both)"
            what = f"durable core.noop over HTTP, {connections} connections"
            bench.table.add(what, accepted / took, "/s", least=5000, note=note)
        server.until(count // 20 + 2 * count, status="succeeded")


def conversations(bench):
    count, warm = bench.pick(2000, 20), bench.pick(20, 2)
    with Server(bench.squall, bench.home) as server:
        server.log_in()
        # What the first conversations load stays loaded and is not theirs.
        list(say_all(server, [f"!drain warm{n}" for n in range(warm)]))
        time.sleep(bench.pick(1, 0))
        before = server.memory()
        took = sum(say_all(server, [f"!drain host{n}" for n in range(count)]))
        waiting = server.count(action="examples.drain", status="running") - warm
        after = server.memory()
    note = f"{waiting} wait at once, asked in {took:.1f} s; {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB with them"
    if waiting < count:
        raise Failed(f"only {waiting} of {count} conversations still wait after {took:.1f} s")
    bench.table.add("memory of a waiting conversation", (after - before) / count / 1e3, "kB", most=20, note=note)


def actions(bench):
    with Server(bench.squall, bench.home, workflows) as server:
        server.log_in()
        rounds = bench.pick(300, 10)
        for what, action, parameters, most in [
            ("core.noop, request to result, p50", "core.noop", {}, None),
            ("process (core.local true), request to result, p50", "core.local", {"cmd": "true"}, None),
            ("workflow of 10 tasks, Mistral, request to result, p50", "steps.mistral10", {}, 20),
            ("workflow of 10 tasks, Orquesta, request to result, p50", "steps.orquesta10", {}, 20),
            ("workflow of 10 tasks, action chain, request to result, p50", "steps.chain10", {}, 20),
        ]:
            times = [server.run(action, **parameters) for _ in range(rounds)]
            note = f"p99 {share(times, 0.99) * 1e3:.2f} ms"
            bench.table.add(what, share(times, 0.5) * 1e3, "ms", most=most, note=note)
        processes(bench, server)


def processes(bench, server):
    """Many processes at once: what the machine is left to do between them."""
    count = bench.pick(1000, 20)
    before = server.count(action="core.local", status="succeeded")
    began = time.perf_counter()
    flood(server, {"action": "core.local", "parameters": {"cmd": "true"}}, count, min(64, count))
    server.until(before + count, action="core.local", status="succeeded")
    bench.table.add("processes (core.local true) in a row", count / (time.perf_counter() - began), "/s")


def workflow_tasks(bench):
    names = {"mistral": "Mistral", "orquesta": "Orquesta", "chain": "action chain"}
    for language in names:
        with Server(bench.squall, bench.home, workflows) as server:
            server.log_in()
            body = {"action": f"steps.{language}40", "parameters": {}}
            flood(server, body, 2, 2)
            count, at_once = bench.pick(500, 10), bench.pick(50, 10)
            began, used = time.perf_counter(), server.cpu()
            flood(server, body, count, at_once)
            server.until(count + 2, action=f"steps.{language}40", status="succeeded")
            took, used = time.perf_counter() - began, server.cpu() - used
            note = f"{at_once} workflows of 40 at once; CPU of the server {used * 1e6 / count / 40:.0f} µs a task"
            what = f"durable workflow tasks, {names[language]}"
            bench.table.add(what, count * 40 / took, "/s", least=2000, note=note)


MEASURES = [start_and_memory, chat, executions, conversations, actions, workflow_tasks]


class Bench:
    """What the measures share."""

    def __init__(self, squall, home, quick):
        self.squall, self.home, self.quick, self.table = squall, home, quick, Table()

    def pick(self, usual, quick):
        return quick if self.quick else usual


# ---- the machine ---------------------------------------------------------------------------------------------------


def sync_time(home):
    """Milliseconds that the disk takes to keep 4 KiB: what every commit waits for."""
    times = []
    with tempfile.TemporaryFile(dir=home) as file:
        for _ in range(50):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return share(times, 0.5) * 1e3


def header(squall, home):
    version = subprocess.run([squall, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    load = " ".join(f"{n:.2f}" for n in os.getloadavg())
    print(f"{version}; {os.cpu_count()} processors, load average {load}; fdatasync of 4 KiB takes {sync_time(home):.2f} ms")


def main():
    parser = argparse.ArgumentParser(description="The measures of squall, as a table.")
    parser.add_argument("squall", help="the program")
    parser.add_argument("--quick", action="store_true", help="small counts: only see that everything can be measured")
    parser.add_argument("--dir", help="where the data directories are made")
    parser.add_argument("--only", metavar="NAME", help="one of: " + ", ".join(m.__name__ for m in MEASURES))
    args = parser.parse_args()
    squall = str(Path(args.squall).resolve())
    broken = False
    with tempfile.TemporaryDirectory(dir=args.dir) as home:
        bench = Bench(squall, home, args.quick)
        header(squall, home)
        for measure in MEASURES:
            if args.only and measure.__name__ != args.only:
                continue
            try:
                measure(bench)
            except (Failed, OSError, http.client.HTTPException) as error:
                broken = True
                bench.table.failed(measure.__name__.replace("_", " "), error)
        print(f"load average at the end {' '.join(f'{n:.2f}' for n in os.getloadavg())}\n")
        bench.table.print()
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
