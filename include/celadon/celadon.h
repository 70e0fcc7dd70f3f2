/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything, in the order to read it. */
#ifndef CELADON_H
#define CELADON_H

#include <celadon/base.h>
#include <celadon/error.h>

#include <celadon/clock.h>
#include <celadon/ctx.h>

#include <celadon/channel.h>
#include <celadon/executor.h>
#include <celadon/future.h>
#include <celadon/offload.h>
#include <celadon/periodic.h>
#include <celadon/process.h>
#include <celadon/signal.h>
#include <celadon/sync.h>
#include <celadon/task.h>

#include <celadon/dns.h>
#include <celadon/stream.h>
#include <celadon/tls.h>

#include <celadon/dump.h>
#include <celadon/log.h>
#include <celadon/runtime.h>
#include <celadon/stats.h>

#include <celadon/consumer.h>
#include <celadon/headers.h>
#include <celadon/message.h>
#include <celadon/transport.h>

#include <celadon/http.h>
#include <celadon/notification.h>
#include <celadon/notifier.h>
#include <celadon/rpc.h>
#include <celadon/rpc_server.h>
#include <celadon/serializer.h>

#endif
