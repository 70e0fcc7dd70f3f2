# SPDX-License-Identifier: Apache-2.0
"""The API fails, the broker goes away, the bridge is killed: nothing is lost, nothing is acknowledged early."""

from collections import Counter

import pytest

from oracle import message_id, notification, sent_texts
from parts import Publisher, SlammedDoor, bridge_config, random_event, route

# Many attempts, each short: a route may not hold a message for longer than 20 minutes.
PATIENT = {'max_attempts': 200, 'backoff': {'base': '20ms', 'cap': '200ms'}}


def patient_route(url, **settings):
    return route(url, **{**PATIENT, 'to': {'url': url, 'timeout': '5s'}, **settings})


def publish_events(bus, rng, count, durable=False):
    """Publish matching events; returns their texts by message id."""
    sent_texts(bus)  # a broker that was killed may bring back copies of earlier ones
    with Publisher(bus, 'messaging', durable=durable) as v1, Publisher(bus, 'messagingv2', durable=durable) as v2:
        for _ in range(count):
            rng.choice((v1, v2)).notify(*random_event(rng, matching=True))
    texts = {message_id(text): text for text in sent_texts(bus)}
    assert len(texts) == count
    return texts


def assert_each_arrived(requests, texts):
    """Each event was answered with 200 at least once, and always had its own text. Returns how many came again."""
    delivered = Counter(request.key for request in requests if request.status == 200)
    assert delivered.keys() == texts.keys()
    assert all(request.body == texts[request.key] for request in requests)
    return delivered.total() - len(delivered)


@pytest.mark.sanitized
def test_nothing_is_lost_or_acked_early_while_the_api_answers_503_is_stopped_and_started(bus, api, start_bridge, rng):
    api.respond = lambda request: 503
    bridge = start_bridge(bridge_config(bus.url(), patient_route(api.url))).ready()
    texts = publish_events(bus, rng, 300)
    api.requests.wait_for(100)

    api.stop()
    with SlammedDoor(api.port) as door:
        door.connections.wait_for(10)
        state = bus.queue('celadon')
        assert state.ready + state.unacked == 300
    api.respond = lambda request: 200
    api.start()

    api.answered.wait_for_each(texts, lambda request: request.status == 200 and request.key)
    assert bridge.drain() == 0
    again = assert_each_arrived(api.requests.items(), texts)
    assert again == 0  # nothing went wrong after a 200
    assert bus.queue('celadon')[:2] == (0, 0)
    assert bus.queue('celadon.dead.instances').ready == 0
    assert len(bridge.lines('BRIDGE-ROUTE-FAILING')) == 1
    assert len(bridge.lines('BRIDGE-ROUTE-RECOVERED')) == 1


@pytest.mark.sanitized
def test_an_api_that_is_down_at_the_start_is_waited_for(bus, api, start_bridge):
    api.stop()
    bridge = start_bridge(bridge_config(bus.url(), patient_route(api.url))).ready()
    bus.publish(*(notification(number) for number in range(10)))
    bridge.wait_log('BRIDGE-ROUTE-FAILING')
    api.start()
    api.requests.wait_for_each({f'id-{number}' for number in range(10)}, lambda request: request.key)
    bridge.wait_log('BRIDGE-ROUTE-RECOVERED')


@pytest.mark.sanitized
def test_a_broker_that_is_down_at_the_start_is_waited_for(restartable_broker, api, start_bridge):
    broker = restartable_broker
    bus = broker.vhost()
    bus.bind_queue('celadon', durable=True)
    bus.publish(*(notification(number) for number in range(10)))
    broker.stop()

    bridge = start_bridge(bridge_config(bus.url(), route(api.url, durable=True)))
    assert str(broker.port) in bridge.wait_log('TRANSPORT-DOWN').text
    assert bridge.lines('BRIDGE-READY') == []
    broker.start()
    bridge.ready()
    bus.publish(notification(10))

    api.requests.wait_for_each({f'id-{number}' for number in range(11)}, lambda request: request.key)
    assert bridge.drain() == 0
    assert len(api.requests) == 11
    assert bus.queue('celadon')[:3] == (0, 0, 0)


def test_a_route_that_a_restart_of_the_broker_would_empty_is_told_at_the_start(bus, api, start_bridge):
    bridge = start_bridge(bridge_config(
        bus.url(), route(api.url, name='keeps', pool='one', exchange='durable', durable=True),
        route(api.url, name='loses', pool='two'))).ready()
    line, = bridge.lines('BRIDGE-NOT-DURABLE')
    assert 'route=loses ' in line.text and 'amqp_durable_queues' in line.text
    assert line.level == 'WARN'


@pytest.mark.parametrize('option', ['amqp_durable_queues', 'rabbit_quorum_queue'])
def test_a_transport_whose_queues_are_durable_needs_no_warning(bus, api, start_bridge, option):
    bridge = start_bridge(bridge_config(bus.url(**{option: 'true'}), route(api.url, pool='one'))).ready()
    assert bridge.lines('BRIDGE-NOT-DURABLE') == []
    assert bus.queue('one').durable


@pytest.mark.sanitized
def test_sigterm_ends_a_bridge_that_waits_for_its_broker(bus, api, start_bridge):
    api.stop()
    with SlammedDoor(api.port) as door:
        bridge = start_bridge(bridge_config(bus.url(port=api.port), route(api.url), drain='10m'))
        bridge.wait_log('TRANSPORT-DOWN')
        door.connections.wait_for(2)  # it tries again
        assert bridge.drain() == 0
    assert bridge.lines('BRIDGE-READY') == [] == bridge.lines('BRIDGE-FAILED')
    assert len(bridge.lines('BRIDGE-STOPPED')) == 1


def test_kill_9_twenty_times_during_a_run_of_5000_events_loses_none(bus, api, start_bridge, rng, note):
    kills, concurrency = 20, 16
    bus.bind_queue('celadon')  # as the bridge will
    texts = publish_events(bus, rng, 5000)
    moments = sorted(rng.sample(range(100, 4600), kills))  # after so many requests in all

    for run, moment in enumerate(moments):
        bridge = start_bridge(bridge_config(bus.url(), route(f'{api.url}/run-{run}', concurrency=concurrency)))
        api.requests.wait_for(moment)
        bridge.kill()
    bridge = start_bridge(bridge_config(bus.url(), route(f'{api.url}/run-{kills}', concurrency=concurrency)))
    api.requests.wait_for_each(texts, lambda request: request.key)
    assert bridge.drain() == 0

    requests = api.requests.items()
    assert_each_arrived(requests, texts)
    assert bus.queue('celadon')[:2] == (0, 0)
    assert bus.queue('celadon.dead.instances').ready == 0

    duplicates = len(requests) - len(texts)
    note(f'{kills} times kill -9, {len(texts)} events, {duplicates} duplicates')
    assert duplicates <= kills * concurrency
    # One run alone repeats nothing, so a duplicate is an event that was in flight when a run was killed.
    assert max(Counter((request.path, request.key) for request in requests).values()) == 1


@pytest.mark.sanitized
@pytest.mark.parametrize('way', ['stop', 'kill'])
def test_the_bridge_comes_back_by_itself_when_the_broker_does(restartable_broker, api, start_bridge, rng, note, way):
    broker = restartable_broker
    bus = broker.vhost()
    bridge = start_bridge(bridge_config(bus.url(), patient_route(api.url, durable=True))).ready()
    gate = api.hold()
    texts = publish_events(bus, rng, 500, durable=True)
    gate.answer(*[200] * 150)
    api.requests.wait_for(150)

    (broker.stop if way == 'stop' else broker.kill)()
    bridge.wait_log('TRANSPORT-DOWN')
    api.respond = lambda request: 200
    gate.answer(*[200] * 500)
    broker.start()
    bridge.wait_log('TRANSPORT-UP', start=bridge.log.items().index(bridge.lines('TRANSPORT-DOWN')[0]))
    texts.update(publish_events(bus, rng, 100, durable=True))

    api.answered.wait_for_each(texts, lambda request: request.status == 200 and request.key)
    assert bridge.drain() == 0
    again = assert_each_arrived(api.requests.items(), texts)
    note(f'{again} of {len(texts)} events came again')
    if way == 'stop':  # a broker that is killed may forget acks that it had taken
        assert again <= 2 * 16  # requests that were in flight, and acks that were on their way
    assert bus.queue('celadon')[:2] == (0, 0)
    assert bus.queue('celadon.dead.instances').ready == 0


@pytest.mark.sanitized
def test_the_bridge_comes_back_by_itself_when_its_connections_are_closed(bus, api, start_bridge, rng, note):
    bridge = start_bridge(bridge_config(bus.url(), route(api.url))).ready()
    gate = api.hold()
    texts = publish_events(bus, rng, 400)

    for closing in range(3):
        gate.answer(*[200] * 100)
        api.requests.wait_for(100 * (closing + 1))
        seen = len(bridge.log)
        bus.close_connections()
        bridge.wait_log('TRANSPORT-DOWN', start=seen)
        bridge.wait_log('TRANSPORT-UP', start=seen)
    api.respond = lambda request: 200
    gate.answer(*[200] * 400)

    api.requests.wait_for_each(texts, lambda request: request.key)
    assert bridge.drain() == 0
    note(f'{assert_each_arrived(api.requests.items(), texts)} of {len(texts)} events came again')
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
def test_the_copies_that_reconnects_bring_do_not_add_up(bus, api, start_bridge, rng):
    """While the API fails, each reconnect brings all events once more: those that wait are forgotten, those that were
    delivered meanwhile are not sent again."""
    api.respond = lambda request: 503
    settings = dict(concurrency=16, max_attempts=400, backoff={'base': '300ms', 'cap': '300ms'})  # more than three reconnects take
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, to={'url': api.url, 'timeout': '2s'}, **settings))).ready()
    texts = publish_events(bus, rng, 100)
    api.requests.wait_for(16)

    with bus.broker.events('consumer.created') as wait_for:
        for _ in range(3):
            bus.close_connections()
            wait_for('celadon')
    api.respond = lambda request: 200
    api.answered.wait_for_each(texts, lambda request: request.status == 200 and request.key)
    assert bridge.drain() == 0
    delivered = [request for request in api.requests.items() if request.status == 200]
    assert len(delivered) <= len(texts) + 16  # a copy may begin while the first one waits for its next attempt
    assert bus.queue('celadon')[:2] == (0, 0)
