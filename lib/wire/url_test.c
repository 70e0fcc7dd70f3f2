/* SPDX-License-Identifier: Apache-2.0 */
#include "test.h"
#include "wire/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char error[300];

static cel__url *parse(const char *text)
{
        cel__url *url = NULL;
        int r;

        *error = '\0';
        r = cel__url_parse(text, &url, error, sizeof(error));
        if (r < 0)
                print_message("# %s: %s\n", text, error);
        CHECK_INT(r, 0);
        return url;
}

static void refuse(const char *text, int code, const char *sentence)
{
        cel__url *url = NULL;

        CHECK_INT(cel__url_parse(text, &url, error, sizeof(error)), code);
        CHECK(!url);
        CHECK_STR(error, sentence);
}

static void check_text(const char *actual, const char *expected)
{
        if (expected)
                CHECK_STR(actual, expected);
        else
                CHECK(!actual);
}

static void check_host(const cel__url *url, size_t i, const char *name, unsigned port, const char *user,
                       const char *password)
{
        CHECK(i < url->hosts_n);
        CHECK_STR(url->hosts[i].name, name);
        CHECK_INT(url->hosts[i].port, port);
        check_text(url->hosts[i].user, user);
        check_text(url->hosts[i].password, password);
}

/* One URL with at most one host, given by its name. */
static void check_one(const char *text, const char *virtual_host, const char *host)
{
        cel_auto(cel__url) *url = parse(text);

        CHECK_STR(url->scheme, "rabbit");
        check_text(url->virtual_host, virtual_host);
        CHECK_INT(url->hosts_n, host ? 1 : 0);
        if (host)
                check_host(url, 0, host, 0, NULL, NULL);
}

TEST(virtual_hosts_are_read_as_oslo_reads_them)
{
        check_one("rabbit://", NULL, NULL);
        check_one("rabbit:", NULL, NULL);
        check_one("rabbit:///v", "v", NULL);
        check_one("rabbit://h", NULL, "h");
        check_one("rabbit://h/", "", "h");
        check_one("rabbit://h//", "/", "h");
        check_one("rabbit://h/%2F", "/", "h");
        check_one("rabbit://h/v%2Fw", "v/w", "h");
        check_one("rabbit://h/a%2541", "a%41", "h"); /* decoded once */
        check_one("rabbit://h/a+b", "a+b", "h");
        check_one("RABBIT://h/v", "v", "h");
        check_one("rabbit://h/v#fragment", "v", "h");
        check_one("rabbit://h#fragment/v?a=1", NULL, "h");
        check_one("rabbit://h:/v", "v", "h"); /* 14.0.3's reading */
        check_one("rabbit://fd00::1/v", "v", "fd00::1");
        check_one("rabbit://[fd00::1]/v", "v", "fd00::1");
        check_one("rabbit://h/v@w", "v@w", "h");
}

TEST(hosts_come_with_their_own_credentials)
{
        cel_auto(cel__url) *url = parse("rabbit://u:p@h1,h2:5673/v");

        CHECK_INT(url->hosts_n, 2);
        check_host(url, 0, "h1", 0, "u", "p");
        check_host(url, 1, "h2", 5673, NULL, NULL);
        CHECK_STR(url->virtual_host, "v");
}

TEST(empty_hosts_are_skipped)
{
        cel_auto(cel__url) *url = parse("rabbit://,h1,,h2,/v");

        CHECK_INT(url->hosts_n, 2);
        check_host(url, 0, "h1", 0, NULL, NULL);
        check_host(url, 1, "h2", 0, NULL, NULL);
}

static void check_credentials(const char *text, const char *user, const char *password)
{
        cel_auto(cel__url) *url = parse(text);

        CHECK_INT(url->hosts_n, 1);
        check_host(url, 0, "h", 0, user, password);
        CHECK_STR(url->virtual_host, "v");
}

TEST(credentials_end_at_the_last_at_sign_and_part_at_the_first_colon)
{
        check_credentials("rabbit://u@d:p@h/v", "u@d", "p");
        check_credentials("rabbit://u:p:q@h/v", "u", "p:q");
        check_credentials("rabbit://u@h/v", "u", NULL);
        check_credentials("rabbit://u:@h/v", "u", "");
        check_credentials("rabbit://@h/v", "", NULL);
        check_credentials("rabbit://:p@h/v", "", "p");
}

TEST(any_byte_but_zero_can_be_in_a_password)
{
        char text[100], expected[] = "?";

        for (unsigned byte = 1; byte < 256; byte++) {
                snprintf(text, sizeof(text), "rabbit://u:%%%02x@h/v", byte);
                expected[0] = (char)byte;
                check_credentials(text, "u", expected);
        }
        check_credentials("rabbit://u:a+b%2x%%@h/v", "u", "a+b%2x%%");
        refuse("rabbit://u:a%00b@h/v", CEL_EINVAL, "the password contains a zero byte (%00)");
        refuse("rabbit://u%00@h/v", CEL_EINVAL, "the user name contains a zero byte (%00)");
        refuse("rabbit://h/%00", CEL_EINVAL, "the virtual host contains a zero byte (%00)");
        refuse("rabbit://h/?a=%00", CEL_EINVAL, "the query contains a zero byte (%00)");
}

TEST(ipv6_addresses_may_have_brackets_ports_and_zones)
{
        cel_auto(cel__url) *url = parse("rabbit://[::1]:5,u:p@[fe80::1%eth0]:6,::2/v");

        CHECK_INT(url->hosts_n, 3);
        check_host(url, 0, "::1", 5, NULL, NULL);
        check_host(url, 1, "fe80::1%eth0", 6, "u", "p");
        check_host(url, 2, "::2", 0, NULL, NULL);
        refuse("rabbit://[::1/v", CEL_EINVAL, "host 1: there is no IPv6 address in brackets");
        refuse("rabbit://[h]/v", CEL_EINVAL, "host 1: there is no IPv6 address in brackets");
        refuse("rabbit://g,[::1]5/v", CEL_EINVAL, "host 2: \"]\" is followed by something else than a port");
        refuse("rabbit://h:1:2/v", CEL_EINVAL, "host 1: two colons, but not an IPv6 address");
        refuse("rabbit://h,:5672/v", CEL_EINVAL, "host 2 has no name");
        refuse("rabbit://a]/v", CEL_EINVAL, "host 1: its name contains a bracket or a space");
}

TEST(ports_are_numbers_from_1_to_65535)
{
        cel_auto(cel__url) *url = parse("rabbit://h:1,h:65535,h:05672");

        check_host(url, 0, "h", 1, NULL, NULL);
        check_host(url, 1, "h", 65535, NULL, NULL);
        check_host(url, 2, "h", 5672, NULL, NULL);
        refuse("rabbit://h:56x2/v", CEL_EINVAL, "port \"56x2\" is not a number from 1 to 65535");
        refuse("rabbit://h:0", CEL_EINVAL, "port \"0\" is not a number from 1 to 65535");
        refuse("rabbit://h:65536", CEL_EINVAL, "port \"65536\" is not a number from 1 to 65535");
        refuse("rabbit://[::1]:99999999999999999999", CEL_EINVAL,
               "port \"99999999999999999999\" is not a number from 1 to 65535");
}

TEST(a_password_that_was_not_encoded_is_never_in_the_error)
{
        static const char *const texts[] = {
                "rabbit://u:top/secret@h/v",    "rabbit://u:12/secret@h/v",   "rabbit://u:12#secret@h/v",
                "rabbit://u:12?secret@h/v",     "rabbit://u:secret?x@h/v",    "rabbit://u:12secret,x@h/v",
                "rabbit://u:1secret,2x@h:5/v",  "rabbit://g,u:12/secret@h/v", "u:secret@h/v",
                "rabbit:u:secret@h/v",          "rabbit://u:secret",          "rabbit://u:secret%00@h",
                "rabbit://u:p@h:1secret,u:q@g",
        };

        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
                cel__url *url = NULL;

                CHECK_INT(cel__url_parse(texts[i], &url, error, sizeof(error)), CEL_EINVAL);
                if (strstr(error, "secret"))
                        print_message("# %s: %s\n", texts[i], error);
                CHECK(!strstr(error, "secret") && !strstr(error, "12"));
        }
        refuse("rabbit://u:top/secret@h/v", CEL_EINVAL,
               "an \"@\" follows the hosts: write the special characters of a password as %XX");
}

TEST(a_url_needs_a_scheme_and_two_slashes)
{
        refuse("", CEL_EINVAL, "no scheme, such as \"rabbit://\", at the beginning");
        refuse("localhost", CEL_EINVAL, "no scheme, such as \"rabbit://\", at the beginning");
        refuse("://h", CEL_EINVAL, "no scheme, such as \"rabbit://\", at the beginning");
        refuse("1a://h", CEL_EINVAL,
               "no scheme, such as \"rabbit://\", at the beginning: byte 1 cannot be in one");
        refuse("a b://h", CEL_EINVAL,
               "no scheme, such as \"rabbit://\", at the beginning: byte 2 cannot be in one");
        refuse("localhost:5672", CEL_EINVAL, "the scheme is not followed by \"//\"");

        cel_auto(cel__url) *url = parse("Kombu+memory://");

        CHECK_STR(url->scheme, "kombu+memory");
}

TEST(control_characters_are_refused_where_they_stand)
{
        refuse("rabbit://h/v\n", CEL_EINVAL, "byte 13 is a control character (0x0a): write it as %0A");
}

TEST(limits_are_kept)
{
        char text[CEL__URL_BYTES_MAX + 2];

        memset(text, 'v', sizeof(text));
        memcpy(text, "rabbit:///", 10);
        text[CEL__URL_BYTES_MAX + 1] = '\0';
        refuse(text, CEL_ETOOBIG, "longer than 8192 bytes");
        text[CEL__URL_BYTES_MAX] = '\0';
        cel__url_free(parse(text));

        strcpy(text, "rabbit://");
        for (int i = 0; i < CEL__URL_HOSTS_MAX; i++)
                strcat(text, "@,");
        cel__url_free(parse(text));
        strcat(text, "h");
        refuse(text, CEL_ETOOBIG, "more than 64 hosts");

        strcpy(text, "rabbit://?");
        for (int i = 0; i < CEL__URL_QUERY_MAX; i++)
                strcat(text, "a=1&");
        cel__url_free(parse(text));
        strcat(text, "b=2");
        refuse(text, CEL_ETOOBIG, "more than 64 options");
}

TEST(options_are_decoded_joined_and_dropped_when_empty)
{
        cel_auto(cel__url) *url = parse("rabbit://h/v?a=1&b=x+y%26z&a=2&c=&d&a=%33&=e");

        CHECK_INT(url->query_n, 3);
        CHECK_STR(url->query[0].name, "a");
        CHECK_STR(cel__url_get(url, "a"), "1,2,3");
        CHECK_STR(cel__url_get(url, "b"), "x y&z");
        CHECK(!cel__url_get(url, "c"));
        CHECK(!cel__url_get(url, "d"));
        CHECK_STR(cel__url_get(url, ""), "e");
}

TEST(booleans_have_eight_spellings)
{
        cel_auto(cel__url) *url = parse("rabbit://?a=True&b=1&c=ON&d=yes&e=false&f=0&g=oFf&h=no&i=2");

        for (const char *name = "abcdefgh"; *name; name++) {
                char text[] = {*name, '\0'};
                bool value = *name >= 'e';

                CHECK_INT(cel__url_get_bool(url, text, &value, error, sizeof(error)), 1);
                CHECK_INT(value, *name < 'e');
        }

        bool value = true;

        CHECK_INT(cel__url_get_bool(url, "z", &value, error, sizeof(error)), 0);
        CHECK_INT(cel__url_get_bool(url, "i", &value, error, sizeof(error)), CEL_EINVAL);
        CHECK_STR(error, "option i: \"2\" is neither true nor false");
        CHECK(value);
}

TEST(integers_have_ranges)
{
        cel_auto(cel__url) *url = parse("rabbit://?n=60&m=-1&x=6x&e=%20&s=%205&big=9223372036854775808");
        int64_t value = 7;

        CHECK_INT(cel__url_get_int(url, "n", 0, 60, &value, error, sizeof(error)), 1);
        CHECK_INT(value, 60);
        CHECK_INT(cel__url_get_int(url, "none", 0, 60, &value, error, sizeof(error)), 0);
        CHECK_INT(cel__url_get_int(url, "n", 0, 59, &value, error, sizeof(error)), CEL_EINVAL);
        CHECK_STR(error, "option n: \"60\" is not a number from 0 to 59");
        CHECK_INT(cel__url_get_int(url, "m", 0, 59, &value, error, sizeof(error)), CEL_EINVAL);
        CHECK_INT(cel__url_get_int(url, "x", 0, 59, &value, error, sizeof(error)), CEL_EINVAL);
        CHECK_INT(cel__url_get_int(url, "e", 0, 59, &value, error, sizeof(error)), CEL_EINVAL);
        CHECK_INT(cel__url_get_int(url, "s", 0, 59, &value, error, sizeof(error)), CEL_EINVAL);
        CHECK_INT(cel__url_get_int(url, "big", 0, INT64_MAX, &value, error, sizeof(error)), CEL_EINVAL);
        CHECK_INT(value, 60);
        CHECK_INT(cel__url_get_int(url, "m", -1, 59, &value, error, sizeof(error)), 1);
        CHECK_INT(value, -1);
}

TEST(seconds_may_have_a_fraction)
{
        cel_auto(cel__url) *url = parse(
                "rabbit://?a=1.5&b=2&c=.25&d=0.0019&e=4.5&f=4.501&g=-1&h=1e3&i=.&j=99999999999999999999");
        static const struct {
                const char *name;
                int64_t ms; /* below zero: refused */
        } all[] = {{"a", 1500}, {"b", 2000}, {"c", 250}, {"d", 1},  {"e", 4500},
                   {"f", -1},   {"g", -1},   {"h", -1},  {"i", -1}, {"j", -1}};

        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
                int64_t ms = 7;
                int r = cel__url_get_seconds(url, all[i].name, 4500, &ms, error, sizeof(error));

                CHECK_INT(r, all[i].ms < 0 ? CEL_EINVAL : 1);
                CHECK_INT(ms, all[i].ms < 0 ? 7 : all[i].ms);
        }
        CHECK_STR(error, "option j: \"99999999999999999999\" is not a number of seconds from 0 to 4.5");
        int64_t ms = 7;
        CHECK_INT(cel__url_get_seconds(url, "none", 4500, &ms, error, sizeof(error)), 0);
        CHECK_INT(ms, 7);
}

TEST(an_unknown_option_is_named_with_its_nearest_relative)
{
        static const char *const known[] = {"ssl", "heartbeat_timeout_threshold", "heartbeat_rate", NULL};
        cel_auto(cel__url) *good = parse("rabbit://?ssl=1&heartbeat_rate=2");
        cel_auto(cel__url) *typo = parse("rabbit://?ssl=1&heartbeat_rat=2&x=1");
        cel_auto(cel__url) *strange = parse("rabbit://?colour=green");

        CHECK_INT(cel__url_check_options(good, known, error, sizeof(error)), 0);
        CHECK_INT(cel__url_check_options(typo, known, error, sizeof(error)), CEL_EINVAL);
        CHECK_STR(error, "unknown option \"heartbeat_rat\"; did you mean \"heartbeat_rate\"?");
        CHECK_INT(cel__url_check_options(strange, known, error, sizeof(error)), CEL_EINVAL);
        CHECK_STR(error, "unknown option \"colour\"");
}

static void check_redacted(const char *text, const char *expected)
{
        cel_auto(cel__url) *url = parse(text);
        char out[200];

        cel__url_redacted(url, out, sizeof(out));
        CHECK_STR(out, expected);
}

TEST(passwords_are_not_printed)
{
        check_redacted("rabbit://u:secret@h1:1,g:@[::1]:2,h/v?a=1&ssl_key_password=secret",
                       "rabbit://u:***@h1:1,g:***@[::1]:2,h/v?a=1&ssl_key_password=***");
        check_redacted("rabbit://", "rabbit:///");
        check_redacted("RABBIT://a%2Cb%C3%B6@h//w%3F?x=%26", "rabbit://a%2Cb%C3%B6@h//w%3F?x=%26");
}

TEST(a_url_lives_until_its_last_owner_frees_it)
{
        cel_auto(cel__url) *first = parse("rabbit://u:p@h/v");
        cel__url *second = cel__url_ref(first);

        CHECK(second == first);
        CHECK(!cel__url_free(second));
        check_host(first, 0, "h", 0, "u", "p");
        CHECK(!cel__url_free(NULL));
}

TEST(printing_stops_where_the_room_ends)
{
        cel_auto(cel__url) *url = parse("rabbit://host/v");
        char out[8] = "xxxxxxx";

        cel__url_redacted(url, out, 7);
        CHECK_STR(out, "rabbit");
        cel__url_redacted(url, out, 1);
        CHECK_STR(out, "");
        cel__url_redacted(url, out, 0);
}

TEST(random_urls_are_parsed_or_refused_with_a_sentence)
{
        static const char letters[] = "ab1:,@/?#&=+%[]-.";
        unsigned seed = (unsigned)time(NULL);

        print_message("# seed %u\n", seed);
        srand(seed);
        for (int round = 0; round < 100000; round++) {
                char text[40] = "rabbit://";
                size_t n = 9 + (size_t)rand() % 30;
                cel__url *url = NULL;

                for (size_t i = 9; i < n; i++)
                        text[i] = letters[(size_t)rand() % (sizeof(letters) - 1)];
                *error = '\0';
                if (cel__url_parse(text, &url, error, sizeof(error)) < 0)
                        CHECK(!url && *error);
                cel__url_free(url);
        }
}
