# SPDX-License-Identifier: Apache-2.0
"""Random notifications: event types and payloads as compute services send them, and as they had better not."""

MATCHING = ('compute.instance.create.start', 'compute.instance.create.end', 'compute.instance.update',
            'compute.instance.delete.end', 'compute.instance.')
OTHER = ('scheduler.select_destinations.start', 'compute.metrics.update', 'compute.instance', 'compute.instances.list',
         'xcompute.instance.create.end', '', '*')
PATTERN = 'compute.instance.*'

_TEXTS = ('web-1', '', 'naïve café', 'Größe', '東京 リージョン', 'данные', '🦭 on a rock', 'line\nbreak\ttab', 'a "quoted" name',
          'back\\slash', '</script>', '\x01\x1f\x7f', '\u2028', '%s {0} ${x}', 'e\u0301')
_NUMBERS = (0, -1, 1, 2**31, 2**53 + 1, -(2**63), 2**63 - 1, 0.1, -0.0, 1e-7, 1e16, 1.5e300)


def random_value(rng, depth=0):
    """Anything that JSON can say, nested a few levels deep."""
    kind = rng.randrange(7 if depth < 4 else 5)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind == 1:
        return rng.choice(_NUMBERS)
    if kind == 5:
        return [random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 6:
        return {rng.choice(_TEXTS): random_value(rng, depth + 1) for _ in range(rng.randrange(4))}
    return rng.choice(_TEXTS)


def random_event(rng, matching=None):
    """Returns (event type, payload, priority)."""
    if matching is None:
        matching = rng.random() < 0.6
    event_type = rng.choice(MATCHING if matching else OTHER)
    payload = {'instance_id': f'{rng.getrandbits(128):032x}', 'display_name': rng.choice(_TEXTS),
               'metadata': random_value(rng), 'memory_mb': rng.choice(_NUMBERS)}
    return event_type, payload, rng.choice(('info', 'info', 'info', 'error'))
