# SPDX-License-Identifier: Apache-2.0
"""`celadon notify` and `celadon listen`, each with Python's oslo.messaging at the other end, and with each other."""

import contextlib
import json
import logging
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


def test_listen_prints_what_its_expressions_let_pass(bus):
    with listening(bus, '--event-type', r'compute\.', '--publisher', 'a') as (lines, _):
        for publisher, event_type in ('a', 'compute.1'), ('b', 'compute.2'), ('a', 'volume.3'), ('a', 'compute.4'):
            assert run_program('notify', '--url', bus.url(), '--exchange', 'nova', '--publisher', publisher, event_type).returncode == 0
        assert [line['event_type'] for line in lines.wait_for(2)] == ['compute.1', 'compute.4']


def logged_by_python(bus, event_type, payload):
    """The logger's name and the message that oslo.messaging's driver `log` writes."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger('oslo.messaging.notification')
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    transport = oslo_messaging.get_notification_transport(cfg.CONF, url=bus.url())
    try:
        oslo_messaging.Notifier(transport, publisher_id='p', driver='log').info({}, event_type, payload)
    finally:
        transport.cleanup()
        logger.removeHandler(handler)
    [record] = records
    return record.name, record.getMessage()


def test_the_log_driver_writes_what_pythons_writes(bus):
    payload = {'a': [1, 2.5, None], 'adminPass': 'x', 'inner': {'auth_token': 'y', 'ö': 'z'}, 'key': None}
    done = run_program('notify', '--url', bus.url(), '--driver', 'log', '--publisher', 'p', 'compute.start', json.dumps(payload))
    assert done.returncode == 0
    [line] = [line for line in done.stderr.splitlines() if 'oslo.messaging.notification' in line]
    _, level, name, _, text = line.split(' ', 4)
    python_name, python_text = logged_by_python(bus, 'compute.start', payload)
    ours, pythons = json.loads(text), json.loads(python_text)
    assert (level, name) == ('INFO', python_name)
    assert list(ours) == list(pythons)
    for message in ours, pythons:
        assert len(message.pop('message_id')) == 36 and message.pop('timestamp')
    assert ours == pythons
    assert ours['payload']['adminPass'] == ours['payload']['inner']['auth_token'] == '***'


def test_routes(bus, tmp_path):
    routes = tmp_path / 'routes.yaml'
    routes.write_text('group:\n  messagingv2: {accepted_events: ["compute.*"]}\n  messaging: {accepted_priorities: [ERR*]}\n')
    arguments = ['notify', '--url', bus.url(), '--exchange', 'nova', '--driver', 'routing', '--routing-config', str(routes)]
    for priority, event_type in ('info', 'compute.1'), ('info', 'volume.2'), ('error', 'compute.3'), ('error', 'volume.4'):
        done = run_program(*arguments, '--priority', priority, event_type)
        assert done.returncode == 0
    assert [json.loads(json.loads(m.body)['oslo.message'])['event_type'] for m in bus.take('notifications.info', 1)] == ['compute.1']
    errors = [json.loads(message.body) for message in bus.take('notifications.error', 3)]
    assert sorted(e['event_type'] for e in errors if 'event_type' in e) == ['compute.3', 'volume.4']
    assert {name: queue.ready for name, queue in bus.queues().items() if queue.ready} == {}

    routes.write_text('group:\n  messagingv3: {}\n')
    done = run_program(*arguments, 'x')
    assert done.returncode == 64 and f'{routes}:2:3: there is no driver "messagingv3"' in done.stderr


def test_usage(bus):
    for arguments in (['notify', 'x'], ['notify', '--url', 'rabbit://'], ['notify', '--url', 'rabbit://', 'x', '{'],
                      ['listen'], ['listen', '--url', 'rabbit://', 'x'], ['listen', '--count', '0', '--url', 'rabbit://']):
        done = run_program(*arguments)
        assert done.returncode == 64 and f'usage: celadon {arguments[0]}' in done.stderr
    assert run_program('notify', '--url', bus.url(), '--priority', 'INFO', 'x').returncode == 64
    assert run_program('notify', '--url', bus.url(), '--driver', 'pigeon', 'x').returncode == 64
    assert run_program('notify', '--url', bus.url(), '--retry', '-2', 'x').returncode == 64
    done = run_program('listen', '--url', bus.url(), '--event-type', '(')
    assert done.returncode == 64 and 'missing closing parenthesis at byte 1' in done.stderr
    assert run_program('notify', '--url', 'rabbit://127.0.0.1:1/', '--timeout', '0.3', 'x').returncode == 2
    for verb in ['notify', 'x'], ['listen']:
        done = run_program(*verb, '--url', bus.url(password='wrong'))
        assert done.returncode == 3 and 'ACCESS_REFUSED' in done.stderr
