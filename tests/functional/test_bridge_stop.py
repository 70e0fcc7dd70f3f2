# SPDX-License-Identifier: Apache-2.0
"""SIGTERM drains: what is in flight finishes, the rest goes back to the queue."""

import pytest

from oracle import notification
from parts import bridge_config, route


@pytest.mark.sanitized
def test_sigterm_finishes_what_is_in_flight_and_gives_the_rest_back(bus, api, start_bridge):
    gate = api.hold()
    config = bridge_config(bus.url(), route(api.url, concurrency=4))
    bridge = start_bridge(config).ready()
    bus.publish(*(notification(number) for number in range(20)))
    api.requests.wait_for(4)

    bridge.terminate()
    bridge.wait_log('BRIDGE-DRAINING')
    gate.answer(200, 200, 200, 200)

    assert bridge.wait_exit() == 0
    assert len(bridge.lines('BRIDGE-STOPPED')) == 1
    assert len(api.requests) == 4
    assert bus.queue('celadon')[:3] == (16, 0, 0)

    second = start_bridge(config)
    gate.answer(*[200] * 16)
    keys = [request.key for request in api.requests.wait_for(20)]
    assert sorted(keys) == sorted(f'id-{number}' for number in range(20))
    assert second.drain() == 0
    assert bus.queue('celadon')[:3] == (0, 0, 0)


@pytest.mark.sanitized
def test_sigterm_does_not_wait_for_the_next_attempt(bus, api, start_bridge):
    api.respond = lambda request: 503
    bridge = start_bridge(bridge_config(
        bus.url(), route(api.url, backoff={'base': '5m', 'cap': '5m'}, hold_max='10m'), drain='10m')).ready()
    bus.publish(notification())
    bridge.wait_log('BRIDGE-ROUTE-FAILING')  # it has failed once, and waits

    assert bridge.drain() == 0
    assert len(api.requests) == 1
    assert bus.queue('celadon')[:2] == (1, 0)
    assert bus.queue('celadon.dead.instances').ready == 0


@pytest.mark.sanitized
def test_a_request_that_outlasts_the_drain_goes_back_to_the_queue(bus, api, start_bridge):
    api.hold()
    bridge = start_bridge(bridge_config(bus.url(), route(api.url), drain='200ms')).ready()
    bus.publish(*(notification(number) for number in range(3)))
    api.requests.wait_for(3)

    assert bridge.drain() == 0  # that some came to no end is no failure: nothing is lost
    assert len(bridge.lines('BRIDGE-STOPPED')) == 1
    assert bus.queue('celadon')[:3] == (3, 0, 0)
    assert bus.queue('celadon.dead.instances').ready == 0


@pytest.mark.sanitized
def test_a_second_sigterm_does_not_wait_for_requests_in_flight(bus, api, start_bridge):
    api.hold()
    bridge = start_bridge(bridge_config(bus.url(), route(api.url), drain='10m')).ready()
    bus.publish(*(notification(number) for number in range(3)))
    api.requests.wait_for(3)

    bridge.terminate()
    bridge.wait_log('BRIDGE-DRAINING')
    assert bridge.drain() == 0
    assert len(bridge.lines('BRIDGE-STOPPED')) == 1
    assert len(bus.take('celadon', 3)) == 3  # maybe not yet there when it ends: it no longer waits for RabbitMQ
    assert bus.queue('celadon.dead.instances').ready == 0


def test_sigterm_with_nothing_to_do_ends_it_at_once(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url), drain='10m')).ready()
    assert bridge.drain() == 0
    assert [line.id for line in bridge.log.items()].count('BRIDGE-STOPPED') == 1
    assert len(api.requests) == 0


def test_each_line_of_the_log_has_time_level_and_id(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.publish(b'not a notification', notification())
    api.requests.wait_for(1)
    assert bridge.drain() == 0
    assert [line.raw for line in bridge.log.items() if line.id is None] == []
    ids = [line.id for line in bridge.log.items()]
    for once in ('BRIDGE-READY', 'BRIDGE-DEAD-LETTER', 'BRIDGE-DRAINING', 'BRIDGE-STOPPED'):
        assert ids.count(once) == 1


@pytest.mark.sanitized
def test_an_event_whose_last_attempt_fails_during_the_drain_becomes_a_whole_dead_letter(bus, api, start_bridge):
    gate = api.hold()
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_attempts=1))).ready()
    bus.publish(notification())
    api.requests.wait_for(1)

    with bus.broker.events('consumer.deleted') as wait_for:
        bridge.terminate()
        wait_for('celadon')
    gate.answer(500)
    assert bridge.wait_exit() == 0
    letter, = bus.take('celadon.dead.instances', 1)
    assert letter.body == notification()
    assert letter.headers['x-celadon-origin-queue'] == 'celadon'
    assert bus.queue('celadon')[:2] == (0, 0)
