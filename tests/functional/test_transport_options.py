# SPDX-License-Identifier: Apache-2.0
"""Options of the transport URL against a real broker: with oslo.messaging at the other end where Debian's has the option, and
by what is declared where only newer ones have it."""

import bz2
import json
import lzma
import os
import uuid
import zlib

import pytest

from parts import CCaller, CServer, Outcome, Publisher, PythonCaller, PythonServer, run_program
from test_notify_programs import PythonListener, listening

PAIRS = {'c-to-python': (CCaller, PythonServer), 'python-to-c': (PythonCaller, CServer), 'c-to-c': (CCaller, CServer)}
VALUE = {'text': 'ö' * 3000, 'list': [1, None, 2.5]}


def converse(pair, bus, **options):
    """A call with its reply, a cast and a fanout cast, over queues as the options have them."""
    caller_type, server_type = PAIRS[pair]
    server = server_type(bus, 't', 's1', **options)
    caller = caller_type(bus, 't', **options)
    try:
        assert caller.call('echo', {'msg': VALUE}) == Outcome(VALUE)
        assert caller.call('echo', {'msg': 1}, server='s1') == Outcome(1)
        assert caller.cast('note', {'text': 'one'}) == Outcome()
        server.notes.first(lambda note: note == 'one')
        assert caller.cast('note', {'text': 'all'}, fanout=True) == Outcome()
        server.notes.first(lambda note: note == 'all')
        return declared(bus)
    finally:
        caller.close()
        end(server)


def test_who_wishes_for_durable_queues_talks_to_who_has_none(broker):
    bus = broker.vhost()
    server = CServer(bus, 't', 's1')
    caller = CCaller(bus, 't', amqp_durable_queues='true')
    try:
        assert caller.call('echo', {'msg': 1}) == Outcome(1)
        assert caller.cast('note', {'text': 'one'}) == Outcome()
        server.notes.first(lambda note: note == 'one')
    finally:
        caller.close()
        end(server)
    assert declared(bus)[1]['x'] == ('topic', False, False)
    bus.delete()


def end(server):
    """Not by kill -9, so that it leaves nothing behind but what it means to."""
    if isinstance(server, CServer):
        assert server.drain() == 0
    server.close()


def declared(bus):
    """{queue: (type, durable, arguments)} and {exchange: (type, durable, auto_delete)}"""
    vhost = f'<<"{bus.name}">>'
    queues = bus.broker.evaluate_json(
        '[[element(4, N), atom_to_binary(T), D, [[K, V] || {K, _, V} <- A]] || [{_, N}, {_, T}, {_, D}, {_, A}] <- '
        f'rabbit_amqqueue:info_all({vhost}, [name, type, durable, arguments])]')
    exchanges = bus.broker.evaluate_json(
        '[[element(4, N), T, D, A] || [{_, N}, {_, T}, {_, D}, {_, A}] <- '
        f'rabbit_exchange:info_all({vhost}, [name, type, durable, auto_delete])]')
    return ({name: (kind, durable, dict(arguments)) for name, kind, durable, arguments in queues},
            {name: tuple(rest) for name, *rest in exchanges if name and not name.startswith('amq.')})


def consumers(bus):
    """{queue: [(prefetch, arguments)]}"""
    value = 'proplists:get_value'
    rows = bus.broker.evaluate_json(
        f'[[element(4, {value}(queue_name, C)), {value}(prefetch_count, C), [[K, V] || {{K, _, V}} <- {value}(arguments, C)]] '
        f'|| C <- rabbit_amqqueue:consumers_all(<<"{bus.name}">>)]')
    found = {}
    for queue, prefetch, arguments in rows:
        found.setdefault(queue, []).append((prefetch, dict(arguments)))
    return found


# --- Queues of other kinds -----------------------------------------------------------------------

@pytest.mark.parametrize('pair', list(PAIRS))
def test_rpc_over_quorum_queues(bus, pair):
    queues, exchanges = converse(pair, bus, rabbit_quorum_queue='true', rabbit_quorum_delivery_limit='3')
    for name in 't', 't.s1':
        assert queues[name] == ('quorum', True, {'x-queue-type': 'quorum', 'x-delivery-limit': 3})
    assert exchanges == {'x': ('topic', True, False), 't_fanout': ('fanout', False, True)}
    others = [queue for name, queue in queues.items() if name not in ('t', 't.s1')]
    assert others == [('classic', False, {'x-expires': 1800000})] * 2


def test_transient_queues_may_be_quorum_queues(bus):
    with bus.broker.events('queue.deleted') as deleted:
        queues, exchanges = converse('c-to-c', bus, rabbit_transient_quorum_queue='true', rabbit_quorum_delivery_limit='3',
                                     rabbit_transient_queues_ttl='60')
        [fanout] = [name for name in queues if name.startswith('t_fanout_')]
        deleted(fanout)  # what was the processes' own goes with them
    shared = [queues.pop('t'), queues.pop('t.s1')]
    assert shared == [('classic', False, {})] * 2
    assert sorted(name.rstrip('0123456789abcdef') for name in queues) == ['reply_', 't_fanout_']
    assert list(queues.values()) == [('quorum', True, {'x-queue-type': 'quorum', 'x-delivery-limit': 3,
                                                                    'x-expires': 60000})] * 2
    assert exchanges == {'x': ('topic', False, False), 't_fanout': ('fanout', True, True)}
    assert set(bus.queues()) == {'t', 't.s1'}


STREAM = {'rabbit_stream_fanout': 'true', 'rabbit_transient_quorum_queue': 'true', 'rabbit_qos_prefetch_count': '3'}


def request(text):
    inner = {'method': 'note', 'args': {'text': text}, '_unique_id': uuid.uuid4().hex}
    return json.dumps({'oslo.version': '2.0', 'oslo.message': json.dumps(inner)})


def test_fanout_over_a_stream_reaches_every_server_once_also_while_it_is_away(bus):
    """More casts than the prefetch allows at once: each acknowledgement makes room for the next. A consumer that comes back goes
    on where it was; the broker alone would begin with the last message, or the next one."""
    servers = [CServer(bus, 't', name, **STREAM) for name in ('s1', 's2')]
    caller = CCaller(bus, 't', **STREAM)
    casts = [f'cast {number}' for number in range(40)]
    try:
        for text in casts[:20]:
            assert caller.cast('note', {'text': text}, fanout=True) == Outcome()
        for server in servers:
            server.notes.first(lambda note: note == casts[19])
        queues, exchanges = declared(bus)
        assert queues['t_fanout'] == ('stream', True, {'x-queue-type': 'stream', 'x-max-age': '1800s'})
        assert exchanges['t_fanout'] == ('fanout', True, True)
        bus.close_connections()
        bus.publish(*map(request, casts[20:39]), exchange='t_fanout', key='')
        assert caller.cast('note', {'text': casts[39]}, fanout=True) == Outcome()
        for server in servers:
            server.notes.first(lambda note: note == casts[39])
            assert [note for note in server.notes.items() if note.startswith('cast ')] == casts
    finally:
        caller.close()
        for server in servers:
            end(server)
    assert bus.queue('t_fanout') is not None  # it is everybody's


def test_the_queue_manager_gives_the_same_names_at_the_next_start(bus):
    host, process = 'host-1', f'celadon-test-{uuid.uuid4().hex}'
    files = [f'/dev/shm/{host}_{process}-{role}_qmanager' for role in ('server', 'client')]
    options = {'use_queue_manager': 'true', 'hostname': host}
    names = {f't_fanout_{host}:{process}-server:1', f'reply_{host}:{process}-client:1', 't', 't.s1'}
    try:
        for _ in range(2):
            server = CServer(bus, 't', 's1', processname=f'{process}-server', **options)
            caller = CCaller(bus, 't', processname=f'{process}-client', **options)
            assert caller.call('echo', {'msg': 1}) == Outcome(1)
            assert caller.cast('note', {'text': 'all'}, fanout=True) == Outcome()
            server.notes.first(lambda note: note == 'all')
            assert set(bus.queues()) == names
            caller.close()
            end(server)
            assert set(bus.queues()) == names  # they are kept
        for file in files:
            with open(file, encoding='ascii') as counter:
                assert counter.readline().split(':')[1] == '1'
    finally:
        for file in files:
            if os.path.exists(file):
                os.unlink(file)


# --- Consuming -----------------------------------------------------------------------------------

@pytest.mark.parametrize('server_type', [CServer, PythonServer])
def test_consumers_have_the_prefetch_and_the_arguments_of_the_options(bus, server_type):
    server = server_type(bus, 't', 's1', rabbit_qos_prefetch_count='7', enable_cancel_on_failover='true')
    try:
        caller = CCaller(bus, 't')
        assert caller.call('echo', {'msg': 1}) == Outcome(1)
        caller.close()
        found = consumers(bus)
        assert len(found) == 3
        assert all(queue == [(7, {'x-cancel-on-ha-failover': True})] for queue in found.values())
    finally:
        server.close()


# --- Compression ---------------------------------------------------------------------------------

COMPRESSIONS = {'gzip': ('application/x-gzip', zlib.decompress), 'bzip2': ('application/x-bz2', bz2.decompress),
                'lzma': ('application/x-lzma', lzma.decompress)}


@pytest.mark.parametrize('name', list(COMPRESSIONS))
@pytest.mark.parametrize('pair', list(PAIRS))
def test_rpc_with_compressed_messages(bus, pair, name):
    converse(pair, bus, kombu_compression=name)


@pytest.mark.parametrize('name', ['zstd', 'bz2'])
def test_compressions_that_debians_kombu_lacks(bus, name):
    converse('c-to-c', bus, kombu_compression=name)


@pytest.mark.parametrize('name', list(COMPRESSIONS))
def test_a_compressed_message_is_as_kombu_sends_it(bus, name):
    sent = {}
    bus.bind_queue('t', exchange='x', keys=('t',))
    for kind, caller_type in ('c', CCaller), ('python', PythonCaller):
        caller = caller_type(bus, 't', kombu_compression=name)
        assert caller.cast('note', {'text': VALUE['text']}) == Outcome()
        caller.close()
        [message] = bus.take('t', 1)
        body = json.loads(COMPRESSIONS[name][1](message.body))
        inner = json.loads(body['oslo.message'])
        del inner['_unique_id']
        sent[kind] = (body['oslo.version'], inner, message.headers, message.properties)
    assert sent['c'] == sent['python']
    assert sent['c'][2] == {'compression': COMPRESSIONS[name][0]}


@pytest.mark.parametrize('name', list(COMPRESSIONS))
def test_compressed_notifications(bus, name):
    listener = PythonListener(bus)
    with listening(bus, '--pool', 'c') as (lines, _):
        with Publisher(bus, compression=name) as publisher:
            publisher.notify('from.python', VALUE)
        run_program('notify', '--url', bus.url(kombu_compression=name), '--exchange', 'nova', 'from.c', json.dumps(VALUE))
        for event_type in 'from.python', 'from.c':
            seen = listener.seen.first(lambda seen: seen[2] == event_type)
            assert seen[3] == VALUE
            line = lines.first(lambda line: line['event_type'] == event_type)
            assert line['payload'] == VALUE
    listener.close()


# --- Several hosts -------------------------------------------------------------------------------

@pytest.mark.parametrize('strategy', ['round-robin', 'shuffle'])
def test_hosts_that_are_down_are_passed_over(bus, strategy):
    """With a schedule as oslo.messaging's, and with each strategy."""
    dead = ','.join(f'u:p@127.0.0.1:{port}' for port in (1, 2, 3))
    options = f'kombu_failover_strategy={strategy}&kombu_reconnect_delay=0.01&kombu_reconnect_splay=0.01'
    url = bus.url().replace('rabbit://', f'rabbit://{dead},') + '?' + options
    result = run_program('notify', '--url', url, '--exchange', 'nova', 'from.c', '{}')
    assert result.returncode == 0, result.stderr
    assert bus.queue('notifications.info').ready == 1
