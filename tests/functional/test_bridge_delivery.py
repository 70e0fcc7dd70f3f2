# SPDX-License-Identifier: Apache-2.0
"""What the bridge sends, what it acknowledges, and when."""

import json
import struct
from collections import Counter

import pytest
from kombu.compression import decompress

from oracle import inner_text, matching, message_id, notification, sent_texts
from parts import Gate, Publisher, bridge_config, random_event, route


@pytest.mark.sanitized
@pytest.mark.parametrize('count', [2000])
def test_each_matching_notification_arrives_byte_for_byte_and_the_others_are_acked_and_not_sent(
        bus, api, start_bridge, rng, note, count):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url + '/events'))).ready()

    with Publisher(bus, 'messaging') as v1, Publisher(bus, 'messagingv2') as v2:
        for _ in range(count):
            event_type, payload, priority = random_event(rng)
            rng.choice((v1, v2)).notify(event_type, payload, priority, {'request_id': 'req-ü', 'user_name': 'Ægir'})

    sent = sent_texts(bus)
    expected = matching(sent)
    assert len(sent) == count and 0 < len(expected) < count
    note(f'{count} notifications, of which {len(expected)} match')

    api.requests.wait_for(len(expected))
    assert bridge.drain() == 0

    requests = api.requests.items()
    assert Counter(request.body for request in requests) == Counter(expected)
    assert {(request.method, request.path) for request in requests} == {('POST', '/events')}
    assert bus.queue('celadon')[:3] == (0, 0, 0)
    assert bus.queue('celadon.dead.instances').ready == 0


@pytest.mark.sanitized
def test_the_idempotency_key_is_the_message_id(bus, api, start_bridge, rng):
    start_bridge(bridge_config(bus.url(), route(api.url))).ready()

    with Publisher(bus, 'messaging') as v1, Publisher(bus, 'messagingv2') as v2:
        for number in range(50):
            (v1, v2)[number % 2].notify(*random_event(rng, matching=True))

    requests = api.requests.wait_for(50)
    assert {request.key for request in requests} == {message_id(text) for text in sent_texts(bus)}
    assert all(request.key == message_id(request.body) for request in requests)
    assert all(request.headers['content-type'].startswith('application/json') for request in requests)


def test_a_pool_gets_a_copy_and_leaves_the_shared_queues_alone(bus, api, start_bridge):
    start_bridge(bridge_config(bus.url(), route(api.url, pool='celadon'))).ready()

    with Publisher(bus) as publisher:
        publisher.notify('compute.instance.update', {})

    api.requests.wait_for(1)
    assert bus.queue('notifications.info').ready == 1


def test_without_a_pool_the_shared_queues_are_consumed(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, pool=None))).ready()

    with Publisher(bus) as publisher:
        for number in range(20):
            publisher.notify('compute.instance.update', {'number': number}, ('info', 'error')[number % 2])
        publisher.notify('compute.instance.update', {}, 'warn')  # nobody asked for those

    api.requests.wait_for(20)
    assert bridge.drain() == 0
    assert len(api.requests) == 20
    assert bus.queue('notifications.info').ready == 0
    assert bus.queue('notifications.error').ready == 0
    assert bus.queue('notifications.warn').ready == 1


def test_several_routes_each_get_what_matches(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(
        bus.url(),
        route(api.url + '/instances', name='instances', pool='one'),
        route(api.url + '/scheduler', name='scheduler', pool='two', match={'event_type': 'scheduler.*'}),
        route(api.url + '/all', name='all', pool='three', match=None))).ready()

    with Publisher(bus) as publisher:
        publisher.notify('compute.instance.update', {})
        publisher.notify('scheduler.select_destinations.end', {})
        publisher.notify('image.upload', {})

    api.requests.wait_for(5)
    assert bridge.drain() == 0
    arrived = Counter((request.path, json.loads(request.body)['event_type']) for request in api.requests.items())
    assert arrived == Counter([('/instances', 'compute.instance.update'), ('/all', 'compute.instance.update'),
                               ('/scheduler', 'scheduler.select_destinations.end'),
                               ('/all', 'scheduler.select_destinations.end'), ('/all', 'image.upload')])


def envelope(text, version='2.0', quote=json.dumps):
    """oslo's envelope around a text; `quote` makes a JSON string of it."""
    return '{"oslo.version": "%s", "oslo.message": %s}' % (version, quote(text))


def quote_with_escapes(text):
    return '"' + ''.join(f'\\u{ord(character):04x}' for character in text) + '"'


TEXT = '{"message_id":"id-1",\n\t"event_type" : "compute.instance.x", "text": "%s"}'


@pytest.mark.sanitized
@pytest.mark.parametrize('body', [
    pytest.param(envelope(TEXT % '\\u6771\\/\\ud83e\\uddad'), id='escapes'),
    pytest.param(envelope(TEXT % '東京 🦭 é', quote=lambda text: json.dumps(text, ensure_ascii=False)), id='no-escapes'),
    pytest.param(envelope(TEXT % '東京 é', quote=quote_with_escapes), id='envelope-of-escapes'),
    pytest.param(json.dumps({'oslo.message': TEXT % '', 'more': [{}], 'oslo.version': '2.0'}, indent=3), id='another-order'),
    pytest.param('{"message_id":"id-1","event_type":"compute.instance.x","twice":1,"twice":2}', id='the-same-key-twice'),
    pytest.param(TEXT % '\\u0000', id='a-nul-in-a-text'),
    pytest.param(TEXT % '' + ' ', id='white-space-at-the-end'),
    pytest.param(envelope(TEXT % ('x' * 3_000_000)), id='3-MB'),
    pytest.param(TEXT.replace('"%s"', '1180591620717411303424'), id='an-integer-of-71-bits'),
])
def test_the_text_arrives_as_it_was_sent(bus, api, start_bridge, body):
    start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.publish(body.encode())
    assert api.requests.get(0).body == inner_text(body.encode())


@pytest.mark.parametrize('text', ['"\\ud800"', 'NaN', '-Infinity'], ids=['lone-surrogate', 'nan', 'infinity'])
def test_what_only_python_calls_json_arrives_or_becomes_a_dead_letter_but_is_not_lost(bus, api, start_bridge, text):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    odd = b'{"message_id": "odd", "event_type": "compute.instance.x", "payload": %s}' % text.encode()

    bus.publish(odd, notification())

    api.requests.first(lambda request: request.key == 'id-1')
    assert bridge.drain() == 0
    bodies = [request.body for request in api.requests.items() if request.key != 'id-1']
    bodies += [message.body for message in bus.take('celadon.dead.instances')]
    assert bodies == [odd]


@pytest.mark.sanitized
@pytest.mark.parametrize('status', [404, 409, 429, 500, 503])
def test_an_event_is_acked_only_after_a_2xx(bus, api, start_bridge, status):
    gate = api.hold()
    bridge = start_bridge(bridge_config(bus.url(), route(api.url + '/events'))).ready()
    bus.publish(notification())

    for attempt in range(3):
        api.requests.wait_for(attempt + 1)
        assert bus.queue('celadon')[:2] == (0, 1)  # delivered, not acknowledged
        gate.answer(status)
    api.requests.wait_for(4)
    assert bus.queue('celadon')[:2] == (0, 1)
    gate.answer(204)

    assert bridge.drain() == 0
    requests = api.requests.items()
    assert [request.status for request in requests] == [status, status, status, 204]
    assert {request.key for request in requests} == {'id-1'}
    assert {request.body for request in requests} == {notification()}
    assert {request.path for request in requests} == {'/events'}
    assert bus.queue('celadon')[:2] == (0, 0)
    assert bus.queue('celadon.dead.instances').ready == 0


def test_events_are_acked_one_by_one_while_others_wait(bus, api, start_bridge):
    gate = api.hold()
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, concurrency=2))).ready()
    bus.publish(*(notification(number) for number in range(10)))

    for arrived in range(2, 11):  # there is room for the next one only when one has been settled
        api.requests.wait_for(arrived)
        gate.answer(200 + arrived % 7)  # 2xx is 2xx
    gate.answer(200)

    assert bridge.drain() == 0
    assert len(api.requests) == 10
    assert api.in_flight_max == 2
    assert bus.queue('celadon')[:2] == (0, 0)


def test_requests_in_flight_reach_and_never_exceed_concurrency(bus, api, start_bridge):
    gate = api.hold()
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, concurrency=7))).ready()
    bus.publish(*(notification(number) for number in range(300)))

    api.requests.wait_for(7)
    gate.answer(*[200] * 300)

    api.requests.wait_for(300)
    assert bridge.drain() == 0
    assert api.in_flight_max == 7
    assert len({request.key for request in api.requests.items()}) == 300


def test_a_route_whose_api_hangs_does_not_hold_up_another(bus, api, start_bridge):
    stuck = Gate()
    api.respond = lambda request: stuck(request) if request.path == '/stuck' else 200
    start_bridge(bridge_config(
        bus.url(),
        route(api.url + '/stuck', name='stuck', pool='one', concurrency=4),
        route(api.url + '/fine', name='fine', pool='two', concurrency=4))).ready()

    bus.publish(*(notification(number) for number in range(100)))

    api.requests.wait_for(104)
    assert Counter(request.path for request in api.requests.items()) == {'/stuck': 4, '/fine': 100}


@pytest.mark.sanitized
def test_the_wait_between_attempts_doubles_up_to_the_cap_and_is_never_less_than_half_of_that(bus, api, start_bridge):
    api.respond = lambda request: 500
    start_bridge(bridge_config(
        bus.url(), route(api.url, max_attempts=5, backoff={'base': '100ms', 'cap': '300ms'}))).ready()
    bus.publish(notification())

    bus.take('celadon.dead.instances', 1)
    arrived = [request.arrived for request in api.requests.items()]
    waits_ms = [1000 * (later - earlier) for earlier, later in zip(arrived, arrived[1:])]
    print('waits in ms:', waits_ms)
    assert len(waits_ms) == 4
    assert all(wait_ms >= whole_ms / 2 - 1 for wait_ms, whole_ms in zip(waits_ms, (100, 200, 300, 300)))


def test_an_event_that_fails_does_not_hold_up_the_others(bus, api, start_bridge):
    api.respond = lambda request: 500 if request.key == 'id-0' else 200
    start_bridge(bridge_config(bus.url(), route(api.url, concurrency=2, max_attempts=10))).ready()

    bus.publish(*(notification(number) for number in range(50)))

    api.requests.wait_for_each({f'id-{number}' for number in range(50)}, lambda request: request.key)
    dead, = bus.take('celadon.dead.instances', 1)
    assert dead.body == notification(0)


@pytest.mark.sanitized
@pytest.mark.parametrize('driver', ['messaging', 'messagingv2'])
@pytest.mark.parametrize('compression, header', [('gzip', 'application/x-gzip'), ('bzip2', 'application/x-bz2'),
                                                 ('lzma', 'application/x-lzma')])
def test_compressed_notifications_arrive_byte_for_byte(bus, api, start_bridge, rng, driver, compression, header):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    with Publisher(bus, driver) as plain, Publisher(bus, driver, compression=compression) as compressed:
        plain.notify('compute.instance.update', {})
        for _ in range(50):
            compressed.notify(*random_event(rng, matching=True))
        compressed.notify('compute.instance.update', {'text': 'long ' * 100_000})

    copies = bus.take('notifications.info') + bus.take('notifications.error')
    assert Counter(copy.headers.get('compression') for copy in copies) == {None: 1, header: 51}
    expected = [inner_text(decompress(copy.body, header) if 'compression' in copy.headers else copy.body)
                for copy in copies]
    api.requests.wait_for(52)
    assert bridge.drain() == 0
    assert Counter(request.body for request in api.requests.items()) == Counter(expected)
    assert bus.queue('celadon')[:2] == (0, 0)
    assert bus.queue('celadon.dead.instances').ready == 0


@pytest.mark.sanitized
def test_a_body_that_zstd_compressed_arrives(bus, api, start_bridge):
    """As kombu would publish it, with a Python module that Debian 12 lacks."""
    text = notification(text='x' * 1000)
    frame = b'\x28\xb5\x2f\xfd\x60' + struct.pack('<H', len(text) - 256)
    frame += struct.pack('<I', len(text) << 3 | 1)[:3] + text  # the last block, stored
    start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.publish(frame, compression='application/zstd')
    assert api.requests.get(0).body == text
