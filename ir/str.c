/* Names from models: bytes with a length. */
#include "ir/ir.h"
#include <string.h>

Str str_of(const char *s) { return (Str){s, strlen(s)}; }
bool str_eq(Str a, Str b) { return a.n == b.n && (a.n == 0 || !memcmp(a.p, b.p, a.n)); }
bool str_is(Str a, const char *b) { return str_eq(a, str_of(b)); }

uint64_t hash_bytes(uint64_t seed, const void *p, size_t n) {
    const unsigned char *q = p;
    for (size_t i = 0; i < n; i++) seed = (seed ^ q[i]) * 1099511628211ull;
    return seed;
}

size_t str_escape(char *out, size_t size, Str s) {
    size_t used = 0;
    for (size_t i = 0; i < s.n && used + 5 < size; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '?' && !(c == '/' && i && s.p[i - 1] == '*') &&
                     !(c == '*' && i && s.p[i - 1] == '/');
        if (plain) out[used++] = (char)c;
        else used += (size_t)snprintf(out + used, size - used, "\\%03o", c);
    }
    out[used] = 0;
    return used;
}
