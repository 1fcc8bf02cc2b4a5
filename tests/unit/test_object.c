/* An object joined of parts: the same bytes for any number of threads, the same results as an object of one part, and a
 * table of symbols and relocations in which everything is where it must be. Parts that cannot be joined are refused. */
#include <elf.h>
#include <omp.h>
#include "codegen/gen.h"
#include "tests/unit/compiled.h"

static void check(bool ok, const char *what, const char *where) {
    if (ok) return;
    fprintf(stderr, "%s: %s\n", where, what);
    failures++;
}

/* reference kernels with tables of constants, fused loops, products, an open dim */
static void make_graph(Case *c) {
    Value *x = input(c, "x", "Nx12"), *y = DO(c, MatMul, x, weights(c, "12x24"));
    y = DO(c, Sin, DO(c, Add, y, weights(c, "24")));
    y = DO(c, LayerNormalization, y, weights(c, "24"), weights(c, "24"));
    y = DO(c, Softmax, DO(c, MatMul, y, weights(c, "24x24")));
    Value *z = DO(c, CumSum, DO(c, Erf, y), INTS_OF(c, 1));
    output(c, "y", y);
    output(c, "z", DO(c, Transpose, DO(c, Pow, z, number(c, 1.5))));
}

static bool compile(Case *c, const char *triple, const char *cpu, int level, int part_cost, int threads, Code *code) {
    const char *why;
    CodeOptions o = {.name = "m",
                     .target = target_find(triple, cpu, "", &why),
                     .opt_level = level,
                     .max_threads = 4,
                     .cut_always = true,
                     .part_cost = part_cost};
    *code = (Code){0};
    omp_set_num_threads(threads);
    bool ok = o.target && codegen_compile(c->ctx, c->g, &o, code);
    check(ok, "does not compile", triple);
    return ok;
}

typedef struct Elf { /* with the weights appended */
    const char *bytes, *names, *where;
    const Elf64_Shdr *sections;
    const Elf64_Sym *symbols;
    size_t n, n_sections, n_symbols;
} Elf;

static void check_symbols(const Elf *e, size_t first_global) {
    for (size_t i = 1; i < e->n_symbols; i++) {
        const Elf64_Sym *s = &e->symbols[i];
        const char *name = e->names + s->st_name;
        bool global = ELF64_ST_BIND(s->st_info) != STB_LOCAL, defined = s->st_shndx != SHN_UNDEF;
        check(global == (i >= first_global), "local symbols stand before the others", e->where);
        check(!global || !defined || !strncmp(name, "m_", 2), "a visible symbol of another name", e->where);
        check(defined || !strncmp(name, "mem", 3) || !strcmp(name, "mcc_parallel_for"), "an undefined symbol",
              e->where);
        if (!defined || s->st_shndx >= SHN_LORESERVE) continue;
        check(s->st_shndx < e->n_sections && s->st_value + s->st_size <= e->sections[s->st_shndx].sh_size,
              "a symbol outside of its section", e->where);
    }
}

static void check_relocations(const Elf *e, const Elf64_Shdr *s) {
    const Elf64_Rela *r = (const void *)(e->bytes + s->sh_offset);
    for (size_t k = 0; k < s->sh_size / sizeof *r; k++) {
        check(r[k].r_offset < e->sections[s->sh_info].sh_size, "a relocation outside of its section", e->where);
        check(ELF64_R_SYM(r[k].r_info) && ELF64_R_SYM(r[k].r_info) < e->n_symbols, "a relocation without symbol",
              e->where);
    }
}

static void check_elf(const char *bytes, size_t n, const char *where) {
    const Elf64_Ehdr *h = (const void *)bytes;
    Elf e = {.bytes = bytes,
             .n = n,
             .where = where,
             .sections = (const void *)(bytes + h->e_shoff),
             .n_sections = h->e_shnum};
    check(h->e_shoff % 8 == 0 && h->e_shoff + e.n_sections * sizeof(Elf64_Shdr) <= n, "the table of sections", where);
    e.names = bytes + e.sections[h->e_shstrndx].sh_offset;
    for (size_t i = 1; i < e.n_sections; i++) {
        const Elf64_Shdr *s = &e.sections[i];
        const char *name = e.names + s->sh_name;
        check(s->sh_offset % (s->sh_addralign ? s->sh_addralign : 1) == 0 && s->sh_offset + s->sh_size <= n,
              "a section", where);
        check(!(s->sh_flags & SHF_WRITE) || !s->sh_size || !strncmp(name, ".data.rel.ro", 12), "a writable section",
              where);
        for (size_t k = 1; k < i; k++)
            check(strcmp(name, e.names + e.sections[k].sh_name), "two sections of one name", where);
        if (s->sh_type != SHT_SYMTAB) continue;
        e.symbols = (const void *)(bytes + s->sh_offset);
        e.n_symbols = s->sh_size / sizeof(Elf64_Sym);
        check_symbols(&e, s->sh_info);
    }
    for (size_t i = 1; i < e.n_sections; i++)
        if (e.sections[i].sh_type == SHT_RELA) check_relocations(&e, &e.sections[i]);
}

static void check_threads(Case *c, const char *triple) {
    char *first = NULL;
    size_t first_n = 0;
    for (int threads = 1; threads <= 5; threads += 2) {
        Code code;
        char *bytes;
        size_t n;
        if (!compile(c, triple, "", 1, 1, threads, &code) || !object_with_weights(c->ctx, &code, &bytes, &n)) continue;
        check(code.n_parts > 4, "a part for each kernel", triple);
        check_elf(bytes, n, triple);
        if (first) check(n == first_n && !memcmp(bytes, first, n), "other bytes with more threads", triple);
        free(first);
        first = bytes;
        first_n = n;
        code_free(&code);
    }
    free(first);
}

/* what one part computes, and many, and kernels that share the reference kernels */
static void check_results(Case *c) {
    enum { ROWS = 5, Y = ROWS * 24 };
    static const struct {
        int level, cost, parts;
    } ways[] = {{1, 1000000, 1}, {1, 1, 2}, {0, 1, 1}};
    static float out[3][2 * Y];
    int64_t dims[] = {ROWS, 12};
    const Tensor *in = random_tensor(c, c->g, DT_F32, 2, dims);
    for (int i = 0; i < 3; i++) {
        Code code;
        if (!compile(c, "", "native", ways[i].level, ways[i].cost, 2, &code)) return;
        check(ways[i].parts == 1 ? code.n_parts == 1 : code.n_parts > 1, "the number of parts", "results");
        LoadedModel *m = code_load(c->ctx, &code);
        check(m != NULL, "does not load", "results");
        if (!m) return;
        char *raw = arena_alloc(c->ctx->arena, code.workspace_bytes + 64);
        mcc_tensor x = {
            .data = (void *)(uintptr_t)in->data, .bytes = in->bytes, .dtype = DT_F32, .rank = 2, .dims = {ROWS, 12}};
        mcc_tensor y[2] = {{.data = out[i], .bytes = Y * 4, .dtype = DT_F32},
                           {.data = out[i] + Y, .bytes = Y * 4, .dtype = DT_F32}};
        int status = loaded_model(m)->run(&x, y, (void *)(((uintptr_t)raw + 63) & ~(uintptr_t)63));
        check(status == MCC_OK, "does not run", "results");
        code_unload(m);
        code_free(&code);
        check(!memcmp(out[0], out[i], sizeof out[0]), "not the same results", i == 1 ? "many parts" : "no optimisation");
    }
}

static void check_refusal(void) {
    Elf64_Ehdr h = {.e_ident = {[EI_CLASS] = ELFCLASS32, [EI_DATA] = ELFDATA2LSB}, .e_type = ET_REL};
    LLVMMemoryBufferRef part = LLVMCreateMemoryBufferWithMemoryRangeCopy((const char *)&h, sizeof h, "part");
    LLVMMemoryBufferRef both[2] = {part, part};
    const char *why = NULL;
    check(!object_merge(both, 2, &why) && why, "joined what it cannot", "refusal");
    LLVMDisposeMemoryBuffer(part);
}

int main(void) {
    static const char *const triples[] = {"x86_64-linux-gnu", "aarch64-linux-gnu"};
    const char *why;
    Case c;
    case_begin(&c);
    make_graph(&c);
    PassCtx p = {
        .ctx = c.ctx, .target = target_find("", "native", "", &why), .opt_level = 1, .stop_after = -1, .verify = true};
    check(passes_run(c.g, &p), "the passes fail", "passes");
    for (size_t i = 0; i < sizeof triples / sizeof *triples; i++) check_threads(&c, triples[i]);
    check_results(&c);
    check_refusal();
    ctx_free(c.ctx);
    return failures ? 1 : 0;
}
