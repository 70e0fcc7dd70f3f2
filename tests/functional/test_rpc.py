# SPDX-License-Identifier: Apache-2.0
"""RPC between Celadon and oslo.messaging: every case with each kind of caller and each kind of server, Python against Python
included, which shows that the cases themselves are right."""

import pytest

from parts import CCaller, CServer, Outcome, PythonCaller, PythonServer

CALLERS = {'c': CCaller, 'python': PythonCaller}
SERVERS = {'c': CServer, 'python': PythonServer}

VALUES = {
    'null': None,
    'true': True,
    'false': False,
    'zero': 0,
    'largest': 2**63 - 1,
    'smallest': -2**63,
    'float': 1.5,
    'whole-float': 3.0,
    'tiny-float': 5e-324,
    'large-float': 1.7976931348623157e308,
    'empty-text': '',
    'text': 'Größe "x" \\ / \b\f\n\r\t \x01 \x7f 東京 🦭',
    'long-text': 'é' * 300000,
    'empty-list': [],
    'empty-object': {},
    'nested': {'a': [1, [2.0, {'b': [None, {}]}]], '': 0},
    'deep': [[[[[[[[[[[[[[[[[[[[['bottom']]]]]]]]]]]]]]]]]]]]],
}

CONTEXT = {'user': 'alice', 'request_id': 'req-1', 'roles': ['admin', 'member'], 'is_admin': True, 'nested': {'a': None}}

NO_METHOD = 'Endpoint does not support RPC method {}'
VERSION = 'Endpoint does not support RPC version {}. Attempted method: {}'

# What is called, with which options, and what comes of it.
CASES = {
    **{f'echo-{name}': (dict(method='echo', args={'msg': value}), Outcome(value)) for name, value in VALUES.items()},
    'no-args': (dict(method='echo'), Outcome(None)),
    'to-the-server': (dict(method='echo', args={'msg': 1}, server='s1'), Outcome(1)),
    'older-minor': (dict(method='echo', args={'msg': 1}, version='1.2'), Outcome(1)),
    'same-version': (dict(method='echo', args={'msg': 1}, version='1.3'), Outcome(1)),
    'newer-minor': (dict(method='echo', version='1.4'), Outcome(error=('UnsupportedVersion', VERSION.format('1.4', 'echo')))),
    'other-major': (dict(method='echo', version='2.0'), Outcome(error=('UnsupportedVersion', VERSION.format('2.0', 'echo')))),
    'namespace': (dict(method='echo', args={'msg': 1}, namespace='ns', version='2.0'), Outcome(1)),
    'legacy-namespace': (dict(method='echo', args={'msg': 1}, namespace='old', version='2.0'), Outcome(1)),
    'other-namespace': (dict(method='echo', namespace='no'), Outcome(error=('UnsupportedVersion', VERSION.format('1.0', 'echo')))),
    'no-method': (dict(method='nope'), Outcome(error=('NoSuchMethod', NO_METHOD.format('nope')))),
    'hidden-method': (dict(method='_hidden'), Outcome(error=('NoSuchMethod', NO_METHOD.format('_hidden')))),
    'capped': (dict(method='echo', version='1.3', cap='1.2'), Outcome(error='refused')),
    'below-the-cap': (dict(method='echo', version='1.1', cap='1.2'), Outcome(None)),
    'fanout-call': (dict(method='echo', fanout=True), Outcome(error='refused')),
    'builtin-error': (dict(method='fail', args={'cls': 'ValueError', 'module': 'builtins', 'message': "can't go 'below' zero"}),
                      Outcome(error=('ValueError', "can't go 'below' zero"))),
    'other-error': (dict(method='fail', args={'cls': 'NotFound', 'module': 'nova.exception', 'message': 'no ö',
                                              'kwargs': {'id': 'abc', 'code': 404}}),
                    Outcome(error=('NotFound', 'no ö'))),
    'context': (dict(method='context', context=CONTEXT), Outcome(CONTEXT)),
    'too-slow': (dict(method='wait', args={'seconds': 2}, timeout_ms=700), Outcome(error='timeout')),
    'slow-enough': (dict(method='wait', args={'seconds': 0.2}, timeout_ms=10000), Outcome(0.2)),
    'monitored': (dict(method='wait', args={'seconds': 3}, timeout_ms=60000, monitor_s=2), Outcome(3)),
    'nobody': (dict(method='echo', topic='nobody', timeout_ms=700), Outcome(error='timeout')),
    'nobody-mandatory': (dict(method='echo', topic='nobody', mandatory=True, timeout_ms=10000), Outcome(error='unroutable')),
    'mandatory': (dict(method='echo', args={'msg': 1}, mandatory=True), Outcome(1)),
    'ping': (dict(method='oslo_rpc_server_ping'), Outcome('pong')),
    'dynamic': (dict(method='dyn_x', args={'a': 1}, namespace='dyn'), Outcome({'method': 'dyn_x', 'args': {'a': 1}})),
    'no-dynamic-method': (dict(method='echo', namespace='dyn'), Outcome(error=('NoSuchMethod', NO_METHOD.format('echo')))),
    'hidden-dynamic': (dict(method='_dyn', namespace='dyn'), Outcome(error=('NoSuchMethod', NO_METHOD.format('_dyn')))),
    'exposed': (dict(method='_hidden', special=True, serializer=True, args={'msg': 1}), Outcome(1)),
    'not-exposed': (dict(method='who', special=True, serializer=True), Outcome(error=('NoSuchMethod', NO_METHOD.format('who')))),
    'serializers': (dict(method='echo', args={'msg': VALUES['nested']}, special=True, serializer=True), Outcome(VALUES['nested'])),
    'serializer-of-the-server': (dict(method='echo', args={'msg': 1}, special=True, context={'user': 'alice'}),
                                 Outcome({'wrapped': 1, 'for': 'alice'})),
    'serializer-of-the-caller': (dict(method='echo', args={'msg': None}, serializer=True, context=CONTEXT), Outcome(None)),
    'serialized-context': (dict(method='context', serializer=True, context=CONTEXT), Outcome({**CONTEXT, 'serialized': True})),
    'deserialized-context': (dict(method='context', special=True, serializer=True, context=CONTEXT),
                             Outcome({**CONTEXT, 'serialized': True, 'deserialized': True})),
}


@pytest.fixture(scope='module')
def bus(broker):
    vhost = broker.vhost()
    yield vhost
    vhost.delete()


@pytest.fixture(scope='module', params=list(SERVERS))
def server(request, bus):
    server = SERVERS[request.param](bus, f'topic-{request.param}', 's1')
    server.topic = f'topic-{request.param}'
    special = SERVERS[request.param](bus, f'{server.topic}-special', 's1', special=True)
    yield server
    special.close()
    server.close()


@pytest.fixture(scope='module', params=list(CALLERS))
def caller(request, bus, server):
    caller = CALLERS[request.param](bus, server.topic)
    yield caller
    caller.close()


@pytest.mark.parametrize('case', list(CASES))
def test_call(caller, server, case):
    order, expected = CASES[case]
    to = {'topic': f'{server.topic}-special'} if order.get('special') else {}
    outcome = caller.call(**{**{key: value for key, value in order.items() if key != 'special'}, **to})
    assert outcome == expected
    assert type(outcome.result) is type(expected.result)


def test_cast(caller, server):
    begun = len(server.notes)
    for number in range(20):
        assert caller.cast('note', {'text': f'cast {number}'}).error is None
    server.notes.wait_for(begun + 20)
    assert sorted(server.notes.items(begun)) == sorted(f'cast {number}' for number in range(20))


def test_whoever_only_casts_has_one_connection(bus):
    server = CServer(bus, 'casts', 's1')
    caller = CCaller(bus, 'casts')
    purposes = lambda: sorted(name.split(':')[2] for name in bus.connections() if name.split(':')[1] == str(caller.pid))
    try:
        assert caller.cast('note', {'text': 'one'}) == Outcome()
        assert caller.cast('note', {'text': 'all'}, fanout=True) == Outcome()
        assert purposes() == ['publish']
        assert caller.call('echo', {'msg': 1}) == Outcome(1)
        assert purposes() == ['consume', 'publish']
    finally:
        caller.close()
        server.close()


def test_cast_to_nobody(caller):
    assert caller.cast('note', {'text': ''}, topic='nobody') == Outcome()
    assert caller.cast('note', {'text': ''}, topic='nobody', mandatory=True) == Outcome(error='unroutable')


@pytest.mark.parametrize('kind', list(CALLERS))
def test_fanout_reaches_servers_of_both_kinds(bus, kind):
    servers = [CServer(bus, 'wide', 'c1'), PythonServer(bus, 'wide', 'p1'), CServer(bus, 'wide', 'c2')]
    caller = CALLERS[kind](bus, 'wide')
    try:
        for number in range(3):
            assert caller.cast('note', {'text': f'all {number}'}, fanout=True) == Outcome()
        for server in servers:
            server.notes.first(lambda note: note == 'all 2')
        assert all(server.notes.items()[-3:] == ['all 0', 'all 1', 'all 2'] for server in servers)
        for name in 'c1', 'p1', 'c2':
            assert caller.call('echo', {'msg': name}, server=name) == Outcome(name)
    finally:
        caller.close()
        for server in servers:
            server.close()


def test_a_group_shares_the_work_of_its_topic(bus):
    servers = [CServer(bus, 'group', 'c1'), PythonServer(bus, 'group', 'p1'), CServer(bus, 'group', 'c2')]
    caller = CCaller(bus, 'group')
    try:
        outcomes = [caller.begin('who') for _ in range(30)]
        assert {caller.finish(outcome).result for outcome in outcomes} == {'c1', 'p1', 'c2'}
    finally:
        caller.close()
        for server in servers:
            server.close()


@pytest.mark.parametrize('kind', list(CALLERS))
def test_a_group_is_reached_by_its_exchange_only(bus, kind):
    servers = [CServer(bus, 'near', 'c1', exchange='a'), PythonServer(bus, 'far', 'p1', exchange='b')]
    caller = CALLERS[kind](bus, 'near')
    try:
        for topic, exchange, server in ('near', 'a', 'c1'), ('far', 'b', 'p1'):
            assert caller.call('who', topic=topic, exchange=exchange) == Outcome(server)
            assert caller.call('who', topic=topic, exchange=exchange, server=server) == Outcome(server)
        assert caller.call('who', topic='near', exchange='b', timeout_ms=700) == Outcome(error='timeout')
    finally:
        caller.close()
        for server in servers:
            server.close()


def test_an_error_has_all_that_python_sent(bus):
    server = PythonServer(bus, 'errors', 's1')
    caller = CCaller(bus, 'errors')
    try:
        answer = caller.raw(caller.begin('fail', {'cls': 'NotFound', 'module': 'nova.exception', 'message': 'no', 'kwargs': {'a': 1}}))
        error = answer['error']
        assert (error['class'], error['module'], error['message']) == ('NotFound', 'nova.exception', 'no')
        assert error['args'] == ['no'] and error['kwargs'] == {'a': 1}
        assert error['tb'][0].startswith('Traceback') and error['tb'][-1] == 'nova.exception.NotFound: no\n'
    finally:
        caller.close()
        server.close()


@pytest.mark.parametrize('kind', list(SERVERS))
def test_errors_of_allowed_modules_are_told_from_others(bus, kind):
    modules = ['oslo_messaging.exceptions', 'no.such.module']
    topic = f'allowed-{kind}'
    server = SERVERS[kind](bus, topic, 's1')
    caller, python, wary = CCaller(bus, topic), PythonCaller(bus, topic, allowed=modules), PythonCaller(bus, topic)
    try:
        for module, cls, allowed, anyway in [('builtins', 'ValueError', True, True),
                                             ('oslo_messaging.exceptions', 'MessageDeliveryFailure', True, False),
                                             ('oslo_messaging', 'MessageDeliveryFailure', False, False),
                                             ('nova.exception', 'NotFound', False, False)]:
            args = {'cls': cls, 'module': module, 'message': 'no'}
            listed = caller.raw(caller.begin('fail', args, allowed=modules))['error']
            unlisted = caller.raw(caller.begin('fail', args))['error']
            assert (listed['class'], listed['module'], listed['message']) == (cls, module, 'no')
            assert (listed['allowed'], unlisted['allowed']) == (allowed, anyway)
            assert (python.makes_again('fail', args), wary.makes_again('fail', args)) == (allowed, anyway)
    finally:
        for part in caller, python, wary, server:
            part.close()


def test_many_calls_at_once_get_their_own_replies(caller, server):
    if not isinstance(caller, CCaller):
        pytest.skip('one at a time')
    orders = [caller.begin('echo', {'msg': number}) for number in range(300)]
    assert [caller.finish(order).result for order in orders] == list(range(300))
