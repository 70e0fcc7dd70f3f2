# SPDX-License-Identifier: Apache-2.0
"""Notifiers and listeners of both kinds: Python's oslo.messaging, and the C program notify_probe, whose options both take;
see the top of notify_probe.c. A listener's `calls` are pairs: the number of the endpoint and the event types it was given."""

import json
import pathlib
import subprocess
import threading

import oslo_messaging
from oslo_config import cfg

from . import process
from .bridge import program
from .waiting import PATIENCE_S, Feed

PRIORITIES = 'audit', 'debug', 'info', 'warn', 'error', 'critical', 'sample'


def _probe():
    return str(pathlib.Path(program()).parent / 'tests' / 'notify_probe')


class CListener:
    def __init__(self, bus, **options):
        self.calls = Feed('calls of a C listener')
        self.log = Feed('log of a C listener')
        ready = Feed('a C listener')
        self._process = process.spawn([_probe(), 'listen', bus.url(), json.dumps(options)], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

        def take(line):
            if line is None:
                self.calls.close()
                ready.close()
            elif line == 'ready':
                ready.append(line)
            else:
                call = json.loads(line)
                self.calls.append((call['endpoint'], call['events']))

        self._readers = [process.follow(self._process.stdout, take),
                         process.follow(self._process.stderr, lambda line: line is not None and self.log.append(line))]
        ready.get(0, what='ready')

    def close(self):
        self._process.terminate()
        process.wait_end(self._process, PATIENCE_S)
        process.end(self._process)
        for reader in self._readers:
            reader.join()


class _Serializer(oslo_messaging.NoOpSerializer):
    """As notify_probe has one."""

    def serialize_entity(self, ctxt, entity):
        return {'wrapped': entity, 'for': ctxt.get('auth_token')}

    def serialize_context(self, ctxt):
        return {**ctxt, 'mark': 'written'}

    def deserialize_context(self, ctxt):
        return {'mark': ctxt['mark'] + '-read'}

    def deserialize_entity(self, ctxt, entity):
        return {'state': entity['wrapped'].get('state'), 'for': entity['for'], 'mark': ctxt['mark']}


class _Endpoint:
    """An object with a method for each priority, as oslo.messaging wants it."""

    def __init__(self, number, calls, batches, priorities=PRIORITIES, filter=None, requeue=0):
        self._number, self._calls, self._requeue = number, calls, requeue
        self._lock = threading.Lock()
        if filter is not None:
            self.filter_rule = oslo_messaging.NotificationFilter(**filter)
        for priority in priorities:
            setattr(self, priority, self._take_batch if batches else self._take)

    def _take(self, ctxt, publisher_id, event_type, payload, metadata):
        return self._take_batch([{'event_type': event_type}])

    def _take_batch(self, messages):
        with self._lock:
            requeue = self._requeue > 0
            self._requeue -= requeue
        self._calls.append((self._number, [message['event_type'] for message in messages]))
        return oslo_messaging.NotificationResult.REQUEUE if requeue else oslo_messaging.NotificationResult.HANDLED


class PythonListener:
    def __init__(self, bus, targets, endpoints, pool=None, allow_requeue=False, batch_size=None, batch_timeout=None,
                 serialized=False):
        self.calls = Feed('calls of a Python listener')
        self._transport = oslo_messaging.get_notification_transport(cfg.CONF, url=bus.url())
        targets = [oslo_messaging.Target(**target) for target in targets]
        endpoints = [_Endpoint(number, self.calls, bool(batch_size), **endpoint) for number, endpoint in enumerate(endpoints)]
        more = {'executor': 'threading', 'pool': pool, 'allow_requeue': allow_requeue,
                'serializer': _Serializer() if serialized else None}
        if batch_size:
            self._server = oslo_messaging.get_batch_notification_listener(
                self._transport, targets, endpoints, batch_size=batch_size, batch_timeout=batch_timeout, **more)
        else:
            self._server = oslo_messaging.get_notification_listener(self._transport, targets, endpoints, **more)
        self._server.start()

    def close(self):
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()


def c_notify(bus, **options):
    """Send the events; returns what each came to."""
    done = subprocess.run([_probe(), 'notify', bus.url(), json.dumps(options)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def python_notify(bus, exchange, events, topics=('notifications',), drivers=('messagingv2',), publisher_id=None,
                  serialized=False):
    oslo_messaging.set_transport_defaults(exchange)
    transport = oslo_messaging.get_notification_transport(cfg.CONF, url=bus.url())
    for driver in drivers:
        notifier = oslo_messaging.Notifier(transport, publisher_id=publisher_id, driver=driver, topics=list(topics), retry=3,
                                           serializer=_Serializer() if serialized else None)
        for event in events:
            sender = notifier.prepare(publisher_id=event['publisher_id']) if 'publisher_id' in event else notifier
            getattr(sender, event['priority'])(event.get('context', {}), event['event_type'], event.get('payload'))
    transport.cleanup()
    return ['CEL_OK'] * len(events)
