#!/usr/bin/env python3
"""Real clients of StackStorm in front of a real squall: Hubot, Errbot and the `st2` command line.

    tests/bots.py PATH_TO_SQUALL [--only hubot|errbot|st2]… [--hubot-stackstorm DIR]

Installs the clients into target/bots on the first run (npm and pip), then plays conversations: confirmed and carried out once,
refused, silence, another person, for a pack that asks by itself and for squall's own confirmations. Everything is on loopback,
on free ports, with a data directory that is gone afterwards; conversations run side by side, each in a room of its own.

Hubot's script for StackStorm is not in the npm registry, so one of our own does its work here (`bots/hubot/scripts`). With
`--hubot-stackstorm` a checkout of the original takes its place.
"""

import argparse
import base64
import concurrent.futures
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / "target/bots"
SEED = HERE.parent / "crates/cli/tests/packs/st2chat_confirm"
NPM = ["hubot@11.6.0", "hubot-help@2.1.5", "st2client@1.2.6"]
PYTHON = {"errbot": ["errbot==6.2.1", "err-stackstorm==2.3.2"], "st2": ["st2client==3.9.0"]}
# Whatever waits longer than this has failed; on an idle machine nothing here takes a tenth of it, but the seed's own 30 seconds.
PATIENCE = 90
INSTALLING = 200

# Commands by which the conversations are held. `wipe` and its like leave a line in a file, so that it is seen whether and how
# often they ran.
PACK = {
    "pack.yaml": "name: danger\ndescription: Leaves traces.\nversion: 1.0.0\nauthor: squall\n",
    "actions/hello.yaml": "name: hello\nrunner_type: local-shell-cmd\nparameters:\n"
    "  who: {type: string, required: true}\n  cmd: {immutable: true, default: 'echo Hello, {{ who }}!'}\n",
    "actions/wipe.yaml": "name: wipe\nrunner_type: local-shell-cmd\nconfirm: {timeout: 30m}\nparameters:\n"
    "  what: {type: string, required: true}\n  cmd: {immutable: true, default: 'echo \"{{ what }}\" >> EFFECT'}\n",
    "actions/drop.yaml": "name: drop\nrunner_type: local-shell-cmd\nparameters:\n"
    "  what: {type: string, required: true}\n  cmd: {immutable: true, default: 'echo \"{{ what }}\" >> EFFECT'}\n",
    "actions/fail.yaml": "name: fail\nrunner_type: local-shell-cmd\nparameters:\n  cmd: {immutable: true, default: 'exit 3'}\n",
    "actions/ask.yaml": "name: ask\nrunner_type: orquesta\nentry_point: workflows/ask.yaml\nparameters:\n"
    "  what: {type: string, required: true}\n",
    "actions/workflows/ask.yaml": "version: 1.0\ninput: [what]\ntasks:\n"
    "  sure: {action: squall.confirm, input: {message: 'Shall <% ctx(what) %> go?', timeout: 30m}, next: [{when: '<% succeeded() %>', do: go}]}\n"
    "  go: {action: danger.drop, input: {what: <% ctx(what) %>}}\n",
    "aliases/hello.yaml": "name: hello\naction_ref: danger.hello\ndescription: Greet.\nformats: ['hello {{ who }}']\n"
    "ack: {format: 'Greeting {{ execution.parameters.who }}', append_url: false}\n"
    "result: {format: '{{ execution.result.stdout }}'}\n",
    "aliases/wipe.yaml": "name: wipe\naction_ref: danger.wipe\ndescription: Wipe it.\nformats: ['wipe {{ what }}']\n"
    "result: {format: 'wiped {{ execution.parameters.what }}'}\n",
    "aliases/quietly.yaml": "name: quietly\naction_ref: danger.wipe\ndescription: Wipe it.\nformats: ['quietly {{ what }}']\n"
    "ack: {enabled: false}\nresult: {enabled: false}\n",
    "aliases/purge.yaml": "name: purge\naction_ref: danger.drop\ndescription: Purge it.\nformats: ['purge {{ what }}']\n"
    "extra: {squall: {confirm: {timeout: 10s}}}\n",
    "aliases/drop.yaml": "name: drop\naction_ref: danger.drop\ndescription: Drop it.\nformats: ['drop {{ what }}']\n"
    "extra: {squall: {confirm: {by: 'role:sre', timeout: 30m}}}\nresult: {format: 'dropped {{ execution.parameters.what }}'}\n",
    "aliases/fail.yaml": "name: fail\naction_ref: danger.fail\ndescription: Fail.\nformats: ['fail']\n",
    "aliases/ask.yaml": "name: ask\naction_ref: danger.ask\ndescription: Ask on the way.\nformats: ['ask about {{ what }}']\n"
    "result: {format: 'asked about {{ execution.parameters.what }}: {{ execution.status }}'}\n",
}

CODE = re.compile(r"confirm ([2-9A-Z]{3}-[2-9A-Z]{3})")
ID = re.compile(r"[0-9a-f]{24}")


class Failed(Exception):
    """Something was not as it is to be."""


def check(truth, what):
    if not truth:
        raise Failed(what)


def wait(what, look, patience=PATIENCE):
    """Looks until there is something to see."""
    until = time.monotonic() + patience
    while True:
        seen = look()
        if seen:
            return seen
        check(time.monotonic() < until, f"never saw {what() if callable(what) else what}")
        time.sleep(0.02)


# ---- the clients ---------------------------------------------------------------------------------------------------


def run(command, patience, **options):
    """Runs a command to its end; what it printed is only shown when it failed."""
    done = subprocess.run(
        [str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=patience, **options
    )
    check(done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    return done.stdout


def installed(name, packages, install):
    """Installs once: a note says what is there."""
    home = CACHE / name
    note = home / "installed"
    wanted = " ".join(map(str, packages))
    if note.exists() and note.read_text() == wanted:
        return home
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    install(home)
    note.write_text(wanted)
    return home


def install_hubot(original):
    packages = [*NPM, original] if original else NPM

    def install(home):
        (home / "package.json").write_text('{"private": true}')
        flags = ["--no-audit", "--no-fund", "--no-package-lock", "--no-update-notifier", "--loglevel=error", "--install-links"]
        run(["npm", "install", *flags, *packages], INSTALLING, cwd=home)

    home = installed("hubot-original" if original else "hubot", packages, install)
    # Beside node_modules, where their imports are looked for.
    shutil.copy(HERE / "bots/hubot/lines.mjs", home)
    shutil.copytree(HERE / "bots/hubot/scripts", home / "scripts", dirs_exist_ok=True)
    return home


def install_python(name):
    def install(home):
        run([sys.executable, "-m", "venv", home / "venv"], INSTALLING)
        pip = [home / "venv/bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
        run([*pip, "install", *PYTHON[name]], INSTALLING)

    return installed(name, PYTHON[name], install)


# ---- squall --------------------------------------------------------------------------------------------------------


class Server:
    """A server on a data directory of its own, with an account for the bot."""

    def __init__(self, squall, home, *flags):
        self.squall, self.home = squall, home
        self.data, self.effect = home / "data", home / "effect"
        shutil.copytree(SEED, self.data / "packs/st2chat_confirm")
        for path, text in PACK.items():
            path = self.data / "packs/danger" / path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("EFFECT", str(self.effect)))
        command = [squall, "up", "--quiet", "--data", self.data, "--listen", "127.0.0.1:0", "--drain", "1", *flags]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(home / "log", "wb"))
        self.endpoints = wait(self.log, self.is_up)
        self.admin = self.token("admin")
        self.cli("user", "create", "bot", "--role", "operator", "--password", "password-of-bot")
        self.cli("user", "create", "alice", "--role", "operator")
        self.cli("user", "create", "carol", "--role", "operator", "--roles", "sre")
        self.key = self.api("POST", "/v1/apikeys", {"user": "bot"}, self.admin)["key"]

    def is_up(self):
        check(self.process.poll() is None, self.log())
        path = self.data / "endpoints.json"
        return path.exists() and json.loads(path.read_text())

    def log(self):
        return "the server's answer; it said:\n" + (self.home / "log").read_text()

    def token(self, user):
        return self.cli("token", "--user", user).strip()

    def cli(self, *words, token=None):
        environment = {**os.environ, "SQUALL_DATA": str(self.data)}
        environment.pop("ST2_AUTH_TOKEN", None)
        if token:
            environment["ST2_AUTH_TOKEN"] = token
        return run([self.squall, *words], PATIENCE, env=environment, stdin=subprocess.DEVNULL)

    def api(self, method, path, body=None, token=None):
        request = urllib.request.Request(self.endpoints["api"] + path, method=method)
        request.add_header("X-Auth-Token", token or self.admin)
        if body is not None:
            request.add_header("Content-Type", "application/json")
            request.data = json.dumps(body).encode()
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def ended(self, execution):
        final = ("succeeded", "failed", "timeout", "canceled", "abandoned")

        def look():
            found = self.api("GET", f"/v1/executions/{execution}")
            return found if found["status"] in final else None

        return wait(f"the end of {execution}", look)

    def effects(self, what):
        """How often something was done."""
        lines = self.effect.read_text().splitlines() if self.effect.exists() else []
        return lines.count(what)

    def stop(self):
        stop(self.process)


def stop(process):
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ---- bots ----------------------------------------------------------------------------------------------------------


class Bot:
    """A bot on a chat network of lines. Everything that it says is kept, room by room."""

    # What stands before a command.
    prefix = "!"

    def __init__(self, home, command, environment):
        self.home = home
        self.said, self.other = [], []
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [str(word) for word in command],
            cwd=home,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            try:
                said = json.loads(line)["said"]
            except (ValueError, KeyError, TypeError):
                self.other.append(line.rstrip())
                continue
            with self.lock:
                self.said.append((said["room"], said["text"]))

    def type(self, user, room, text):
        with self.lock:
            self.process.stdin.write(json.dumps({"user": user, "room": room, "text": text}) + "\n")
            self.process.stdin.flush()

    def is_ready(self, server):
        """Waits until a result comes back: it has logged in, and listens."""
        room = Room(self, server, "#warming-up")

        def look():
            check(self.process.poll() is None, f"the bot ended with {self.process.poll()}:\n{self.story()}")
            room.say("hello bot")
            until = time.monotonic() + 2
            while time.monotonic() < until:
                if room.count("Hello, bot!"):
                    return True
                time.sleep(0.02)
            return False

        wait(lambda: f"a result in\n{self.story()}", look)

    def story(self):
        rooms = [f"{room}: {text}" for room, text in list(self.said)]
        return "\n".join([*rooms, "it printed:", *self.other[-40:]])

    def stop(self):
        self.process.stdin.close()
        stop(self.process)
        self.reader.join(10)
        self.process.stdout.close()


class Hubot(Bot):
    """Hubot with an API key."""

    def __init__(self, install, server, home, original):
        scripts = ["hubot-help", *(["hubot-stackstorm"] if original else [])]
        (home / "external-scripts.json").write_text(json.dumps(scripts))
        own = [] if original else ["--require", install / "scripts"]
        command = ["node", install / "node_modules/hubot/bin/Hubot.mjs", "--file", install / "lines.mjs", *own]
        environment = {
            "HUBOT_NAME": "hubot",
            "HUBOT_ALIAS": "!",
            "HUBOT_HTTPD": "false",
            "ST2_API_URL": server.endpoints["api"] + "/api",
            "ST2_AUTH_URL": server.endpoints["auth"],
            "ST2_STREAM_URL": server.endpoints["stream"],
            "ST2_API_KEY": server.key,
        }
        super().__init__(home, command, environment)
        self.is_ready(server)


class Errbot(Bot):
    """Errbot with a user and a password."""

    def __init__(self, install, server, home):
        site = next((install / "venv/lib").glob("python*/site-packages"))
        config = {
            "BACKEND": "Lines",
            "BOT_EXTRA_BACKEND_DIR": str(HERE / "bots/errbot"),
            "BOT_EXTRA_PLUGIN_DIR": str(site / "err-stackstorm"),
            "BOT_DATA_DIR": str(home),
            "BOT_LOG_FILE": None,
            "BOT_LOG_LEVEL": 20,
            "BOT_ADMINS": ("@root",),
            "BOT_PREFIX": "!",
            "CORE_PLUGINS": ("Help",),
            "STACKSTORM": {
                "auth_url": server.endpoints["auth"] + "/v1",
                "api_url": server.endpoints["api"] + "/api/v1",
                "stream_url": server.endpoints["stream"] + "/v1",
                "api_auth": {"user": {"name": "bot", "password": "password-of-bot"}},
                "route_key": "chatops",
                "plugin_prefix": "",
            },
        }
        (home / "config.py").write_text("".join(f"{name} = {value!r}\n" for name, value in config.items()))
        super().__init__(home, [install / "venv/bin/errbot", "-c", home / "config.py"], {"PYTHONUNBUFFERED": "1"})
        self.is_ready(server)


class Room:
    """Somebody in a room, as they see it. What was heard is passed by: the next look is for something newer."""

    def __init__(self, bot, server, name):
        self.bot, self.server, self.name, self.at = bot, server, name, 0

    def say(self, text, user="alice", room=None):
        self.bot.type(user, room or self.name, self.bot.prefix + text)

    def texts(self):
        with self.bot.lock:
            return [text for room, text in self.bot.said if room == self.name]

    def hears(self, *parts, patience=PATIENCE):
        """The next message that holds all of these."""

        def look():
            for at, text in enumerate(self.texts()[self.at :]):
                if all(part in text for part in parts):
                    self.at += at + 1
                    return text
            return None

        return wait(lambda: f"{parts} in {self.name}, only\n{self.bot.story()}", look, patience)

    def count(self, part):
        return sum(part in text for text in self.texts())

    def asks(self, text):
        """Types something that must be confirmed; answers its code."""
        self.say(text)
        question = self.hears("please confirm")
        found = CODE.search(question)
        check(found, f"no code in {question!r}")
        return found[1]


# ---- conversations -------------------------------------------------------------------------------------------------


def plain_command(room):
    room.say("hello Ada")
    room.hears("Greeting Ada")
    room.hears("Hello, Ada!")
    room.say("fail")
    room.hears("Action danger.fail completed.", "status : failed")


def seed_confirmed(room):
    room.say("do_something with web1,web2 x")
    question = room.hears("Please, confirm by issuing")
    execution = ID.search(question)[0]
    # Twenty-four digits are no code of squall: they reach the alias of the pack.
    room.say(f" confirm {execution}")
    room.hears("Confirming action!")
    room.hears("The action is confirmed. Proceeding...")
    room.hears(f"Execution ID {execution} complete.")
    check(room.server.ended(execution)["status"] == "succeeded", "the workflow succeeded")
    check(room.count("Proceeding") == 1, "it went on once")


def seed_silence(room):
    room.say("do_something with web3 x")
    execution = ID.search(room.hears("Please, confirm by issuing"))[0]
    room.hears("I have not received confirmation")
    room.hears(f"Execution ID {execution} complete.")
    check(room.count("Proceeding") == 0, "nothing was done")


def confirmed_once(room):
    code = room.asks("wipe db1")
    room.say(f"confirm {code}", user="bob")
    room.hears("cannot prove who you are", code)
    room.say(f"deny {code}", user="bob")
    room.hears("cannot prove who you are", code)
    room.say("deny K7Q-4M8")
    room.hears("I do not know the code")
    check(room.server.effects("db1") == 0, "nothing was done yet")
    room.say(f"show {code}")
    room.hears("danger.wipe", "db1")
    # As people type on phones.
    room.say(f"Confirm {code.replace('-', '').lower()} all right")
    started = room.hears("▶ Confirmed by", "danger.wipe")
    room.hears("wiped db1")
    check(room.server.ended(ID.search(started)[0])["status"] == "succeeded", "it succeeded")
    room.say(f"confirm {code}")
    room.hears("already finished")
    check(room.server.effects("db1") == 1, "it was done once")
    check(room.count("wiped db1") == 1 and room.count("Confirmed by") == 1, f"said once:\n{room.texts()}")


def denied(room):
    code = room.asks("wipe db2")
    room.say(f"deny {code} wrong host")
    room.hears("withdrew", "danger.wipe was not run")
    room.say(f"confirm {code}")
    room.hears("already finished")
    check(room.server.effects("db2") == 0, "nothing was done")


def silence(room):
    code = room.asks("purge db3")
    room.hears(f"No confirmation for {code}", "danger.drop was not run", "Ask again: !purge db3")
    room.say(f"confirm {code}")
    room.hears(code)
    check(room.server.effects("db3") == 0, "nothing was done")
    check(room.count("completed.") == 0, f"no result of what never ran:\n{room.texts()}")


def another_room(room):
    code = room.asks("wipe db4")
    other = Room(room.bot, room.server, room.name + "-else")
    other.say(f"confirm {code}")
    other.hears("cannot prove who you are")
    check(room.server.effects("db4") == 0, "nothing was done")
    room.say(f"withdraw {code}")
    room.hears("withdrew")


def without_acknowledgement(room):
    code = room.asks("quietly db5")
    room.say(f"confirm {code}")
    room.hears("▶ Confirmed by")
    wait("its effect", lambda: room.server.effects("db5") == 1)
    check(room.count("please confirm") == 1, "asked once")


def by_somebody_else(room):
    room.say("drop db6")
    code = CODE.search(room.hears("danger.drop", "db6"))[1]
    room.say(f"confirm {code}")
    room.hears("cannot prove who you are")
    room.server.cli("confirm", code, token=room.server.token("carol"))
    room.hears("▶ Confirmed by", "carol")
    room.hears("dropped db6")
    check(room.server.effects("db6") == 1, "it was done once")


def on_the_way(room):
    room.say("ask about db7")
    code = CODE.search(room.hears("Shall db7 go?"))[1]
    check(room.server.effects("db7") == 0, "nothing was done")
    room.say(f"confirm {code}")
    room.hears("asked about db7: succeeded")
    check(room.server.effects("db7") == 1, "it was done once")


def help_of_hubot(room):
    room.say("help")
    text = room.hears("confirm <code>")
    for shown in ("wipe {{ what }} - Wipe it.", "pending - ", "deny <code>", "do_something with <hostlist>"):
        check(shown in text, f"{shown} in {text}")


def help_of_errbot(room):
    # Errbot has a `help` of its own.
    room.say("st2-help --pack squall")
    room.hears("!confirm <code>")
    room.say("st2-help --filter wipe")
    room.hears("!wipe {{ what }} - Wipe it.")


def not_trusted(room):
    """A bot whose word does not count: people answer by accounts that the names in its requests were linked to before."""
    room.say("wipe db8")
    told = room.hears("cannot be answered through this bot", "nothing has been started")
    check(not CODE.search(told), f"a code in {told}")
    alice = room.server.token("alice")
    [open_one] = json.loads(room.server.cli("confirmations", "--answerable", "--json", token=alice))
    code = open_one["code"]
    room.say(f"confirm {code}")
    room.hears("cannot prove who you are")
    check(room.server.effects("db8") == 0, "nothing was done")
    room.server.cli("confirm", code, token=alice)
    room.hears("▶ Confirmed by")
    room.hears("wiped db8")
    check(room.server.effects("db8") == 1, "it was done once")


CONVERSATIONS = [
    plain_command,
    seed_confirmed,
    seed_silence,
    confirmed_once,
    denied,
    silence,
    another_room,
    without_acknowledgement,
    by_somebody_else,
    on_the_way,
]


# ---- the command line ----------------------------------------------------------------------------------------------


class St2:
    """The original `st2`."""

    def __init__(self, install, server, home):
        self.program, self.server = install / "venv/bin/st2", server
        self.environment = {
            **os.environ,
            "HOME": str(home),
            "ST2_API_URL": server.endpoints["api"] + "/api/v1",
            "ST2_AUTH_URL": server.endpoints["auth"] + "/v1",
            "ST2_STREAM_URL": server.endpoints["stream"] + "/v1",
            "ST2_AUTH_TOKEN": server.token("carol"),
        }

    def __call__(self, *words):
        return run([self.program, *words], PATIENCE, env=self.environment, stdin=subprocess.DEVNULL)

    def json(self, *words):
        text = self(*words, "-j")
        try:
            return json.loads(text)
        except ValueError:
            raise Failed(f"{words} printed {text}") from None

    def held(self, what):
        """Runs something that must be confirmed; answers its id. It comes back at once, with success."""
        shown = self.json("run", "danger.wipe", f"what={what}")
        check(shown["status"] == "pending", shown)
        return shown["id"]


def st2_pending(st2):
    execution = st2.held("cli1")
    check("pending" in st2("execution", "get", execution), "`execution get` says so")
    check(execution in st2("execution", "list"), "it is listed")
    check(st2.server.effects("cli1") == 0, "nothing was done")


def st2_inquiry_grants(st2):
    execution = st2.held("cli2")
    shown = st2.json("inquiry", "get", execution)
    check("confirm" in shown["schema"]["properties"], shown)
    st2("inquiry", "respond", "-r", '{"confirm": true, "reason": "by the command line"}', execution)
    check(st2.server.ended(execution)["status"] == "succeeded", "it succeeded")
    check(st2.server.effects("cli2") == 1, "it was done once")


def st2_inquiry_refuses(st2):
    execution = st2.held("cli3")
    st2("inquiry", "respond", "-r", '{"confirm": false}', execution)
    check(st2.server.ended(execution)["status"] != "succeeded", "it did not succeed")
    check(st2.server.effects("cli3") == 0, "nothing was done")


def st2_asks(st2):
    """An inquiry as StackStorm has them: listed, shown, answered."""
    schema = {"type": "object", "properties": {"colour": {"type": "string"}}}
    asked = st2.json("run", "core.ask", f"schema={json.dumps(schema)}")
    check(asked["status"] == "pending", asked)
    execution = asked["id"]
    listed = st2.json("inquiry", "list")
    check(any(one["id"] == execution for one in listed), listed)
    st2("inquiry", "respond", "-r", '{"colour": "green"}', execution)
    ended = st2.server.ended(execution)
    check(ended["status"] == "succeeded" and ended["result"]["response"] == {"colour": "green"}, ended)


def st2_cancel_withdraws(st2):
    execution = st2.held("cli4")
    st2("execution", "cancel", execution)
    check(st2.server.ended(execution)["status"] == "canceled", "it is canceled")
    records = st2.server.api("GET", "/v1/confirmations?state=withdrawn")
    check(any(execution in json.dumps(record) for record in records), "its confirmation is withdrawn")
    check(st2.server.effects("cli4") == 0, "nothing was done")


def st2_alias(st2):
    out = st2("action-alias", "execute", "hello Grace")
    check(st2.server.ended(ID.search(out)[0])["result"]["stdout"] == "Hello, Grace!", out)
    [matched] = st2.json("action-alias", "match", "hello Grace")
    check(matched["name"] == "hello", matched)


ON_THE_COMMAND_LINE = [st2_pending, st2_inquiry_grants, st2_inquiry_refuses, st2_asks, st2_cancel_withdraws, st2_alias]


# ---- all together --------------------------------------------------------------------------------------------------


class Play:
    """Everything that was started, and how it went."""

    def __init__(self, squall, home):
        self.squall, self.home = squall, home
        self.started, self.failures, self.passed = [], [], 0
        self.pool = concurrent.futures.ThreadPoolExecutor(64)
        self.lock = threading.Lock()

    def home_of(self, name):
        home = self.home / name
        home.mkdir()
        return home

    def start(self, make, *arguments):
        made = make(*arguments)
        with self.lock:
            self.started.append(made)
        return made

    def part(self, name, make):
        """Everything with one client. What fails before anybody talks counts as a conversation that failed."""
        try:
            make()
        except Exception as failure:
            self.failed(name, failure)

    def conversation(self, title, scene, *arguments):
        began = time.monotonic()
        try:
            scene(*arguments)
            with self.lock:
                self.passed += 1
                print(f"  ok    {title} ({time.monotonic() - began:.1f} s)", flush=True)
        except Exception as failure:  # the others go on; all that failed are told
            self.failed(title, failure)

    def failed(self, title, failure):
        text = str(failure) if isinstance(failure, Failed) else "".join(traceback.format_exception(failure))
        with self.lock:
            self.failures.append(title)
            print(f"  FAIL  {title}: {text}", flush=True)

    def together(self, jobs):
        for done in [self.pool.submit(self.conversation, *job) for job in jobs]:
            done.result()

    def hubot(self, original):
        install = install_hubot(original)
        trusting = self.start(Server, self.squall, self.home_of("trusting"), "--trust-legacy-bots")
        bot = self.start(Hubot, install, trusting, self.home_of("hubot"), original)
        doubting = self.start(Server, self.squall, self.home_of("doubting"))
        doubting.cli("link", "bot:hubot:alice", "alice")
        doubted = self.start(Hubot, install, doubting, self.home_of("hubot-doubted"), original)
        scenes = [(bot, trusting, scene) for scene in [*CONVERSATIONS, help_of_hubot]] + [(doubted, doubting, not_trusted)]
        self.talk("hubot", scenes)

    def errbot(self):
        install = install_python("errbot")
        server = self.start(Server, self.squall, self.home_of("server-of-errbot"), "--trust-legacy-bots")
        bot = self.start(Errbot, install, server, self.home_of("errbot"))
        self.talk("errbot", [(bot, server, scene) for scene in [*CONVERSATIONS, help_of_errbot]])

    def talk(self, name, scenes):
        room = lambda bot, server, scene: Room(bot, server, "#" + scene.__name__.replace("_", "-"))
        self.together([(f"{name}: {s.__name__}", s, room(bot, server, s)) for bot, server, s in scenes])

    def st2(self):
        install = install_python("st2")
        server = self.start(Server, self.squall, self.home_of("server-of-st2"))
        st2 = St2(install, server, self.home_of("st2"))
        self.together([(f"st2: {scene.__name__}", scene, st2) for scene in ON_THE_COMMAND_LINE])

    def end(self):
        # Those who were started last go first.
        for one in reversed(self.started):
            one.stop()
        self.pool.shutdown()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("squall", type=Path)
    options.add_argument("--only", action="append", choices=["hubot", "errbot", "st2"])
    options.add_argument("--hubot-stackstorm", type=Path, metavar="DIR", help="a checkout of Hubot's original script")
    options = options.parse_args()
    only = options.only or ["hubot", "errbot", "st2"]
    original = options.hubot_stackstorm and options.hubot_stackstorm.resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="squall-bots-") as home:
        play = Play(options.squall.resolve(), Path(home))
        parts = {"hubot": lambda: play.hubot(original), "errbot": play.errbot, "st2": play.st2}
        try:
            threads = [threading.Thread(target=play.part, args=(name, parts[name])) for name in only]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            play.end()
    print(f"{play.passed} conversations passed, {len(play.failures)} failed, {time.monotonic() - began:.0f} s", flush=True)
    sys.exit(1 if play.failures else 0)


if __name__ == "__main__":
    main()
