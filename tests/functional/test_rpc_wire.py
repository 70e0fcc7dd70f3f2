# SPDX-License-Identifier: Apache-2.0
"""What Celadon puts on the wire is what Python's oslo.messaging puts there: bodies to the byte (but for random ids),
properties, queues, exchanges, bindings and consumers."""

import json
import re

import pytest

from parts import CCaller, CServer, PythonCaller, PythonServer

CALLERS = {'c': CCaller, 'python': PythonCaller}
SERVERS = {'c': CServer, 'python': PythonServer}


def without_ids(text):
    return re.sub(r'[0-9a-f]{32}', lambda id: 'x' * 32, text)


def as_sent(message):
    """A message as the broker had it; how soon a call expires may differ by some milliseconds."""
    properties = dict(message.properties)
    expiration = properties.pop('expiration', None)
    return (without_ids(message.body.decode()), properties, message.headers, message.routing_key,
            expiration and round(int(expiration), -2))


REQUESTS = {
    'plain': dict(method='m'),
    'call': dict(method='add', args={'increment': 2}, namespace='calc', version='1.2',
                 context={'user': 'alice', 'request_id': 'req-1'}),
    'server': dict(method='m', args={'a': None}, server='s1'),
    'values': dict(method='m', args={'text': 'ö "q" \\ / \x7f \b\f\n\r\t 🦭', 'floats': [0.1, 1.0, -0.0, 1e16, 1e-07, 1e22, 5e-324],
                                     'integers': [0, -1, 2**63 - 1, -2**63], 'rest': [None, True, False, [], {}]}),
    'monitored': dict(method='m', monitor_s=30),
}


@pytest.mark.parametrize('name', list(REQUESTS))
def test_requests(bus, name):
    """A queue without a consumer keeps them."""
    with bus.channel() as channel:
        channel.exchange_declare('x', 'topic', durable=False, auto_delete=False)
        for queue in 't', 't.s1':
            channel.queue_declare(queue, durable=False, auto_delete=False)
            channel.queue_bind(queue, 'x', queue)
    queue = 't.s1' if 'server' in REQUESTS[name] else 't'
    sent = {}
    for kind, caller_type in CALLERS.items():
        caller = caller_type(bus, 't')
        assert caller.call(timeout_ms=700, **REQUESTS[name]).error == 'timeout'
        order = {key: value for key, value in REQUESTS[name].items() if key != 'monitor_s'}
        assert caller.cast(**order).error is None
        caller.close()
        sent[kind] = [as_sent(message) for message in bus.take(queue, 1)]  # the call has expired
    assert sent['c'] == sent['python']


def test_calls(bus):
    """The same for a call, which is taken before it expires."""
    sent = {}
    for kind, caller_type in CALLERS.items():
        bus.bind_queue('t', exchange='x', keys=('t',))
        caller = caller_type(bus, 't')
        with bus.channel() as channel:
            channel.auto_decode = False
            taken = []
            channel.basic_consume('t', no_ack=True, callback=taken.append)
            assert caller.call(timeout_ms=1500, **REQUESTS['call']).error == 'timeout'
            while not taken:
                channel.connection.drain_events(timeout=10)
        caller.close()
        message = taken[0]
        sent[kind] = (without_ids(bytes(message.body).decode()), message.headers,
                      {k: v for k, v in message.properties.items() if k != 'expiration'})
        assert 1400 < int(message.properties['expiration']) <= 1500
    assert sent['c'] == sent['python']
    assert '\\"_timeout\\": null' in sent['c'][0]


def request(method, args=None, **more):
    inner = {'method': method, 'args': args or {}, '_msg_id': '2' * 32, '_reply_q': 'replies', '_timeout': None,
             '_unique_id': '1' * 32, **more}
    return json.dumps({'oslo.version': '2.0', 'oslo.message': json.dumps(inner)})


ASKED = {
    'null': request('echo'),
    'value': request('echo', {'msg': {'ival': 12, 'ö': [1.5, None]}}),
    'no-such-method': request('nope'),
    'unsupported-version': request('echo', version='9.9'),
    'failure': request('fail', {'cls': 'NotFound', 'module': 'nova.exception', 'message': "no 'such' ö", 'kwargs': {'id': 1}}),
}


def without_traceback(text):
    """What Python shows of its stack is Python's."""
    outer = json.loads(text)
    inner = json.loads(outer['oslo.message'])
    if inner['failure']:
        failure = json.loads(inner['failure'])
        assert failure['tb'][-1].endswith(f'{failure["class"]}: {failure["message"]}\n')
        failure['tb'] = []
        inner['failure'] = json.dumps(failure)
    return json.dumps({'oslo.version': outer['oslo.version'], 'oslo.message': json.dumps(inner)})


@pytest.mark.parametrize('name', list(ASKED))
def test_replies(bus, name):
    sent = {}
    with bus.channel() as channel:
        channel.queue_declare('replies', durable=False, auto_delete=False)
    for kind, server_type in SERVERS.items():
        server = server_type(bus, 't', 's1')
        bus.publish(ASKED[name], exchange='x', key='t.s1')
        [message] = bus.take('replies', 1)
        server.close()
        body, *rest = as_sent(message)
        sent[kind] = (without_traceback(body) if name not in ('null', 'value') else body, *rest)
    assert sent['c'] == sent['python']


def topology(bus):
    """Everything that is declared in a virtual host."""
    vhost = f'<<"{bus.name}">>'
    evaluate = bus.broker.evaluate_json
    queues = evaluate('[[element(4, N), D, A, [[K, atom_to_binary(T), V] || {K, T, V} <- Args]] || '
                      '[{_, N}, {_, D}, {_, A}, {_, Args}] <- '
                      f'rabbit_amqqueue:info_all({vhost}, [name, durable, auto_delete, arguments])]')
    exchanges = evaluate('[[element(4, N), T, D, A, length(Args)] || [{_, N}, {_, T}, {_, D}, {_, A}, {_, Args}] <- '
                         f'rabbit_exchange:info_all({vhost}, [name, type, durable, auto_delete, arguments])]')
    bindings = evaluate('[[element(4, S), K, element(4, Q), length(Args)] || {binding, S, K, Q, Args} <- '
                        f'rabbit_binding:list({vhost})]')
    value = 'proplists:get_value'
    consumers = evaluate(f'[[element(4, {value}(queue_name, C)), {value}(ack_required, C), {value}(consumer_tag, C), '
                         f'length({value}(arguments, C))] || C <- rabbit_amqqueue:consumers_all({vhost})]')
    return sorted(json.loads(without_ids(json.dumps(
        [row for rows in (queues, exchanges, bindings, consumers) for row in rows
         if not str(row[0]).startswith('amq.')]))), key=str)


@pytest.mark.parametrize('options', [{}, {'amqp_durable_queues': 'true'}, {'amqp_auto_delete': 'true'},
                                     {'rabbit_transient_queues_ttl': '60'}, {'rabbit_ha_queues': 'true'},
                                     {'rabbit_quorum_queue': 'true', 'rabbit_quorum_delivery_limit': '3',
                                      'rabbit_quroum_max_memory_length': '1000', 'rabbit_quroum_max_memory_bytes': '5000000000'},
                                     {'enable_cancel_on_failover': 'true'}])
def test_declarations(broker, options):
    """A server and a client that has called it, each kind in a virtual host of its own."""
    declared = {}
    for kind in SERVERS:
        bus = broker.vhost()
        server = SERVERS[kind](bus, 't', 's1', **options)
        caller = CALLERS[kind](bus, 't', **options)
        assert caller.call('echo', {'msg': 1}).result == 1
        assert caller.cast('note', {'text': 'all'}, fanout=True).error is None
        declared[kind] = topology(bus)
        caller.close()
        server.close()
        bus.delete()
    assert declared['c'] == declared['python']
    assert len(declared['c']) > 12
