/* The body of a function: declarations of registers and variables, labels, instructions with their operands. */
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/parser.h"

static int register_bits(const char *type) {
    if (!strcmp(type, ".pred")) return 1;
    return parse_type_bytes(type) * 8;
}

/* .reg .b32 %r<9>, %x; */
static void parse_registers(Parser *p) {
    const char *type = lex_name(p);
    int bits = register_bits(type);
    if (bits != 1 && bits != 16 && bits != 32 && bits != 64) parse_fail(p, "registers of type %s are unknown", type);
    do {
        const char *name = lex_name(p);
        if (!lex_take(p, "<")) {
            registers_add(p, name, bits);
            continue;
        }
        s64 n = lex_integer(p);
        lex_expect(p, ">");
        if (n < 0 || n > 1 << 20) parse_fail(p, "%lld registers", (long long)n);
        for (s64 k = 0; k < n; k++) {
            char *each = arena_take(p->arena, strlen(name) + 12);
            sprintf(each, "%s%lld", name, (long long)k);
            registers_add(p, each, bits);
        }
    } while (lex_take(p, ","));
    lex_expect(p, ";");
}

static void parse_operand(Parser *p, Operand *o);

static void parse_list(Parser *p, Operand *o, const char *end) {
    Operand parts[32];
    u32 n = 0;
    while (!lex_take(p, end)) {
        if (n == 32) parse_fail(p, "a list of more than 32 operands");
        parse_operand(p, &parts[n++]);
        if (!lex_is(p, end)) lex_expect(p, ",");
    }
    o->kind = OPERAND_LIST;
    o->n_parts = n;
    o->parts = arena_take(p->arena, n * sizeof *parts + 1);
    memcpy(o->parts, parts, n * sizeof *parts);
}

static void parse_address(Parser *p, Operand *o) {
    o->kind = OPERAND_ADDRESS;
    if (p->token.kind == TOKEN_NAME) {
        o->name = lex_name(p);
        o->symbol = symbol_find(p, o->name);
        if (!o->symbol) parse_fail(p, "'%s' is not declared", o->name);
        if (lex_take(p, "+")) o->offset = lex_integer(p);
        else if (lex_is(p, "-")) o->offset = lex_integer(p);
    } else o->offset = lex_integer(p);
    lex_expect(p, "]");
}

static void parse_named(Parser *p, Operand *o) {
    o->name = lex_name(p);
    o->symbol = symbol_find(p, o->name);
    if (!strcmp(o->name, "_")) o->kind = OPERAND_SINK;
    else if (o->symbol) o->kind = OPERAND_SYMBOL;
    else if (*o->name == '%') o->kind = OPERAND_SPECIAL;
    else o->kind = OPERAND_NAME;
    if (o->symbol && o->symbol->kind == SYMBOL_VARIABLE && (lex_is(p, "+") || lex_is(p, "-"))) {
        lex_take(p, "+");
        o->offset = lex_integer(p);
    }
    if (lex_take(p, "|")) {
        o->second = arena_take(p->arena, sizeof *o->second);
        parse_operand(p, o->second);
    }
}

static void parse_operand(Parser *p, Operand *o) {
    *o = (Operand){0};
    if (lex_take(p, "[")) parse_address(p, o);
    else if (lex_take(p, "{")) parse_list(p, o, "}");
    else if (lex_take(p, "(")) parse_list(p, o, ")");
    else if (lex_take(p, "!")) {
        parse_operand(p, o);
        o->negated = true;
    } else if (p->token.kind == TOKEN_NAME) parse_named(p, o);
    else {
        bool negative = lex_take(p, "-");
        TokenKind kind = p->token.kind;
        if (kind != TOKEN_INTEGER && kind != TOKEN_F32 && kind != TOKEN_F64)
            parse_fail(p, "an operand expected at '%.*s'", (int)strcspn(p->token.text, "\n\t ;"), p->token.text);
        o->kind = kind == TOKEN_INTEGER ? OPERAND_INTEGER : kind == TOKEN_F32 ? OPERAND_F32 : OPERAND_F64;
        o->value = p->token.value;
        if (negative)
            o->value = kind == TOKEN_INTEGER ? 0 - o->value : o->value ^ (kind == TOKEN_F32 ? 1ull << 31 : 1ull << 63);
        lex_next(p);
    }
}

static void split_opcode(Parser *p, Statement *s) {
    char *copy = arena_take(p->arena, strlen(s->opcode) + 1);
    strcpy(copy, s->opcode);
    for (char *at = copy; at;) {
        if (s->n_parts == MAX_PARTS) parse_fail(p, "'%s' has too many parts", s->opcode);
        s->part[s->n_parts++] = at;
        at = strchr(at, '.');
        if (at) *at++ = 0;
    }
}

static void parse_instruction(Parser *p) {
    Statement s = {.line = p->token.line, .guard = NO_ARG};
    if (lex_take(p, "@")) {
        s.guard_flip = lex_take(p, "!");
        const char *name = lex_name(p);
        const Symbol *guard = symbol_find(p, name);
        if (!guard || guard->kind != SYMBOL_REGISTER || guard->bits != 1)
            parse_fail(p, "'%s' is not a predicate", name);
        s.guard = guard->reg;
    }
    s.opcode = lex_name(p);
    split_opcode(p, &s);
    while (!lex_is(p, ";")) {
        if (s.n == MAX_OPERANDS) parse_fail(p, "'%s' with more than %d operands", s.opcode, MAX_OPERANDS);
        parse_operand(p, &s.operand[s.n++]);
        if (!lex_is(p, ";")) lex_expect(p, ",");
    }
    p->statement = &s;
    memset(p->temporaries, 0, sizeof p->temporaries);
    decode(p, &s);
    p->statement = NULL;
    lex_expect(p, ";");
}

/* name: .branchtargets A, B; — a row of jumps that control flow goes around */
static void parse_table(Parser *p, const char *name) {
    Statement s = {.line = p->token.line, .guard = NO_ARG};
    emit(p, &s, run_bra);
    u32 around = p->f->n_code - 1;
    Symbol *table = symbol_add(p, name, SYMBOL_TABLE);
    table->address = p->f->n_code;
    do {
        const char *target = lex_name(p);
        emit(p, &s, run_bra);
        p->patches = arena_grow(p->arena, p->patches, p->n_patches, &p->cap_patches, sizeof *p->patches);
        p->patches[p->n_patches++] = (Patch){p->f->n_code - 1, target, s.line};
        table->count++;
    } while (lex_take(p, ","));
    lex_expect(p, ";");
    p->f->code[around].target = p->f->n_code;
}

static void parse_directive(Parser *p) {
    const char *directive = lex_name(p);
    Space space = parse_space(directive);
    if (!strcmp(directive, ".reg")) parse_registers(p);
    else if (space != IN_GENERIC) {
        do parse_variable(p, space, false);
        while (lex_take(p, ","));
        lex_expect(p, ";");
    } else if (!strcmp(directive, ".pragma")) {
        while (!lex_take(p, ";")) lex_next(p);
    } else if (!strcmp(directive, ".loc")) {
        u32 line = p->token.line; /* to the end of the line: it has no ; */
        while (p->token.line == line && p->token.kind != TOKEN_END) lex_next(p);
    } else parse_fail(p, "the directive '%s' is unknown here", directive);
}

static bool begins_label(const Parser *p) {
    const char *s = p->at + strspn(p->at, " \t");
    return p->token.kind == TOKEN_NAME && s[0] == ':' && s[1] != ':';
}

void parse_body(Parser *p) {
    lex_expect(p, "{");
    u32 outer = p->depth;
    do {
        if (lex_take(p, "{")) scope_begin(p);
        else if (lex_take(p, "}")) {
            if (p->depth > outer) scope_end(p);
            else break;
        } else if (begins_label(p)) {
            const char *name = lex_name(p);
            lex_expect(p, ":");
            if (lex_take(p, ".branchtargets")) parse_table(p, name);
            else symbol_add(p, name, SYMBOL_LABEL)->address = p->f->n_code;
        } else if (p->token.kind == TOKEN_END) parse_fail(p, "the end of the text inside a function");
        else if (p->token.kind == TOKEN_NAME && *p->token.text == '.') parse_directive(p);
        else if (!lex_take(p, ";")) parse_instruction(p);
    } while (true);
    Statement end = {.line = p->token.line, .guard = NO_ARG};
    emit(p, &end, run_trap)->flags = 1;
}
