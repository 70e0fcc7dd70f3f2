/* SPDX-License-Identifier: Apache-2.0
 *
 * Design notes. dladdr() knows only what a program exports, and most functions worth seeing are static. So
 * the symbol table of the file itself is read, the one that strip removes. The files are mapped as they are
 * and everything in them is checked against their size: they may have been replaced since. */
#include "rt/symbols.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 8, NAMES_MAX = 256 };

typedef struct mapped_file {
        const void *base;  /* where its code begins, which tells it from others */
        const char *bytes; /* owned mapping, NULL if it cannot be read */
        size_t bytes_n;
        const ElfW(Sym) * symbols;
        size_t symbols_n;
        const char *names;
        size_t names_n;
} mapped_file;

typedef struct known_name {
        const void *pc;
        char text[CEL__SYMBOL_BYTES];
} known_name;

struct cel__symbols {
        mapped_file files[FILES_MAX];
        unsigned files_n;
        known_name names[NAMES_MAX]; /* by hash; a later one takes the place of an earlier */
};

cel__symbols *cel__symbols_new(void)
{
        return calloc(1, sizeof(cel__symbols));
}

cel__symbols *cel__symbols_free(cel__symbols *symbols)
{
        for (unsigned i = 0; symbols && i < symbols->files_n; i++)
                if (symbols->files[i].bytes)
                        munmap((void *)(uintptr_t)symbols->files[i].bytes, symbols->files[i].bytes_n);
        free(symbols);
        return NULL;
}

/* `n` pieces of `size` bytes at `offset`, or NULL if the file is not that long. */
static const void *part(const mapped_file *file, uint64_t offset, uint64_t n, uint64_t size)
{
        if (offset > file->bytes_n || (size > 0 && n > (file->bytes_n - offset) / size) || offset % 8 != 0)
                return NULL;
        return file->bytes + offset;
}

/* Take the symbols of section `section` of all `sections`. */
static void take_table(mapped_file *file, const ElfW(Shdr) * sections, size_t sections_n, size_t section)
{
        const ElfW(Shdr) *table = &sections[section];

        if (table->sh_link >= sections_n || table->sh_entsize != sizeof(ElfW(Sym)))
                return;
        const ElfW(Shdr) *names = &sections[table->sh_link];
        const ElfW(Sym) *symbols = part(file, table->sh_offset, table->sh_size, 1);

        if (!symbols || names->sh_offset > file->bytes_n || names->sh_size > file->bytes_n - names->sh_offset)
                return;
        file->symbols = symbols;
        file->symbols_n = table->sh_size / sizeof(*symbols);
        file->names = file->bytes + names->sh_offset;
        file->names_n = names->sh_size;
}

static void find_table(mapped_file *file)
{
        const ElfW(Ehdr) *head = part(file, 0, 1, sizeof(*head));

        if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_shentsize != sizeof(ElfW(Shdr)))
                return;
        const ElfW(Shdr) *sections = part(file, head->e_shoff, head->e_shnum, sizeof(*sections));
        for (size_t i = 0; sections && i < head->e_shnum; i++)
                if (sections[i].sh_type == SHT_SYMTAB ||
                    (sections[i].sh_type == SHT_DYNSYM && !file->symbols))
                        take_table(file, sections, head->e_shnum, i);
}

static void map_file(mapped_file *file, const char *path)
{
        struct stat status;
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return;
        if (fstat(fd, &status) == 0 && status.st_size > 0) {
                void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

                if (bytes != MAP_FAILED) {
                        file->bytes = bytes;
                        file->bytes_n = (size_t)status.st_size;
                        find_table(file);
                }
        }
        close(fd);
}

static const mapped_file *file_of(cel__symbols *symbols, const Dl_info *info, const struct link_map *map)
{
        for (unsigned i = 0; i < symbols->files_n; i++)
                if (symbols->files[i].base == info->dli_fbase)
                        return &symbols->files[i];
        if (symbols->files_n == FILES_MAX)
                return NULL;
        mapped_file *file = &symbols->files[symbols->files_n++];
        file->base = info->dli_fbase;
        map_file(file, *map->l_name ? map->l_name : "/proc/self/exe");
        return file;
}

/* The function that `address`, as in the file, lies in; NULL: not known. */
static const ElfW(Sym) * function_at(const mapped_file *file, uintptr_t address)
{
        for (size_t i = 0; file && i < file->symbols_n; i++) {
                const ElfW(Sym) *s = &file->symbols[i];

                if ((s->st_info & 0xf) == STT_FUNC && address >= s->st_value &&
                    address - s->st_value < s->st_size && s->st_name < file->names_n &&
                    memchr(file->names + s->st_name, '\0', file->names_n - s->st_name))
                        return s;
        }
        return NULL;
}

static void find_name(cel__symbols *symbols, const void *pc, bool returns, char *text, size_t bytes)
{
        Dl_info info;
        struct link_map *map = NULL;
        const char *at = pc ? (const char *)pc - (returns ? 1 : 0) : NULL;

        if (!at || !dladdr1(at, &info, (void **)&map, RTLD_DL_LINKMAP) || !map) {
                snprintf(text, bytes, "%p", pc);
                return;
        }
        const char *name = strrchr(info.dli_fname, '/');
        name = name ? name + 1 : info.dli_fname;
        const mapped_file *file = symbols ? file_of(symbols, &info, map) : NULL;
        uintptr_t address = (uintptr_t)at - map->l_addr;
        const ElfW(Sym) *s = function_at(file, address);
        unsigned long offset = (unsigned long)(address + (returns ? 1 : 0) - (s ? s->st_value : 0));

        snprintf(text, bytes, "%.96s+0x%lx (%.40s)", s ? file->names + s->st_name : "", offset, name);
}

void cel__symbols_name(cel__symbols *symbols, const void *pc, bool returns, char *text, size_t bytes)
{
        if (!symbols) {
                find_name(NULL, pc, returns, text, bytes);
                return;
        }
        known_name *known = &symbols->names[((uintptr_t)pc >> 2) % NAMES_MAX];
        if (known->pc != pc) {
                find_name(symbols, pc, returns, known->text, sizeof(known->text));
                known->pc = pc;
        }
        snprintf(text, bytes, "%s", known->text);
}
