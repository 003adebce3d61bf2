"""A chat network made of lines, for tests: what people type comes as JSON on standard input, and what the bot says goes out as
JSON on standard output, one object a line. People and rooms are those of Errbot's text network: `@alice`, `#ops`.
"""

import json
import sys

from errbot.backends import text
from errbot.backends.base import ONLINE, Message, Presence


class Somebody(text.TextOccupant):
    """Somebody in a room, who has the same name in all of them."""

    def __init__(self, name, room):
        super().__init__(text.TextPerson(name), room)

    def __str__(self):
        return str(self._person)


class Lines(text.TextBackend):
    mode = "lines"

    def serve_forever(self):
        self.connect_callback()
        self.callback_presence(Presence(identifier=self.user, status=ONLINE))
        for line in sys.stdin:
            typed = json.loads(line)
            message = Message(typed["text"])
            message.to = self.query_room(typed["room"])
            message.frm = Somebody(typed["user"], message.to)
            self.callback_message(message)
        self.disconnect_callback()
        self.shutdown()

    def send_message(self, message):
        said = {"room": str(message.to), "text": message.body}
        sys.stdout.write(json.dumps({"said": said}) + "\n")
        sys.stdout.flush()
