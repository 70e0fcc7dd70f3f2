# SPDX-License-Identifier: Apache-2.0
"""`celadon bridge replay`: dead letters back to where they came from. H and R are the holes and wishes that the bridge's
specification lists."""

import json
import signal
import subprocess
from collections import Counter

import pytest

from oracle import notification
from parts import PATIENCE_S, bridge_config, process, program, route, run_program

DEAD = 'celadon.dead.instances'


def replay(bridge, *arguments, status=0):
    """Run it to its end; returns what it printed, on standard output and standard error."""
    done = run_program('bridge', 'replay', bridge.config_path, *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout, done.stderr


def totals(bridge, *arguments, status=0):
    """Run it with --json; returns the last line of what it printed."""
    return json.loads(replay(bridge, '--json', *arguments, status=status)[0].splitlines()[-1])


@pytest.fixture
def bury(bus, api, start_bridge):
    """A function that has the bridge make dead letters: `count` events, or for each status in a list one that is answered so. The
    bridge has ended when it returns it."""
    def bury(statuses, **settings):
        statuses = [400] * statuses if isinstance(statuses, int) else statuses
        api.respond = lambda request: statuses[int(request.key.removeprefix('id-'))]
        bridge = start_bridge(bridge_config(bus.url(), route(api.url, **{'max_attempts': 1, 'concurrency': 1, **settings}))).ready()
        bus.publish(*(notification(number) for number in range(len(statuses))), mine='kept')
        bridge.log.wait_for_each({f'[notification id-{number}]' for number in range(len(statuses))},
                                 lambda line: line.id == 'BRIDGE-DEAD-LETTER' and ' '.join(line.raw.split()[3:5]))
        assert bridge.drain() == 0
        assert bus.queue(DEAD).ready == len(statuses)
        api.respond = lambda request: 200
        return bridge

    return bury


def bodies(messages):
    return Counter(message.body for message in messages)


@pytest.mark.sanitized
def test_what_is_replayed_is_delivered_as_the_event_that_it_was(bus, api, start_bridge, bury):
    """R28: a way back from the dead-letter queue; the same Idempotency-Key, and the same event to templates."""
    to = {'url': api.url, 'headers': {'X-From': '{exchange}/{routing_key}', 'X-Mine': '{headers.mine}'}}
    before = bury(3, to=to)
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, to=to))).ready()

    out, err = replay(bridge)
    assert (out, err) == ('3 replayed, of which 0 came back, 0 failed, 0 others stay\n', '')
    requests = api.answered.wait_for(6)
    assert bridge.drain() == 0
    first, second = requests[:3], requests[3:]
    assert {request.key for request in second} == {'id-0', 'id-1', 'id-2'}
    assert Counter(request.body for request in first) == Counter(request.body for request in second)
    assert {(request.headers['x-from'], request.headers['x-mine']) for request in second} == {
        ('nova/notifications.info', 'kept')}
    assert bus.queue(DEAD)[:2] == bus.queue('celadon')[:2] == (0, 0)
    assert totals(before)['replayed'] == 0


@pytest.mark.sanitized
def test_a_replayed_event_has_its_own_headers_and_how_often_it_was_replayed(bus, api, bury):
    bridge = bury(1)
    letter, = bus.take(DEAD, 1)
    bus.publish(letter.body, exchange='', key=DEAD, properties={'correlation_id': 'c'}, **letter.headers)
    replay(bridge)
    event, = bus.take('celadon', 1)
    own = {name: value for name, value in event.headers.items() if 'origin' not in name and name != 'x-celadon-replay-run'}
    assert own == {'mine': 'kept', 'x-celadon-not-before': 0, 'x-celadon-replays': 1}
    assert (event.body, event.properties['correlation_id'], event.properties['delivery_mode']) == (notification(0), 'c', 2)


@pytest.mark.sanitized
def test_a_dry_run_tells_and_changes_nothing(bus, api, bury):
    bridge = bury([400, 422, 400])
    out, _ = replay(bridge, '--dry-run', '--status', '422')
    told, summary = out.splitlines()
    assert 'route=instances reason=http_status status=422 attempts=1 replays=0 queue=celadon key=id-1: answered 422' in told
    assert summary == '1 would be replayed, of which 0 came back, 0 failed, 2 others stay'
    lines = [json.loads(line) for line in replay(bridge, '--dry-run', '--json')[0].splitlines()]
    assert [line['idempotency_key'] for line in lines[:-1]] == ['id-0', 'id-1', 'id-2']
    assert (lines[-1]['end'], lines[-1]['replayed']) == ('done', 3)
    assert bus.queue('celadon').ready == 0
    letters = bus.take(DEAD, 3)
    assert [letter.body for letter in letters] == [notification(number) for number in range(3)]
    assert not any('x-celadon-replays' in letter.headers for letter in letters)


@pytest.mark.sanitized
def test_what_is_not_asked_for_stays(bus, api, bury):
    bridge = bury([400, 422, 400, 500])
    assert totals(bridge, '--reason', 'max_age')['others'] == 4
    assert totals(bridge, '--since', '2999-01-01')['others'] == 4
    assert totals(bridge, '--status', '5xx', '--reason', 'max_attempts', '--route', 'instances', '--since', '-1h') == {
        'end': 'done', 'dry_run': False, 'replayed': 1, 'returned': 0, 'failed': 0, 'others': 3}
    assert totals(bridge, '--limit', '1')['end'] == 'limit'
    assert [event.body for event in bus.take('celadon')] == [notification(3), notification(0)]
    assert [letter.body for letter in bus.take(DEAD)] == [notification(1), notification(2)]


def test_a_letter_whose_queue_is_gone_stays_and_the_others_go(bus, api, bury):
    """R1: mandatory and confirmed, and only then acknowledged."""
    bridge = bury(2)
    first, second = bus.take(DEAD, 2)
    bus.publish(first.body, exchange='', key=DEAD, **{**first.headers, 'x-celadon-origin-queue': 'gone'})
    bus.publish(second.body, exchange='', key=DEAD, **second.headers)
    out, err = replay(bridge, status=1)
    assert out == '1 replayed, of which 0 came back, 1 failed, 0 others stay\n'
    assert 'there is no queue "gone"' in err
    assert [event.body for event in bus.take('celadon')] == [second.body]
    assert [letter.body for letter in bus.take(DEAD)] == [first.body]


def test_it_stops_when_what_it_replays_comes_back(bus, api, start_bridge, bury):
    """An API that is still ill does not get all of them, and none is lost."""
    bury(200)
    api.respond = lambda request: 400
    bridge = start_bridge(bridge_config(bus.url(), route(api.url, max_attempts=1))).ready()
    out, err = replay(bridge, '--rate', '100/s', status=1)
    assert 'too many come back as dead letters' in err
    assert 20 <= int(out.split()[0]) < 200
    api.answered.wait_for(200 + int(out.split()[0]))
    assert bridge.drain() == 0
    letters = bus.take(DEAD)
    assert bodies(letters) == Counter(notification(number) for number in range(200))
    assert Counter(int(letter.headers.get('x-celadon-replays', 0)) for letter in letters)[1] == int(out.split()[0])


def start(bridge, *arguments):
    return process.spawn([program(), 'bridge', 'replay', bridge.config_path, *arguments], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_kill_9_in_the_middle_loses_nothing(bus, api, bury, note):
    """H1: each letter is in its dead-letter queue until the event is safe in its own; one may be in both."""
    bridge = bury(200)
    for _ in range(5):
        with bus.publishes() as wait_for:
            replaying = start(bridge, '--rate', '200/s')
            for _ in range(7):
                wait_for('celadon')
        replaying.kill()
        replaying.communicate()
    replay(bridge, '--rate', '1000/s')
    assert bus.queue(DEAD)[:2] == (0, 0)
    events = bodies(bus.take('celadon'))
    assert events.keys() == {notification(number) for number in range(200)}
    note(f'5 times kill -9, 200 letters, {events.total() - 200} replayed twice')


@pytest.mark.sanitized
def test_a_lost_connection_ends_it_and_loses_nothing(bus, api, bury):
    bridge = bury(100)
    with bus.publishes() as wait_for:
        replaying = start(bridge, '--rate', '50/s')
        for _ in range(5):
            wait_for('celadon')
    bus.close_connections()
    _, err = replaying.communicate(timeout=PATIENCE_S)
    assert replaying.returncode == 3 and f'queue {DEAD}: ' in err
    replay(bridge, '--rate', '1000/s')
    assert bodies(bus.take('celadon')).keys() == {notification(number) for number in range(100)}
    assert bus.queue(DEAD)[:2] == (0, 0)


@pytest.mark.sanitized
def test_a_request_to_stop_ends_it_between_two_letters(bus, api, bury):
    bridge = bury(100)
    with bus.publishes() as wait_for:
        replaying = start(bridge, '--rate', '50/s', '--json')
        for _ in range(5):
            wait_for('celadon')
    replaying.send_signal(signal.SIGINT)
    out, err = replaying.communicate(timeout=PATIENCE_S)
    assert (replaying.returncode, err) == (0, '')
    said = json.loads(out)
    assert said['end'] == 'interrupted'
    assert bus.queue('celadon').ready == said['replayed']
    assert bus.queue(DEAD)[:2] == (100 - said['replayed'], 0)


def test_a_request_to_stop_waits_for_the_letter_at_hand(bus, bury):
    """While RabbitMQ does not answer, nobody knows whether it has the event; to leave then would have it delivered twice."""
    bridge = bury(200)
    with bus.publishes() as wait_for:
        replaying = start(bridge, '--rate', '200/s', '--json')
        wait_for('celadon')
    bus.broker.suspend()
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            replaying.wait(0.1)  # the next letter's turn is in 5 ms
        replaying.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            replaying.wait(0.1)
    finally:
        bus.broker.resume()
    out, _ = replaying.communicate(timeout=PATIENCE_S)
    said = json.loads(out)
    assert (replaying.returncode, said['end']) == (0, 'interrupted')
    assert (bus.queue('celadon').ready, bus.queue(DEAD).ready) == (said['replayed'], 200 - said['replayed'])


WRONG = {
    'no-file': ([], 'which configuration?'),
    'a-route-that-is-not-there': (['--route', 'nowhere'], 'no route "nowhere"'),
    'a-reason-that-is-none': (['--reason', 'bad'], 'max_attempts'),
    'a-status-that-is-none': (['--status', '50'], '5xx'),
    'a-time-that-is-none': (['--since', 'yesterday'], '-2h'),
    'a-rate-that-is-none': (['--rate', '5/m'], '1/s'),
    'a-limit-that-is-none': (['--limit', '0'], 'from 1 on'),
}


@pytest.mark.parametrize('name', WRONG)
def test_wrong_arguments_are_told(name, tmp_path):
    arguments, mention = WRONG[name]
    path = tmp_path / 'bridge.yaml'
    path.write_text(bridge_config('rabbit://127.0.0.1:1/', route('http://127.0.0.1:1/')))
    done = run_program('bridge', 'replay', *([path] if arguments else []), *arguments)
    assert done.returncode == 64
    assert mention in done.stderr
