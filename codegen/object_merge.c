/* One relocatable object of the parts' objects, which LLVM wrote: ELF64, little endian, relocations with addends.
 * Sections of one name, type and flags lie behind one another; symbols that one part defines and others use are
 * resolved and, being hidden, become local. Everything is in the order of the parts, so that the same parts give the
 * same bytes. What LLVM does not write for us (groups, thread-local data, relocations without addends) is refused. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include "codegen/gen.h"

typedef struct Bytes { /* grows; failed: memory ran out */
    char *p;
    size_t n, size;
    bool failed;
} Bytes;

typedef struct Section { /* of the result */
    const char *name;
    Elf64_Shdr head; /* sh_link of relocations: the symbols; sh_info: what they apply to, by result section */
    Bytes data;
} Section;

typedef struct Object { /* a part as LLVM wrote it, and where its sections and symbols went */
    const char *bytes;
    const Elf64_Shdr *heads;
    const Elf64_Sym *symbols;
    const char *names;
    size_t n_sections, n_symbols;
    unsigned *section; /* by section: the result's, 0 where it has none */
    uint64_t *offset;  /* by section: in the result's */
    unsigned *symbol;  /* by symbol: the result's */
} Object;

typedef struct Merge {
    Object *objects;
    int n;
    Section *sections; /* 0: the null section */
    unsigned n_sections, first_global;
    Bytes symbols, names;
    unsigned *table; /* open addressing, by name: global symbols, as index + 1 */
    size_t table_size;
    const char *why;
} Merge;

static void bytes_add(Bytes *b, const void *data, size_t n) {
    if (!n) return;
    if (b->n + n > b->size) {
        size_t size = (b->n + n) * 2 + 4096;
        char *p = realloc(b->p, size);
        if (!p) {
            b->failed = true;
            return;
        }
        b->p = p;
        b->size = size;
    }
    if (data) memcpy(b->p + b->n, data, n);
    else memset(b->p + b->n, 0, n);
    b->n += n;
}

static void bytes_align(Bytes *b, uint64_t align) {
    if (align > 1 && b->n % align) bytes_add(b, NULL, align - b->n % align);
}

static bool refuse(Merge *m, const char *why) {
    if (!m->why) m->why = why;
    return false;
}

/* ---- the parts ---- */

static bool object_open(Merge *m, Object *o, LLVMMemoryBufferRef buffer) {
    o->bytes = LLVMGetBufferStart(buffer);
    const Elf64_Ehdr *h = (const void *)o->bytes;
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_type != ET_REL)
        return refuse(m, "class");
    o->heads = (const void *)(o->bytes + h->e_shoff);
    o->n_sections = h->e_shnum;
    o->names = o->bytes + o->heads[h->e_shstrndx].sh_offset;
    for (size_t i = 1; i < o->n_sections; i++)
        if (o->heads[i].sh_type == SHT_SYMTAB) {
            o->symbols = (const void *)(o->bytes + o->heads[i].sh_offset);
            o->n_symbols = o->heads[i].sh_size / sizeof(Elf64_Sym);
            if (o->heads[i].sh_link != h->e_shstrndx) return refuse(m, "names in two tables");
        }
    o->section = calloc(o->n_sections, sizeof *o->section);
    o->offset = calloc(o->n_sections, sizeof *o->offset);
    o->symbol = calloc(o->n_symbols + 1, sizeof *o->symbol);
    return o->section && o->offset && o->symbol;
}

/* ---- sections ---- */

static bool is_content(Merge *m, const Elf64_Shdr *s) {
    switch (s->sh_type) {
    case SHT_NULL:
    case SHT_SYMTAB:
    case SHT_STRTAB:
    case SHT_RELA: return false;
    case SHT_PROGBITS:
    case SHT_NOTE: break;
    default: return refuse(m, "a section of unknown type");
    }
    return !(s->sh_flags & (SHF_GROUP | SHF_TLS | SHF_LINK_ORDER | SHF_COMPRESSED)) ||
           refuse(m, "a section of unknown kind");
}

static bool same_kind(const Section *a, const char *name, const Elf64_Shdr *s) {
    return !strcmp(a->name, name) && a->head.sh_type == s->sh_type && a->head.sh_flags == s->sh_flags &&
           a->head.sh_entsize == s->sh_entsize;
}

static unsigned section_like(Merge *m, const char *name, const Elf64_Shdr *s) {
    for (unsigned i = 1; i < m->n_sections; i++)
        if (same_kind(&m->sections[i], name, s)) return i;
    Section *new = &m->sections[m->n_sections];
    *new =
        (Section){.name = name, .head = {.sh_type = s->sh_type, .sh_flags = s->sh_flags, .sh_entsize = s->sh_entsize}};
    return m->n_sections++;
}

static void add_section(Merge *m, Object *o, size_t i, bool first) {
    const Elf64_Shdr *s = &o->heads[i];
    if (!is_content(m, s)) return;
    if (s->sh_type == SHT_NOTE && !first) return; /* says the same of each part */
    Section *to = &m->sections[o->section[i] = section_like(m, o->names + s->sh_name, s)];
    bytes_align(&to->data, s->sh_addralign);
    if (s->sh_addralign > to->head.sh_addralign) to->head.sh_addralign = s->sh_addralign;
    o->offset[i] = to->data.n;
    bytes_add(&to->data, o->bytes + s->sh_offset, s->sh_size);
}

/* ---- symbols ---- */

static unsigned *slot_of(Merge *m, const char *name) {
    size_t at = (size_t)hash_bytes(1, name, strlen(name));
    for (;; at++) {
        unsigned *slot = &m->table[at & (m->table_size - 1)];
        if (!*slot) return slot;
        const Elf64_Sym *s = (const Elf64_Sym *)(const void *)m->symbols.p + (*slot - 1);
        if (!strcmp(m->names.p + s->st_name, name)) return slot;
    }
}

static unsigned put_symbol(Merge *m, const Object *o, const Elf64_Sym *s, unsigned char binding) {
    Elf64_Sym new = *s;
    const char *name = o->names + s->st_name;
    new.st_name = *name ? (Elf64_Word)m->names.n : 0;
    if (*name) bytes_add(&m->names, name, strlen(name) + 1);
    new.st_info = (unsigned char)ELF64_ST_INFO(binding, ELF64_ST_TYPE(s->st_info));
    if (binding == STB_LOCAL) new.st_other = STV_DEFAULT;
    if (s->st_shndx != SHN_UNDEF && s->st_shndx < SHN_LORESERVE) {
        new.st_shndx = (Elf64_Half)o->section[s->st_shndx];
        new.st_value += o->offset[s->st_shndx];
    }
    bytes_add(&m->symbols, &new, sizeof new);
    return (unsigned)(m->symbols.n / sizeof new - 1);
}

/* which of three rounds adds a symbol: local ones, those that the parts share, those that others see or define */
static int round_of(const Elf64_Sym *s) {
    if (ELF64_ST_BIND(s->st_info) == STB_LOCAL) return 0;
    return s->st_shndx != SHN_UNDEF && ELF64_ST_VISIBILITY(s->st_other) == STV_HIDDEN ? 1 : 2;
}

static bool add_symbol(Merge *m, int part, size_t i, int round) {
    Object *o = &m->objects[part];
    const Elf64_Sym *s = &o->symbols[i];
    int type = ELF64_ST_TYPE(s->st_info);
    if (type == STT_SECTION) {
        o->symbol[i] = o->section[s->st_shndx]; /* the result's n sections are its symbols 1 … n */
        return true;
    }
    if (type == STT_TLS || s->st_shndx == SHN_COMMON || s->st_shndx == SHN_XINDEX)
        return refuse(m, "a symbol of unknown kind");
    if (round == 0) {
        if (type != STT_FILE || part == 0) o->symbol[i] = put_symbol(m, o, s, STB_LOCAL);
        return true;
    }
    unsigned *slot = slot_of(m, o->names + s->st_name);
    bool known = *slot;
    if (known && s->st_shndx != SHN_UNDEF) return refuse(m, "a symbol is defined twice, or visible and shared");
    o->symbol[i] = known ? *slot - 1 : put_symbol(m, o, s, round == 1 ? STB_LOCAL : ELF64_ST_BIND(s->st_info));
    if (!known) *slot = o->symbol[i] + 1;
    return true;
}

static void add_symbols_of_sections(Merge *m) {
    bytes_add(&m->names, "", 1);
    for (unsigned i = 0; i < m->n_sections; i++) {
        Elf64_Sym s = {.st_info = ELF64_ST_INFO(STB_LOCAL, i ? STT_SECTION : STT_NOTYPE), .st_shndx = (Elf64_Half)i};
        bytes_add(&m->symbols, &s, sizeof s);
    }
}

static bool add_symbols_of_parts(Merge *m) {
    add_symbols_of_sections(m);
    for (int round = 0; round < 3; round++) {
        if (round == 2) m->first_global = (unsigned)(m->symbols.n / sizeof(Elf64_Sym));
        for (int part = 0; part < m->n; part++)
            for (size_t i = 1; i < m->objects[part].n_symbols; i++) {
                if (m->symbols.failed || m->names.failed) return false;
                if (round_of(&m->objects[part].symbols[i]) == round && !add_symbol(m, part, i, round)) return false;
            }
    }
    return true;
}

/* ---- relocations ---- */

static void add_relocation(Section *to, const Object *o, Elf64_Rela r, uint64_t moved) {
    size_t i = ELF64_R_SYM(r.r_info);
    const Elf64_Sym *s = &o->symbols[i];
    r.r_offset += moved;
    if (i && ELF64_ST_TYPE(s->st_info) == STT_SECTION) r.r_addend += (int64_t)o->offset[s->st_shndx];
    r.r_info = ELF64_R_INFO((uint64_t)o->symbol[i], ELF64_R_TYPE(r.r_info));
    bytes_add(&to->data, &r, sizeof r);
}

static bool add_relocations(Merge *m, Object *o, unsigned n_content) {
    for (size_t i = 1; i < o->n_sections; i++) {
        const Elf64_Shdr *s = &o->heads[i];
        if (s->sh_type != SHT_RELA || !s->sh_size) continue;
        unsigned target = o->section[s->sh_info];
        if (!target) return refuse(m, "relocations of nothing");
        unsigned at = n_content;
        while (at < m->n_sections && m->sections[at].head.sh_info != target) at++;
        Section *to = &m->sections[at];
        if (at == m->n_sections) {
            *to = (Section){.name = o->names + s->sh_name, .head = *s};
            to->head.sh_info = target;
            m->n_sections++;
        }
        const Elf64_Rela *r = (const void *)(o->bytes + s->sh_offset);
        for (size_t k = 0; k < s->sh_size / sizeof *r; k++) add_relocation(to, o, r[k], o->offset[s->sh_info]);
    }
    return true;
}

/* ---- the result ---- */

static unsigned add_table(Merge *m, const char *name, Elf64_Shdr head, Bytes data) {
    m->sections[m->n_sections] = (Section){.name = name, .head = head, .data = data};
    return m->n_sections++;
}

/* the names of sections stand behind those of symbols, as LLVM has it too */
static void finish_tables(Merge *m, unsigned n_content) {
    unsigned n_relocations = m->n_sections;
    Elf64_Shdr symbols = {.sh_type = SHT_SYMTAB,
                          .sh_link = m->n_sections + 1,
                          .sh_info = m->first_global,
                          .sh_addralign = 8,
                          .sh_entsize = sizeof(Elf64_Sym)};
    unsigned table = add_table(m, ".symtab", symbols, m->symbols);
    m->symbols = (Bytes){0};
    unsigned strings = add_table(m, ".strtab", (Elf64_Shdr){.sh_type = SHT_STRTAB, .sh_addralign = 1}, (Bytes){0});
    for (unsigned i = n_content; i < n_relocations; i++) m->sections[i].head.sh_link = table;
    for (unsigned i = 1; i < m->n_sections; i++) {
        m->sections[i].head.sh_name = (Elf64_Word)m->names.n;
        bytes_add(&m->names, m->sections[i].name, strlen(m->sections[i].name) + 1);
    }
    m->sections[strings].data = m->names;
    m->names = (Bytes){0};
}

static void write_result(const Merge *m, Bytes *out) {
    Elf64_Ehdr h;
    memcpy(&h, m->objects[0].bytes, sizeof h);
    bytes_add(out, NULL, sizeof h);
    for (unsigned i = 1; i < m->n_sections; i++) {
        bytes_align(out, m->sections[i].head.sh_addralign);
        m->sections[i].head.sh_offset = out->n;
        m->sections[i].head.sh_size = m->sections[i].data.n;
        bytes_add(out, m->sections[i].data.p, m->sections[i].data.n);
    }
    bytes_align(out, 8);
    h.e_shoff = out->n;
    h.e_shnum = (Elf64_Half)m->n_sections;
    h.e_shstrndx = (Elf64_Half)(m->n_sections - 1);
    for (unsigned i = 0; i < m->n_sections; i++) bytes_add(out, &m->sections[i].head, sizeof m->sections[i].head);
    if (!out->failed) memcpy(out->p, &h, sizeof h);
}

static bool merge(Merge *m, const LLVMMemoryBufferRef *buffers, Bytes *out) {
    size_t sections = 4, symbols = 0;
    m->objects = calloc((size_t)m->n, sizeof *m->objects);
    for (int i = 0; i < m->n && m->objects; i++) {
        if (!object_open(m, &m->objects[i], buffers[i])) return false;
        sections += m->objects[i].n_sections;
        symbols += m->objects[i].n_symbols;
    }
    for (m->table_size = 64; m->table_size < symbols * 2;) m->table_size *= 2;
    m->table = calloc(m->table_size, sizeof *m->table);
    m->sections = calloc(sections, sizeof *m->sections);
    if (!m->objects || !m->table || !m->sections) return false;
    m->n_sections = 1;
    for (int i = 0; i < m->n; i++)
        for (size_t k = 1; k < m->objects[i].n_sections; k++) add_section(m, &m->objects[i], k, i == 0);
    unsigned n_content = m->n_sections;
    if (m->why || !add_symbols_of_parts(m)) return false;
    for (int i = 0; i < m->n; i++)
        if (!add_relocations(m, &m->objects[i], n_content)) return false;
    finish_tables(m, n_content);
    bool failed = false;
    for (unsigned i = 0; i < m->n_sections; i++) failed = failed || m->sections[i].data.failed;
    if (!failed) write_result(m, out);
    return !failed && !out->failed;
}

bool object_can_merge(const Target *t) {
    bool known = !strncmp(t->triple, "x86_64", strlen("x86_64")) || !strncmp(t->triple, "aarch64", strlen("aarch64"));
    return known && object_is_elf(t);
}

LLVMMemoryBufferRef object_merge(const LLVMMemoryBufferRef *objects, int n, const char **why) {
    Merge m = {.n = n};
    Bytes out = {0};
    LLVMMemoryBufferRef result = NULL;
    if (merge(&m, objects, &out)) result = LLVMCreateMemoryBufferWithMemoryRangeCopy(out.p, out.n, "object");
    *why = m.why;
    for (int i = 0; i < n && m.objects; i++)
        free(m.objects[i].section), free(m.objects[i].offset), free(m.objects[i].symbol);
    for (unsigned i = 0; i < m.n_sections; i++) free(m.sections[i].data.p);
    free(m.objects);
    free(m.sections);
    free(m.symbols.p);
    free(m.names.p);
    free(m.table);
    free(out.p);
    return result;
}
