/* Functions of the model: found by domain, name and overload; a call's attributes take the place of those that the body
 * refers to. graph.c puts the body in the call's place. A function may call others, but not itself, and calls of calls
 * may not become more nodes than a model should have. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "frontend/reader.h"

enum { MOST_NODES = 1 << 20, MOST_DEPTH = 30 };

static int compare_text(ProtobufCBinaryData a, ProtobufCBinaryData b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.data, b.data, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static int compare_key(ProtobufCBinaryData d, ProtobufCBinaryData n, ProtobufCBinaryData o, const Pb__Function *f) {
    int c = compare_text(n, f->name);
    if (!c) c = compare_text(d, f->domain);
    return c ? c : compare_text(o, f->overload);
}

static int compare_functions(const void *a, const void *b) {
    const Pb__Function *x = *(const Pb__Function *const *)a;
    return compare_key(x->domain, x->name, x->overload, *(const Pb__Function *const *)b);
}

bool functions_sort(Reader *r) {
    size_t n = r->model->n_functions;
    r->functions = ARENA_ARRAY(r->scratch, n, const Pb__Function *);
    for (size_t i = 0; i < n; i++) r->functions[i] = r->model->functions[i];
    if (n) qsort(r->functions, n, sizeof *r->functions, compare_functions);
    for (size_t i = 0; i + 1 < n; i++) {
        if (compare_functions(&r->functions[i], &r->functions[i + 1])) continue;
        diag_error(r->ctx, NULL, "the function '%s' is defined twice",
                   diag_name(r->ctx, str_pb(r->functions[i]->name)));
        return false;
    }
    return true;
}

const Pb__Function *function_find(const Reader *r, const Pb__Node *call) {
    size_t lo = 0, hi = r->functions ? r->model->n_functions : 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = compare_key(call->domain, call->op_type, call->overload, r->functions[mid]);
        if (c == 0) return r->functions[mid];
        if (c > 0) lo = mid + 1;
        else hi = mid;
    }
    return NULL;
}

/* ---- attributes ---- */

static const Pb__Attribute *find_attr(Pb__Attribute *const *list, size_t n, ProtobufCBinaryData name) {
    for (size_t i = 0; i < n; i++)
        if (!compare_text(list[i]->name, name)) return list[i];
    return NULL;
}

/* What the call says, or the function's default; NULL: neither does, the attribute is absent. */
static Pb__Attribute *resolve(Reader *r, const Pb__Attribute *p) {
    const FunctionCall *c = r->call;
    const Pb__Attribute *given = find_attr(c->attrs, c->n_attrs, p->ref_attr_name);
    if (!given) given = find_attr(c->f->attribute_proto, c->f->n_attribute_proto, p->ref_attr_name);
    if (!given) return NULL;
    Pb__Attribute *made = ARENA_NEW(r->scratch, Pb__Attribute);
    *made = *given;
    made->name = p->name;
    return made;
}

static Pb__Attribute **resolve_all(Reader *r, const Pb__Node *p, size_t *count) {
    Pb__Attribute **list = ARENA_ARRAY(r->scratch, p->n_attribute + 1, Pb__Attribute *);
    *count = 0;
    for (size_t i = 0; i < p->n_attribute; i++) {
        Pb__Attribute *a = p->attribute[i];
        bool refers = r->call && a->has_ref_attr_name && a->ref_attr_name.len;
        if (refers && !(a = resolve(r, a))) continue;
        list[(*count)++] = a;
    }
    return list;
}

const Pb__Node *function_node(Reader *r, const Pb__Node *p) {
    if (!r->call) return p;
    Pb__Node *made = ARENA_NEW(r->scratch, Pb__Node);
    *made = *p;
    made->attribute = resolve_all(r, p, &made->n_attribute);
    return made;
}

/* ---- calls ---- */

static int opset_of(const Reader *r, const Pb__Function *f) {
    for (size_t i = 0; i < f->n_opset_import; i++) {
        const Pb__OperatorSet *s = f->opset_import[i];
        if (is_standard(str_pb(s->domain)) && s->version >= OPSET_MIN && s->version <= OPSET_MAX)
            return (int)s->version;
    }
    return r->opset;
}

bool function_enter(Reader *r, const Node *at, const Pb__Node *p, const Pb__Function *f, FunctionCall *call) {
    const char *name = diag_name(r->ctx, str_pb(f->name));
    for (const FunctionCall *c = r->call; c; c = c->outer)
        if (c->f == f) {
            diag_error(r->ctx, at, "the function '%s' calls itself", name);
            return false;
        }
    *call = (FunctionCall){.f = f, .outer = r->call, .depth = r->call ? r->call->depth + 1 : 1};
    r->n_called += f->n_node + 1;
    if (call->depth > MOST_DEPTH || r->n_called > MOST_NODES) {
        diag_error(r->ctx, at, "calls of functions are nested too deep (%d), or become too many nodes (%d)", MOST_DEPTH,
                   MOST_NODES);
        return false;
    }
    call->attrs = resolve_all(r, p, &call->n_attrs);
    r->opset = opset_of(r, f);
    r->call = call;
    return true;
}

void function_leave(Reader *r, const FunctionCall *call, int opset) {
    r->call = call->outer;
    r->opset = opset;
}
