/* Reading PTX: text → tokens → statements → decoded instructions, in one pass over the text; jumps forward are patched
 * at the end of their scope. What is wrong or unknown ends the reading with a message that names the line. */
#ifndef MCC_TESTS_CUDA_PARSER_H
#define MCC_TESTS_CUDA_PARSER_H

#include "tests/cuda/emulator.h"

typedef enum TokenKind {
    TOKEN_END,
    TOKEN_NAME,
    TOKEN_INTEGER,
    TOKEN_F32,
    TOKEN_F64,
    TOKEN_STRING,
    TOKEN_MARK
} TokenKind;

typedef struct Token {
    TokenKind kind;
    char mark;        /* of TOKEN_MARK */
    const char *text; /* a name's, in the arena; otherwise where it stands */
    u64 value;        /* an integer, or a float's bits */
    u32 line;
} Token;

typedef enum SymbolKind { SYMBOL_REGISTER, SYMBOL_VARIABLE, SYMBOL_FUNCTION, SYMBOL_LABEL, SYMBOL_TABLE } SymbolKind;

typedef struct Symbol {
    const char *name;
    SymbolKind kind;
    int bits;    /* of a register; 1: a predicate */
    s32 reg;     /* its place in the frame */
    Space space; /* of a variable: a frame's own ones are IN_LOCAL, whatever they are called */
    u64 address; /* in its space; an instruction's number of labels and tables */
    u32 bytes;
    u32 index; /* of a shared variable */
    u32 count; /* of a table's entries */
    Function *function;
    u32 depth;
    struct Symbol *next, *older;
} Symbol;

typedef enum OperandKind {
    OPERAND_SYMBOL,
    OPERAND_SPECIAL,
    OPERAND_INTEGER,
    OPERAND_F32,
    OPERAND_F64,
    OPERAND_NAME,
    OPERAND_ADDRESS,
    OPERAND_LIST,
    OPERAND_SINK
} OperandKind;

typedef struct Operand {
    OperandKind kind;
    Symbol *symbol;   /* an address: its base, or NULL */
    const char *name; /* as it is written */
    u64 value;        /* of a number */
    s64 offset;       /* of an address */
    bool negated;     /* !p */
    struct Operand *parts;
    u32 n_parts;
    struct Operand *second; /* behind a | */
} Operand;

enum { MAX_OPERANDS = 12, MAX_PARTS = 20, BUCKETS = 4096 };

typedef struct Statement {
    u32 line;
    s32 guard;
    bool guard_flip;
    const char *opcode, *part[MAX_PARTS]; /* "ld.global.f32"; "ld", "global", "f32" */
    bool used[MAX_PARTS];
    u32 n_parts;
    Operand operand[MAX_OPERANDS];
    u32 n;
} Statement;

typedef struct Patch {
    u32 inst;
    const char *name;
    u32 line;
} Patch;

typedef struct Parser {
    const char *at;
    u32 line;
    Token token;
    Module *module;
    Arena *arena;
    Function *f;
    Symbol *buckets[BUCKETS], *newest;
    u32 depth;
    Patch *patches;
    u32 n_patches, cap_patches;
    u32 temporaries[4]; /* of 1, 16, 32, 64 bits: registers for what an instruction is split into, used so far */
    s32 temporary[4][24];
    const Statement *statement;
    jmp_buf failed;
    char *log;
    size_t log_bytes;
} Parser;

/* ---- parse.c ---- */
_Noreturn void parse_fail(Parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
Space parse_space(const char *directive); /* ".shared"; IN_GENERIC: none of them */
int parse_type_bytes(const char *type);   /* ".b32", "b32"; 0: not a type of data */
Symbol *parse_variable(Parser *p, Space space, bool external);

/* ---- lex.c ---- */
void lex_next(Parser *p);
bool lex_is(const Parser *p, const char *text); /* the token: a name, or a mark */
bool lex_take(Parser *p, const char *text);     /* and steps over it, if it is that */
void lex_expect(Parser *p, const char *text);
const char *lex_name(Parser *p);
s64 lex_integer(Parser *p);

/* ---- symbols.c ---- */
Symbol *symbol_find(const Parser *p, const char *name);
Symbol *symbol_add(Parser *p, const char *name, SymbolKind kind);
void symbol_insert(Parser *p, Symbol *s, const char *name); /* in the present depth, which may be an outer one */
void scope_begin(Parser *p);
void scope_end(Parser *p);
void registers_add(Parser *p, const char *name, int bits);
s32 register_take(Parser *p, int bits);

/* ---- body.c: what stands between the braces of a function ---- */
void parse_body(Parser *p);

/* ---- decode.c ---- */
void decode(Parser *p, Statement *s);
Inst *emit(Parser *p, const Statement *s, Handler *run);
bool part_take(Statement *s, const char *modifier);             /* has it this one? */
int part_choice(Statement *s, const char *const *names, int n); /* which of these has it; -1: none */
const char *part_last(Statement *s);                            /* the type, usually */
void parts_done(Parser *p, const Statement *s);                 /* fails where one was not taken */
void need_sm(Parser *p, u32 sm);
void need_operands(Parser *p, const Statement *s, u32 least, u32 most);
s32 source(Parser *p, const Operand *o, int bits);      /* a register, or a constant's */
s32 destination(Parser *p, const Operand *o, int bits); /* NO_ARG: the sink */
s32 constant(Parser *p, int bits, u64 value);
s32 temporary(Parser *p, int bits);
void decode_address(Parser *p, const Operand *o, Inst *i, int arg, Space space); /* also i->space, offset, flags */
void use_shared(Parser *p, const Symbol *v); /* the function uses this variable in shared memory */
const Row *row_find(const char *name);
Comparison *comparison_find(const char *name);

typedef void Decoder(Parser *p, Statement *s);
Decoder decode_ld, decode_st, decode_cvta, decode_isspacep, decode_atom, decode_red, decode_cp,
    decode_prefetch;                         /* decode_memory.c */
Decoder decode_cvt;                          /* decode_convert.c */
Decoder decode_setp, decode_set, decode_mov; /* decode_move.c */
Decoder decode_shfl, decode_vote, decode_match, decode_redux, decode_activemask, decode_bar,
    decode_fence;                                                                  /* decode_warp.c */
Decoder decode_mma, decode_ldmatrix, decode_stmatrix;                              /* decode_matrix.c */
Decoder decode_bra, decode_brx, decode_call, decode_ret, decode_exit, decode_trap; /* decode_flow.c */
bool decode_special(Parser *p, const char *name, int bits, s32 reg); /* decode_move.c: %tid.x … into a register */

#endif
