# SPDX-License-Identifier: Apache-2.0
"""Waiting for events: a list that one thread fills and another one waits on."""

import os
import threading
import time

# How long a wait may take before the test fails. A right program never needs it; slow builds (sanitizers) may want more.
PATIENCE_S = float(os.environ.get('CELADON_PATIENCE_S', '30'))


class TookTooLong(AssertionError):
    """What was waited for did not happen in time."""


class Feed:
    """Things that arrive one after the other: lines of a log, requests at a server. Nothing is ever taken out."""

    def __init__(self, name):
        self.name = name
        self._items = []
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self):
        return len(self._items)

    def items(self, start=0):
        with self._changed:
            return self._items[start:]

    def append(self, item):
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()

    def close(self):
        """Nothing more will arrive."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def get(self, position, seconds=PATIENCE_S, what='more'):
        """The item at `position`, as soon as it has arrived."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) > position or self._closed, seconds)
            if len(self._items) > position:
                return self._items[position]
            why = 'it ended' if self._closed else f'not within {seconds} s'
            raise TookTooLong(f'{self.name}: waited for {what}, {why}; {len(self._items)} arrived')

    def wait_for(self, count, seconds=PATIENCE_S):
        """Wait until `count` items have arrived, and return all that have."""
        if count > 0:
            self.get(count - 1, seconds, f'{count} in all')
        return self.items()

    def first(self, matches, start=0, seconds=PATIENCE_S, what='a certain one'):
        """The first item from position `start` on that matches, as soon as it has arrived."""
        until = time.monotonic() + seconds
        position = start
        while True:
            item = self.get(position, max(0, until - time.monotonic()), what)
            if matches(item):
                return item
            position += 1

    def wait_for_each(self, wanted, key, seconds=PATIENCE_S):
        """Wait until for each of `wanted` an item has arrived whose `key(item)` is equal to it."""
        until = time.monotonic() + seconds
        missing = set(wanted)
        position = 0
        while missing:
            left = max(0, until - time.monotonic())
            missing.discard(key(self.get(position, left, f'{len(missing)} of {len(set(wanted))} that are missing')))
            position += 1
