/* mcc inspect OBJECT: the description that an object carries (mcc_model of mcc/runtime.h), read from a relocatable ELF
 * file of either class without running anything. Pointers in the description are relocations: they are looked up by
 * their place, whatever the machine calls their kind. Nothing in the file is trusted: every offset is checked before it
 * is followed. */
#include "driver/driver.h"
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

typedef struct Object {
    const unsigned char *bytes;
    size_t n;
    bool wide;
    unsigned machine, n_sections;
    uint64_t table;
} Object;

typedef struct Place { /* a byte of a section */
    unsigned section;
    uint64_t offset;
} Place;

typedef struct Symbol {
    Place at;
    uint64_t size;
    const char *name;
    bool described; /* a global object whose name ends in _model */
} Symbol;

/* n bytes at `offset` of the file; NULL: they are not there. */
static const void *span(const Object *o, uint64_t offset, uint64_t n) {
    return offset <= o->n && n <= o->n - offset ? o->bytes + offset : NULL;
}

static bool section(const Object *o, unsigned i, Elf64_Shdr *out) {
    size_t size = o->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
    const void *p = i < o->n_sections ? span(o, o->table + (uint64_t)i * size, size) : NULL; /* the table is all there */
    if (!p) return false;
    if (o->wide) {
        memcpy(out, p, sizeof *out);
        return true;
    }
    Elf32_Shdr s;
    memcpy(&s, p, sizeof s);
    *out = (Elf64_Shdr){.sh_name = s.sh_name,
                        .sh_type = s.sh_type,
                        .sh_flags = s.sh_flags,
                        .sh_offset = s.sh_offset,
                        .sh_size = s.sh_size,
                        .sh_link = s.sh_link,
                        .sh_info = s.sh_info};
    return true;
}

/* n bytes of a section's contents. */
static const void *contents(const Object *o, Place at, uint64_t n) {
    Elf64_Shdr s;
    if (!section(o, at.section, &s) || s.sh_type == SHT_NOBITS || at.offset > s.sh_size || n > s.sh_size - at.offset)
        return NULL;
    const void *start = span(o, s.sh_offset, s.sh_size);
    return start ? (const char *)start + at.offset : NULL;
}

/* A string that ends within its section. */
static const char *text(const Object *o, Place at) {
    Elf64_Shdr s;
    const char *p = contents(o, at, 1);
    if (!p || !section(o, at.section, &s)) return NULL;
    return memchr(p, 0, s.sh_size - at.offset) ? p : NULL;
}

static bool symbol(const Object *o, unsigned table, uint64_t i, Symbol *out) {
    Elf64_Shdr s;
    Elf64_Sym w;
    uint64_t size = o->wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
    if (!section(o, table, &s) || i >= s.sh_size / size) return false;
    const void *p = contents(o, (Place){table, i * size}, size);
    if (!p) return false;
    if (o->wide) {
        memcpy(&w, p, sizeof w);
    } else {
        Elf32_Sym n;
        memcpy(&n, p, sizeof n);
        w = (Elf64_Sym){n.st_name, n.st_info, n.st_other, n.st_shndx, n.st_value, n.st_size};
    }
    const char *name = text(o, (Place){s.sh_link, w.st_name});
    size_t n = name ? strlen(name) : 0;
    *out = (Symbol){{w.st_shndx, w.st_value}, w.st_size, name, false};
    out->described = n > 6 && !strcmp(name + n - 6, "_model") && ELF64_ST_TYPE(w.st_info) == STT_OBJECT &&
                     ELF64_ST_BIND(w.st_info) == STB_GLOBAL && w.st_shndx != SHN_UNDEF;
    return true;
}

static uint64_t word(const Object *o, Place at) { /* of a pointer's size */
    uint64_t w = 0;
    size_t size = o->wide ? 8 : 4;
    const void *p = contents(o, at, size);
    if (p) memcpy(&w, p, size);
    return w;
}

/* One relocation: its place and, with `symbols`, what it points to. */
static bool relocation(const Object *o, const Elf64_Shdr *s, unsigned table, uint64_t i, Place *at, Place *to) {
    bool addend = s->sh_type == SHT_RELA;
    uint64_t size = (o->wide ? sizeof(Elf64_Rel) : sizeof(Elf32_Rel)) + (addend ? (o->wide ? 8 : 4) : 0), index;
    Elf64_Rela r = {0};
    const void *p = i < s->sh_size / size ? contents(o, (Place){table, i * size}, size) : NULL;
    if (!p) return false;
    if (o->wide) {
        memcpy(&r, p, size);
        index = ELF64_R_SYM(r.r_info);
    } else {
        Elf32_Rela n = {0};
        memcpy(&n, p, size);
        r = (Elf64_Rela){n.r_offset, n.r_info, n.r_addend};
        index = ELF32_R_SYM(n.r_info);
    }
    Symbol target;
    *at = (Place){s->sh_info, r.r_offset};
    if (!symbol(o, s->sh_link, index, &target)) return false;
    uint64_t more = addend ? (uint64_t)r.r_addend : word(o, *at);
    *to = (Place){target.at.section, target.at.offset + more};
    return true;
}

static bool follow(const Object *o, Place at, Place *to) {
    Elf64_Shdr s;
    for (unsigned i = 0; i < o->n_sections; i++) {
        if (!section(o, i, &s) || (s.sh_type != SHT_RELA && s.sh_type != SHT_REL) || s.sh_info != at.section) continue;
        Place here;
        for (uint64_t k = 0; relocation(o, &s, i, k, &here, to); k++)
            if (here.offset == at.offset) return true;
    }
    return false;
}

static const char *text_behind(const Object *o, Place pointer) {
    Place to;
    return follow(o, pointer, &to) ? text(o, to) : NULL;
}

static void print_escaped(const char *s) {
    char out[256];
    str_escape(out, sizeof out, str_of(s));
    printf("\"%s\"", out);
}

static bool print_tensor(const Object *o, Place at) {
    enum { DTYPE = 8, DIMS = 16, SIZE = DIMS + 16 * MCC_MAX_RANK }; /* dtype and rank follow the pointer */
    const unsigned char *p = contents(o, at, SIZE);
    const char *name = text_behind(o, at);
    int32_t dtype, rank;
    int64_t dims[2 * MCC_MAX_RANK];
    if (!p || !name) return false;
    memcpy(&dtype, p + (o->wide ? DTYPE : 4), 4);
    memcpy(&rank, p + (o->wide ? DTYPE : 4) + 4, 4);
    memcpy(dims, p + DIMS, sizeof dims);
    if (rank < 0 || rank > MCC_MAX_RANK) return false;
    printf("  ");
    print_escaped(name);
    printf(": %s[", dtype_name((Dtype)dtype));
    for (int i = 0; i < rank; i++) {
        printf(dims[i] < 0 ? "%s<=%" PRId64 : "%s%" PRId64, i ? "," : "",
               dims[i] < 0 ? dims[MCC_MAX_RANK + i] : dims[i]);
    }
    puts("]");
    return true;
}

static bool print_tensors(const Object *o, const char *title, Place list, int32_t n) {
    Place at;
    puts(title);
    if (n == 0) return true;
    if (!follow(o, list, &at)) return false;
    for (int32_t i = 0; i < n; i++, at.offset += 16 + 16 * MCC_MAX_RANK)
        if (!print_tensor(o, at)) return false;
    return true;
}

/* The fields of mcc_model, by the pointer's size. */
static bool print_model(const Object *o, const Symbol *s) {
    uint64_t word_size = o->wide ? 8 : 4, counts = 8 + 2 * word_size, lists = counts + 8, sizes = lists + 2 * word_size;
    const unsigned char *p = contents(o, s->at, sizes + 3 * word_size);
    uint32_t abi;
    int32_t n[2];
    if (!p) return false;
    memcpy(&abi, p, 4);
    memcpy(n, p + counts, sizeof n);
    Place base = s->at;
    const char *name = text_behind(o, (Place){base.section, base.offset + 8});
    const char *build = text_behind(o, (Place){base.section, base.offset + 8 + word_size});
    if (!name || !build || n[0] < 0 || n[1] < 0) return false;
    printf("model ");
    print_escaped(name);
    printf("\nbuild ");
    print_escaped(build);
    printf("\nabi %" PRIu32 "\nworkspace %" PRIu64 " bytes, aligned to %" PRIu64 "\n", abi,
           word(o, (Place){base.section, base.offset + sizes}),
           word(o, (Place){base.section, base.offset + sizes + word_size}));
    return print_tensors(o, "inputs", (Place){base.section, base.offset + lists}, n[0]) &&
           print_tensors(o, "outputs", (Place){base.section, base.offset + lists + word_size}, n[1]);
}

static void print_sections(const Object *o, unsigned names) {
    Elf64_Shdr s;
    puts("sections");
    for (unsigned i = 0; i < o->n_sections; i++) {
        if (!section(o, i, &s) || !(s.sh_flags & SHF_ALLOC) || s.sh_size == 0) continue;
        const char *name = text(o, (Place){names, s.sh_name});
        char out[128];
        str_escape(out, sizeof out, str_of(name ? name : "?"));
        printf("  %10" PRIu64 " %s\n", s.sh_size, out);
    }
}

static const char *machine_name(unsigned machine) {
    switch (machine) {
    case EM_X86_64: return "x86-64";
    case EM_386: return "x86";
    case EM_AARCH64: return "aarch64";
    case EM_ARM: return "arm";
    case EM_RISCV: return "riscv";
    default: return "another machine";
    }
}

static bool print_object(Object *o) {
    unsigned names, type;
    if (o->n < sizeof(Elf64_Ehdr) || o->bytes[EI_DATA] != ELFDATA2LSB) return false;
    o->wide = o->bytes[EI_CLASS] == ELFCLASS64;
    if (o->wide) {
        Elf64_Ehdr h;
        memcpy(&h, o->bytes, sizeof h);
        o->table = h.e_shoff, o->n_sections = h.e_shnum, o->machine = h.e_machine, names = h.e_shstrndx,
        type = h.e_type;
    } else {
        Elf32_Ehdr h;
        memcpy(&h, o->bytes, sizeof h);
        o->table = h.e_shoff, o->n_sections = h.e_shnum, o->machine = h.e_machine, names = h.e_shstrndx,
        type = h.e_type;
    }
    bool found = false;
    size_t size = o->wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
    if (!span(o, o->table, (uint64_t)o->n_sections * size)) return false;
    for (unsigned i = 0; i < o->n_sections && type == ET_REL; i++) {
        Elf64_Shdr s;
        Symbol one;
        if (!section(o, i, &s) || s.sh_type != SHT_SYMTAB) continue;
        for (uint64_t k = 0; symbol(o, i, k, &one); k++)
            if (one.described && print_model(o, &one)) found = true;
    }
    if (!found) return false;
    printf("machine %s\n", machine_name(o->machine));
    print_sections(o, names);
    return true;
}

bool object_is(const char *path) {
    char magic[SELFMAG] = {0};
    struct stat st;
    FILE *f = !stat(path, &st) && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
    bool is = f && fread(magic, 1, SELFMAG, f) == SELFMAG && !memcmp(magic, ELFMAG, SELFMAG);
    if (f) fclose(f);
    return is;
}

int object_inspect(const char *path) {
    FILE *f = fopen(path, "rb");
    struct stat st;
    void *map = MAP_FAILED;
    if (f && !fstat(fileno(f), &st)) map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fileno(f), 0);
    int why = errno;
    if (f) fclose(f);
    if (map == MAP_FAILED) {
        say_error("cannot read %s: %s", path, strerror(why));
        return BAD_MODEL;
    }
    Object o = {.bytes = map, .n = (size_t)st.st_size};
    bool good = print_object(&o);
    munmap(map, (size_t)st.st_size);
    if (!good) say_error("%s is not an object that mcc wrote", path);
    return good ? DONE : BAD_MODEL;
}
