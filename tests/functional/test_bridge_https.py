# SPDX-License-Identifier: Apache-2.0
"""An API behind https: what its certificate does not prove is not sent there, and the events are kept."""

import pytest

from oracle import notification
from parts import Api, Certificates, bridge_config, route

DEAD = 'celadon.dead.instances'


@pytest.fixture
def api():
    with Api().certify('localhost') as api:
        yield api


def https_route(api, ca_file, timeout='30s', **settings):
    target = {'url': api.https_url, 'timeout': timeout}
    if ca_file:
        target['ca_file'] = ca_file
    return route(api.https_url, to=target, **settings)


@pytest.mark.sanitized
def test_events_are_delivered_to_the_name_that_the_certificate_proves(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(bus.url(), https_route(api, api.certificates.ca))).ready()
    bus.publish(notification(1), notification(2))

    api.requests.wait_for(2)
    assert bridge.drain() == 0
    assert sorted(request.key for request in api.requests.items()) == ['id-1', 'id-2']
    assert {request.body for request in api.requests.items()} == {notification(1), notification(2)}
    assert bridge.lines('BRIDGE-ROUTE-FAILING') == []
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
@pytest.mark.parametrize('case, why', [
    pytest.param('another-name', "no alternative certificate subject name matches target host name 'localhost'",
                 id='another-name'),
    pytest.param('another-authority', 'SSL certificate problem: ', id='another-authority'),
    pytest.param('system-store', 'SSL certificate problem: unable to get local issuer certificate', id='system-store'),
])
def test_an_event_for_an_unproven_api_is_kept_and_the_log_says_why(
        bus, api, start_bridge, tmp_path, case, why):
    ca_file = api.certificates.ca
    if case == 'another-name':
        api.stop()
        api.certify('elsewhere.example').start()
    elif case == 'another-authority':
        ca_file = Certificates(tmp_path).ca
    else:
        ca_file = None
    bridge = start_bridge(bridge_config(bus.url(), https_route(api, ca_file, max_attempts=1))).ready()
    bus.publish(notification())

    failing = bridge.wait_log('BRIDGE-ROUTE-FAILING')
    assert failing.level == 'WARN' and why in failing.text
    assert bridge.drain() == 0
    assert len(bridge.lines('BRIDGE-ROUTE-FAILING')) == 1
    assert len(api.requests) == 0
    assert bus.queue('celadon')[:2] == (1, 0)
    assert bus.queue(DEAD).ready == 0


@pytest.mark.sanitized
def test_an_event_waits_until_the_api_shows_the_right_certificate(bus, api, start_bridge):
    api.stop()
    api.certify('elsewhere.example').start()
    bridge = start_bridge(bridge_config(
        bus.url(), https_route(api, api.certificates.ca, timeout='1s', max_attempts=1000))).ready()
    bus.publish(notification())
    bridge.wait_log('BRIDGE-ROUTE-FAILING')
    assert bus.queue('celadon')[:2] == (0, 1)
    assert len(api.requests) == 0

    api.stop()
    api.certify('localhost').start()
    assert api.requests.get(0).body == notification()
    bridge.wait_log('BRIDGE-ROUTE-RECOVERED')
    assert bridge.drain() == 0
    assert len(api.requests) == 1
    assert bus.queue('celadon')[:2] == (0, 0)
    assert bus.queue(DEAD).ready == 0
