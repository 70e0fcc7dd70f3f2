# SPDX-License-Identifier: Apache-2.0
"""The requests that the bridge makes: what is in them, and which events none can be made of."""

import base64
import hashlib
import hmac
import json
import time
import urllib.parse

from oracle import notification
from parts import Publisher, bridge_config, route


def to(url, **more):
    """A route to this URL, whose target says more."""
    return {**route(url), 'to': {'url': url, 'timeout': '30s', **more}}


def test_url_and_headers_are_filled_in_from_the_event_and_no_value_leaves_its_place(bus, api, start_bridge):
    start_bridge(bridge_config(bus.url(), to(
        api.url + '/servers/{json:/payload/instance_id}/events?type={event_type}&host={json:/payload/host|default:"none"}',
        headers={'X-Tenant': '{headers.x-tenant|lower}', 'X-Publisher': 'from {publisher_id}'}))).ready()

    with Publisher(bus) as publisher:
        publisher.notify('compute.instance.update', {'instance_id': 'a/b?c=d#e %2e&'})
    bus.publish(notification(payload={'instance_id': 'i-1', 'host': 'h&x=y'}), **{'x-tenant': 'BLUE'})

    first, second = api.requests.wait_for(2)
    assert first.path == '/servers/a%2Fb%3Fc%3Dd%23e%20%252e%26/events?type=compute.instance.update&host=none'
    assert 'x-tenant' not in first.headers
    assert second.path == '/servers/i-1/events?type=compute.instance.create.end&host=h%26x%3Dy'
    assert second.headers['x-tenant'] == 'blue'
    assert second.headers['x-publisher'] == 'from compute.host-1'


def test_an_event_of_which_no_request_can_be_made_becomes_a_dead_letter_at_once(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.url(), to(
        api.url + '/servers/{json:/payload/id}', headers={'X-Name': '{json:/payload/name}'}))).ready()
    bad = [({}, 'url: {json:/payload/id} is not there'),
           ({'id': '../admin'}, 'url: a value would add . or .. to the URL\'s path'),
           ({'id': 'a\r\nb'}, 'url: {json:/payload/id} has a value with a control character'),
           ({'id': 'a', 'name': 'x\r\nX-Evil: 1'}, 'header X-Name: {json:/payload/name} has a value with a control character')]

    bus.publish(*(notification(number, payload=payload) for number, (payload, _) in enumerate(bad)))
    bus.publish(notification(payload={'id': 'good'}))

    letters = bus.take('celadon.dead.instances', len(bad))
    assert {json.loads(letter.body)['message_id']: (letter.headers['x-celadon-reason'], letter.headers['x-celadon-error'],
                                                    letter.headers['x-celadon-attempts']) for letter in letters} == {
        f'id-{number}': ('unprocessable', why, 0) for number, (_, why) in enumerate(bad)}
    api.requests.wait_for(1)
    assert bridge.drain() == 0
    assert [request.path for request in api.requests.items()] == ['/servers/good']


def test_conditions_choose_the_events_and_the_others_can_become_dead_letters(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.url(), {
        **to(api.url), 'on_unmatched': 'dead_letter',
        'match': ['event_type glob compute.instance.*', 'json:/payload/memory_mb gt 1024', 'priority in info, warn',
                  'headers.x-tenant regex ^(blue|green)$', 'json:/payload/host ne host-9']})).ready()
    good = {'memory_mb': 2048, 'host': 'host-1'}

    bus.publish(notification(1, payload=good), notification(2, payload={'memory_mb': 2048}), **{'x-tenant': 'blue'})
    bus.publish(notification(3, payload={**good, 'memory_mb': 1024}), notification(4, payload={**good, 'host': 'host-9'}),
                notification(5, 'image.upload', payload=good), **{'x-tenant': 'green'})
    bus.publish(notification(6, payload=good), **{'x-tenant': 'greens'})

    letters = bus.take('celadon.dead.instances', 4)
    assert {letter.headers['x-celadon-idempotency-key'] for letter in letters} == {'id-3', 'id-4', 'id-5', 'id-6'}
    assert {letter.headers['x-celadon-reason'] for letter in letters} == {'unmatched'}
    api.requests.wait_for(2)
    assert bridge.drain() == 0
    assert {request.key for request in api.requests.items()} == {'id-1', 'id-2'}


def test_a_transform_chooses_what_is_sent_and_dead_letters_keep_the_original(bus, api, start_bridge):
    api.respond = lambda request: 500 if request.key == 'id-2' else 200
    start_bridge(bridge_config(bus.url(), {**to(api.url, transform={
        'pick': ['/event_type', '/payload'], 'drop': ['/payload/password'], 'rename': {'/payload/instance_id': '/id'},
        'set': {'/source': 'route {route}', '/version': 2}}), 'max_attempts': 2})).ready()
    originals = [notification(number, payload={'instance_id': f'i-{number}', 'password': 'x', 'name': '東京'}) for number in (1, 2)]

    bus.publish(*originals)

    letter, = bus.take('celadon.dead.instances', 1)
    assert letter.body == originals[1]
    sent = {request.key: json.loads(request.body) for request in api.requests.wait_for(3)}
    assert sent['id-1'] == {'event_type': 'compute.instance.create.end', 'payload': {'name': '東京'}, 'id': 'i-1',
                            'source': 'route instances', 'version': 2}


def sign(secret, request):
    """The signature of Standard Webhooks for a request that arrived, by Python's own hmac."""
    key = base64.b64decode(secret.removeprefix('whsec_'))
    signed = f'{request.headers["webhook-id"]}.{request.headers["webhook-timestamp"]}.'.encode() + request.body
    return 'v1,' + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def test_a_signed_cloudevent_with_a_trace_arrives_at_each_attempt(bus, api, start_bridge, tmp_path, monkeypatch):
    new, old = ('whsec_' + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
    (tmp_path / 'new').write_text(new + '\n')
    monkeypatch.setenv('CELADON_TEST_OLD', old)
    api.respond = lambda request: 503 if request.headers['x-celadon-attempt'] == '1' else 200
    bridge = start_bridge(bridge_config(bus.url(), to(
        api.url, cloudevents={'mode': 'binary', 'subject': '{json:/payload/name}'},
        signature={'secrets': [f'file:{tmp_path}/new', 'env:CELADON_TEST_OLD']}))).ready()
    payload = {'name': '東京 "100 %"', 'number': 1.50}
    trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

    bus.publish(notification(payload=payload, _context_request_id='req-7', _context_project_id='p-1'),
                traceparent=trace, tracestate='rojo=1')

    first, second = api.requests.wait_for(2)
    for number, request in enumerate((first, second), 1):
        headers = request.headers
        assert json.loads(request.body) == payload
        assert headers['webhook-signature'].split(' ') == [sign(new, request), sign(old, request)]
        assert abs(int(headers['webhook-timestamp']) - time.time()) < 60
        assert (headers['webhook-id'], headers['ce-id'], headers['idempotency-key']) == ('id-1',) * 3
        assert headers['ce-source'] == '//nova/compute.host-1'
        assert headers['ce-time'] == '2026-11-23T15:00:00.000001Z'
        assert urllib.parse.unquote(headers['ce-subject'], errors='strict') == payload['name']
        assert headers['ce-subject'].isascii() and not set(' "') & set(headers['ce-subject'])
        assert (headers['ce-openstackproject'], headers['x-openstack-request-id']) == ('p-1', 'req-7')
        assert (headers['x-celadon-attempt'], headers['x-celadon-redelivered']) == (str(number), '0')
        assert headers['traceparent'].startswith(trace[:36]) and headers['tracestate'] == 'rojo=1'
    assert len({first.headers['traceparent'], second.headers['traceparent'], trace}) == 3
    assert first.headers['x-celadon-first-attempt'] == second.headers['x-celadon-first-attempt']
    assert bridge.drain() == 0
    assert not any(secret[6:] in line.raw for line in bridge.log.items() for secret in (new, old))
