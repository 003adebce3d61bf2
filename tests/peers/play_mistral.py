"""Plays definitions through Mistral's engine with an action that answers at once. Runs inside its virtual environment.

Reads lines `{"text": …, "count": …}` and writes for each `{"seconds": …}`: processor time of this process, all its threads,
from the request to the end. Engine, executor and notifier are Mistral's own, in one process; messages go from thread to
thread and the database is SQLite in memory, so neither a network nor a disk is in the figures.
"""

import json
import logging
import os
import sys
import time

from oslo_config import cfg

CONF = cfg.CONF
SETTINGS = [
    ("type", "local", "executor"),
    ("type", "local", "notifier"),
    ("connection", "sqlite://", "database"),
    ("max_overflow", -1, "database"),
    ("max_pool_size", 1000, "database"),
    ("only_builtin_actions", True, "legacy_action_provider"),
]
# Seconds between two looks whether a workflow has ended. They cost processor time that is not Mistral's.
PAUSE = 0.5


def start():
    """Mistral in this process; answers the client of its engine."""
    from mistral import config, context  # noqa: F401 (importing it declares the settings)
    import oslo_messaging
    from oslo_db import options
    from oslo_log import log

    log.register_options(CONF)
    CONF([], project="mistral", version="1")
    options.set_defaults(CONF)
    # The transport declares the settings that the next line changes.
    oslo_messaging.get_rpc_transport(CONF)
    CONF.set_default("transport_url", "fake:/")
    for name, value, group in SETTINGS:
        CONF.set_override(name, value, group)
    logging.disable(logging.CRITICAL)

    from mistral.db.v2 import api
    from mistral.engine import engine_server
    from mistral.rpc import clients

    api.setup_db()
    offer_action()
    who = {"user": "bench", "project_id": "<default-project>", "is_admin": True}
    context.set_ctx(context.MistralContext.from_dict(who))
    engine = engine_server.get_oslo_service(setup_profiler=False)
    engine.start()
    engine.wait_started()
    return clients.get_engine_client()


def offer_action():
    from mistral.services import actions as offered
    from mistral_lib import actions

    class Noop(actions.Action):
        """`core.noop` of the definitions, with the parameters that they give it."""

        def __init__(self, x=None, i=None):
            pass

        def run(self, context):
            return {"stdout": "ok"}

    offered.get_test_action_provider().register_python_action("core.noop", Noop)


def play(engine, case):
    """The name of the workflow of each case must be its own: definitions stay in the database."""
    from mistral.db.v2 import api
    from mistral.services import workflows

    name = f"w{time.monotonic_ns()}"
    workflows.create_workflows(case["text"].replace("bench.w:", f"{name}:", 1))
    began = time.process_time()
    run = engine.start_workflow(name)
    while True:
        with api.transaction(read_only=True):
            now = api.get_workflow_execution(run["id"])
            state, why = now.state, now.state_info
        if state == "SUCCESS":
            return time.process_time() - began
        if state not in ("IDLE", "RUNNING"):
            raise SystemExit(f"it ended as {state}: {why}")
        time.sleep(PAUSE)


def main():
    engine = start()
    for line in sys.stdin:
        print(json.dumps({"seconds": play(engine, json.loads(line))}), flush=True)
    # Its threads would keep the process.
    sys.stdout.flush()
    os._exit(0)


main()
