# SPDX-License-Identifier: Apache-2.0
"""Connections are cut, the broker is killed, servers are killed: no call hangs past its timeout, no confirmed cast is lost,
and what is unknown is said to be."""

import subprocess
import threading
import time
from collections import Counter

import pytest

from parts import CCaller, CServer, Outcome, PythonServer, process, program


@pytest.mark.sanitized
def test_calls_survive_the_loss_of_all_connections(bus):
    """The reply queue outlives the connection, what was not acknowledged comes again, what was not confirmed is sent again."""
    server = CServer(bus, 't', 's1')
    caller = CCaller(bus, 't')
    try:
        for round_number in range(8):
            orders = [caller.begin('echo', {'msg': (round_number, number)}, timeout_ms=30000) for number in range(60)]
            caller.finish(orders[round_number])
            bus.close_connections()
            assert [caller.finish(order).result for order in orders] == [[round_number, number] for number in range(60)]
    finally:
        caller.close()
        server.close()


def test_confirmed_casts_arrive_once_while_connections_are_lost(bus):
    server = CServer(bus, 't', 's1')
    caller = CCaller(bus, 't')
    try:
        orders = []
        for number in range(600):
            orders.append(caller.begin('note', {'text': f'cast {number}'}, do='cast'))
            if number % 100 == 50:
                caller.finish(orders[number - 20])
                bus.close_connections()
        assert all(caller.finish(order).error is None for order in orders)
        server.notes.wait_for_each([f'cast {number}' for number in range(600)], lambda note: note)
        assert max(Counter(server.notes.items()).values()) == 1
    finally:
        caller.close()
        server.close()


def test_casts_that_are_not_to_be_sent_again_are_unknown_or_confirmed(bus):
    server = CServer(bus, 't', 's1')
    caller = CCaller(bus, 't')
    try:
        orders = []
        for number in range(600):
            orders.append(caller.begin('note', {'text': f'cast {number}'}, do='cast', retry=-2))
            if number % 100 == 50:
                bus.close_connections()
        outcomes = [caller.finish(order).error for order in orders]
        assert set(outcomes) <= {None, 'CEL_EUNKNOWN'}
        confirmed = [f'cast {number}' for number, error in enumerate(outcomes) if error is None]
        server.notes.wait_for_each(confirmed, lambda note: note)
    finally:
        caller.close()
        server.close()


def test_a_broker_that_is_killed_under_load(restartable_broker):
    bus = restartable_broker.vhost()
    server, caller = CServer(bus, 't', 's1'), CCaller(bus, 't')
    try:
        assert caller.call('echo', {'msg': 1}) == Outcome(1)
        orders, done = [], threading.Event()

        def load():
            number = 0
            while not done.wait(0.01):
                orders.append((time.monotonic(), caller.begin('echo', {'msg': number}, timeout_ms=4000)))
                number += 1

        loader = threading.Thread(target=load)
        loader.start()
        while len(orders) < 100:
            time.sleep(0.01)
        restartable_broker.kill()
        restartable_broker.start()
        back = time.monotonic()
        while not any(caller.finish(order).error is None for begun, order in orders[:] if begun > back):
            assert time.monotonic() < back + 10
        recovered = time.monotonic() - back
        done.set()
        loader.join()
        outcomes = [caller.finish(order) for _, order in orders]
        assert {outcome.error for outcome in outcomes} <= {None, 'timeout'}
        assert recovered < 3
        assert caller.call('echo', {'msg': 'again'}) == Outcome('again')
    finally:
        caller.close()
        server.close()


def test_calls_with_the_broker_away_end_with_their_timeout(restartable_broker):
    bus = restartable_broker.vhost()
    server = CServer(bus, 't', 's1')
    restartable_broker.stop()
    caller = CCaller(bus, 't')
    try:
        begun = time.monotonic()
        orders = [caller.begin('echo', timeout_ms=1000), caller.begin('echo', timeout_ms=1000, retry=-2),
                  caller.begin('echo', do='cast', retry=-2)]
        errors = [caller.finish(order).error for order in orders]
        assert errors == ['timeout', 'CEL_ECONNECT', 'CEL_ECONNECT'] and time.monotonic() - begun < 10
        waiting = caller.begin('echo', {'msg': 1}, timeout_ms=60000)  # longer than a broker takes to start
        restartable_broker.start()
        assert caller.finish(waiting) == Outcome(1)  # its queue is not durable: the call waits for that, too
        assert caller.call('echo', {'msg': 2}) == Outcome(2)
    finally:
        caller.close()
        server.close()


def test_casts_wait_for_a_server_that_comes_back_a_little_later(restartable_broker):
    """Its queue is not durable, so there is none after the restart, until the server declares it again."""
    bus = restartable_broker.vhost()
    server, caller = CServer(bus, 't', 's1'), CCaller(bus, 't')
    try:
        assert caller.call('echo', {'msg': 1}) == Outcome(1)
        server.suspend()
        restartable_broker.kill()
        casts = [caller.begin('note', {'text': f'cast {number}'}, do='cast') for number in range(20)]
        known = len(caller.log)
        restartable_broker.start()
        caller.log.first(lambda line: 'TRANSPORT-UP' in line and ':publish:' in line, known)
        server.resume()
        assert all(caller.finish(cast) == Outcome() for cast in casts)
        server.notes.wait_for_each([f'cast {number}' for number in range(20)], lambda note: note)
    finally:
        caller.close()
        server.close()


def test_a_notification_waits_for_a_broker_that_is_down_at_first_use(restartable_broker):
    bus = restartable_broker.vhost()
    restartable_broker.stop()
    notify = process.spawn([program(), 'notify', '--url', bus.url(), 'some.event', '1'], stdin=subprocess.DEVNULL)
    try:
        assert not process.wait_end(notify, 0.5)
        restartable_broker.start()
        assert process.wait_end(notify, 30) and notify.wait() == 0
        assert len(bus.take('notifications.info', 1)) == 1
    finally:
        process.end(notify)


def test_a_late_acknowledgement_survives_the_death_of_a_server(bus):
    """At least once, if the endpoint says so; else at most once."""
    first, caller = CServer(bus, 't', 's1'), CCaller(bus, 't')
    late = caller.begin('wait', {'seconds': 2}, namespace='late', timeout_ms=20000)
    early = caller.begin('wait', {'seconds': 2}, timeout_ms=6000)
    assert caller.call('echo', {'msg': 1}) == Outcome(1)  # both have begun
    first.kill()
    second = CServer(bus, 't', 's2')
    try:
        assert caller.finish(late) == Outcome(2)
        assert caller.finish(early) == Outcome(error='timeout')
    finally:
        caller.close()
        first.close()
        second.close()


def test_a_server_that_is_told_to_stop_finishes_its_work(bus):
    server, caller = CServer(bus, 't', 's1'), CCaller(bus, 't')
    try:
        orders = [caller.begin('wait', {'seconds': 1}) for _ in range(50)]
        assert caller.call('echo', {'msg': 1}) == Outcome(1)
        assert server.drain() == 0
        assert all(caller.finish(order) == Outcome(1) for order in orders)
        assert not [name for name in bus.queues() if 'fanout' in name]
    finally:
        caller.close()
        server.close()


def test_replies_to_a_caller_that_died_hold_nobody_up(bus):
    server, doomed = CServer(bus, 't', 's1'), CCaller(bus, 't')
    for _ in range(100):
        doomed.begin('wait', {'seconds': 0.5})
    assert doomed.call('echo', {'msg': 1}) == Outcome(1)
    [reply_queue] = [name for name in bus.queues() if name.startswith('reply_')]
    doomed.kill()
    bus.delete_queue(reply_queue)
    caller = CCaller(bus, 't')
    try:
        for number in range(50):
            assert caller.call('echo', {'msg': number}, timeout_ms=5000) == Outcome(number)
    finally:
        caller.close()
        doomed.close()
        server.close()


def test_python_and_c_on_one_topic_after_a_loss(bus):
    servers = [CServer(bus, 't', 'c1'), PythonServer(bus, 't', 'p1')]
    caller = CCaller(bus, 't')
    try:
        assert caller.call('who', server='p1') == Outcome('p1')
        bus.close_connections()
        assert caller.call('who', server='c1', timeout_ms=30000) == Outcome('c1')
        assert caller.call('who', server='p1', timeout_ms=30000) == Outcome('p1')
    finally:
        caller.close()
        for server in servers:
            server.close()
