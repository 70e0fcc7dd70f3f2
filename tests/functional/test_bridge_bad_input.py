# SPDX-License-Identifier: Apache-2.0
"""Bad input: each gives one clear line, and nothing is lost or stuck."""

import json
import zlib

import pytest

from oracle import notification
from parts import USER, bridge_config, route

DEAD = 'celadon.dead.instances'


def assert_dead_letter(message, body, reason, attempts, status=0):
    assert message.body == body
    assert message.headers['x-celadon-reason'] == reason
    assert message.headers['x-celadon-route'] == 'instances'
    assert int(message.headers['x-celadon-attempts']) == attempts
    assert int(message.headers.get('x-celadon-status', 0)) == status
    assert message.headers['x-celadon-error']
    assert message.properties['delivery_mode'] == 2


def assert_one_line(bridge, log_id, *words):
    line, = bridge.lines(log_id)
    for word in words:
        assert word in line.text
    assert line.level in ('WARN', 'ERROR')


@pytest.mark.sanitized
@pytest.mark.parametrize('body', [
    pytest.param(notification()[:-10], id='broken-json'),
    pytest.param(json.dumps({'oslo.version': '3.0', 'oslo.message': notification().decode()}).encode(), id='envelope-3.0'),
    pytest.param(json.dumps({'oslo.version': '2.1', 'oslo.message': notification().decode()}).encode(), id='envelope-2.1'),
    pytest.param(json.dumps({'oslo.version': 'new', 'oslo.message': notification().decode()}).encode(), id='envelope-new'),
    pytest.param(json.dumps({'oslo.version': '2.0', 'oslo.message': notification().decode()[:-1]}).encode(),
                 id='broken-json-in-the-envelope'),
    pytest.param(json.dumps({'oslo.version': '2.0', 'oslo.message': 7}).encode(), id='a-number-in-the-envelope'),
    pytest.param(b'[1, 2]', id='a-list'),
    pytest.param(b'', id='nothing'),
    pytest.param(b'\xff\xfe\0binary', id='binary'),
    pytest.param(notification()[:-1] + b', "text": "\xc3"}', id='broken-utf-8'),
    pytest.param(b'[' * 100_000, id='deeply-nested'),
])
def test_what_is_no_notification_becomes_a_dead_letter_and_is_not_sent(bus, api, start_bridge, body):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.publish(body, notification())

    dead, = bus.take(DEAD, 1)
    assert_dead_letter(dead, body, 'unprocessable', attempts=0)
    api.requests.wait_for(1)
    assert bridge.drain() == 0
    assert [request.key for request in api.requests.items()] == ['id-1']
    assert_one_line(bridge, 'BRIDGE-DEAD-LETTER', 'instances', 'unprocessable')
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
@pytest.mark.parametrize('compression, body, why', [
    pytest.param('application/x-gzip', zlib.compress(notification())[:-1], 'ends too early', id='cut-gzip'),
    pytest.param('application/x-gzip', zlib.compress(notification()) + b'x', 'ends before the body does', id='more-than-gzip'),
    pytest.param('application/x-gzip', zlib.compress(b'no JSON'), 'not JSON', id='compressed-broken-json'),
    pytest.param('application/x-bz2', notification(), 'damaged, or not bzip2', id='not-compressed'),
    pytest.param('application/x-lzma', b'\xfd7zXZ\0' + bytes(100), 'damaged, or not lzma', id='damaged-lzma'),
    pytest.param('application/zstd', b'', 'ends too early', id='nothing'),
    pytest.param('application/x-brotli', notification(), '"application/x-brotli" is not supported', id='brotli'),
])
def test_what_cannot_be_decompressed_becomes_a_dead_letter_as_it_came(bus, api, start_bridge, compression, body, why):
    assert_becomes_a_dead_letter(bus, api, start_bridge, compression, body, why)


@pytest.mark.sanitized
def test_a_bomb_becomes_a_dead_letter(bus, api, start_bridge):
    assert_becomes_a_dead_letter(bus, api, start_bridge, 'application/x-gzip', zlib.compress(bytes(129 << 20)),
                                 'more than 134217728 bytes')


def assert_becomes_a_dead_letter(bus, api, start_bridge, compression, body, why):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.publish(body, compression=compression)
    bus.publish(notification())

    dead, = bus.take(DEAD, 1)
    assert_dead_letter(dead, body, 'unprocessable', attempts=0)
    assert dead.headers['compression'] == compression
    assert why in dead.headers['x-celadon-error']
    api.requests.wait_for(1)
    assert bridge.drain() == 0
    assert [request.key for request in api.requests.items()] == ['id-1']
    assert_one_line(bridge, 'BRIDGE-DEAD-LETTER', 'instances', 'unprocessable', why)
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
@pytest.mark.parametrize('bytes_over, arrives', [(0, True), (1, False)])
def test_max_message_holds_for_what_is_sent_when_a_small_body_decompresses_to_it(
        bus, api, start_bridge, bytes_over, arrives):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_message='64KiB'))).ready()
    text = notification(text='x' * (65536 + bytes_over - len(notification(text=''))))
    bus.publish(zlib.compress(text), compression='application/x-gzip')
    if arrives:
        assert api.requests.get(0).body == text
    else:
        dead, = bus.take(DEAD, 1)
        assert_dead_letter(dead, zlib.compress(text), 'too_large', attempts=0)
        assert dead.headers['x-celadon-error'] == '65537 bytes when decompressed, max_message is 65536'
    assert bridge.drain() == 0
    assert len(api.requests) == arrives


@pytest.mark.sanitized
def test_a_body_of_20_mb_becomes_a_dead_letter_as_a_whole(bus, api, start_bridge):
    big = notification(text='x' * 20_000_000)
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_message='16MiB'))).ready()
    bus.publish(big, notification(2))

    dead, = bus.take(DEAD, 1)
    assert_dead_letter(dead, big, 'too_large', attempts=0)
    api.requests.wait_for(1)
    assert bridge.drain() == 0
    assert [request.key for request in api.requests.items()] == ['id-2']
    assert_one_line(bridge, 'BRIDGE-DEAD-LETTER', 'instances', 'too_large')
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.parametrize('bytes_over, arrives', [(0, True), (1, False)])
def test_max_message_is_the_last_size_that_is_sent(bus, api, start_bridge, bytes_over, arrives):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_message='64KiB'))).ready()
    padding = 65536 + bytes_over - len(notification(text=''))
    body = notification(text='x' * padding)
    assert len(body) == 65536 + bytes_over
    bus.publish(body)
    if arrives:
        assert api.requests.get(0).body == body
    else:
        assert bus.take(DEAD, 1)[0].body == body
    assert bridge.drain() == 0


@pytest.mark.sanitized
def test_an_event_that_fails_max_attempts_times_becomes_a_dead_letter(bus, api, start_bridge):
    api.respond = lambda request: 500
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_attempts=3))).ready()
    body = json.dumps({'oslo.version': '2.0', 'oslo.message': notification().decode()}).encode()
    bus.publish(body)

    dead, = bus.take(DEAD, 1)
    assert_dead_letter(dead, body, 'max_attempts', attempts=3, status=500)
    assert bridge.drain() == 0
    assert [request.key for request in api.requests.items()] == ['id-1'] * 3
    assert_one_line(bridge, 'BRIDGE-DEAD-LETTER', 'instances', 'max_attempts', '500', '3')
    assert bus.queue('celadon')[:2] == (0, 0)
    assert bus.queue(DEAD).durable


@pytest.mark.sanitized
def test_a_dead_letter_keeps_what_describes_the_event_and_drops_what_would_act_again(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.bind_queue('copies', keys=['unused'])
    bus.publish(b'bad', CC=['copies'], BCC=['copies'], kept='as it was',
                properties={'user_id': USER, 'expiration': '3600000', 'app_id': 'nova', 'correlation_id': 'c', 'priority': 3})

    dead, = bus.take(DEAD, 1)
    assert_dead_letter(dead, b'bad', 'unprocessable', attempts=0)
    assert dead.properties.keys() == {'content_type', 'content_encoding', 'delivery_mode', 'application_headers', 'app_id',
                                      'correlation_id', 'priority'}
    assert (dead.properties['app_id'], dead.properties['correlation_id'], dead.properties['priority']) == ('nova', 'c', 3)
    assert (dead.properties['content_type'], dead.properties['content_encoding']) == ('application/json', 'utf-8')
    assert dead.headers['kept'] == 'as it was'
    assert not {'CC', 'BCC', 'x-celadon-headers-dropped'} & dead.headers.keys()
    assert {name: value for name, value in dead.headers.items() if 'origin' in name} == {
        'x-celadon-origin-exchange': 'nova', 'x-celadon-origin-routing-key': 'notifications.info',
        'x-celadon-origin-queue': 'celadon', 'x-celadon-origin-expiration': '3600000', 'x-celadon-origin-user-id': USER}
    assert bridge.drain() == 0
    assert bus.queue('copies').ready == 0
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
@pytest.mark.parametrize('size', [65_300, 130_000])
def test_a_dead_letter_without_room_for_the_events_headers_has_the_bridges_alone(bus, api, start_bridge, size):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.publish(b'bad', huge='x' * size, small='y')

    dead, = bus.take(DEAD, 1)
    assert_dead_letter(dead, b'bad', 'unprocessable', attempts=0)
    assert dead.headers['x-celadon-headers-dropped'] is True
    assert not {'huge', 'small'} & dead.headers.keys()
    assert bridge.drain() == 0
    assert bridge.lines('BRIDGE-DEAD-LETTER-FAILED') == []
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
def test_a_dead_letter_that_is_published_again_is_delivered(bus, api, start_bridge):
    api.respond = lambda request: 500
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_attempts=1))).ready()
    bus.publish(notification(_unique_id='of-this-event'))
    dead, = bus.take(DEAD, 1)

    api.respond = lambda request: 200
    bus.publish(dead.body, exchange='', key='celadon')
    assert [request.status for request in api.answered.wait_for(2)] == [500, 200]
    assert bridge.drain() == 0
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
def test_a_request_that_times_out_is_an_attempt(bus, api, start_bridge):
    api.hold()
    bridge = start_bridge(bridge_config(
        bus.url(), route(api.url, to={'url': api.url, 'timeout': '100ms'}, max_attempts=2))).ready()
    bus.publish(notification())

    dead, = bus.take(DEAD, 1)
    assert_dead_letter(dead, notification(), 'max_attempts', attempts=2)
    assert bridge.drain() == 0
    assert len(api.requests) == 2


@pytest.mark.sanitized
def test_a_dead_letter_is_confirmed_before_the_message_is_acked(bus, api, start_bridge):
    api.respond = lambda request: 500
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_attempts=2))).ready()
    bus.refuse_publishes(DEAD)
    with bus.publishes() as wait_for:
        bus.publish(notification())
        wait_for(DEAD)
        wait_for(DEAD)  # so the first was refused, and the bridge knows
    assert bus.queue('celadon')[:2] == (0, 1)
    assert bus.queue(DEAD).ready == 0
    assert bridge.lines('BRIDGE-DEAD-LETTER') == []

    assert bridge.drain() == 0
    assert bus.queue('celadon')[:2] == (1, 0)

    bus.refuse_publishes(DEAD, False)
    second = start_bridge(bridge_config(bus.url(), route(api.url, max_attempts=2)))
    dead, = bus.take(DEAD, 1)
    assert dead.body == notification()
    assert second.drain() == 0
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
def test_a_deleted_queue_is_declared_again_and_events_flow(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.publish(notification(1))
    api.requests.wait_for(1)
    seen = len(bridge.log)

    with bus.broker.events('consumer.created') as wait_for:
        bus.delete_queue('celadon')
        wait_for('celadon')
    bus.publish(notification(2))

    assert [request.key for request in api.requests.wait_for(2)] == ['id-1', 'id-2']
    assert bridge.drain() == 0
    about_it = [line for line in bridge.log.items(seen) if line.level in ('WARN', 'ERROR')]
    assert len(about_it) == 1 and 'celadon' in about_it[0].text


@pytest.mark.sanitized
def test_a_deleted_dead_letter_queue_is_declared_again_and_no_dead_letter_is_lost(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    bus.publish(b'bad 1')
    assert bus.take(DEAD, 1)[0].body == b'bad 1'

    with bus.broker.events('queue.created') as wait_for:
        bus.delete_queue(DEAD)
        bus.publish(b'bad 2')
        wait_for(DEAD)

    assert bus.take(DEAD, 1)[0].body == b'bad 2'
    assert bus.queue(DEAD).durable
    assert bridge.drain() == 0
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
def test_many_events_at_once_find_the_dead_letter_queue_deleted_and_none_is_lost(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, concurrency=64))).ready()
    bodies = [b'bad %d' % number for number in range(200)]
    bus.delete_queue(DEAD)
    bus.publish(*bodies)

    bridge.wait_log('BRIDGE-DEAD-LETTER')  # so the queue is there again
    assert sorted(letter.body for letter in bus.take(DEAD, 200)) == sorted(bodies)
    assert bridge.drain() == 0
    assert bus.queue('celadon')[:2] == (0, 0)


def assert_fails_at_the_start(bridge, *words):
    """It ends with status 1 and one clear line."""
    assert bridge.wait_exit() == 1
    line, = bridge.lines('BRIDGE-FAILED')
    assert line.level == 'ERROR'
    for word in words:
        assert word in line.raw
    assert not bridge.lines('BRIDGE-READY')


@pytest.mark.sanitized
def test_a_wrong_password_ends_the_bridge_with_one_line_that_does_not_tell_it(bus, api, start_bridge):
    bus.bind_queue('celadon')
    bus.publish(notification())
    bridge = start_bridge(bridge_config(bus.url(password='opensesame'), route(api.url)))

    assert_fails_at_the_start(bridge, str(bus.broker.port))
    assert not [line for line in bridge.log.items() if 'opensesame' in line.raw]
    assert bus.queue('celadon')[:2] == (1, 0)


@pytest.mark.sanitized
def test_a_virtual_host_that_is_missing_ends_the_bridge_with_one_line(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.url() + '-missing', route(api.url)))
    assert_fails_at_the_start(bridge, bus.name + '-missing')


@pytest.mark.sanitized
def test_tls_with_the_right_name_works(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.tls_url(), route(api.url))).ready()
    bus.publish(notification())
    assert api.requests.get(0).body == notification()
    assert bridge.drain() == 0
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
@pytest.mark.parametrize('case', ['another-name', 'an-address'])
def test_a_tls_name_that_does_not_match_ends_the_bridge_with_one_line(bus, api, start_bridge, case):
    bus.bind_queue('celadon')
    bus.publish(notification())
    if case == 'another-name':
        url = bus.tls_url(port=bus.broker.add_tls_port('elsewhere.example'))
    else:
        url = bus.tls_url(host='127.0.0.1')  # the certificate is for localhost
    bridge = start_bridge(bridge_config(url, route(api.url)))

    assert_fails_at_the_start(bridge, 'localhost' if case == 'another-name' else '127.0.0.1')
    assert len(api.requests) == 0
    assert bus.queue('celadon')[:2] == (1, 0)


@pytest.mark.sanitized
def test_a_queue_with_other_settings_ends_the_bridge_with_one_line(bus, api, start_bridge):
    bus.bind_queue('celadon', durable=True)
    bus.publish(notification())
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, durable=False)))

    assert_fails_at_the_start(bridge, 'durable')
    assert bus.queue('celadon')[:2] == (1, 0)
