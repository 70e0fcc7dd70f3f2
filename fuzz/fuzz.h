/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzz targets share. A target is a file fuzz_x.c with LLVMFuzzerTestOneInput(); its seeds are in
 * corpus/x. */
#ifndef CEL_FUZZ_H
#define CEL_FUZZ_H

#include <celadon/base.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A promise of the code under test; a broken one counts as a crash. */
#define MUST(condition) ((condition) ? (void)0 : abort())

#endif
