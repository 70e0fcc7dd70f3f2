# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy in front of a broker that understands AMQP's frames, and makes trouble at the one that a test names.

    with AmqpProxy(broker.port) as proxy:
        lost = proxy.at('broker', 'basic.ack', cut_before)     # after a publish, before its confirmation
        … connect to proxy.port …
        lost.happened.wait_for(1)

A frame is named by who sends it ('client' or 'broker') and by its method: 'basic.publish'. The frames of a message's content
are 'basic.publish header' and 'basic.publish body'; others are 'protocol' (the client's first bytes) and 'heartbeat'.
"""

import socket
import struct
import threading
from collections import namedtuple

from . import process
from .api import Listener
from .waiting import PATIENCE_S, Feed

METHODS = {
    10: ('connection', {10: 'start', 11: 'start-ok', 30: 'tune', 31: 'tune-ok', 40: 'open', 41: 'open-ok', 50: 'close',
                        51: 'close-ok', 60: 'blocked', 61: 'unblocked'}),
    20: ('channel', {10: 'open', 11: 'open-ok', 20: 'flow', 21: 'flow-ok', 40: 'close', 41: 'close-ok'}),
    40: ('exchange', {10: 'declare', 11: 'declare-ok', 20: 'delete', 21: 'delete-ok'}),
    50: ('queue', {10: 'declare', 11: 'declare-ok', 20: 'bind', 21: 'bind-ok', 40: 'delete', 41: 'delete-ok'}),
    60: ('basic', {10: 'qos', 11: 'qos-ok', 20: 'consume', 21: 'consume-ok', 30: 'cancel', 31: 'cancel-ok', 40: 'publish',
                   50: 'return', 60: 'deliver', 80: 'ack', 90: 'reject', 120: 'nack'}),
    85: ('confirm', {10: 'select', 11: 'select-ok'}),
}
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8

Frame = namedtuple('Frame', 'sender name raw')


# --- What to do at a frame. Each returns whether its direction goes on after that. ---


def cut_before(pair, frame, rule):
    pair.cut()
    return False


def cut_inside(pair, frame, rule):
    pair.send(frame.sender, frame.raw[:len(frame.raw) // 2])
    pair.cut()
    return False


def cut_after(pair, frame, rule):
    pair.send(frame.sender, frame.raw)
    pair.cut()
    return False


def half_close(pair, frame, rule):
    """The receiver gets the frame and then the end of the stream; its own bytes still go through."""
    pair.send(frame.sender, frame.raw)
    pair.end(frame.sender)
    return False


def hold(pair, frame, rule):
    """The frame, and all behind it, wait for rule.release()."""
    rule.released.wait(PATIENCE_S)
    pair.send(frame.sender, frame.raw)
    return True


class Rule:
    def __init__(self, sender, name, act, times):
        self.happened = Feed(f'{name} of the {sender}')
        self.released = threading.Event()
        self._frame = sender, name
        self._act = act
        self._times = times

    def release(self):
        self.released.set()

    def take(self, frame):
        """Is it for this frame?"""
        if self._times == 0 or (frame.sender, frame.name) != self._frame:
            return False
        self._times -= 1
        return True

    def carry_out(self, pair, frame):
        self.happened.append(frame)
        return self._act(pair, frame, self)


class _Pair:
    """The two sockets of one connection through the proxy."""

    def __init__(self, client, broker):
        self._from = {'client': client, 'broker': broker}
        self._to = {'client': broker, 'broker': client}
        self._methods = {}  # (sender, channel): the method whose content comes

    def send(self, sender, raw):
        self._to[sender].sendall(raw)

    def end(self, sender):
        self._to[sender].shutdown(socket.SHUT_WR)

    def cut(self):
        """What was sent before still arrives: there is no reset."""
        for end in self._from.values():
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed already

    def frames(self, sender):
        with self._from[sender].makefile('rb') as stream:
            if sender == 'client':
                yield Frame(sender, 'protocol', stream.read(8))
            while True:
                head = stream.read(7)
                if len(head) < 7:
                    return
                kind, channel, size = struct.unpack('>BHI', head)
                payload = stream.read(size + 1)
                yield Frame(sender, self._name(sender, kind, channel, payload), head + payload)

    def _name(self, sender, kind, channel, payload):
        if kind == METHOD:
            group, methods = METHODS[struct.unpack_from('>H', payload)[0]]
            self._methods[sender, channel] = f'{group}.{methods[struct.unpack_from(">H", payload, 2)[0]]}'
            return self._methods[sender, channel]
        if kind == HEARTBEAT:
            return 'heartbeat'
        return self._methods[sender, channel] + {HEADER: ' header', BODY: ' body'}[kind]


class AmqpProxy:
    def __init__(self, broker_port):
        self._broker_port = broker_port
        self._rules = []
        self._lock = threading.Lock()
        self._pairs = []
        self.port = process.free_port()
        self._listener = Listener(socket.AF_INET, ('127.0.0.1', self.port), self._on_connection)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self._listener.close()
        for rule in self._rules:
            rule.release()
        for pair in self._pairs:
            pair.cut()

    def at(self, sender, name, act, times=1):
        """Do `act` at the next frame of that name, or at the next few."""
        rule = Rule(sender, name, act, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def _on_connection(self, client):
        pair = _Pair(client, socket.create_connection(('127.0.0.1', self._broker_port)))
        self._pairs.append(pair)
        for sender in 'client', 'broker':
            threading.Thread(target=self._pump, args=(pair, sender), daemon=True).start()

    def _rule_for(self, frame):
        with self._lock:
            return next((rule for rule in self._rules if rule.take(frame)), None)

    def _pump(self, pair, sender):
        try:
            for frame in pair.frames(sender):
                rule = self._rule_for(frame)
                if not rule:
                    pair.send(sender, frame.raw)
                elif not rule.carry_out(pair, frame):
                    return
        except OSError:
            pass
        pair.cut()  # this side has ended, or was
