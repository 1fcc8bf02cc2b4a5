/* Sparse products for x86-64: the function around blocks of rows, their parts, the stream of weights, and fetching
 * ahead. */
#include "codegen/sparse_x86.h"
#include <string.h>

enum { LINE = 64 };

/* ---- fetching ahead ---- */

/* that is run after this one; NULL: none */
static const SparsePart *next_part(const SparseX86 *s) {
    return s->part + 1 < s->parts + s->n_slices * s->n_blocks ? s->part + 1 : NULL;
}

static int64_t lines_to_fetch(const SparseX86 *s) {
    const SparsePart *behind = next_part(s), *next = behind ? behind : s->parts;
    int64_t lines = (s->form->block_bytes(s, &next->b) + LINE - 1) / LINE;
    return (lines + s->l->panels - 1) / s->l->panels;
}

/* as far as belongs to `done` of the block's `of` steps */
static void fetch(SparseX86 *s, int64_t done, int64_t of) {
    for (int64_t to = s->to_fetch * done / of; s->fetched < to; s->fetched++)
        x86_prefetch(&s->x, (X86Mem){RBX, s->fetched * LINE});
}

/* ---- a panel ---- */

void sparse_x86_begin_panel(SparseX86 *s) {
    int64_t ahead = (int64_t)128 * s->form->weight_unit;
    size_t lea = x86_lea_rip(&s->x, R10);
    x86_patch(&s->x, lea, s->b->weights_at + (size_t)ahead);
    s->n_weights = 0, s->weight_base = ahead, s->source_base = 0;
    x86_move(&s->x, RAX, R11);
}

X86Mem sparse_x86_word(SparseX86 *s, uint32_t w) {
    int64_t at = s->n_weights * 4, unit = s->form->weight_unit;
    if (at - s->weight_base > 127 * unit) {
        int64_t by = at + 128 * unit - s->weight_base;
        x86_add(&s->x, R10, by);
        s->weight_base += by;
    }
    s->weights[s->n_weights++] = w;
    return (X86Mem){R10, at - s->weight_base};
}

uint32_t sparse_x86_bits(float w) {
    uint32_t bits;
    memcpy(&bits, &w, sizeof bits);
    return bits;
}

int64_t sparse_x86_offset(const SparseX86 *s, int64_t i) { return s->l->sources[s->used[i]].offset; }

int sparse_x86_turn(SparseX86 *s, int row) {
    int set = s->turn[row];
    s->turn[row] = (set + 1) % s->b->sets;
    return set;
}

void sparse_x86_multiply(SparseX86 *s, void (*multiply)(SparseX86 *s, int64_t i)) {
    s->fetched = 0;
    s->to_fetch = lines_to_fetch(s);
    memset(s->turn, 0, sizeof s->turn);
    for (int64_t i = 0; i < s->n_used; i++) {
        multiply(s, i);
        fetch(s, i + 1, s->n_used);
    }
    fetch(s, 1, 1);
}

/* ---- the function ---- */

static const X86Reg saved[] = {RBX, R12, R13, R14, R15, RBP};
enum { N_SAVED = sizeof saved / sizeof *saved };

static void enter(SparseX86 *s) {
    for (int i = 0; i < N_SAVED; i++) x86_push(&s->x, saved[i]);
    x86_move(&s->x, RBP, RSP);
    x86_add(&s->x, RSP, -s->form->stack);
    if (s->form->stack) x86_and(&s->x, RSP, -LINE);
}

static void leave(SparseX86 *s) {
    if (s->form->stack) x86_move(&s->x, RSP, RBP);
    for (int i = N_SAVED - 1; i >= 0; i--) x86_pop(&s->x, saved[i]);
    x86_leave_vectors(&s->x);
    x86_byte(&s->x, 0xC3);
}

static void begin_part(SparseX86 *s) {
    const SparseLayer *l = s->l;
    const SparseBlock *b = s->b;
    const SparsePart *next = next_part(s);
    size_t lea = x86_lea_rip(&s->x, RBX);
    x86_patch(&s->x, lea, next ? next->b.at : l->repeats ? s->parts[0].b.at : b->end);
    x86_move(&s->x, R11, RDI);
    x86_move(&s->x, R12, RSI);
    x86_add(&s->x, R12, b->in_y * l->y_row);
    x86_move(&s->x, R13, RDX);
    x86_add(&s->x, R13, b->first * l->residual_row);
    x86_move(&s->x, R14, RCX);
    x86_move(&s->x, R15, R8);
}

static void write_part(SparseX86 *s, SparsePart *part) {
    const SparseLayer *l = s->l;
    int64_t next = (part - s->parts) % s->n_blocks + 1; /* block of the slice */
    s->part = part, s->b = &part->b;
    s->used = part->used, s->n_used = part->b.loads;
    x86_align(&s->x, LINE, 0xCC);
    part->b.at = s->x.n;
    begin_part(s);
    size_t loop = s->x.n;
    s->form->panel(s);
    x86_add(&s->x, R11, l->x_step);
    x86_add(&s->x, R12, l->y_step);
    x86_add(&s->x, R13, l->residual_step);
    x86_add(&s->x, R14, SPARSE_MASKS * 2);
    x86_add(&s->x, RBX, s->to_fetch * LINE);
    x86_add(&s->x, R15, -1);
    x86_patch(&s->x, x86_jump_if(&s->x, X86_NOT_EQUAL), loop);
    if (next < s->n_blocks) {
        x86_compare(&s->x, R9, next);
        x86_patch(&s->x, x86_jump_if(&s->x, X86_GREATER), part[1].b.at);
    }
    leave(s);
    x86_align(&s->x, LINE, 0xCC);
    part->b.weights_at = s->x.n;
    x86_bytes(&s->x, s->weights, (size_t)s->n_weights * 4);
    part->b.end = (s->x.n + LINE - 1) / LINE * LINE;
}

/* where the call says that it is cold: the lines of the part at rax */
static void fetch_first(SparseX86 *s, const SparsePart *parts) {
    static const uint8_t test[] = {0x83, 0x7D, 8 + N_SAVED * 8, 0}; /* cmp dword [rbp + …], 0 */
    static const uint8_t loop[] = {0x42, 0x0F, 0x18, 0x14, 0x13,    /* prefetcht1 [rbx + r10] */
                                   0x49, 0x83, 0xC2, LINE,          /* add r10, 64 */
                                   0x78, 0xF5};                     /* js to the first */
    int64_t bytes = 0;
    for (int64_t i = 0; i < s->n_blocks; i++)
        if (s->form->block_bytes(s, &parts[i].b) > bytes) bytes = s->form->block_bytes(s, &parts[i].b);
    x86_bytes(&s->x, test, sizeof test);
    size_t near = x86_jump_if(&s->x, X86_EQUAL);
    x86_move(&s->x, RBX, RAX);
    x86_add(&s->x, RBX, bytes);
    x86_bytes(&s->x, (const uint8_t[]){0x4D, 0x31, 0xD2}, 3); /* xor r10, r10 */
    x86_add(&s->x, R10, -bytes);
    x86_bytes(&s->x, loop, sizeof loop);
    x86_patch(&s->x, near, s->x.n);
}

/* goes to the block that the call begins with, by a table of how far each is from the table */
static void write_entry(SparseX86 *s, const SparsePart *parts) {
    x86_test(&s->x, R8);
    size_t some = x86_jump_if(&s->x, X86_GREATER), last;
    x86_byte(&s->x, 0xC3);
    x86_patch(&s->x, some, s->x.n);
    enter(s);
    last = x86_lea_rip(&s->x, RAX);
    static const uint8_t go[] = {0x45, 0x89, 0xCA,       /* mov r10d, r9d */
                                 0x49, 0xC1, 0xE9, 0x20, /* shr r9, 32 */
                                 0x4E, 0x63, 0x14, 0x90, /* movsxd r10, [rax + 4·r10] */
                                 0x4C, 0x01, 0xD0};      /* add rax, r10 */
    x86_bytes(&s->x, go, sizeof go);
    fetch_first(s, parts);
    x86_bytes(&s->x, (const uint8_t[]){0xFF, 0xE0}, 2); /* jmp rax */
    x86_align(&s->x, 4, 0xCC);
    size_t table = s->x.n;
    x86_patch(&s->x, last, table);
    for (int64_t i = 0; i < s->n_blocks; i++) {
        x86_bytes(&s->x, (const uint8_t[4]){0}, 4);
        x86_patch_from(&s->x, s->x.n, table, parts[i].b.at);
    }
}

static void write_slice(SparseX86 *s, int64_t slice) {
    SparsePart *parts = s->parts + slice * s->n_blocks;
    x86_align(&s->x, LINE, 0xCC);
    s->slice_at[slice] = s->x.n;
    write_entry(s, parts);
    for (int64_t i = 0; i < s->n_blocks; i++) write_part(s, &parts[i]);
}

/* calls slice after slice, each as the whole is called */
static void write_calls(SparseX86 *s) {
    static const uint8_t save[] = {0x41, 0x51,              /* push r9 */
                                   0xFF, 0x74, 0x24, 0x10}, /* push [rsp + 16]: cold */
        load[] = {0x4C, 0x8B, 0x4C, 0x24, 0x08},            /* mov r9, [rsp + 8] */
        end[] = {0x48, 0x83, 0xC4, 0x10, 0xC3};             /* add rsp, 16; ret */
    x86_bytes(&s->x, save, sizeof save);
    for (int64_t i = 0; i < s->n_slices; i++) {
        if (i) x86_bytes(&s->x, load, sizeof load);
        x86_bytes(&s->x, (const uint8_t[]){0xE8, 0, 0, 0, 0}, 5); /* call */
        x86_patch(&s->x, s->x.n, s->slice_at[i]);
    }
    x86_bytes(&s->x, end, sizeof end);
}

static void write_code(SparseX86 *s) {
    s->x.n = 0;
    if (s->n_slices > 1) write_calls(s);
    for (int64_t i = 0; i < s->n_slices; i++) write_slice(s, i);
    x86_align(&s->x, LINE, 0xCC);
}

/* ---- slices ---- */

/* what the panels of a call read of x, about */
static int64_t x_bytes(const SparseLayer *l, const int64_t *order) {
    int64_t lines = 0, last = 0;
    for (int64_t i = 0; i < l->n_sources; i++) {
        int64_t at = l->sources[order[i]].offset;
        if (!lines || at - last >= LINE) lines++, last = at;
    }
    return lines * LINE * l->panels;
}

static int64_t slices_for(int64_t n, int64_t most) { return most > 0 ? (n + most - 1) / most : 1; }

/* So many that no part has more nonzeros than stay near the decoder, and that what a slice reads of x stays in L2,
 * beside code that passes through it. */
static int64_t slices_of(const Target *t, const SparseLayer *l, const SparseBlocks *blocks, const int64_t *order) {
    enum { NEAR = 5000 };
    int64_t n = slices_for(blocks->most, NEAR), for_x = slices_for(x_bytes(l, order), (int64_t)t->l2 / 4);
    if (for_x > n) n = for_x;
    if (l->store == SPARSE_STORE_WITHIN) n = 1; /* lanes that are not its own are not read */
    return n < 1 ? 1 : n < SPARSE_X86_SLICES ? n : SPARSE_X86_SLICES;
}

static void cut_block(SparseX86 *s, const SparseBlock *b, SparsePart *parts, const int64_t *order, int64_t *used) {
    int64_t done = 0, n = s->n_slices;
    for (int64_t i = 0, at = 0; i < n; i++) {
        SparsePart *part = &parts[i * s->n_blocks];
        *part = (SparsePart){.b = *b, .used = used, .first = i == 0, .last = i == n - 1};
        part->b.nonzeros = part->b.loads = 0;
        for (; at < s->l->n_sources && (part->last || done < b->nonzeros * (i + 1) / n); at++) {
            int64_t nonzeros = sparse_nonzeros(s->l, b, order[at]);
            if (!nonzeros) continue;
            part->b.nonzeros += nonzeros, part->b.loads++;
            done += nonzeros;
            *used++ = order[at];
        }
        if (s->form->order) s->form->order(s->l, part->used, part->b.loads);
    }
}

static void cut(SparseX86 *s, Arena *a, const Target *t, const SparseBlocks *blocks) {
    const int64_t *order = sparse_by_place(a, s->l);
    s->n_blocks = blocks->n, s->n_slices = slices_of(t, s->l, blocks, order);
    s->parts = ARENA_ARRAY(a, s->n_slices * s->n_blocks, SparsePart);
    for (int64_t i = 0; i < blocks->n; i++)
        cut_block(s, &blocks->all[i], &s->parts[i], order, ARENA_ARRAY(a, blocks->all[i].loads, int64_t));
}

static int64_t all_bytes(const SparseX86 *s, const SparseBlocks *blocks) {
    int64_t bytes = 0;
    for (int64_t i = 0; i < blocks->n; i++) bytes += s->form->block_bytes(s, &blocks->all[i]);
    return bytes;
}

Str sparse_encode_x86(Arena *a, const Target *t, const SparseLayer *l) {
    const SparseX86Form *form = t->vector_bits == 512 ? &sparse_avx512 : &sparse_avx2;
    SparseX86 s = {.l = l, .form = form, .masked = sparse_is_masked(l)};
    SparseBlocks blocks = sparse_cut_rows(a, t, l, form->busy);
    s.spreads = sparse_spreads(t, l->all_panels, all_bytes(&s, &blocks));
    s.weights = ARENA_ARRAY(a, blocks.most + form->weights, uint32_t);
    cut(&s, a, t, &blocks);
    write_code(&s); /* counts, and finds where everything lies */
    s.x.bytes = arena_alloc(a, s.x.n);
    write_code(&s);
    return (Str){(const char *)s.x.bytes, s.x.n};
}
