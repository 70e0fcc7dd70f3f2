# SPDX-License-Identifier: Apache-2.0
"""When the fault is not the events': the route stops, and begins again with care. H and R are the holes and wishes that the
bridge's specification lists."""

from collections import Counter

import pytest

from oracle import notification
from parts import bridge_config, route

DEAD = 'celadon.dead.instances'


def keys(count):
    return {f'id-{number}' for number in range(count)}


def assert_all_delivered_once(bus, bridge, api, count):
    api.answered.wait_for_each(keys(count), lambda request: request.status == 200 and request.key)
    assert bridge.drain() == 0
    delivered = Counter(request.key for request in api.requests.items() if request.status == 200)
    assert delivered == Counter(keys(count))
    assert bus.queue('celadon')[:2] == (0, 0)
    assert bus.queue(DEAD).ready == 0


@pytest.mark.sanitized
@pytest.mark.parametrize('status', [401, 403, 404, 405, 410, 501, 511])
def test_a_bad_deployment_stops_the_route_and_makes_no_dead_letters(bus, api, start_bridge, status):
    """R10: when all that an API says is "forbidden" or "not found", it is the deployment that is wrong and not the events."""
    api.respond = lambda request: status
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_attempts=1))).ready()
    bus.publish(*(notification(number) for number in range(100)))

    opened = bridge.wait_log('BRIDGE-ROUTE-OPEN')
    assert str(status) in opened.text
    begun = len(api.requests)
    api.requests.wait_for(begun + 3)  # probes
    state = bus.queue('celadon')
    assert state.ready + state.unacked == 100
    assert len({request.key for request in api.requests.items()}) < 60  # the others were not even tried
    api.respond = lambda request: 200
    bridge.wait_log('BRIDGE-ROUTE-CLOSED')
    assert_all_delivered_once(bus, bridge, api, 100)


@pytest.mark.sanitized
def test_an_open_breaker_stops_intake_and_costs_no_attempts(bus, api, start_bridge):
    """H8, R19: an API that is away costs five events an attempt each, and the rest nothing: they stay in the queue."""
    api.stop()
    bridge = start_bridge(bridge_config(bus.url(), route(
        api.url, max_attempts=6, concurrency=4, breaker={'open': '50ms', 'cap': '50ms'}))).ready()
    bus.publish(*(notification(number) for number in range(50)))

    for _ in range(40):  # more than four events have attempts
        bridge.wait_log('BRIDGE-ROUTE-OPEN', start=len(bridge.log))
    state = bus.queue('celadon')
    assert state.ready + state.unacked == 50
    assert state.unacked <= 8  # twice the concurrency, which is what is sent ahead
    api.start()
    assert_all_delivered_once(bus, bridge, api, 50)


def test_a_route_begins_again_with_one_request_at_a_time(bus, api, start_bridge):
    """R19: the first request after an outage goes alone."""
    api.respond = lambda request: 511
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, concurrency=16))).ready()
    bus.publish(notification(0))
    bridge.wait_log('BRIDGE-ROUTE-OPEN')
    gate = api.hold()
    bus.publish(*(notification(number) for number in range(1, 40)))
    before = len(api.answered)
    api.requests.wait_for(len(api.answered) + 1)
    for arrived in (1, 3, 7, 15):  # one, two, four, eight
        api.requests.wait_for(before + arrived)
        assert len(api.requests) == before + arrived
        gate.answer(*[200] * ((arrived + 1) // 2))
    bridge.wait_log('BRIDGE-ROUTE-CLOSED')
    gate.answer(*[200] * 40)
    api.respond = lambda request: 200
    assert_all_delivered_once(bus, bridge, api, 40)


@pytest.mark.sanitized
def test_an_api_that_says_when_is_left_alone_by_the_whole_route(bus, api, start_bridge):
    """R12: "too many requests" is said to one event and heard by all of them."""
    answers = [(429, {'Retry-After': '1.5'})]
    api.respond = lambda request: answers.pop() if answers else 200
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, concurrency=1))).ready()
    bus.publish(*(notification(number) for number in range(30)))

    assert 'Retry-After' in bridge.wait_log('BRIDGE-ROUTE-OPEN').text
    requests = api.answered.wait_for(31)
    assert requests[1].arrived - requests[0].arrived >= 1.49
    assert_all_delivered_once(bus, bridge, api, 30)


def test_a_route_that_is_open_does_not_hold_up_another(bus, api, start_bridge):
    """R6: fan-out legs are independent."""
    api.respond = lambda request: 403 if request.path == '/closed' else 200
    start_bridge(bridge_config(
        bus.url(), route(api.url + '/closed', name='closed', pool='one'),
        route(api.url + '/fine', name='fine', pool='two'))).ready()
    bus.publish(*(notification(number) for number in range(100)))

    api.answered.wait_for_each(keys(100), lambda request: request.path == '/fine' and request.key)


def test_an_event_that_fails_alone_does_not_open_the_breaker(bus, api, start_bridge):
    """R6: one bad event is no outage."""
    api.respond = lambda request: 500 if request.key == 'id-0' else 200
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_attempts=30, backoff={'base': '1ms', 'cap': '1ms'}))).ready()
    bus.publish(notification(0))
    dead, = bus.take(DEAD, 1)
    assert int(dead.headers['x-celadon-attempts']) == 30
    assert bridge.drain() == 0
    assert bridge.lines('BRIDGE-ROUTE-OPEN') == []


@pytest.mark.sanitized
def test_sigterm_ends_a_bridge_whose_breaker_is_open(bus, api, start_bridge):
    """H2: what waits goes back, at once, if it was not parked before: an hour is too long to hold anything."""
    api.respond = lambda request: 511
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, breaker={'open': '1h', 'cap': '1h'}), drain='10m')).ready()
    bus.publish(*(notification(number) for number in range(100)))
    bridge.wait_log('BRIDGE-ROUTE-OPEN')
    assert bridge.drain() == 0
    parked = int(bridge.lines('BRIDGE-STOPPED')[0].text.split()[-3])
    assert len(bus.take('celadon.park.10m', parked)) == parked
    assert bus.queue('celadon')[:2] == (100 - parked, 0)
