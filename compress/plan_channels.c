/* The lines of a plan that say how channels were scaled:
 *
 *   equalize NAME LOG2 LOG2 …
 *
 * a whole number for each channel of a tensor that a contraction reads: what makes the channel was divided by that
 * power of two, and so is all else that is scaled alike. */
#include "compress/quantize.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_EXPONENT = 20 };

/* One line's bytes, with what ends it, at most */
static size_t line_room(const QuantPlan *p, const Value *v, int64_t channels) {
    return sizeof "equalize  \n" + strlen(p->value_names[v->id]) + 4 * (size_t)channels;
}

/* A line for each tensor that a contraction reads; channels that have been said are not said again. */
const char *plan_channels_text(const QuantPlan *p, const ChannelMap *m, const Equalization *e) {
    static const char head[] = "# equalize NAME LOG2 …: the channels were divided by so many powers of two\n";
    Arena *a = arena_new(p->graph->ctx);
    bool *said = ARENA_ARRAY(a, m->n + 1, bool);
    size_t room = sizeof head;
    for (int i = 0; i < m->n_weights; i++) {
        const Value *v = m->weights[i].node->in[0];
        if (channel_count(m, v)) room += line_room(p, v, channel_count(m, v));
    }
    char *text = ARENA_ARRAY(p->graph->arena, room, char), *end = text + sizeof head - 1, *last = text + room;
    memcpy(text, head, sizeof head);
    for (int i = 0; i < m->n_weights; i++) {
        const Value *v = m->weights[i].node->in[0];
        int64_t n = channel_count(m, v), scaled = 0, fresh = 0;
        for (int64_t k = 0; k < n; k++) {
            int at = channel_root(m, m->first[v->id] + (int)k);
            fresh += !said[at];
            scaled += e->exponents[at] != 0;
            said[at] = true;
        }
        if (!fresh || !scaled) continue;
        end += snprintf(end, (size_t)(last - end), "equalize %s", p->value_names[v->id]);
        for (int64_t k = 0; k < n; k++)
            end += snprintf(end, (size_t)(last - end), " %d", e->exponents[channel_root(m, m->first[v->id] + (int)k)]);
        end += snprintf(end, (size_t)(last - end), "\n");
    }
    arena_free(a);
    return text;
}

static const Value *find_value(const QuantPlan *p, const ChannelMap *m, const char *name) {
    for (int i = 0; i < m->n_weights; i++) {
        const Value *v = m->weights[i].node->in[0];
        if (v->id < p->n_ids && p->value_names[v->id] && !strcmp(p->value_names[v->id], name)) return v;
    }
    return NULL;
}

const char *plan_read_channels(const QuantPlan *p, ChannelMap *m, Equalization *e, const char *name, const char *text) {
    const Value *v = find_value(p, m, name);
    int64_t n = v ? channel_count(m, v) : 0;
    if (!v) return "the model has no such tensor that a product reads";
    if (!n) return "its channels cannot be scaled";
    for (int64_t k = 0; k < n; k++) {
        char *end;
        long by = strtol(text, &end, 10);
        int8_t *to = &e->exponents[channel_root(m, m->first[v->id] + (int)k)];
        if (end == text || by < -MOST_EXPONENT || by > MOST_EXPONENT)
            return "a channel's factor is a number from -20 to 20";
        if (*to && *to != by) return "it is scaled otherwise in a line before";
        e->scaled += by && !*to;
        *to = (int8_t)by;
        text = end;
    }
    return text[strspn(text, " \t\r")] ? "it has more numbers than channels" : NULL;
}
