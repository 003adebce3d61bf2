"""Plays definitions through Orquesta's conductor with results that are there at once. Runs inside its virtual environment.

Reads lines `{"text": …, "count": …}` and writes for each `{"seconds": …}`: processor time from the first offer to the end.
The conductor is asked as StackStorm's service asks it, but kept in memory; StackStorm also writes it out and reads it back
before each step.
"""

import collections
import collections.abc
import fractions
import json
import logging
import math
import sys
import time

# Orquesta 1.2.0 is from 2020. What it imports moved or went with Python 3.9 and 3.10; nothing of its own is changed.
for name in collections.abc.__all__:
    vars(collections).setdefault(name, getattr(collections.abc, name))
vars(fractions).setdefault("gcd", math.gcd)

from orquesta import conducting, events, statuses  # noqa: E402
from orquesta.specs import loader  # noqa: E402
from orquesta.utils import parameters  # noqa: E402

# Since Python 3.11 a flag must stand in front; before, it counted for the whole pattern wherever it stood.
parameters.REGEX_INLINE_PARAMS = "(?i)" + parameters.REGEX_INLINE_PARAMS.replace("(?i)", "")

RESULT = {"stdout": "ok"}


class Play:
    """One workflow: what was offered and has not ended yet."""

    def __init__(self, text):
        specification = loader.get_spec_module("native").instantiate(text)
        self.conductor = conducting.WorkflowConductor(specification)
        self.conductor.request_workflow_status(statuses.RUNNING)
        self.pending, self.results, self.ended = collections.deque(), {}, 0

    def run(self):
        while (offers := self.conductor.get_next_tasks()) or self.pending:
            for offer in offers:
                self.take(offer)
            if self.pending:
                self.finish(*self.pending.popleft())
        self.conductor.render_workflow_output()
        return self.conductor.get_workflow_status()

    def take(self, offer):
        task = (offer["id"], offer["route"])
        if not offer.get("items_count"):
            self.conductor.update_task_state(*task, events.ActionExecutionEvent(statuses.RUNNING))
            return self.pending.append((task, None))
        self.results.setdefault(task, [None] * offer["items_count"])
        for action in offer["actions"]:
            item = action["item_id"]
            self.conductor.update_task_state(*task, events.TaskItemActionExecutionEvent(item, statuses.RUNNING))
            self.pending.append((task, item))

    def finish(self, task, item):
        self.ended += 1
        if item is None:
            event = events.ActionExecutionEvent(statuses.SUCCEEDED, result=RESULT)
        else:
            self.results[task][item] = RESULT
            event = events.TaskItemActionExecutionEvent(
                item, statuses.SUCCEEDED, result=RESULT, accumulated_result=self.results[task]
            )
        self.conductor.update_task_state(*task, event)


def main():
    logging.disable(logging.CRITICAL)
    for line in sys.stdin:
        case = json.loads(line)
        play = Play(case["text"])
        began = time.process_time()
        status = play.run()
        seconds = time.process_time() - began
        if status != statuses.SUCCEEDED or play.ended < case["count"]:
            sys.exit(f"it ended as {status} after {play.ended} actions: {play.conductor.errors[:1]}")
        print(json.dumps({"seconds": seconds}), flush=True)


main()
