# SPDX-License-Identifier: Apache-2.0
"""Notifications between Celadon and oslo.messaging: every case with each kind of notifier and each kind of listener, Python to
Python included, which shows that the cases themselves are right."""

import collections
import itertools

import pytest

from parts import PRIORITIES, CListener, PythonListener, c_notify, python_notify

NOTIFIERS = {'c': c_notify, 'python': python_notify}
LISTENERS = {'c': CListener, 'python': PythonListener}

FIELDS = [
    dict(priority='info', event_type='compute.start', publisher_id='compute.h1', payload={'state': 'active', 'n': 1},
         context={'user_id': 'u1', 'auth_token': 'secret'}),
    dict(priority='info', event_type='compute.end', publisher_id='volume.h1', payload={'state': 'inactive'}),
    dict(priority='error', event_type='compute.größe', payload={'n': '1'}, context={'user_id': 'u22'}),
    dict(priority='error', event_type='xcompute.start', publisher_id='compute.h22', payload={'state': None}),
]
ALL = [event['event_type'] for event in FIELDS]


def some(*event_types, priority='info'):
    return [dict(priority=priority, event_type=event_type, payload={}) for event_type in event_types]


def filtered(**rules):
    return [dict(priorities=['info', 'error'], filter=rules)]


# What listens, what is sent, and for each endpoint, which event types it gets, in any order; `batches`: how many at once;
# `extra`: listeners beside the first. Batches without a timeout wait until they are full.
CASES = {
    'every-priority': dict(endpoints=[{}], events=[dict(priority=p, event_type=p, payload=1) for p in PRIORITIES],
                           expected={0: list(PRIORITIES)}),
    'one-priority': dict(endpoints=[dict(priorities=['error'])], events=FIELDS, expected={0: ALL[2:]}),
    'endpoints-by-priority': dict(endpoints=[dict(priorities=['info']), dict(priorities=['error', 'info']), {}], events=FIELDS,
                                  expected={0: ALL[:2], 1: ALL, 2: ALL}),
    'filter-event-type': dict(endpoints=filtered(event_type=r'compute\.'), events=FIELDS, expected={0: ALL[:3]}),
    'filter-whole': dict(endpoints=filtered(event_type=r'^compute\.(start|end)$'), events=FIELDS, expected={0: ALL[:2]}),
    'filter-unicode': dict(endpoints=filtered(event_type=r'\w+\.gr\wß.$'), events=FIELDS, expected={0: [ALL[2]]}),
    'filter-publisher': dict(endpoints=filtered(publisher_id='compute'), events=FIELDS, expected={0: [ALL[0], ALL[3]]}),
    'filter-context': dict(endpoints=filtered(context={'user_id': r'u\d$'}), events=FIELDS, expected={0: [ALL[0]]}),
    'filter-no-secret': dict(endpoints=filtered(context={'auth_token': ''}), events=FIELDS, expected={0: []}),
    'filter-payload': dict(endpoints=filtered(payload={'state': 'active'}), events=FIELDS, expected={0: [ALL[0]]}),
    'filter-payload-text': dict(endpoints=filtered(payload={'n': '1'}), events=FIELDS, expected={0: [ALL[2]]}),
    'filter-metadata': dict(endpoints=filtered(metadata={'message_id': '[0-9a-f-]{36}$', 'timestamp': r'\d{4}-'}), events=FIELDS,
                            expected={0: ALL}),
    'filter-other-metadata': dict(endpoints=filtered(metadata={'priority': ''}), events=FIELDS, expected={0: []}),
    'filter-all-at-once': dict(endpoints=filtered(event_type='compute', publisher_id='compute', payload={'state': 'a'}),
                               events=FIELDS, expected={0: [ALL[0]]}),
    'filters-of-two-endpoints': dict(endpoints=filtered(event_type='compute') + filtered(event_type='x'), events=FIELDS,
                                     expected={0: ALL[:3], 1: [ALL[3]]}),
    'serialized': dict(serialized=True, endpoints=filtered(context={'mark': 'written-read$'},
                                                           payload={'state': 'active', 'for': 'secret', 'mark': 'written-read'}),
                       events=FIELDS, expected={0: [ALL[0]]}),
    'serialized-batch': dict(serialized=True, endpoints=filtered(payload={'state': 'active'}) + [{}], batch_size=4, events=FIELDS[:2] * 2,
                             expected={0: [ALL[0]] * 2, 1: ALL[:2] * 2}),
    'version-1': dict(endpoints=[{}], drivers=['messaging'], events=FIELDS, expected={0: ALL}),
    'both-versions': dict(endpoints=[{}], drivers=['messaging', 'messagingv2'], events=FIELDS, expected={0: ALL + ALL}),
    'no-driver-that-sends': dict(endpoints=[{}], drivers=['noop', 'test', 'log'], events=FIELDS, expected={0: []}),
    'two-topics': dict(endpoints=[{}], topics=['one', 'two'], targets=['one', 'two'], events=some('a', 'b'),
                       expected={0: ['a', 'b', 'a', 'b']}),
    'two-exchanges': dict(endpoints=[{}], exchanges=['first', 'second'], events=some('a'), expected={0: ['a', 'a']}),
    'pool-and-none': dict(endpoints=[{}], pool='p', extra=[dict(endpoints=[{}])], events=some('a', 'b'),
                          expected={0: ['a', 'b']}),
    'two-pools': dict(endpoints=[{}], pool='p', extra=[dict(endpoints=[{}], pool='q')], events=some('a', 'b'),
                      expected={0: ['a', 'b']}),
    'requeue': dict(endpoints=[dict(requeue=1)], allow_requeue=True, events=some('a'), expected={0: ['a', 'a']}),
    'requeue-by-one-of-three': dict(endpoints=[{}, dict(requeue=1), {}], allow_requeue=True, events=some('a'),
                                    expected={0: ['a', 'a'], 1: ['a', 'a'], 2: ['a']}),
    'requeue-not-allowed': dict(endpoints=[dict(requeue=1), {}], events=some('a', 'b'), expected={0: ['a', 'b'], 1: ['b']}),
    'batches': dict(endpoints=[dict(priorities=['info'])], batch_size=4, events=some(*'abcdefgh'),
                    expected={0: list('abcdefgh')}, batches=[4, 4]),
    'batch-in-time': dict(endpoints=[dict(priorities=['info'])], batch_size=3, batch_timeout=1, events=some(*'abcde'),
                          expected={0: list('abcde')}),
    'batch-by-priority': dict(endpoints=[{}], batch_size=4,
                              events=some('a', 'b') + some('c', 'd', priority='error'), expected={0: ['a', 'b', 'c', 'd']},
                              batches=[2, 2]),
    'batch-filtered': dict(endpoints=filtered(event_type='[ace]') + filtered(event_type='[abd]'), batch_size=5,
                           events=some(*'abcde'), expected={0: ['a', 'c', 'e'], 1: ['a', 'b', 'd']}, batches=[3, 3]),
    'batch-requeued': dict(endpoints=[dict(priorities=['info'], requeue=1), {}], allow_requeue=True, batch_size=3,
                           events=some('a', 'b', 'c'), expected={0: list('abcabc'), 1: ['a', 'b', 'c']}),
    'batch-not-requeued': dict(endpoints=[dict(priorities=['info'], requeue=1), {}], batch_size=3,
                               events=some('a', 'b', 'c'), expected={0: ['a', 'b', 'c'], 1: []}, batches=[3]),
}

LAST = 'the-last'  # sent when all that is due has come: behind it, nothing else can be on its way


@pytest.fixture(scope='module')
def bus(broker):
    vhost = broker.vhost()
    yield vhost
    vhost.delete()


_numbers = itertools.count(1)
_emptied = set()  # queues in which nothing may be left


def given(calls, number):
    """How often an endpoint was given each event type."""
    return collections.Counter(event for endpoint, events in calls if endpoint == number for event in events if event != LAST)


def wait_for_expected(listener, expected):
    for arrived in itertools.count():
        calls = listener.calls.items()
        if all(given(calls, number) >= events for number, events in expected.items()):
            return
        listener.calls.get(max(arrived, len(calls)), what=f'{expected}, there are {calls}')


class Play:
    """A case, with names of its own for exchanges, topics and pools, so that nothing is left over for the next one."""

    def __init__(self, bus, case):
        self.bus, self.case = bus, case
        self.suffix = f'-{next(_numbers)}'
        self.exchanges = [name + self.suffix for name in case.get('exchanges', ['x'])]
        self.topics = [name + self.suffix for name in case.get('topics', ['t'])]
        wanted = [endpoint.get('priorities', PRIORITIES) for endpoint in case['endpoints']]
        self.priorities = [priority for priority in PRIORITIES if any(priority in some for some in wanted)]
        self.sent_at = [p for p in self.priorities if any(event['priority'] == p for event in case['events'])]

    def listen(self, kind, endpoints, pool=None):
        options = {key: self.case[key] for key in ('allow_requeue', 'batch_size', 'batch_timeout', 'serialized') if key in self.case}
        if pool:
            options['pool'] = pool + self.suffix
        targets = [{'exchange': exchange, 'topic': topic} for exchange in self.exchanges for topic in self.topics]
        last = {'priorities': self.priorities, 'filter': {'event_type': LAST}}
        return LISTENERS[kind](self.bus, targets=targets, endpoints=[*endpoints, last], **options)

    def send(self, notify, events, **drivers):
        if self.case.get('serialized'):
            drivers['serialized'] = True
        for exchange in self.exchanges:
            outcomes = notify(self.bus, exchange=exchange, topics=self.topics, events=events, **drivers)
            assert outcomes == ['CEL_OK'] * len(events)

    def send_last(self, notify):
        """Returns how many each listener will get."""
        full = self.case.get('batch_size', 1)
        priorities = self.sent_at if full == 1 else self.sent_at[:1]
        self.send(notify, some(*[LAST] * full, priority=priorities[0]) if full > 1 else
                  [event for priority in priorities for event in some(LAST, priority=priority)])
        return full * len(priorities) * len(self.exchanges) * len(self.topics)


@pytest.mark.parametrize('case', list(CASES))
@pytest.mark.parametrize('listens', list(LISTENERS))
@pytest.mark.parametrize('notifies', list(NOTIFIERS))
def test_notify(bus, notifies, listens, case):
    case, notify = CASES[case], NOTIFIERS[notifies]
    expected = {number: collections.Counter(events) for number, events in case['expected'].items()}
    play = Play(bus, case)
    listeners = []
    try:
        for more in case, *case.get('extra', []):
            listeners.append(play.listen(listens, more['endpoints'], more.get('pool')))
        play.send(notify, case['events'], **({'drivers': case['drivers']} if 'drivers' in case else {}))
        for listener in listeners:
            wait_for_expected(listener, expected)
        last = play.send_last(notify)
        for listener in listeners:
            wait_for_last(listener, len(case['endpoints']), last)
    finally:
        for listener in listeners:
            listener.close()
    for listener in listeners:
        calls = listener.calls.items()
        assert {number: given(calls, number) for number in expected} == expected
        if 'batches' in case:
            assert [len(events) for _, events in calls if LAST not in events] == case['batches']
    if 'pool' not in case:
        _emptied.update(f'{topic}.{priority}' for topic in play.topics for priority in play.priorities)


def test_two_listeners_of_a_queue_share_what_comes(bus):
    names = [f'e{number}' for number in range(40)]
    play = Play(bus, dict(endpoints=[{}], events=some(*names)))
    first, second = play.listen('c', [{}]), play.listen('c', [*filtered(event_type='never'), {}])
    second.calls = first.calls
    try:
        play.send(c_notify, some(*names))
        calls = first.calls.wait_for(len(names))
    finally:
        first.close()
        second.close()
    got = {number: given(calls, number) for number in (0, 1)}
    assert got[0] and got[1] and got[0] + got[1] == collections.Counter(names)


def test_listeners_of_different_topics_get_their_own(bus):
    plays = [Play(bus, dict(endpoints=[{}], events=some(name), topics=[name])) for name in ('one', 'two')]
    listeners = [play.listen('c', [{}]) for play in plays]
    try:
        for play in plays:
            play.send(c_notify, play.case['events'] * 8)
        for listener, play in zip(listeners, plays):
            wait_for_last(listener, 1, play.send_last(c_notify))
    finally:
        for listener in listeners:
            listener.close()
    assert [given(listener.calls.items(), 0) for listener in listeners] == [{'one': 8}, {'two': 8}]


def wait_for_last(listener, endpoint, count):
    for arrived in itertools.count():
        calls = listener.calls.items()
        if sum(len(events) for number, events in calls if number == endpoint) >= count:
            return
        listener.calls.get(max(arrived, len(calls)), what=f'{count} times the last, there are {calls}')


def test_everything_was_settled(bus):
    """Of the cases before: what no endpoint wanted, too."""
    queues = bus.queues()
    assert {name: queues[name].ready for name in _emptied if queues[name].ready or queues[name].unacked} == {}
