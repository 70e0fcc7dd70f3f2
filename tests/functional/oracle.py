# SPDX-License-Identifier: Apache-2.0
"""What should have arrived, worked out without the bridge: oslo.messaging's notifier leaves a copy of each notification in
the queues <topic>.<priority>, which no bridge with a pool of its own touches."""

import json
from fnmatch import fnmatchcase

from parts.events import PATTERN


def sent_texts(bus, queues=('notifications.info', 'notifications.error')):
    """Take the copies off the queues: returns each notification as the JSON text (bytes) that was sent."""
    texts = []
    known = bus.queues()
    for name in queues:
        if name in known:
            texts += [inner_text(message.body) for message in bus.take(name)]
    return texts


def inner_text(body):
    """The JSON text of a notification, without oslo's envelope."""
    outer = json.loads(body)
    return outer['oslo.message'].encode() if 'oslo.message' in outer else body


def matching(texts):
    return [text for text in texts if fnmatchcase(json.loads(text)['event_type'], PATTERN)]


def message_id(text):
    return json.loads(text)['message_id']


def notification(number=1, event_type='compute.instance.create.end', **more):
    """A small notification as JSON text, for tests that publish by themselves. Its message id tells the number."""
    return json.dumps({'message_id': f'id-{number}', 'publisher_id': 'compute.host-1', 'event_type': event_type,
                       'priority': 'INFO', 'payload': {'number': number}, 'timestamp': '2026-11-23 15:00:00.000001',
                       **more}).encode()
