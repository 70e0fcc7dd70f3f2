/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a fuzz target on every file of a folder and prints TAP, so that the corpora are ordinary tests too, in
 * builds without libFuzzer: `replay_url corpus/url`. */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 1 << 20 };

static int is_visible(const struct dirent *entry)
{
        return entry->d_name[0] != '.';
}

/* The input lies in memory of exactly its size, so that sanitizers see each step beyond it. */
static bool replay(const char *folder, const char *name)
{
        static uint8_t bytes[FILE_BYTES_MAX];
        char path[4096];
        FILE *file;

        if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
                return false;
        file = fopen(path, "rb");
        if (!file)
                return false;

        size_t n = fread(bytes, 1, sizeof(bytes), file);
        cel_auto_free uint8_t *input = malloc(n > 0 ? n : 1);

        fclose(file);
        if (!input)
                return false;
        memcpy(input, bytes, n);
        LLVMFuzzerTestOneInput(input, n);
        return true;
}

int main(int argc, char **argv)
{
        struct dirent **entries;
        int n = argc == 2 ? scandir(argv[1], &entries, is_visible, alphasort) : -1;
        int failed = 0;

        if (n < 1) {
                printf("Bail out! usage: %s FOLDER-WITH-FILES\n", argv[0]);
                return 2;
        }
        printf("1..%d\n", n);
        for (int i = 0; i < n; i++) {
                bool ok = replay(argv[1], entries[i]->d_name);

                failed += !ok;
                printf("%s %d - %s\n", ok ? "ok" : "not ok", i + 1, entries[i]->d_name);
                fflush(stdout); /* the next one may crash */
                free(entries[i]);
        }
        free(entries);
        return failed > 0;
}
