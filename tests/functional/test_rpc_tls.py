# SPDX-License-Identifier: Apache-2.0
"""RPC and notifications over TLS: who the broker is, and who asks it, is verified on both sides; what is wrong is named at
once, to callers and to servers, with no timeout to wait for."""

import pytest

from parts import CCaller, Certificates, CServer, Outcome


@pytest.fixture(scope='module')
def broker_tls(broker, tmp_path_factory):
    """Ports that are right and wrong in their ways, made once: what it gives is URL options by the name of the trouble."""
    strangers = Certificates(tmp_path_factory.mktemp('strangers'))
    strict = broker.add_tls_port(asks_clients=True)
    files = lambda certificate: {'ssl_cert_file': certificate[0], 'ssl_key_file': certificate[1]}
    return {
        'right': {},
        'its own certificate': {'port': strict, **files(broker.certificates.client('somebody'))},
        'wrong CA': {'ssl_ca_file': strangers.ca},
        'wrong name': {'port': broker.add_tls_port('elsewhere.example')},
        'expired': {'port': broker.add_tls_port(days=-1)},
        'no certificate': {'port': strict},
        "a stranger's certificate": {'port': strict, **files(strangers.client('somebody'))},
        'no TLS': {'port': broker.port},
    }


class TlsBus:
    """A virtual host whose URL is about TLS."""

    def __init__(self, bus, options):
        self._bus = bus
        self._options = options

    def url(self):
        return self._bus.tls_url(**self._options)


@pytest.mark.sanitized
@pytest.mark.parametrize('how', ['right', 'its own certificate'])
def test_calls_and_notifications_work_over_tls(bus, broker_tls, how):
    tls = TlsBus(bus, broker_tls[how])
    server, caller = CServer(tls, 't', 's1'), CCaller(tls, 't')
    try:
        assert caller.call('echo', {'msg': 'x' * 300000}) == Outcome('x' * 300000)
        assert caller.cast('note', {'text': 'hello'}) == Outcome()
        assert caller.call('event', {'a': 1}, do='notify') == Outcome()
        server.notes.first(lambda note: note == 'hello')
        assert len(bus.take('notifications.info')) == 1
    finally:
        caller.close()
        server.close()


TROUBLE = [('wrong CA', 'the certificate of localhost is refused: '),
           ('wrong name', 'the certificate of localhost is refused: hostname mismatch'),
           ('expired', 'the certificate of localhost is refused: certificate has expired'),
           ('no certificate', 'certificate required'),
           ("a stranger's certificate", 'unknown ca'),
           ('no TLS', 'TLS with localhost failed: ')]


@pytest.mark.sanitized
@pytest.mark.parametrize('how, why', TROUBLE, ids=[how for how, _ in TROUBLE])
def test_what_is_wrong_is_named_at_once(bus, broker_tls, how, why):
    tls = TlsBus(bus, broker_tls[how])
    caller = CCaller(tls, 't')
    server = CServer(tls, 't', 's1', serves=False)
    try:
        for order in [caller.begin('echo', {'msg': 1}), caller.begin('note', {'text': 'x'}, do='cast'),
                      caller.begin('event', {}, do='notify')]:
            error = caller.raw(order)['error']
            assert error['code'] == 'CEL_ETLS' and why in error['text'], error
        server.log.first(lambda line: why in line, what=why)
        assert server.wait() != 0
    finally:
        caller.close()
        server.close()
