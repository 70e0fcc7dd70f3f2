# SPDX-License-Identifier: Apache-2.0
"""What an answer means for an event. H and R are the holes and wishes that the bridge's specification lists."""

import json
import pathlib
import re
import time

import pytest

from oracle import notification
from parts import bridge_config, route

DEAD = 'celadon.dead.instances'
TABLE = pathlib.Path(__file__).parents[2] / 'bridge' / 'verdicts.def'
ROWS = re.findall(r'^BRIDGE_STATUS\((\d+), (\d+), (\w+),', TABLE.read_text(), re.MULTILINE)


def verdict(status):
    return next(verdict for first, last, verdict in ROWS if int(first) <= status <= int(last))


def test_each_status_of_the_table_has_its_consequence(bus, api, start_bridge):
    """H7, H10, R7, R14, R26: the status is looked at, by one table; what is rejected becomes a dead letter at the first attempt, what
    is tried again gets there in the end, and only a 2xx is success."""
    elsewhere = (401, 403, 404, 405, 407, 410, 501, 511)  # faults of the route, or perhaps
    statuses = [status for status in range(200, 600)
                if status not in elsewhere and any(status in (int(first), int(last)) for first, last, _ in ROWS)]
    again = {status for status in statuses if verdict(status) in ('RETRY', 'THROTTLE', 'FREE')}
    assert len(statuses) > 20 and again
    answers = {f'id-{status}': [status] for status in statuses}
    api.respond = lambda request: answers[request.key].pop() if answers[request.key] else 200
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.publish(*(notification(status) for status in statuses))

    rejected = {status for status in statuses if verdict(status) == 'REJECT'}
    dead = bus.take(DEAD, len(rejected))
    api.answered.wait_for(len(statuses) + len(again))
    assert bridge.drain() == 0
    assert {int(message.headers['x-celadon-status']) for message in dead} == rejected
    assert {int(message.headers['x-celadon-attempts']) for message in dead} == {1}
    assert {message.headers['x-celadon-reason'] for message in dead
            if 300 <= int(message.headers['x-celadon-status']) <= 399} == {'redirect'}
    assert {message.headers['x-celadon-reason'] for message in dead
            if int(message.headers['x-celadon-status']) >= 400} == {'http_status'}
    assert len(api.requests) == len(statuses) + len(again)
    assert bus.queue('celadon')[:2] == (0, 0)


def test_a_route_may_say_otherwise(bus, api, start_bridge):
    """R7, R22: verdicts are the configuration's, by status and not by words in a log."""
    answers = {'id-404': [404], 'id-409': [409], 'id-422': [422], 'id-500': [500]}
    api.respond = lambda request: answers[request.key].pop() if answers[request.key] else 200
    bridge = start_bridge(bridge_config(bus.url(), route(
        api.url, status={404: 'reject', 409: 'ok', '5xx': 'reject', '4xx': 'retry'}))).ready()
    bus.publish(*(notification(number) for number in (404, 409, 422, 500)))

    dead = bus.take(DEAD, 2)
    api.answered.wait_for(5)
    assert bridge.drain() == 0
    assert {message.headers['x-celadon-status'] for message in dead} == {404, 500}
    assert sorted(request.key for request in api.requests.items()) == ['id-404', 'id-409', 'id-422', 'id-422', 'id-500']
    assert bus.queue('celadon')[:2] == (0, 0)


def test_what_is_no_notification_becomes_a_dead_letter_and_is_neither_dropped_nor_tried_for_ever(bus, api, start_bridge):
    """H3, H9, H12, R6: an event that nobody can read is kept, once, and holds up no other."""
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, concurrency=1))).ready()
    bus.publish(b'{"broken', notification(), b'[1]')

    dead = bus.take(DEAD, 2)
    api.answered.wait_for(1)
    assert bridge.drain() == 0
    assert {message.body for message in dead} == {b'{"broken', b'[1]'}
    assert {message.headers['x-celadon-reason'] for message in dead} == {'unprocessable'}
    assert len(api.requests) == 1
    assert bus.queue('celadon')[:2] == (0, 0)


def test_a_throttled_event_spends_no_attempts(bus, api, start_bridge):
    """R12: an API that says "slower" may say so more often than an event has attempts."""
    answers = [429, 503, 502, 504, 429, 503] * 2 + [200]
    api.respond = lambda request: answers.pop(0)
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_attempts=1))).ready()
    bus.publish(notification())

    api.answered.wait_for(13)
    assert bridge.drain() == 0
    assert bus.queue('celadon')[:2] == (0, 0)
    assert bus.queue(DEAD).ready == 0


def test_a_throttled_event_grows_old(bus, api, start_bridge):
    """R14: nothing is tried again without a limit of attempts or of age."""
    api.respond = lambda request: 503
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_attempts=1, max_age='300ms'))).ready()
    bus.publish(notification())

    dead, = bus.take(DEAD, 1)
    assert bridge.drain() == 0
    assert dead.headers['x-celadon-reason'] == 'max_age'
    assert int(dead.headers['x-celadon-attempts']) > 1
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
@pytest.mark.parametrize('headers, seconds', [
    pytest.param(lambda: {'Retry-After': '1.2'}, 1.2, id='seconds'),
    pytest.param(lambda: {'Retry-After': time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime(time.time() + 3))}, 2,
                 id='date'),
    pytest.param(lambda: {'RateLimit-Remaining': '0', 'RateLimit-Reset': '1'}, 1, id='rate-limit'),
])
def test_retry_after_is_obeyed(bus, api, start_bridge, headers, seconds):
    """H13: the wait is the event's own, and the API says how long it is."""
    answers = {'id-1': [500]}
    api.respond = lambda request: (answers[request.key].pop(), headers()) if answers.get(request.key) else 200
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.publish(notification(1), notification(2))

    requests = api.answered.wait_for(3)
    assert bridge.drain() == 0
    first, second = (request for request in requests if request.key == 'id-1')
    other, = (request for request in requests if request.key == 'id-2')
    assert second.arrived - first.arrived >= seconds - 0.01
    assert other.arrived < second.arrived


def test_a_negative_retry_after_gives_up(bus, api, start_bridge):
    api.respond = lambda request: (503, {'Retry-After': '-1'})
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.publish(notification())

    dead, = bus.take(DEAD, 1)
    assert bridge.drain() == 0
    assert dead.headers['x-celadon-reason'] == 'http_status' and len(api.requests) == 1


def test_a_dead_letter_tells_whether_the_api_may_have_it(bus, api, start_bridge):
    """A request without an answer may have been acted on."""
    gate = api.hold()
    bridge = start_bridge(bridge_config(
        bus.url(), route(api.url, to={'url': api.url, 'timeout': '100ms'}, max_attempts=1))).ready()
    bus.publish(notification())
    dead, = bus.take(DEAD, 1)
    assert dead.headers['x-celadon-maybe-delivered'] is True
    assert dead.headers['x-celadon-first-attempt'] <= dead.headers['x-celadon-dead-at']
    gate.answer(200)
    api.respond = lambda request: 400
    bus.publish(notification(2))
    dead, = bus.take(DEAD, 1)
    assert dead.headers['x-celadon-maybe-delivered'] is False
    assert bridge.drain() == 0
    assert json.loads(dead.body)['message_id'] == 'id-2'
