# SPDX-License-Identifier: Apache-2.0
"""`celadon notify` and `celadon listen`, each with Python's oslo.messaging at the other end, and with each other."""

import contextlib
import json
import signal
import subprocess

import oslo_messaging
import pytest
from oslo_config import cfg

from parts import PATIENCE_S, Feed, Publisher, TookTooLong, process, program, run_program


@contextlib.contextmanager
def listening(bus, *arguments):
    """`celadon listen` as a process: gives the feed of what it prints, parsed."""
    listener = process.spawn([program(), 'listen', '--url', bus.url(), '--exchange', 'nova', *arguments],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines, log = Feed('celadon listen'), Feed('its standard error')
    readers = [process.follow(listener.stdout, lambda line: lines.close() if line is None else lines.append(json.loads(line))),
               process.follow(listener.stderr, lambda line: log.close() if line is None else log.append(line))]
    try:
        log.first(lambda line: line == 'listening', what='that it listens')
        yield lines, listener
    finally:
        process.end(listener)
        for reader in readers:
            reader.join()


class PythonListener:
    """An oslo.messaging listener for all priorities."""

    def __init__(self, bus, exchange='nova'):
        self.seen = Feed('a Python listener')
        self._transport = oslo_messaging.get_notification_transport(cfg.CONF, url=bus.url())
        self._server = oslo_messaging.get_notification_listener(
            self._transport, [oslo_messaging.Target(exchange=exchange, topic='notifications')], [self], executor='threading')
        self._server.start()

    def _take(self, priority, ctxt, publisher_id, event_type, payload, metadata):
        self.seen.append((priority, publisher_id, event_type, payload, sorted(metadata)))

    def close(self):
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()


for _priority in 'audit', 'debug', 'info', 'warn', 'error', 'critical', 'sample':
    def _method(self, *arguments, _priority=_priority):
        self._take(_priority, *arguments)
    setattr(PythonListener, _priority, _method)

PAYLOADS = {'object': {'a': [1, 2.5, None, 'ö "x"']}, 'null': None, 'text': 'just text', 'number': 12}


@pytest.mark.parametrize('driver', ['messaging', 'messagingv2'])
def test_notify_is_understood_by_python(bus, driver):
    listener = PythonListener(bus)
    try:
        for priority in 'audit', 'debug', 'info', 'warn', 'error', 'critical', 'sample':
            done = run_program('notify', '--url', bus.url(), '--exchange', 'nova', '--driver', driver, '--priority', priority,
                               '--publisher', 'cli.host', 'some.event', '{"a": 1}')
            assert (done.returncode, done.stdout, done.stderr) == (0, '', '')
        seen = listener.seen.wait_for(7)
        assert [entry[0] for entry in seen] == ['audit', 'debug', 'info', 'warn', 'error', 'critical', 'sample']
        assert all(entry[1:] == ('cli.host', 'some.event', {'a': 1}, ['message_id', 'timestamp']) for entry in seen)
    finally:
        listener.close()


def test_notify_is_kept_when_nobody_listens(bus):
    assert run_program('notify', '--url', bus.url(), '--exchange', 'nova', 'some.event').returncode == 0
    [message] = bus.take('notifications.info', 1)
    assert message.properties['content_type'] == 'application/json' and message.properties['delivery_mode'] == 2
    assert json.loads(json.loads(message.body)['oslo.message'])['payload'] is None


@pytest.mark.parametrize('driver', ['messaging', 'messagingv2'])
def test_listen_prints_what_python_sends(bus, driver):
    with listening(bus, '--priority', 'info', '--priority', 'error') as (lines, listener), Publisher(bus, driver) as publisher:
        for payload in PAYLOADS.values():
            publisher.notify('some.event', payload)
        publisher.notify('other.event', 1, priority='error')
        seen = lines.wait_for(len(PAYLOADS) + 1)
        infos = [line for line in seen if line['event_type'] == 'some.event']
        assert [line['payload'] for line in infos] == list(PAYLOADS.values())
        assert {line['priority'] for line in seen} == {'INFO', 'ERROR'}
        listener.send_signal(signal.SIGTERM)
        if not process.wait_end(listener, PATIENCE_S):
            raise TookTooLong('celadon listen does not end')
        assert listener.wait() == 0


def test_pools_get_a_copy_each(bus):
    with listening(bus, '--pool', 'one') as (one, _), listening(bus, '--pool', 'two', '--count', '2') as (two, second):
        for number in range(2):
            assert run_program('notify', '--url', bus.url(), '--exchange', 'nova', 'some.event', str(number)).returncode == 0
        assert [line['payload'] for line in one.wait_for(2)] == [0, 1]
        assert [line['payload'] for line in two.wait_for(2)] == [0, 1]
        if not process.wait_end(second, PATIENCE_S):
            raise TookTooLong('it does not end after two')
        assert second.wait() == 0


def test_usage(bus):
    for arguments in (['notify', 'x'], ['notify', '--url', 'rabbit://'], ['notify', '--url', 'rabbit://', 'x', '{'],
                      ['listen'], ['listen', '--url', 'rabbit://', 'x'], ['listen', '--count', '0', '--url', 'rabbit://']):
        done = run_program(*arguments)
        assert done.returncode == 64 and f'usage: celadon {arguments[0]}' in done.stderr
    assert run_program('notify', '--url', bus.url(), '--priority', 'INFO', 'x').returncode == 64
    assert run_program('notify', '--url', 'rabbit://127.0.0.1:1/', '--timeout', '0.3', 'x').returncode == 2
    assert run_program('listen', '--url', bus.url(password='wrong')).returncode == 3
