/* SPDX-License-Identifier: Apache-2.0
 *
 * Which method is meant (oslo-wire section 12), and what to say if there is none (10.3). */
#include "rpc/server.h"
#include "wire/version.h"

#include <celadon/log.h>
#include <string.h>

/* --- Ping ------------------------------------------------------------------------------------- */

static int ping(cel_ctx *ctx, cel_request *request)
{
        (void)ctx;
        return cel_request_reply(request, json_string("pong"));
}

/* Whoever switches it on wants it answered, so it is exposed; upstream's is not. */
static const cel_method ping_methods[] = {{.name = "oslo_rpc_server_ping", .fn = ping, .exposed = true}, {0}};
static const cel_endpoint ping_endpoint = {.methods = ping_methods};

/* --- Methods ---------------------------------------------------------------------------------- */

static const cel_method no_methods[] = {{0}};

static const cel_method *methods_of(const cel_endpoint *endpoint)
{
        return endpoint->methods ? endpoint->methods : no_methods;
}

/* The method of this name; NULL: there is none. */
static const cel_method *find_method(const cel_endpoint *endpoint, const char *name)
{
        for (const cel_method *m = methods_of(endpoint); m->name; m++)
                if (strcmp(m->name, name) == 0)
                        return m;
        return endpoint->lookup && endpoint->lookup(endpoint, name) ? &endpoint->dynamic : NULL;
}

/* --- Access ----------------------------------------------------------------------------------- */

bool cel_rpc_access_default(const cel_endpoint *endpoint, const char *method, void *unused)
{
        (void)endpoint, (void)unused;
        return method[0] != '_';
}

bool cel_rpc_access_legacy(const cel_endpoint *endpoint, const char *method, void *unused)
{
        (void)endpoint, (void)method, (void)unused;
        return true;
}

bool cel_rpc_access_explicit(const cel_endpoint *endpoint, const char *method, void *unused)
{
        const cel_method *found = find_method(endpoint, method);

        (void)unused;
        return found && found->exposed;
}

/* One for each method, and one for all dynamic ones. */
static unsigned count_lanes(const cel_endpoint *endpoint)
{
        const cel_method *methods = methods_of(endpoint);
        unsigned n = 0;

        while (methods[n].name)
                n++;
        return endpoint->lookup ? n + 1 : n;
}

/* --- Looking ---------------------------------------------------------------------------------- */

/* "" in a list of legacy namespaces is none. */
static bool same_name_space(const char *a, const char *b)
{
        return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool accepts_name_space(const cel_endpoint *endpoint, const char *name_space)
{
        if (same_name_space(endpoint->name_space, name_space))
                return true;
        for (const char *const *legacy = endpoint->legacy_name_spaces; legacy && *legacy; legacy++)
                if (same_name_space(*legacy, name_space))
                        return true;
        return false;
}

static bool accepts(const cel_endpoint *endpoint, const cel__request *request)
{
        return accepts_name_space(endpoint, request->name_space) &&
               cel__version_compatible(endpoint->version ? endpoint->version : "1.0", request->version) == 1;
}

static bool is_allowed(const cel_rpc_server *server, const cel_endpoint *endpoint, const char *method)
{
        return server->access_policy(endpoint, method, server->access_policy_arg);
}

/* Where a method's lane is among those of its endpoint. */
static unsigned place_of(const cel_endpoint *endpoint, const cel_method *method)
{
        return method == &endpoint->dynamic ? count_lanes(endpoint) - 1
                                            : (unsigned)(method - methods_of(endpoint));
}

/* `*ret_accepted`: some endpoint would have taken this namespace and version. */
static lane *find(cel_rpc_server *server, const cel__request *request, bool *ret_accepted)
{
        lane *next = server->lanes;

        *ret_accepted = false;
        for (unsigned i = 0; i < server->asked_n; i++) {
                const cel_endpoint *endpoint = server->asked[i];
                lane *first = next;

                next += count_lanes(endpoint);
                if (!accepts(endpoint, request))
                        continue;
                *ret_accepted = true;
                const cel_method *method = find_method(endpoint, request->method);
                if (method && is_allowed(server, endpoint, request->method))
                        return first + place_of(endpoint, method);
        }
        return NULL;
}

lane *dispatch_find(cel_rpc_server *server, const cel__request *request)
{
        bool accepted;
        lane *found = find(server, request, &accepted);

        return found ? found : &server->refusals;
}

/* --- Refusing --------------------------------------------------------------------------------- */

/* The method of all requests that no method is there for. */
static int refuse(cel_ctx *ctx, cel_request *request)
{
        static const char module[] = "oslo_messaging.rpc.dispatcher";
        const char *method = request->wire.method;
        bool accepted;

        (void)ctx;
        request->server->stats.refused++;
        find(request->server, &request->wire, &accepted);
        if (accepted)
                return cel_request_fail(request, "NoSuchMethod", module,
                                        "Endpoint does not support RPC method %s", method);
        return cel_request_fail(request, "UnsupportedVersion", module,
                                "Endpoint does not support RPC version %s. Attempted method: %s",
                                request->wire.version ? request->wire.version : "None", method);
}

/* --- Preparing -------------------------------------------------------------------------------- */

static void init_lane(lane *l, const cel_endpoint *endpoint, const cel_method *method)
{
        *l = (lane){.endpoint = endpoint, .method = method};
        cel__list_init(&l->waiting);
        cel__list_init(&l->turn);
}

static void add_endpoint(cel_rpc_server *server, const cel_endpoint *endpoint)
{
        server->asked[server->asked_n++] = endpoint;
        for (const cel_method *m = methods_of(endpoint); m->name; m++)
                init_lane(&server->lanes[server->lanes_n++], endpoint, m);
        if (endpoint->lookup)
                init_lane(&server->lanes[server->lanes_n++], endpoint, &endpoint->dynamic);
}

unsigned dispatch_count_lanes(const cel_endpoint *endpoints, unsigned endpoints_n)
{
        unsigned n = count_lanes(&ping_endpoint);

        for (unsigned i = 0; i < endpoints_n; i++)
                n += count_lanes(&endpoints[i]);
        return n;
}

void dispatch_init(cel_rpc_server *server, const cel_endpoint *endpoints, unsigned endpoints_n,
                   bool with_ping)
{
        static const cel_method refusal = {.name = "", .fn = refuse};
        static const cel_endpoint nobody = {0};

        init_lane(&server->refusals, &nobody, &refusal);
        for (unsigned i = 0; i < endpoints_n; i++)
                add_endpoint(server, &endpoints[i]);
        if (with_ping &&
            (endpoints_n == 0 || !find_method(&endpoints[endpoints_n - 1], ping_methods[0].name)))
                add_endpoint(server, &ping_endpoint);
}
