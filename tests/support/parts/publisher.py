# SPDX-License-Identifier: Apache-2.0
"""Notifications as OpenStack's services send them: by oslo.messaging itself."""

import oslo_messaging
from oslo_config import cfg


class Publisher:
    """An oslo.messaging notifier. Its driver `messagingv2` wraps notifications in oslo's envelope, `messaging` does not."""

    def __init__(self, bus, driver='messagingv2', exchange='nova', topic='notifications', durable=False,
                 compression=None, **options):
        """`options` become the transport URL's query."""
        if durable:
            options['amqp_durable_queues'] = 'true'
        if compression:
            options['kombu_compression'] = compression
        oslo_messaging.set_transport_defaults(exchange)
        self._transport = oslo_messaging.get_notification_transport(cfg.CONF, url=bus.url(**options))
        self._notifier = oslo_messaging.Notifier(self._transport, publisher_id='compute.host-1', driver=driver,
                                                 topics=[topic], retry=3)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def notify(self, event_type, payload, priority='info', context=None):
        """Returns when the broker has confirmed it."""
        getattr(self._notifier, priority)(context or {}, event_type, payload)

    def close(self):
        self._transport.cleanup()
