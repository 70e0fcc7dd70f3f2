# SPDX-License-Identifier: Apache-2.0
"""Connections that are cut, delayed and closed by halves at chosen frames, through a proxy that knows them: of a caller, of
a server, of a notifier and a listener. What is confirmed is there once, what is unknown is said to be, nothing hangs."""

import contextlib
import json

import pytest

from oracle import notification
from parts import CCaller, CServer, Outcome
from parts.proxy import AmqpProxy, cut_after, cut_before, cut_inside, half_close, hold
from test_amqp import listening

NEVER = -2  # CEL_RETRY_NEVER


@pytest.fixture
def proxy(bus):
    with AmqpProxy(bus.broker.port) as proxy:
        yield proxy


@contextlib.contextmanager
def service(bus, **options):
    """A server; `options` are those of its URL."""
    server = CServer(bus, 't', 's1', **options)
    try:
        yield server
    finally:
        server.close()
        print('server:', *server.log.items(), sep='\n')


@contextlib.contextmanager
def client(bus, **options):
    """A caller that has everything declared, and no confirmation to come."""
    caller = CCaller(bus, 't', **options)
    try:
        assert caller.call('echo', {'msg': 1}, timeout_ms=20000) == Outcome(1)
        assert caller.cast('echo') == Outcome()
        yield caller
    finally:
        caller.close()
        print('caller:', *caller.log.items(), sep='\n')


# Where a publish is lost, and whether the broker has it then.
LOSSES = [('client', 'basic.publish', cut_before, False),
          ('client', 'basic.publish', cut_after, False),
          ('client', 'basic.publish header', cut_inside, False),
          ('client', 'basic.publish body', cut_inside, False),
          ('broker', 'basic.ack', cut_before, True),
          ('broker', 'basic.ack', cut_inside, True)]


def each(troubles, *sanitized):
    """A test for each; those with these numbers are run with sanitizers, too."""
    def name(trouble):
        return '-'.join(part if isinstance(part, str) else part.__name__ for part in trouble[:3]).replace(' ', '-')

    return [pytest.param(trouble, id=name(trouble), marks=[pytest.mark.sanitized] if number in sanitized else [])
            for number, trouble in enumerate(troubles)]


@pytest.mark.parametrize('loss', each(LOSSES, 3, 4))
def test_a_cast_that_may_be_lost_arrives_once_or_is_unknown(bus, proxy, loss):
    with service(bus) as server, client(bus, port=proxy.port) as caller:
        proxy.at(*loss[:3])
        assert caller.cast('note', {'text': 'again'}) == Outcome()
        proxy.at(*loss[:3])
        assert caller.cast('note', {'text': 'once'}, retry=NEVER) == Outcome(error='CEL_EUNKNOWN')
        assert caller.cast('note', {'text': 'end'}) == Outcome()
        server.notes.first(lambda note: note == 'end')
        assert server.notes.items(1) == ['again'] + ['once'] * loss[3] + ['end']


@pytest.mark.parametrize('loss', each(LOSSES[3:5]))
def test_a_notification_that_may_be_lost_arrives_or_is_unknown(bus, proxy, loss):
    with service(bus), client(bus, port=proxy.port) as caller:
        def notify(event, **options):
            return caller.call(event, {}, do='notify', **options)

        def sent():
            return [json.loads(json.loads(message.body)['oslo.message']) for message in bus.take('notifications.info')]

        assert notify('first') == Outcome()
        proxy.at(*loss[:3])
        assert notify('again') == Outcome()
        proxy.at(*loss[:3])
        assert notify('once', retry=NEVER) == Outcome(error='CEL_EUNKNOWN')
        assert notify('end') == Outcome()
        messages = sent()
        assert [m['event_type'] for m in messages] == ['first', 'again'] + loss[3] * ['again', 'once'] + ['end']
        assert len({m['_unique_id'] for m in messages}) == len(messages) - loss[3]  # who had it knows it again


STEPS = [('client', 'protocol'), ('broker', 'connection.start'), ('client', 'connection.start-ok'),
         ('broker', 'connection.tune'), ('client', 'connection.open'), ('broker', 'connection.open-ok'),
         ('broker', 'channel.open-ok'), ('broker', 'confirm.select-ok'), ('broker', 'exchange.declare-ok'),
         ('broker', 'queue.declare-ok'), ('broker', 'basic.consume-ok')]


@pytest.mark.sanitized
def test_a_connection_that_is_cut_at_any_step_is_made_again(bus):
    with service(bus), contextlib.ExitStack() as stack:
        calls = []
        for step in STEPS:
            for act in cut_before, cut_inside, half_close:
                proxy = stack.enter_context(AmqpProxy(bus.broker.port))
                rule = proxy.at(*step, act)
                caller = CCaller(bus, 't', port=proxy.port)
                stack.callback(caller.close)
                calls.append((step, act, rule, caller, caller.begin('echo', {'msg': 1}, timeout_ms=20000)))
        for step, act, rule, caller, order in calls:
            assert caller.finish(order) == Outcome(1), (step, act)
            assert len(rule.happened) == 1, (step, act)


def test_a_broker_that_does_not_greet_holds_nobody_past_the_timeout(bus, proxy):
    greeting = proxy.at('broker', 'connection.start', hold, times=2)
    caller = CCaller(bus, 't', port=proxy.port)
    try:
        order = caller.begin('echo', timeout_ms=500)
        assert caller.finish(order) == Outcome(error='timeout') and 500 <= caller.raw(order)['ms'] < 1500
        with service(bus):
            greeting.release()
            assert caller.call('echo', {'msg': 1}) == Outcome(1)
    finally:
        caller.close()


def test_a_confirmation_that_is_late_holds_up_its_cast_and_no_call(bus, proxy):
    with service(bus) as server, client(bus, port=proxy.port) as caller:
        confirmation = proxy.at('broker', 'basic.ack', hold)
        cast = caller.begin('note', {'text': 'cast'}, do='cast')
        server.notes.first(lambda note: note == 'cast')
        assert caller.call('echo', {'msg': 1}) == Outcome(1)  # its reply says more than its confirmation
        assert not [answer for answer in caller.answers.items() if answer['id'] == cast]
        confirmation.release()
        assert caller.finish(cast) == Outcome()


# What a caller or a server survives: the call that meets it ends well, and so does the next one.
CALLERS_TROUBLE = [('client', 'basic.publish body', half_close), ('broker', 'basic.ack', half_close),
                   ('broker', 'basic.deliver', cut_before), ('broker', 'basic.deliver header', cut_inside),
                   ('broker', 'basic.deliver body', cut_inside), ('broker', 'basic.deliver body', half_close),
                   ('client', 'basic.ack', cut_before), ('client', 'basic.ack', half_close)]


@pytest.mark.parametrize('trouble', each(CALLERS_TROUBLE, 4))
def test_a_caller_gets_its_reply_after_trouble(bus, proxy, trouble):
    with service(bus) as server, client(bus, port=proxy.port) as caller:
        rule = proxy.at(*trouble)
        assert caller.call('echo', {'msg': 2}) == Outcome(2)
        assert caller.call('echo', {'msg': 3}) == Outcome(3)
        rule.happened.wait_for(1)
        assert caller.cast('note', {'text': 'end'}) == Outcome()
        server.notes.first(lambda note: note == 'end')


SERVERS_TROUBLE = [('broker', 'basic.deliver', cut_before), ('broker', 'basic.deliver body', cut_inside),
                   ('broker', 'basic.deliver body', half_close),
                   ('client', 'basic.ack', cut_before), ('client', 'basic.ack', cut_inside), ('client', 'basic.ack', half_close),
                   ('client', 'basic.publish body', cut_inside), ('broker', 'basic.ack', cut_before)]


@pytest.mark.parametrize('trouble', each(SERVERS_TROUBLE, 1, 3, 7))
def test_a_server_handles_a_request_once_and_replies_after_trouble(bus, proxy, trouble):
    """The last two are about the reply. A reply that is sent twice is dropped by the caller."""
    with service(bus, port=proxy.port) as server, client(bus) as caller:
        rule = proxy.at(*trouble)
        assert caller.call('note', {'text': 'call'}) == Outcome()
        rule.happened.wait_for(1)
        proxy.at('client', 'basic.ack', cut_before)
        assert caller.cast('note', {'text': 'cast'}) == Outcome()
        proxy.at('client', 'basic.ack', cut_before)
        assert caller.call('note', {'text': 'late'}, namespace='late') == Outcome()
        assert caller.call('echo', {'msg': 2}) == Outcome(2)
        assert server.notes.items(1) == ['call', 'cast', 'late']


@pytest.mark.parametrize('trouble', each([SERVERS_TROUBLE[1], SERVERS_TROUBLE[3]]))
def test_a_listener_gets_a_notification_once_after_trouble(bus, proxy, trouble):
    bus.bind_queue('probe')
    with listening(bus, port=proxy.port) as (lines, _):
        rule = proxy.at(*trouble)
        bus.publish(notification(1, _unique_id='1'))
        lines.first(lambda line: line.startswith('ends id-1'))
        rule.happened.wait_for(1)
        bus.publish(notification(2, _unique_id='2'))
        lines.first(lambda line: line.startswith('ends id-2'))
    assert lines.items(1) == ['begins id-1', 'ends id-1 CEL_OK', 'begins id-2', 'ends id-2 CEL_OK', 'CEL_OK ']
