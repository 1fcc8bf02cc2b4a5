/* Tokens of PTX. A name takes its dots with it: an opcode with its modifiers is one, a directive begins with one. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cuda/parser.h"

static void skip_blank(Parser *p) {
    for (;;) {
        if (*p->at == '\n') p->line++, p->at++;
        else if (isspace((unsigned char)*p->at)) p->at++;
        else if (p->at[0] == '/' && p->at[1] == '/') p->at += strcspn(p->at, "\n");
        else if (p->at[0] == '/' && p->at[1] == '*') {
            for (p->at += 2; *p->at && !(p->at[0] == '*' && p->at[1] == '/'); p->at++) p->line += *p->at == '\n';
            if (*p->at) p->at += 2;
        } else return;
    }
}

static bool begins_name(const char *s) {
    return isalpha((unsigned char)*s) || strchr("_$%", *s) || (*s == '.' && isalpha((unsigned char)s[1]));
}

static bool inside_name(const char *s) {
    return isalnum((unsigned char)*s) || *s == '_' || *s == '$' ||
           (*s == '.' && (isalnum((unsigned char)s[1]) || s[1] == '_')) ||
           (s[0] == ':' && s[1] == ':' && isalnum((unsigned char)s[2])) || (s[0] == ':' && s[-1] == ':');
}

static void read_number(Parser *p) {
    Token *t = &p->token;
    char *end;
    const char *s = p->at;
    t->kind = TOKEN_INTEGER;
    if (s[0] == '0' && strchr("fFdD", s[1]) && s[1]) {
        t->kind = s[1] == 'f' || s[1] == 'F' ? TOKEN_F32 : TOKEN_F64;
        t->value = strtoull(s + 2, &end, 16);
    } else if (s[0] == '0' && (s[1] == 'b' || s[1] == 'B')) t->value = strtoull(s + 2, &end, 2);
    else {
        t->value = strtoull(s, &end, 0);
        if (*end == '.' || *end == 'e') {
            f64 v = strtod(s, &end);
            t->kind = TOKEN_F64;
            memcpy(&t->value, &v, sizeof v);
        }
    }
    if (*end == 'U') end++;
    p->at = end;
}

void lex_next(Parser *p) {
    skip_blank(p);
    Token *t = &p->token;
    *t = (Token){.text = p->at, .line = p->line};
    const char *s = p->at;
    if (!*s) t->kind = TOKEN_END;
    else if (begins_name(s)) {
        size_t n = 1;
        while (inside_name(s + n)) n++;
        char *copy = arena_take(p->arena, n + 1);
        memcpy(copy, s, n);
        t->kind = TOKEN_NAME;
        t->text = copy;
        p->at += n;
    } else if (isdigit((unsigned char)*s)) read_number(p);
    else if (*s == '"') {
        t->kind = TOKEN_STRING;
        p->at += 1 + strcspn(s + 1, "\"\n");
        if (*p->at != '"') parse_fail(p, "a string without an end");
        p->at++;
    } else {
        t->kind = TOKEN_MARK;
        t->mark = *s;
        p->at++;
    }
}

bool lex_is(const Parser *p, const char *text) {
    if (p->token.kind == TOKEN_NAME) return !strcmp(p->token.text, text);
    return p->token.kind == TOKEN_MARK && p->token.mark == text[0] && !text[1];
}

bool lex_take(Parser *p, const char *text) {
    if (!lex_is(p, text)) return false;
    lex_next(p);
    return true;
}

void lex_expect(Parser *p, const char *text) {
    if (!lex_take(p, text))
        parse_fail(p, "'%s' expected at '%.*s'", text, (int)strcspn(p->token.text, "\n\t ;"), p->token.text);
}

const char *lex_name(Parser *p) {
    if (p->token.kind != TOKEN_NAME)
        parse_fail(p, "a name expected at '%.*s'", (int)strcspn(p->token.text, "\n\t ;"), p->token.text);
    const char *name = p->token.text;
    lex_next(p);
    return name;
}

s64 lex_integer(Parser *p) {
    bool negative = lex_take(p, "-");
    if (p->token.kind != TOKEN_INTEGER)
        parse_fail(p, "a number expected at '%.*s'", (int)strcspn(p->token.text, "\n\t ;"), p->token.text);
    u64 v = p->token.value;
    lex_next(p);
    return (s64)(negative ? 0 - v : v);
}
