/* Names that come from outside made into what C and file systems take. */
#include "driver/driver.h"
#include <stdlib.h>
#include <string.h>

enum { LONGEST_NAME = 100, LONGEST_FILE = 150 };

static const char *base_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static size_t stem_length(const char *base) {
    const char *dot = strrchr(base, '.');
    return dot && dot != base ? (size_t)(dot - base) : strlen(base);
}

char *path_with_extension(const char *path, const char *extension) {
    const char *base = base_of(path);
    size_t keep = (size_t)(base - path) + stem_length(base), n = strlen(extension);
    char *out = malloc(keep + n + 1);
    if (!out) return NULL;
    memcpy(out, path, keep);
    memcpy(out + keep, extension, n + 1);
    return out;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* C's and C++'s words, and what the public header takes. */
static bool is_taken(const char *name) {
    static const char words[] = " alignas alignof and and_eq asm auto bitand bitor bool break case catch char class "
                                "compl concept const consteval constexpr "
                                "constinit const_cast continue co_await co_return co_yield decltype default delete do "
                                "double dynamic_cast else enum explicit "
                                "export extern false float for friend goto if inline int long mcc mutable namespace "
                                "new noexcept not not_eq nullptr operator "
                                "or or_eq private protected public register reinterpret_cast requires restrict return "
                                "short signed sizeof static "
                                "static_assert static_cast struct switch template this thread_local throw true try "
                                "typedef typeid typename typeof union "
                                "unsigned using virtual void volatile wchar_t while xor xor_eq ";
    char padded[LONGEST_NAME + 3];
    snprintf(padded, sizeof padded, " %s ", name);
    return strstr(words, padded) != NULL;
}

char *name_from_path(const char *path) {
    const char *base = base_of(path);
    size_t n = stem_length(base);
    if (n > LONGEST_NAME - 2) n = LONGEST_NAME - 2;
    char *name = malloc(n + 3), *plain = name + 2;
    if (!name) return NULL;
    for (size_t i = 0; i < n; i++) plain[i] = is_letter(base[i]) || is_digit(base[i]) ? base[i] : '_';
    plain[n] = 0;
    if (n && is_letter(plain[0]) && !is_taken(plain)) {
        memmove(name, plain, n + 1);
        return name;
    }
    memcpy(name, "m_", 2);
    return name;
}

bool name_is_valid(const char *name, const char **why) {
    size_t n = strlen(name);
    *why = NULL;
    if (n > LONGEST_NAME) *why = "it is longer than 100 characters";
    else if (!is_letter(name[0])) *why = "it must begin with a letter";
    else if (is_taken(name)) *why = "C, C++ or mcc's header uses that word";
    for (size_t i = 0; i < n && !*why; i++)
        if (!is_letter(name[i]) && !is_digit(name[i]) && name[i] != '_')
            *why = "only letters, digits and _ make an identifier";
    return !*why;
}

char *file_name_from(Str name, const char *fallback, const char *extension) {
    static const char hex[] = "0123456789ABCDEF";
    bool whole = name.n > 0 && name.n <= LONGEST_FILE;
    Str from = whole ? name : str_of(fallback);
    char *out = malloc(3 * from.n + strlen(extension) + 1), *p = out;
    if (!out) return NULL;
    for (size_t i = 0; i < from.n; i++) {
        char c = from.p[i];
        bool plain = is_letter(c) || is_digit(c) || c == '_' || c == '-' || (c == '.' && i > 0);
        if (plain) *p++ = c;
        else *p++ = '%', *p++ = hex[(unsigned char)c >> 4], *p++ = hex[c & 15];
    }
    if (p - out > LONGEST_FILE && whole) {
        free(out);
        return file_name_from((Str){0}, fallback, extension);
    }
    strcpy(p, extension);
    return out;
}
