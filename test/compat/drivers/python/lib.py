"""What the features need of a client library. A library that lacks a thing raises NotOffered with the reason."""

import time
from collections import namedtuple

Rec = namedtuple("Rec", "topic partition offset timestamp key value headers")


class NotOffered(Exception):
    """The client has no such API; the reason is shown in the table."""


def expect(condition, message):
    if not condition:
        raise AssertionError(message() if callable(message) else message)


def until(condition, limit, message):
    """Polls for the thing itself; the message tells what was there instead."""
    end = time.time() + limit
    while True:
        if condition():
            return
        expect(time.time() < end, message)
        time.sleep(0.02)


class Base:
    """Every method but these is a library's own; see lib_kafkapython.py for the full set."""

    knows_offsets = True  # acknowledgements carry partition and offset

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def own(self, features, feature):
        """A feature this library must be driven through in its own way, or None."""
        return None

    def same(self, sent, got):
        return sent == got

    def refusal(self, do):
        """The error's name and text, or None when there was no error."""
        try:
            do()
        except NotOffered:
            raise
        except Exception as e:
            return "%s: %s" % (type(e).__name__, e)
        return None
