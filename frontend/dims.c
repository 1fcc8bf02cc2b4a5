/* The dims of the graph's inputs. A dim that the model leaves open is a symbol; what the user pinned (--shape, --dim)
 * becomes a constant, what the user bounded (--max-dim) stays open below its bound, and what is left over is an error
 * that names all of them. One name is one symbol, on however many inputs it stands. */
#include <inttypes.h>
#include <string.h>
#include "frontend/reader.h"

enum { MAX_OPEN = 4096 };

typedef struct Open { /* one name */
    Str name;
    bool pinned, bounded, beyond_first; /* beyond_first: it also stands on another axis than 0 */
    int64_t pin, bound;
} Open;

typedef int Axes[MCC_MAX_RANK]; /* of an input, by axis: 1 + the index of its open dim; 0: closed */

typedef struct Resolve {
    Ctx *ctx;
    Arena *scratch;
    Graph *g;
    const Pb__ValueInfo *const *infos; /* of g's inputs */
    Open *open;
    int n_open, room;
    Axes *axes;
} Resolve;

static Open *find_open(Resolve *s, Str name) {
    for (int i = 0; i < s->n_open; i++)
        if (str_eq(s->open[i].name, name)) return &s->open[i];
    return NULL;
}

static Open *add_open(Resolve *s, Str name) {
    Open *old = find_open(s, name);
    if (old) return old;
    if (s->n_open == MAX_OPEN) {
        diag_error(s->ctx, NULL, "the inputs have more than %d open dims", MAX_OPEN);
        return NULL;
    }
    if (s->n_open == s->room) {
        int room = s->room ? 2 * s->room : 16;
        s->open = arena_grow(s->scratch, s->open, (size_t)s->room, (size_t)room, sizeof *s->open);
        s->room = room;
    }
    s->open[s->n_open] = (Open){.name = name};
    return &s->open[s->n_open++];
}

/* INPUT.AXIS; longer where a dim_param of the model has that very name. */
static Str unnamed(Resolve *s, Str input, int axis) {
    char *p = arena_alloc(s->ctx->arena, input.n + 16 + (size_t)s->n_open);
    if (input.n) memcpy(p, input.p, input.n);
    Str name = {p, input.n + (size_t)snprintf(p + input.n, 16, ".%d", axis)};
    while (find_open(s, name)) p[name.n++] = '_';
    return name;
}

static bool gather_open(Resolve *s, bool named) {
    for (int i = 0; i < s->g->n_inputs; i++) {
        const Value *v = s->g->inputs[i];
        const Pb__Shape *shape = s->infos[i]->type->tensor_type->shape;
        for (int axis = 0; axis < v->type.rank; axis++) {
            const Pb__Dim *d = shape->dim[axis];
            bool has_name = d->value_case == PB__DIM__VALUE_DIM_PARAM && d->dim_param.len;
            if (d->value_case == PB__DIM__VALUE_DIM_VALUE || has_name != named) continue;
            Str name = named ? arena_str(s->ctx->arena, (const char *)d->dim_param.data, d->dim_param.len)
                             : unnamed(s, v->name, axis);
            Open *o = add_open(s, name);
            if (!o) return false;
            s->axes[i][axis] = 1 + (int)(o - s->open);
            o->beyond_first |= axis > 0;
        }
    }
    return true;
}

static const char *open_names(Resolve *s) {
    const char *text = s->n_open ? "open are:" : "none is open";
    for (int i = 0; i < s->n_open && strlen(text) < 600; i++)
        text = arena_printf(s->scratch, "%s %s", text, diag_name(s->ctx, s->open[i].name));
    return text;
}

static bool pin(Resolve *s, Open *o, int64_t value) {
    if (value < 0 || value > MAX_DIM) {
        diag_error(s->ctx, NULL, "dim %s cannot be %" PRId64, diag_name(s->ctx, o->name), value);
        return false;
    }
    if (o->pinned && o->pin != value) {
        diag_error(s->ctx, NULL, "dim %s is given twice, as %" PRId64 " and as %" PRId64, diag_name(s->ctx, o->name),
                   o->pin, value);
        return false;
    }
    o->pinned = true;
    o->pin = value;
    return true;
}

static bool pin_axis(Resolve *s, const ShapePin *p, int i, int axis) {
    Value *v = s->g->inputs[i];
    int64_t declared;
    if (s->axes[i][axis]) return pin(s, &s->open[s->axes[i][axis] - 1], p->dims[axis]);
    if (!dim_is_const(v->type.dims[axis], &declared) || declared == p->dims[axis]) return true;
    diag_error(s->ctx, NULL, "--shape: axis %d of input '%s' is %" PRId64 " in the model, %" PRId64 " was given", axis,
               diag_name(s->ctx, v->name), declared, p->dims[axis]);
    return false;
}

/* An input that declares no rank takes the pin's. */
static bool take_shape(Resolve *s, const ShapePin *p, Value *v) {
    v->type.rank = p->rank;
    for (int axis = 0; axis < p->rank; axis++) {
        if (p->dims[axis] < 0 || p->dims[axis] > MAX_DIM) {
            diag_error(s->ctx, NULL, "--shape: a dim of '%s' cannot be %" PRId64, p->name, p->dims[axis]);
            return false;
        }
        v->type.dims[axis] = dim_const(s->ctx, p->dims[axis]);
    }
    return true;
}

static bool apply_shape(Resolve *s, const ShapePin *p) {
    int i = 0;
    while (i < s->g->n_inputs && !str_is(s->g->inputs[i]->name, p->name)) i++;
    if (i == s->g->n_inputs) {
        const char *names = i ? "" : " none";
        for (int k = 0; k < i && strlen(names) < 600; k++)
            names = arena_printf(s->scratch, "%s '%s'", names, diag_name(s->ctx, s->g->inputs[k]->name));
        diag_error(s->ctx, NULL, "--shape: the model has no input '%s'; its inputs are:%s", p->name, names);
        return false;
    }
    Value *v = s->g->inputs[i];
    if (v->type.rank < 0) return take_shape(s, p, v);
    if (v->type.rank != p->rank) {
        diag_error(s->ctx, NULL, "--shape: input '%s' has rank %d, %d dims were given", p->name, v->type.rank, p->rank);
        return false;
    }
    for (int axis = 0; axis < p->rank; axis++)
        if (!pin_axis(s, p, i, axis)) return false;
    return true;
}

static bool apply_dims(Resolve *s) {
    const Options *opt = &s->ctx->opt;
    for (int i = 0; i < opt->n_dims; i++) {
        Open *o = find_open(s, str_of(opt->dims[i].name));
        if (o && !pin(s, o, opt->dims[i].value)) return false;
        if (o) continue;
        diag_error(s->ctx, NULL, "--dim: the inputs have no open dim '%s'; %s", opt->dims[i].name, open_names(s));
        return false;
    }
    return true;
}

static bool apply_bounds(Resolve *s) {
    const Options *opt = &s->ctx->opt;
    int64_t rest = -1;
    for (int i = 0; i < opt->n_max_dims; i++) {
        const DimPin *p = &opt->max_dims[i];
        bool star = !strcmp(p->name, "*");
        Open *o = star ? NULL : find_open(s, str_of(p->name));
        if (p->value < 0 || p->value > MAX_DIM || (!o && !star)) {
            if (o || star) diag_error(s->ctx, NULL, "--max-dim: %s cannot be %" PRId64, p->name, p->value);
            else diag_error(s->ctx, NULL, "--max-dim: the inputs have no open dim '%s'; %s", p->name, open_names(s));
            return false;
        }
        if (star) rest = p->value;
        else o->bounded = true, o->bound = p->value;
    }
    for (int i = 0; i < s->n_open && rest >= 0; i++)
        if (!s->open[i].bounded) s->open[i].bounded = true, s->open[i].bound = rest;
    return true;
}

/* The batch: a first axis that every input leaves open is 1 unless the user says otherwise. */
static void default_batch(Resolve *s) {
    for (int i = 0; i < s->g->n_inputs; i++) {
        int k = s->g->inputs[i]->type.rank > 0 ? s->axes[i][0] - 1 : -1;
        if (k < 0 || s->open[k].pinned || s->open[k].bounded || s->open[k].beyond_first) return;
    }
    for (int i = 0; i < s->g->n_inputs; i++) {
        Open *o = &s->open[s->axes[i][0] - 1];
        if (!o->pinned)
            diag_note(s->ctx, "dim %s is taken as 1; --dim or --max-dim says otherwise", diag_name(s->ctx, o->name));
        o->pinned = true;
        o->pin = 1;
    }
}

static bool all_resolved(Resolve *s) {
    const char *flags = "";
    int missing = 0;
    for (int i = 0; i < s->n_open; i++) {
        if (s->open[i].pinned || s->open[i].bounded) continue;
        missing++;
        if (strlen(flags) < 600)
            flags = arena_printf(s->scratch, "%s --max-dim %s=N", flags, diag_name(s->ctx, s->open[i].name));
    }
    if (missing)
        diag_error(s->ctx, NULL, "%d dim%s of the inputs %s open; bound each, or give its size with --dim instead:%s",
                   missing, missing > 1 ? "s" : "", missing > 1 ? "are" : "is", flags);
    for (int i = 0; i < s->g->n_inputs && !missing; i++) {
        const char *name = diag_name(s->ctx, s->g->inputs[i]->name);
        if (s->g->inputs[i]->type.rank >= 0) continue;
        diag_error(s->ctx, NULL, "input '%s' has no declared shape; give it with --shape %s=NxN", name, name);
        return false;
    }
    return !missing;
}

static void set_dims(Resolve *s) {
    for (int i = 0; i < s->g->n_inputs; i++)
        for (int axis = 0; axis < s->g->inputs[i]->type.rank; axis++) {
            if (!s->axes[i][axis]) continue;
            const Open *o = &s->open[s->axes[i][axis] - 1];
            s->g->inputs[i]->type.dims[axis] =
                o->pinned ? dim_const(s->ctx, o->pin) : dim_symbol(s->ctx, o->name, 0, o->bound);
        }
}

bool resolve_inputs(Reader *r, Graph *g) {
    Resolve s = {.ctx = r->ctx,
                 .scratch = r->scratch,
                 .g = g,
                 .infos = r->infos,
                 .axes = ARENA_ARRAY(r->scratch, g->n_inputs, Axes)};
    for (int i = 0; i < g->n_inputs; i++) {
        const Type *t = &g->inputs[i]->type;
        if (t->kind == TYPE_TENSOR && dtype_supported(t->dtype)) continue;
        diag_error(r->ctx, NULL, "input '%s' is %s, which mcc does not support: it compiles tensors of real numbers",
                   diag_name(r->ctx, g->inputs[i]->name), type_text(r->ctx, t));
        return false;
    }
    if (!gather_open(&s, true) || !gather_open(&s, false)) return false;
    for (int i = 0; i < r->ctx->opt.n_shapes; i++)
        if (!apply_shape(&s, &r->ctx->opt.shapes[i])) return false;
    if (!apply_dims(&s) || !apply_bounds(&s)) return false;
    default_batch(&s);
    if (!all_resolved(&s)) return false;
    set_dims(&s);
    return true;
}
