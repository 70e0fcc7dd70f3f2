/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/signature.h"
#include "test.h"

#include <celadon/error.h>
#include <string.h>

/* The example of the specification. */
static const char secret[] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id[] = "msg_p5jXN8AQM9LWM0D4loKWxJek",
                  body[] = "{\"test\": 2432232314}";

/* 64 bytes of `k`. */
static const char long_secret[] =
        "whsec_a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2traw==";

TEST(the_example_of_the_specification_is_signed_as_it_says)
{
        bridge_text text = {.bytes_max = 1000};
        bridge_signing_key *key;

        CHECK_INT(bridge_signing_key_new(secret, &key), 0);
        for (int i = 0; i < 2; i++) { /* a key is not used up */
                CHECK_INT(bridge_sign(&key, 1, id, 1614265330, body, strlen(body), &text), 0);
                CHECK_STR(text.bytes, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
                bridge_text_fini(&text);
        }
        bridge_signing_key_free(key);
}

/* The expected values are those of Python's hmac. */
TEST(each_key_signs_and_a_body_may_be_empty)
{
        bridge_text text = {.bytes_max = 1000};
        bridge_signing_key *keys[2];

        CHECK_INT(bridge_signing_key_new(long_secret, &keys[0]), 0);
        CHECK_INT(bridge_signing_key_new(secret, &keys[1]), 0);
        CHECK_INT(bridge_sign(keys, 2, "id", 0, NULL, 0, &text), 0);
        CHECK(strncmp(text.bytes, "v1,X+462pG4U/dG0hmnvb2yUbeWU9meBFdDsle/44+qGdg= v1,", 51) == 0);
        CHECK_INT(text.n, 95);
        bridge_text_fini(&text);
        bridge_signing_key_free(keys[0]);
        bridge_signing_key_free(keys[1]);
}

TEST(what_is_no_key_is_refused)
{
        static const char *const bad[] = {
                "",
                "whsec_",
                "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa==",
                "whsec_ !!!",
                "whsec_"
                "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="};
        bridge_signing_key *key = NULL;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                CHECK_INT(bridge_signing_key_new(bad[i], &key), CEL_EINVAL);
        CHECK(!key);
}

TEST(a_webhook_id_has_no_dot)
{
        char webhook_id[BRIDGE_WEBHOOK_ID_BYTES];

        bridge_webhook_id("0b5a-1", webhook_id);
        CHECK_STR(webhook_id, "0b5a-1");
        bridge_webhook_id("a.b", webhook_id);
        CHECK_STR(webhook_id, "2e7336dc8eba87ef472df568c35482ab");
}
