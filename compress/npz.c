/* A .npz is a zip archive of .npy files (APPNOTE.TXT of PKWARE, sections 4.3.7, 4.3.12, 4.3.16). Only its central
 * directory is believed, and only as far as it lies within the file. Members must be stored, as numpy.savez does. */
#include "compress/sample_files.h"
#include <string.h>

enum { END_BYTES = 22, LONGEST_COMMENT = 65535, ENTRY_BYTES = 46, LOCAL_BYTES = 30 };

static uint32_t le16(const unsigned char *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8; }
static uint32_t le32(const unsigned char *p) { return le16(p) | le16(p + 2) << 16; }

static bool read_at(FILE *f, size_t at, void *to, size_t bytes) {
    return at <= INT64_MAX && !fseek(f, (long)at, SEEK_SET) && fread(to, 1, bytes, f) == bytes;
}

/* The central directory's place and size, by the record at the file's end. */
static bool find_directory(Arena *a, FILE *f, size_t size, size_t *at, size_t *bytes) {
    size_t tail = size < END_BYTES + LONGEST_COMMENT ? size : END_BYTES + LONGEST_COMMENT;
    unsigned char *end = arena_alloc(a, tail + 1);
    if (size < END_BYTES || !read_at(f, size - tail, end, tail)) return false;
    for (size_t i = tail - END_BYTES + 1; i-- > 0;) {
        if (memcmp(end + i, "PK\5\6", 4) != 0) continue;
        *bytes = le32(end + i + 12);
        *at = le32(end + i + 16);
        return *at <= size && *bytes <= size - *at;
    }
    return false;
}

/* Does the member `member` hold the array `name`? */
static bool is_named(const unsigned char *member, size_t n, const char *name) {
    size_t length = name ? strlen(name) : 0;
    if (n < 4 || memcmp(member + n - 4, ".npy", 4) != 0) return false;
    return !name || (n - 4 == length && !memcmp(member, name, length)) || (n == length && !memcmp(member, name, n));
}

/* From a directory's entry to its member's first byte. */
static const char *locate(FILE *f, size_t size, const unsigned char *entry, size_t *at, size_t *bytes) {
    unsigned char local[LOCAL_BYTES];
    *bytes = le32(entry + 20);
    *at = le32(entry + 42);
    if (le16(entry + 8) & 1) return "it is encrypted";
    if (le16(entry + 10) != 0) return "its arrays are compressed: write it with numpy.savez";
    if (*bytes == UINT32_MAX || *at == UINT32_MAX) return "it has members of 4 GiB and more, which mcc does not read";
    if (!read_at(f, *at, local, sizeof local) || memcmp(local, "PK\3\4", 4) != 0) return "its directory is wrong";
    *at += LOCAL_BYTES + le16(local + 26) + le16(local + 28);
    return *at > size || *bytes > size - *at ? "its directory is wrong" : NULL;
}

bool npz_find(Arena *a, FILE *f, size_t size, const char *name, size_t *at, size_t *bytes, const char **why) {
    size_t place, length, found = 0;
    *why = "it is not a .npz file";
    if (!find_directory(a, f, size, &place, &length)) return false;
    unsigned char *directory = arena_alloc(a, length + 1), *match = NULL;
    if (!read_at(f, place, directory, length)) return false;
    for (size_t i = 0; i + ENTRY_BYTES <= length && !memcmp(directory + i, "PK\1\2", 4);) {
        unsigned char *entry = directory + i;
        size_t n = le16(entry + 28), step = ENTRY_BYTES + n + le16(entry + 30) + le16(entry + 32);
        if (step > length - i) return false;
        if (is_named(entry + ENTRY_BYTES, n, name)) match = entry, found++;
        i += step;
    }
    *why = found ? "it holds several arrays, and none by the input's name" : "it holds no array by the input's name";
    if (found != 1) return false;
    return !(*why = locate(f, size, match, at, bytes));
}
