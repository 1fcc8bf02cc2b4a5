/* The object file: what LLVM made, with the weights appended as a read-only section of their own, straight from where
 * they lie in memory, and machine code that was encoded here as an executable one. ELF, 32 and 64 bit, little endian:
 * the undefined symbols <name>_weights and <name>_code get a section each; the table of section headers and the table
 * of their names are written anew at the end. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/gen.h"

typedef bool (*Sink)(void *to, const void *data, size_t n);

typedef struct Elf { /* one view of both classes; offsets are into the object */
    char *bytes;
    size_t n;
    bool wide;
    uint64_t shoff;
    unsigned shnum, shstrndx, shentsize;
} Elf;

bool object_is_elf(const Target *t) {
    return !strstr(t->triple, "darwin") && !strstr(t->triple, "macos") && !strstr(t->triple, "windows");
}

typedef struct Added { /* a section that is appended */
    const char *name, *symbol;
    uint64_t flags;
    unsigned char type; /* of its symbol */
    Segments content;
    Elf64_Shdr head;
} Added;

enum { MOST_ADDED = 2 };

static Elf64_Shdr section(const Elf *e, unsigned i) {
    Elf64_Shdr s;
    Elf32_Shdr t;
    const char *at = e->bytes + e->shoff + (size_t)i * e->shentsize;
    if (e->wide) {
        memcpy(&s, at, sizeof s);
        return s;
    }
    memcpy(&t, at, sizeof t);
    return (Elf64_Shdr){t.sh_name, t.sh_type, t.sh_flags, t.sh_addr,      t.sh_offset,
                        t.sh_size, t.sh_link, t.sh_info,  t.sh_addralign, t.sh_entsize};
}

static size_t section_bytes(const Elf *e, Elf64_Shdr s, void *out) {
    if (e->wide) {
        memcpy(out, &s, sizeof s);
        return sizeof s;
    }
    Elf32_Shdr t = {s.sh_name,
                    s.sh_type,
                    (Elf32_Word)s.sh_flags,
                    (Elf32_Addr)s.sh_addr,
                    (Elf32_Off)s.sh_offset,
                    (Elf32_Word)s.sh_size,
                    s.sh_link,
                    s.sh_info,
                    (Elf32_Word)s.sh_addralign,
                    (Elf32_Word)s.sh_entsize};
    memcpy(out, &t, sizeof t);
    return sizeof t;
}

static void open_elf(Elf *e, char *bytes, size_t n) {
    *e = (Elf){.bytes = bytes, .n = n, .wide = bytes[EI_CLASS] == ELFCLASS64};
    if (e->wide) {
        Elf64_Ehdr h;
        memcpy(&h, bytes, sizeof h);
        e->shoff = h.e_shoff, e->shnum = h.e_shnum, e->shstrndx = h.e_shstrndx, e->shentsize = h.e_shentsize;
    } else {
        Elf32_Ehdr h;
        memcpy(&h, bytes, sizeof h);
        e->shoff = h.e_shoff, e->shnum = h.e_shnum, e->shstrndx = h.e_shstrndx, e->shentsize = h.e_shentsize;
    }
}

static void set_header(Elf *e, uint64_t shoff, unsigned shnum) {
    if (e->wide) {
        Elf64_Ehdr *h = (Elf64_Ehdr *)(void *)e->bytes;
        h->e_shoff = shoff, h->e_shnum = (Elf64_Half)shnum;
    } else {
        Elf32_Ehdr *h = (Elf32_Ehdr *)(void *)e->bytes;
        h->e_shoff = (Elf32_Off)shoff, h->e_shnum = (Elf32_Half)shnum;
    }
}

/* the undefined symbol becomes the start of section `index`; false: there is none */
static bool define_symbol(Elf *e, const char *name, unsigned index, const Added *added) {
    for (unsigned i = 0; i < e->shnum; i++) {
        Elf64_Shdr s = section(e, i);
        if (s.sh_type != SHT_SYMTAB) continue;
        const char *names = e->bytes + section(e, s.sh_link).sh_offset;
        for (uint64_t at = s.sh_offset; at < s.sh_offset + s.sh_size; at += s.sh_entsize) {
            Elf64_Sym *w = (Elf64_Sym *)(void *)(e->bytes + at);
            Elf32_Sym *t = (Elf32_Sym *)(void *)(e->bytes + at);
            if (strcmp(names + (e->wide ? w->st_name : t->st_name), name)) continue;
            unsigned char info = (unsigned char)ELF64_ST_INFO(STB_GLOBAL, added->type);
            size_t size = added->content.bytes;
            if (e->wide)
                w->st_shndx = (Elf64_Half)index, w->st_size = size, w->st_info = info, w->st_other = STV_HIDDEN;
            else
                t->st_shndx = (Elf32_Half)index, t->st_size = (Elf32_Word)size, t->st_info = info,
                t->st_other = STV_HIDDEN;
            return true;
        }
    }
    return false;
}

const char *object_next_undefined(LLVMMemoryBufferRef object, size_t *at) {
    Elf e;
    open_elf(&e, (char *)(uintptr_t)LLVMGetBufferStart(object), LLVMGetBufferSize(object));
    for (unsigned i = 0; i < e.shnum; i++) {
        Elf64_Shdr s = section(&e, i);
        if (s.sh_type != SHT_SYMTAB) continue;
        const char *names = e.bytes + section(&e, s.sh_link).sh_offset;
        for (size_t n = s.sh_size / s.sh_entsize; ++*at < n;) { /* the first is none */
            const char *symbol = e.bytes + s.sh_offset + *at * s.sh_entsize;
            const Elf64_Sym *w = (const Elf64_Sym *)(const void *)symbol;
            const Elf32_Sym *t = (const Elf32_Sym *)(const void *)symbol;
            if ((e.wide ? w->st_shndx : t->st_shndx) == SHN_UNDEF) return names + (e.wide ? w->st_name : t->st_name);
        }
    }
    return NULL;
}

static bool pad(Sink sink, void *to, size_t *at, size_t align) {
    static const char zeros[64];
    size_t n = (align - *at % align) % align;
    *at += n;
    return sink(to, zeros, n);
}

static bool put_segments(const Segments *c, Sink sink, void *to) {
    size_t at = 0;
    for (int i = 0; i < c->n; i++) {
        if (!pad(sink, to, &at, 64) || !sink(to, c->list[i].data, c->list[i].bytes)) return false;
        at += c->list[i].bytes;
    }
    return pad(sink, to, &at, 64);
}

static bool put_heads(const Elf *e, const Added *added, int n, Elf64_Shdr names, Sink sink, void *to) {
    char raw[sizeof(Elf64_Shdr)];
    for (unsigned i = 0; i < e->shnum; i++)
        if (!sink(to, raw, section_bytes(e, i == e->shstrndx ? names : section(e, i), raw))) return false;
    for (int i = 0; i < n; i++)
        if (!sink(to, raw, section_bytes(e, added[i].head, raw))) return false;
    return true;
}

/* those that the code has a symbol for: what nothing reads is left out */
static int sections_to_add(const Code *c, Elf *e, Added *added) {
    const Added all[] = {{.name = c->weights_section,
                          .symbol = "weights",
                          .flags = SHF_ALLOC,
                          .type = STT_OBJECT,
                          .content = {c->weights, c->n_weights, c->weights_bytes}},
                         {.name = ".text.mcc_sparse",
                          .symbol = "code",
                          .flags = SHF_ALLOC | SHF_EXECINSTR,
                          .type = STT_FUNC,
                          .content = c->code}};
    _Static_assert(sizeof all / sizeof *all == MOST_ADDED, "room for all");
    int n = 0;
    for (int i = 0; i < MOST_ADDED; i++) {
        char symbol[256];
        snprintf(symbol, sizeof symbol, "%s_%s", c->name, all[i].symbol);
        if (all[i].content.n && define_symbol(e, symbol, e->shnum + (unsigned)n, &all[i])) added[n++] = all[i];
    }
    return n;
}

static void place_sections(Added *added, int n, size_t at, Elf64_Shdr *names) {
    for (int i = 0; i < n; i++) {
        added[i].head = (Elf64_Shdr){.sh_name = (Elf64_Word)names->sh_size,
                                     .sh_type = SHT_PROGBITS,
                                     .sh_flags = added[i].flags,
                                     .sh_offset = at,
                                     .sh_size = added[i].content.bytes,
                                     .sh_addralign = 64};
        at += added[i].content.bytes;
        names->sh_size += strlen(added[i].name) + 1;
    }
    names->sh_offset = at;
}

static bool put_object(const Code *c, Sink sink, void *to) {
    size_t n = LLVMGetBufferSize(c->object);
    char *copy = malloc(n);
    if (!copy) return false;
    memcpy(copy, LLVMGetBufferStart(c->object), n);
    Elf e;
    Added added[MOST_ADDED];
    int n_added = 0;
    if (c->n_weights || c->code.n) {
        open_elf(&e, copy, n);
        n_added = sections_to_add(c, &e, added);
    }
    if (!n_added) {
        free(copy);
        return sink(to, LLVMGetBufferStart(c->object), n);
    }
    Elf64_Shdr names = section(&e, e.shstrndx), old = names;
    place_sections(added, n_added, (n + 63) / 64 * 64, &names);
    size_t end = names.sh_offset + names.sh_size, table_at = (end + 7) / 8 * 8;
    /* e still knows the old table, which stays in the copy */
    set_header(&e, table_at, e.shnum + (unsigned)n_added);
    bool ok = sink(to, copy, n) && pad(sink, to, &n, 64);
    for (int i = 0; i < n_added; i++) ok = ok && put_segments(&added[i].content, sink, to);
    ok = ok && sink(to, copy + old.sh_offset, old.sh_size);
    for (int i = 0; i < n_added; i++) ok = ok && sink(to, added[i].name, strlen(added[i].name) + 1);
    ok = ok && pad(sink, to, &end, 8) && put_heads(&e, added, n_added, names, sink, to);
    free(copy);
    return ok;
}

static bool to_file(void *to, const void *data, size_t n) { return n == 0 || fwrite(data, 1, n, to) == n; }

bool code_write_object(Ctx *ctx, const Code *c, FILE *out) {
    (void)ctx;
    return put_object(c, to_file, out);
}

static void count_section(CodeSizes *sizes, Elf64_Shdr s) {
    if (!(s.sh_flags & SHF_ALLOC)) return;
    if (!(s.sh_flags & SHF_WRITE)) sizes->text += s.sh_size;
    else if (s.sh_type == SHT_NOBITS) sizes->bss += s.sh_size;
    else sizes->data += s.sh_size;
}

CodeSizes code_sizes(Ctx *ctx, const Code *c) {
    size_t n = LLVMGetBufferSize(c->object);
    char *copy = malloc(n);
    CodeSizes sizes = {0};
    Elf e;
    Added added[MOST_ADDED];
    if (!copy) mem_fail(ctx, n);
    memcpy(copy, LLVMGetBufferStart(c->object), n);
    if (n < sizeof(Elf64_Ehdr) || memcmp(copy, ELFMAG, SELFMAG) != 0) sizes.text = n;
    else {
        open_elf(&e, copy, n);
        int n_added = c->n_weights || c->code.n ? sections_to_add(c, &e, added) : 0;
        for (unsigned i = 0; i < e.shnum; i++) count_section(&sizes, section(&e, i));
        for (int i = 0; i < n_added; i++) sizes.text += added[i].content.bytes;
    }
    free(copy);
    return sizes;
}

typedef struct Memory {
    char *p;
    size_t n, size;
} Memory;

static bool to_memory(void *to, const void *data, size_t n) {
    Memory *m = to;
    if (m->n + n > m->size) {
        size_t size = (m->n + n) * 2;
        char *p = realloc(m->p, size);
        if (!p) return false;
        m->p = p;
        m->size = size;
    }
    if (n) memcpy(m->p + m->n, data, n);
    m->n += n;
    return true;
}

bool object_with_weights(Ctx *ctx, const Code *c, char **out, size_t *n) {
    Memory m = {.size = LLVMGetBufferSize(c->object) + c->weights_bytes + c->code.bytes + 65536};
    m.p = malloc(m.size);
    if (!m.p || !put_object(c, to_memory, &m)) {
        free(m.p);
        mem_fail(ctx, m.size);
    }
    *out = m.p;
    *n = m.n;
    return true;
}
