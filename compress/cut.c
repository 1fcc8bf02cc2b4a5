/* Things in one of two states, at the least cost: a minimum cut, found as a maximum flow by Dinic's algorithm (1970).
 * What is paid if a is in A and b in B is the capacity of an edge from a to b; the flow from CUT_A to CUT_B is then as
 * large as the least sum of what has to be paid. Without recursion: chains of nodes may be long. */
#include "compress/quantize.h"
#include <math.h>
#include <string.h>

typedef struct Edge { /* edges come in pairs, e and e ^ 1: there and back */
    int to, next;     /* next: of the same thing; -1: none */
    int64_t room;
} Edge;
struct Cut {
    Arena *arena;
    int n, n_edges, most;
    Edge *edges;
    int *first; /* by thing: of its edges */
    int *level, *at, *queue;
};

static const double unit = 64, most_cost = 1e15; /* steps of a cost; beyond them it is infinite */
static const int64_t unlimited = INT64_MAX / 4;

Cut *cut_new(Arena *a, int n) {
    Cut *c = ARENA_NEW(a, Cut);
    *c = (Cut){.arena = a, .n = n};
    c->first = ARENA_ARRAY(a, n, int);
    c->level = ARENA_ARRAY(a, n, int);
    c->at = ARENA_ARRAY(a, n, int);
    c->queue = ARENA_ARRAY(a, n, int);
    for (int i = 0; i < n; i++) c->first[i] = -1;
    return c;
}

static void add_half(Cut *c, int from, int to, int64_t room) {
    if (c->n_edges == c->most) {
        int more = c->most ? 2 * c->most : 64;
        Edge *edges = ARENA_ARRAY(c->arena, more, Edge);
        if (c->most) memcpy(edges, c->edges, sizeof *edges * (size_t)c->most);
        c->edges = edges;
        c->most = more;
    }
    c->edges[c->n_edges] = (Edge){to, c->first[from], room};
    c->first[from] = c->n_edges++;
}

void cut_add(Cut *c, int a, int b, double cost) {
    if (!(cost > 0) || a == b) return;
    add_half(c, a, b, cost < most_cost ? (int64_t)llrint(cost * unit) : unlimited);
    add_half(c, b, a, 0);
}

/* Levels: how many edges with room lead from a thing to CUT_B, -1: no way. */
static void find_levels(Cut *c) {
    int n = 0;
    for (int i = 0; i < c->n; i++) c->level[i] = -1;
    c->level[CUT_B] = 0;
    c->queue[n++] = CUT_B;
    for (int i = 0; i < n; i++)
        for (int e = c->first[c->queue[i]]; e >= 0; e = c->edges[e].next) {
            int from = c->edges[e].to;
            if (c->level[from] >= 0 || c->edges[e ^ 1].room == 0) continue;
            c->level[from] = c->level[c->queue[i]] + 1;
            c->queue[n++] = from;
        }
}

/* as much as the edges of a way of n edges have room for */
static void send(Cut *c, const int *way, int n) {
    int64_t least = unlimited;
    for (int i = 0; i < n; i++)
        if (c->edges[way[i]].room < least) least = c->edges[way[i]].room;
    for (int i = 0; i < n; i++) {
        if (c->edges[way[i]].room < unlimited) c->edges[way[i]].room -= least;
        if (c->edges[way[i] ^ 1].room < unlimited) c->edges[way[i] ^ 1].room += least;
    }
}

/* Sends along ways whose levels fall step by step, until there is none. way: room for n edges */
static void fill_levels(Cut *c, int *way) {
    int n = 0, here = CUT_A;
    memcpy(c->at, c->first, sizeof *c->at * (size_t)c->n);
    for (;;) {
        if (here == CUT_B) {
            send(c, way, n);
            n = 0, here = CUT_A;
        }
        int e = c->at[here];
        while (e >= 0 && (c->edges[e].room == 0 || c->level[c->edges[e].to] != c->level[here] - 1))
            e = c->edges[e].next;
        c->at[here] = e;
        if (e >= 0) {
            way[n++] = e;
            here = c->edges[e].to;
        } else if (n == 0) return;
        else {
            here = c->edges[way[--n] ^ 1].to;
            c->at[here] = c->edges[c->at[here]].next; /* a dead end */
        }
    }
}

void cut_solve(Cut *c, bool *in_b) {
    int *way = ARENA_ARRAY(c->arena, c->n, int);
    for (find_levels(c); c->level[CUT_A] > 0; find_levels(c)) fill_levels(c, way);
    for (int i = 0; i < c->n; i++) in_b[i] = c->level[i] >= 0;
}
