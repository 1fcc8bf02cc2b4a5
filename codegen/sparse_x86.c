/* Sparse products for AVX-512. Rows are cut into blocks of up to 29, whose sums stay in zmm0 … zmm28 while zmm31 takes
 * each source that any of them needs, and a nonzero is one vfmadd231ps with its weight broadcast from memory, or a
 * vpdpbusd with a word of four. A block is a loop over panels, its weights lie behind it in the order in which they are
 * read, then comes the next block.
 *
 * Every nonzero loads its weight, so that loads are what is scarce, and a vector that crosses a line takes two. Sources
 * that lie near one another, as the taps of a row do, are put together from whole lines in zmm29 and zmm30 (valignd).
 *
 * The front end would wait for each block's code, which is read once a call. So while a block runs its n panels, panel
 * j fetches lines j, j + n, … of the next block, spread over its instructions: every line once.
 *
 * rdi x, rsi y, rdx residual, rcx masks, r8 panels, r9 the block behind the last; they stay. On the stack: cold. r11 …
 * r14: the panel's x, y, residual, masks; r15: panels left; rax, r10: near the source, the weight that is next; rbx:
 * what is fetched. */
#include <math.h>
#include <string.h>
#include "codegen/sparse_blocks.h"
#include "codegen/x86.h"

enum {
    LANES = 16,
    VECTOR = 64, /* bytes */
    LINE = 64,
    ROWS = 29,
    LINES = 2,       /* that stay at hand */
    FIRST_LINE = 29, /* their registers */
    SOURCE = 31,     /* the register */
    LATENCY = 8      /* sums in turn that hide a multiply-add's latency, two a cycle */
};

static const X86Mask all = {0, false};

/* A block whose code is too long for the caches of instructions is run in parts, each of them for all panels: sums that
 * are not complete wait in y. */
typedef struct Part {
    SparseBlock b;    /* nonzeros, loads, places: the part's own */
    int64_t block;    /* its number */
    int64_t *used;    /* the sources that it needs, by their places */
    bool first, last; /* of its block */
} Part;

typedef struct Sparse {
    const SparseLayer *l;
    X86 x;
    Part *parts;
    int64_t n_parts, n_blocks;
    Part *part; /* that is being written */
    const SparseBlock *b;
    int64_t *used; /* of it */
    int64_t n_used;
    int64_t lines[LINES]; /* which are at hand: the first byte, or NO_LINE */
    uint32_t *weights;    /* of the block, in their order */
    int64_t n_weights;
    int64_t weight_base, source_base; /* what r10 and rax stand at, from the weights' start and the panel's */
    int turn[ROWS];                   /* by row: the set that its next product goes to */
    int64_t fetched, to_fetch;
} Sparse;

/* about how long its code and weights are */
static int64_t block_bytes(const SparseBlock *b) {
    enum { NONZERO = 11, LOAD = 9, ROW = 32, REST = 128 };
    return b->nonzeros * NONZERO + b->loads * LOAD + b->rows * ROW + REST;
}

/* ---- fetching ahead ---- */

static int64_t lines_to_fetch(const Sparse *s) {
    const Part *next = s->part + 1 < s->parts + s->n_parts ? s->part + 1 : s->parts;
    int64_t lines = (block_bytes(&next->b) + LINE - 1) / LINE;
    return (lines + s->l->panels - 1) / s->l->panels;
}

static void begin_fetching(Sparse *s) {
    s->fetched = 0;
    s->to_fetch = lines_to_fetch(s);
}

/* as far as belongs to `done` of the block's `of` steps */
static void fetch(Sparse *s, int64_t done, int64_t of) {
    for (int64_t to = s->to_fetch * done / of; s->fetched < to; s->fetched++)
        x86_prefetch(&s->x, (X86Mem){RBX, s->fetched * LINE * s->l->panels});
}

/* ---- a panel ---- */

/* the next place of the stream of weights, which v takes; r10 follows */
static X86Mem put_weight(Sparse *s, uint32_t v) {
    enum { REACH = 127 * 4, BACK = 128 * 4 };
    int64_t at = s->n_weights * 4;
    if (at - s->weight_base > REACH) {
        int64_t by = at + BACK - s->weight_base;
        x86_add(&s->x, R10, by);
        s->weight_base += by;
    }
    s->weights[s->n_weights++] = v;
    return (X86Mem){R10, at - s->weight_base};
}

static void broadcast(Sparse *s, int reg, uint32_t v) {
    evex_mem(&s->x, VBROADCASTSS, reg, 0, put_weight(s, v), 4, false, all);
}

static uint32_t bits_of(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static bool has_bias(const SparseLayer *l) { return l->words ? l->word_bias != NULL : l->bias != NULL; }

static uint32_t bias_of(const SparseLayer *l, int64_t row) {
    return l->words ? (uint32_t)l->word_bias[row] : bits_of(l->bias[row]);
}

static X86Mem residual_of(const Sparse *s, int row) { return (X86Mem){R13, row * s->l->residual_row}; }

static X86Mem result_of(const Sparse *s, int row) { return (X86Mem){R12, row * s->l->y_row}; }

static void begin_sums(Sparse *s) {
    const SparseBlock *b = s->b;
    for (int r = 0; r < b->rows && !s->part->first; r++)
        evex_mem(&s->x, VMOVUPS_LOAD, r, 0, result_of(s, r), VECTOR, false, all);
    for (int r = 0; r < b->rows && s->part->first; r++) {
        bool bias = has_bias(s->l);
        if (bias) broadcast(s, r, bias_of(s->l, b->first + r));
        if (bias && s->l->residual) evex_mem(&s->x, VADDPS, r, r, residual_of(s, r), VECTOR, false, all);
        else if (s->l->residual) evex_mem(&s->x, VMOVUPS_LOAD, r, 0, residual_of(s, r), VECTOR, false, all);
        else if (!bias) evex_reg(&s->x, VPXORD, r, r, r, all);
    }
    for (int i = b->rows; i < b->rows * b->sets; i++) evex_reg(&s->x, VPXORD, i, i, i, all);
}

/* ---- sources ---- */

#define NO_LINE INT64_MAX

static int64_t offset_of(const Sparse *s, int64_t i) { return s->l->sources[s->used[i]].offset; }

static int64_t line_of(int64_t offset) { return offset - (offset % LINE + LINE) % LINE; }

static bool crosses_lines(const Sparse *s, int64_t offset) { return s->l->whole_lines && offset % LINE; }

/* How many of the next sources from the i-th on lie within a vector's reach of rax, stood it so that this place is the
 * lowest. */
static int in_reach(const Sparse *s, int64_t i, int64_t place) {
    enum { LOOK = 8 };
    int n = 0;
    for (int64_t end = i + LOOK; i < s->n_used && i < end; i++) {
        int64_t by = (s->l->whole_lines ? line_of(offset_of(s, i)) : offset_of(s, i)) - place;
        n += by >= 0 && by % VECTOR == 0 && by / VECTOR < 256;
    }
    return n;
}

/* a vector there, for the i-th source; moves rax where that makes several instructions shorter */
static void load(Sparse *s, int reg, int64_t i, int64_t place, X86Mask k) {
    enum { LEAST = 3 };
    int64_t by = place - s->source_base;
    bool near = by % VECTOR == 0 && by >= -128 * VECTOR && by <= 127 * VECTOR;
    if (!near && in_reach(s, i, place) >= LEAST) {
        by += 128 * VECTOR;
        x86_add(&s->x, RAX, by);
        s->source_base += by;
    }
    evex_mem(&s->x, VMOVUPS_LOAD, reg, 0, (X86Mem){RAX, place - s->source_base}, VECTOR, false, k);
}

/* the register that has a line; -1: none */
static int line_at_hand(const Sparse *s, int64_t line) {
    for (int n = 0; n < LINES; n++)
        if (s->lines[n] == line) return FIRST_LINE + n;
    return -1;
}

static bool is_near(const Sparse *s, int64_t i, int64_t line) {
    if (i >= s->n_used) return false;
    int64_t offset = offset_of(s, i), first = line_of(offset);
    return line == first || (line == first + LINE && offset != first);
}

/* the line's register, loaded if need be in place of one that is not `other` */
static int want_line(Sparse *s, int64_t i, int64_t line, int64_t other) {
    int reg = line_at_hand(s, line);
    if (reg >= 0) return reg;
    int n = s->lines[0] == other || (s->lines[1] != other && s->lines[1] < s->lines[0]) ? 1 : 0;
    load(s, FIRST_LINE + n, i, line, all);
    s->lines[n] = line;
    return FIRST_LINE + n;
}

/* the register of the block's i-th source */
static int load_source(Sparse *s, int64_t i) {
    int64_t offset = offset_of(s, i), first = line_of(offset), second = first + LINE;
    int mask = s->l->sources[s->used[i]].mask;
    X86Mask k = {mask, mask != 0};
    bool crosses = crosses_lines(s, offset), shared = s->l->whole_lines && is_near(s, i + 1, first);
    if (!crosses && !mask && (shared || line_at_hand(s, first) >= 0)) return want_line(s, i, first, NO_LINE);
    if (crosses &&
        (shared || is_near(s, i + 1, second) || line_at_hand(s, first) >= 0 || line_at_hand(s, second) >= 0)) {
        int low = want_line(s, i, first, second), high = want_line(s, i, second, first);
        evex_reg(&s->x, VALIGND, SOURCE, high, low, k);
        x86_byte(&s->x, (int)(offset - first) / 4);
    } else {
        load(s, SOURCE, i, offset, k);
    }
    return SOURCE;
}

static void multiply_source(Sparse *s, int64_t i) {
    const SparseBlock *b = s->b;
    int source = load_source(s, i);
    for (int r = 0; r < b->rows; r++) {
        uint32_t w = sparse_word(s->l, b, r, s->used[i]);
        if (!w) continue;
        int sum = r + b->rows * s->turn[r];
        s->turn[r] = (s->turn[r] + 1) % b->sets;
        evex_mem(&s->x, s->l->words ? VPDPBUSD : VFMADD231PS, sum, source, put_weight(s, w), 4, true, all);
    }
}

static void multiply(Sparse *s) {
    begin_fetching(s);
    memset(s->turn, 0, sizeof s->turn);
    for (int n = 0; n < LINES; n++) s->lines[n] = NO_LINE;
    for (int64_t i = 0; i < s->n_used; i++) {
        multiply_source(s, i);
        fetch(s, i + 1, s->n_used);
    }
    fetch(s, 1, 1);
}

static void add_sets(Sparse *s) {
    int rows = s->b->rows;
    for (int n = s->b->sets; n > 1; n--)
        for (int r = 0; r < rows; r++) evex_reg(&s->x, s->l->words ? VPADDD : VADDPS, r, r, r + (n - 1) * rows, all);
}

/* NaN as the second source is the result, so the bound is the first */
static void clamp(Sparse *s, X86Op op, float bound) {
    if (isinf(bound)) return;
    if (bound == 0) evex_reg(&s->x, VPXORD, SOURCE, SOURCE, SOURCE, all);
    else broadcast(s, SOURCE, bits_of(bound));
    for (int r = 0; r < s->b->rows; r++) evex_reg(&s->x, op, r, SOURCE, r, all);
}

static void store(Sparse *s) {
    const SparseLayer *l = s->l;
    X86Mask zeros = {l->store_mask, true}, within = {l->store == SPARSE_STORE_WITHIN ? l->store_mask : 0, false};
    for (int r = 0; r < s->b->rows; r++) {
        if (s->part->last && l->store == SPARSE_STORE_ZEROS && l->store_mask) evex_reg(&s->x, VMOVAPS, r, 0, r, zeros);
        evex_mem(&s->x, VMOVUPS_STORE, r, 0, result_of(s, r), VECTOR, false, within);
    }
}

static void write_panel(Sparse *s) {
    enum { AHEAD = 512 };
    unsigned masks = sparse_masks_used(s->l);
    size_t lea = x86_lea_rip(&s->x, R10);
    x86_patch(&s->x, lea, s->b->weights_at + AHEAD);
    s->n_weights = 0, s->weight_base = AHEAD, s->source_base = 0;
    x86_move(&s->x, RAX, R11);
    for (int k = 1; k < SPARSE_MASKS; k++)
        if (masks >> k & 1) x86_kmov(&s->x, k, (X86Mem){R14, (k - 1) * 2});
    begin_sums(s);
    multiply(s);
    add_sets(s);
    if (s->part->last && !s->l->words) {
        clamp(s, VMAXPS, s->l->low);
        clamp(s, VMINPS, s->l->high);
    }
    store(s);
}

/* ---- the function ---- */

static const X86Reg saved[] = {RBX, R12, R13, R14, R15};
enum { N_SAVED = sizeof saved / sizeof *saved };

static void leave(Sparse *s) {
    for (int i = N_SAVED - 1; i >= 0; i--) x86_pop(&s->x, saved[i]);
    x86_leave_vectors(&s->x);
    x86_byte(&s->x, 0xC3);
}

static void begin_part(Sparse *s, const Part *next) {
    const SparseLayer *l = s->l;
    const SparseBlock *b = s->b;
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

static void write_part(Sparse *s, Part *part) {
    const SparseLayer *l = s->l;
    const Part *next = part + 1 < s->parts + s->n_parts ? part + 1 : NULL;
    s->part = part, s->b = &part->b;
    s->used = part->used, s->n_used = part->b.loads;
    x86_align(&s->x, LINE, 0xCC);
    part->b.at = s->x.n;
    begin_part(s, next);
    size_t loop = s->x.n;
    write_panel(s);
    x86_add(&s->x, R11, l->x_step);
    x86_add(&s->x, R12, l->y_step);
    x86_add(&s->x, R13, l->residual_step);
    x86_add(&s->x, R14, SPARSE_MASKS * 2);
    x86_add(&s->x, RBX, LINE);
    x86_add(&s->x, R15, -1);
    x86_patch(&s->x, x86_jump_if(&s->x, X86_NOT_EQUAL), loop);
    if (next) {
        x86_compare(&s->x, R9, next->block);
        x86_patch(&s->x, x86_jump_if(&s->x, X86_GREATER), next->b.at);
    }
    leave(s);
    x86_align(&s->x, LINE, 0xCC);
    part->b.weights_at = s->x.n;
    x86_bytes(&s->x, s->weights, (size_t)s->n_weights * 4);
    part->b.end = (s->x.n + LINE - 1) / LINE * LINE;
}

/* where the call says that it is cold: the lines of the part at rax */
static void fetch_first(Sparse *s) {
    static const uint8_t test[] = {0x83, 0x7C, 0x24, 8 + N_SAVED * 8, 0}; /* cmp dword [rsp + …], 0 */
    static const uint8_t loop[] = {0x42, 0x0F, 0x18, 0x14, 0x13,          /* prefetcht1 [rbx + r10] */
                                   0x49, 0x83, 0xC2, LINE,                /* add r10, 64 */
                                   0x78, 0xF5};                           /* js to the first */
    int64_t bytes = 0;
    for (int64_t i = 0; i < s->n_parts; i++)
        if (block_bytes(&s->parts[i].b) > bytes) bytes = block_bytes(&s->parts[i].b);
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
static void write_entry(Sparse *s) {
    x86_test(&s->x, R8);
    size_t some = x86_jump_if(&s->x, X86_GREATER), last;
    x86_byte(&s->x, 0xC3);
    x86_patch(&s->x, some, s->x.n);
    for (int i = 0; i < N_SAVED; i++) x86_push(&s->x, saved[i]);
    last = x86_lea_rip(&s->x, RAX);
    static const uint8_t go[] = {0x45, 0x89, 0xCA,       /* mov r10d, r9d */
                                 0x49, 0xC1, 0xE9, 0x20, /* shr r9, 32 */
                                 0x4E, 0x63, 0x14, 0x90, /* movsxd r10, [rax + 4·r10] */
                                 0x4C, 0x01, 0xD0};      /* add rax, r10 */
    x86_bytes(&s->x, go, sizeof go);
    fetch_first(s);
    x86_bytes(&s->x, (const uint8_t[]){0xFF, 0xE0}, 2); /* jmp rax */
    x86_align(&s->x, 4, 0xCC);
    size_t table = s->x.n;
    x86_patch(&s->x, last, table);
    for (int64_t i = 0; i < s->n_parts; i++) {
        if (!s->parts[i].first) continue;
        x86_bytes(&s->x, (const uint8_t[4]){0}, 4);
        x86_patch_from(&s->x, s->x.n, table, s->parts[i].b.at);
    }
}

static void write_code(Sparse *s) {
    s->x.n = 0;
    write_entry(s);
    for (int64_t i = 0; i < s->n_parts; i++) write_part(s, &s->parts[i]);
    x86_align(&s->x, LINE, 0xCC);
}

/* ---- parts ---- */

/* so many that none has more nonzeros than stay near the decoder */
static int64_t parts_of(const SparseLayer *l, const SparseBlock *b) {
    enum { MOST = 5000 };
    bool whole = l->store == SPARSE_STORE_WITHIN; /* lanes that are not its own are not read */
    return whole || b->nonzeros <= MOST ? 1 : (b->nonzeros + MOST - 1) / MOST;
}

static void cut_block(Sparse *s, Arena *a, const SparseBlock *b, const int64_t *order) {
    int64_t n = parts_of(s->l, b), done = 0, *used = ARENA_ARRAY(a, b->loads, int64_t);
    for (int64_t i = 0, at = 0; i < n; i++) {
        Part *part = &s->parts[s->n_parts++];
        *part = (Part){.b = *b, .block = s->n_blocks, .used = used, .first = i == 0, .last = i == n - 1};
        part->b.nonzeros = part->b.loads = 0;
        for (; at < s->l->n_sources && (part->last || done < b->nonzeros * (i + 1) / n); at++) {
            int64_t nonzeros = sparse_nonzeros(s->l, b, order[at]);
            if (!nonzeros) continue;
            part->b.nonzeros += nonzeros, part->b.loads++;
            done += nonzeros;
            *used++ = order[at];
        }
    }
    s->n_blocks++;
}

static void cut(Sparse *s, Arena *a, const SparseBlocks *blocks) {
    int64_t n = 0, *order = sparse_by_place(a, s->l);
    for (int64_t i = 0; i < blocks->n; i++) n += parts_of(s->l, &blocks->all[i]);
    s->parts = ARENA_ARRAY(a, n, Part);
    for (int64_t i = 0; i < blocks->n; i++) cut_block(s, a, &blocks->all[i], order);
}

Str sparse_encode_x86(Arena *a, const Target *t, const SparseLayer *l) {
    Sparse s = {.l = l};
    SparseBlocks blocks = sparse_cut_rows(a, t, l, LATENCY);
    s.weights = ARENA_ARRAY(a, blocks.most + ROWS + 2, uint32_t);
    cut(&s, a, &blocks);
    write_code(&s); /* counts, and finds where everything lies */
    s.x.bytes = arena_alloc(a, s.x.n);
    write_code(&s);
    return (Str){(const char *)s.x.bytes, s.x.n};
}
