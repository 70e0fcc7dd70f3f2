# SPDX-License-Identifier: Apache-2.0
"""Events that have to wait for long wait in RabbitMQ. H and R are the holes and wishes that the bridge's specification lists."""

from collections import Counter

import pytest

from oracle import notification
from parts import bridge_config, route

DEAD = 'celadon.dead.instances'
LADDER = {'ladder': ['200ms', '1s', '10m']}
QUICK, SLOW, LONG = 'celadon.park.200ms', 'celadon.park.1s', 'celadon.park.10m'
LONG_WAITS = {'base': '1h', 'cap': '1h'}  # half of which is chance


def parking(bus, api, hold_max='0s', backoff=None, park=LADDER, **settings):
    """A configuration whose events wait in the ladder and not in hand."""
    return bridge_config(bus.url(), route(api.url, hold_max=hold_max, backoff=backoff or {'base': '200ms', 'cap': '200ms'},
                                          **settings), park=park)


def keys(count):
    return {f'id-{number}' for number in range(count)}


@pytest.mark.sanitized
def test_an_event_that_waits_for_long_waits_in_the_broker_with_its_attempts(bus, api, start_bridge):
    """H15, R25: the state of an event's attempts is in its headers, and nowhere else."""
    answers = [500, 500, 503, 200]
    api.respond = lambda request: answers.pop(0)
    bridge = start_bridge(parking(bus, api, max_attempts=3)).ready()
    bus.publish(notification(), kept='as it was', properties={'expiration': '3600000', 'correlation_id': 'c'})

    api.answered.wait_for(4)
    assert bridge.drain() == 0
    assert [request.status for request in api.requests.items()] == [500, 500, 503, 200]
    assert {request.body for request in api.requests.items()} == {notification()}
    assert '3 times parked' in bridge.lines('BRIDGE-STOPPED')[0].text
    assert bus.queue('celadon')[:2] == (0, 0)
    assert bus.queue(DEAD).ready == 0


@pytest.mark.sanitized
def test_attempts_are_counted_across_parks_and_the_dead_letter_says_where_it_came_from(bus, api, start_bridge):
    """R19: attempts are counted durably; R28: and they end."""
    api.respond = lambda request: 500
    bridge = start_bridge(parking(bus, api, max_attempts=3)).ready()
    bus.publish(notification(), kept='as it was', CC=['elsewhere'], properties={'expiration': '3600000'})

    dead, = bus.take(DEAD, 1)
    assert bridge.drain() == 0
    assert len(api.requests) == 3
    assert dead.body == notification()
    assert (dead.headers['x-celadon-reason'], int(dead.headers['x-celadon-attempts'])) == ('max_attempts', 3)
    assert dead.headers['kept'] == 'as it was'
    assert {name: value for name, value in dead.headers.items() if 'origin' in name} == {
        'x-celadon-origin-exchange': 'nova', 'x-celadon-origin-routing-key': 'notifications.info',
        'x-celadon-origin-queue': 'celadon', 'x-celadon-origin-expiration': '3600000'}
    assert not {'x-death', 'CC', 'x-celadon-not-before', 'x-celadon-counted'} & dead.headers.keys()


@pytest.mark.sanitized
def test_a_wait_that_is_longer_than_its_rung_goes_on_in_the_next_one(bus, api, start_bridge):
    """R22: nothing is held for longer than the route says, however long it waits."""
    answers = [(500, {'Retry-After': '2.5'}), 200]
    api.respond = lambda request: answers.pop(0)
    bridge = start_bridge(parking(bus, api)).ready()
    bus.publish(notification())

    first, second = api.answered.wait_for(2)
    assert bridge.drain() == 0
    assert 2.49 <= second.arrived - first.arrived < 20
    parks = int(bridge.lines('BRIDGE-STOPPED')[0].text.split()[-3])
    assert parks >= 3  # 1 s, 1 s and the rest


def test_one_bad_event_leaves_its_place_to_others(bus, api, start_bridge):
    """R6: an event that waits is not in the way, even where one goes at a time."""
    api.respond = lambda request: 500 if request.key == 'id-0' else 200
    start_bridge(parking(bus, api, concurrency=1, hold_max='10s', backoff=LONG_WAITS)).ready()
    bus.publish(*(notification(number) for number in range(20)))

    api.answered.wait_for_each(keys(20), lambda request: request.key)
    parked, = bus.take(LONG, 1)
    assert parked.body == notification(0)


@pytest.mark.sanitized
def test_an_event_is_acked_only_when_its_parked_copy_is_confirmed(bus, api, start_bridge):
    """H1, R1: the copy first, then the acknowledgement; and the copy is tried for until it is safe."""
    api.respond = lambda request: 500
    bridge = start_bridge(parking(bus, api, backoff=LONG_WAITS)).ready()
    bus.publish(b'not ours', exchange='', key=LONG)
    bus.refuse_publishes(LONG)  # beyond what is there
    bus.publish(notification())
    failed = bridge.wait_log('BRIDGE-PARK-FAILED')
    bridge.wait_log('BRIDGE-PARK-FAILED', start=len(bridge.log))
    assert failed.level == 'ERROR' and LONG in failed.text
    assert bus.queue('celadon')[:2] == (0, 1)

    assert bridge.drain() == 0
    assert bus.queue('celadon')[:2] == (1, 0)

    bus.refuse_publishes(LONG, False)
    second = start_bridge(parking(bus, api, backoff=LONG_WAITS)).ready()
    _, parked = bus.take(LONG, 2)
    assert parked.body == notification()
    assert second.drain() == 0
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
def test_a_rung_that_was_deleted_is_declared_again(bus, api, start_bridge):
    """R1: what would have vanished comes back to the bridge, which makes a place for it."""
    api.respond = lambda request: 500
    bridge = start_bridge(parking(bus, api, backoff=LONG_WAITS)).ready()
    bus.delete_queue(LONG)
    with bus.broker.events('queue.created') as wait_for:
        bus.publish(notification())
        bridge.wait_log('BRIDGE-PARK-FAILED')
        wait_for(LONG)
    parked, = bus.take(LONG, 1)
    assert parked.body == notification()
    assert bridge.drain() == 0
    assert bus.queue('celadon')[:2] == (0, 0)


@pytest.mark.sanitized
def test_what_the_bridge_declares_is_durable_and_bounded_in_time(bus, api, start_bridge):
    """R5: no queue that nobody asked for: one dead-letter queue for each route, one for each rung."""
    start_bridge(parking(bus, api)).ready()
    assert bus.queues().keys() - {'celadon', DEAD} == {QUICK, SLOW, LONG}
    assert all(bus.queue(name).durable for name in (QUICK, SLOW, LONG))


def test_a_parked_event_is_not_taken_for_a_copy_when_its_connection_is_lost(bus, api, start_bridge):
    """What was parked comes back, perhaps even redelivered, and is not what was handled already."""
    gate = api.hold()
    bridge = start_bridge(parking(bus, api, concurrency=1)).ready()
    bus.publish(notification(1, _unique_id='one'), notification(2, _unique_id='two'))
    api.requests.wait_for(1)
    gate.answer(500)  # parked
    api.requests.wait_for(2)  # the other one; the parked one comes back behind it
    with bus.broker.events('consumer.created') as wait_for:
        bus.close_connections()  # and is delivered once more, redelivered
        wait_for('celadon')
    gate.answer(*[200] * 4)
    api.answered.wait_for_each({'id-1', 'id-2'}, lambda request: request.status == 200 and request.key)
    assert bridge.drain() == 0
    assert bus.queue('celadon')[:2] == (0, 0)


def test_parked_events_outlive_their_broker(restartable_broker, api, start_bridge):
    """R25: what is parked is in durable queues, and finds back when the queue that it came from is there again."""
    broker = restartable_broker
    bus = broker.vhost()
    answers = {key: [500] for key in keys(50)}
    api.respond = lambda request: answers[request.key].pop() if answers[request.key] else 200
    bridge = start_bridge(parking(bus, api, durable=True, park={'ladder': ['5s']}, breaker={'open': '1ms', 'cap': '1ms'})).ready()
    bus.publish(*(notification(number) for number in range(50)))
    api.answered.wait_for(50)
    broker.stop()
    broker.start()

    api.answered.wait_for_each(keys(50), lambda request: request.status == 200 and request.key)
    assert bridge.drain() == 0  # a second copy may still be parked: of what was, when its acknowledgement was lost


def test_kill_9_twenty_times_while_events_are_parked_loses_none(bus, api, start_bridge, rng, note):
    """H15, R25: kill -9 at any instant of a park loses nothing; each event is delivered, parked or in its queue."""
    kills, count = 20, 1000
    bus.bind_queue('celadon')
    bus.publish(*(notification(number) for number in range(count)))
    failing = Counter()

    def respond(request):
        failing[request.key] += 1
        return 500 if failing[request.key] <= 2 else 200

    api.respond = respond
    config = parking(bus, api, max_attempts=1000, backoff={'base': '50ms', 'cap': '200ms'}, breaker={'open': '1ms', 'cap': '1ms'})
    for _ in range(kills):
        bridge = start_bridge(config)
        api.requests.wait_for(len(api.requests) + rng.randrange(1, 120))
        bridge.kill()
    bridge = start_bridge(config)
    api.answered.wait_for_each(keys(count), lambda request: request.status == 200 and request.key, seconds=120)
    assert bridge.drain() == 0
    delivered = Counter(request.key for request in api.requests.items() if request.status == 200)
    assert delivered.keys() == keys(count)
    note(f'{kills} times kill -9, {count} events, {len(api.requests)} requests, '
         f'{delivered.total() - count} delivered more than once')
