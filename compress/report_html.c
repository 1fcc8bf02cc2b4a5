/* The report as a page of its own: no script, no font, no picture from elsewhere. What the JSON calls totals.workspace
 * stands in an element with data-key="totals.workspace", so that both can be compared. */
#include "compress/report.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char head[] =
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<style>\n"
    ":root { color-scheme: light dark; --ink: #1d2733; --soft: #66717f; --line: #e3e7ec; --back: #f5f7f9; --card: "
    "#fff; --blue: #3b76c4; "
    "--green: "
    "#2f8f6b; --red: #c2453d }\n"
    "@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #97a2b0; --line: #2d3641; --back: #12171d; "
    "--card: #1a2129; --blue: #6ea3e8; --green: #57b892; --red: #ea7c74 } }\n"
    "* { box-sizing: border-box } body { font: 14px/1.5 system-ui, sans-serif; margin: 0; padding: 2.5em clamp(1em, "
    "3vw, "
    "4em) 4em; color: var(--ink); background: var(--back) }\n"
    "h1 { font-size: 1.9em; margin: 0; letter-spacing: -.02em } h2 { font-size: 1.15em; margin: 0 0 .3em } p { margin: "
    ".2em "
    "0 1em; color: var(--soft); max-width: 75em }\n"
    "section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1.3em 1.5em; "
    "margin: "
    "1.4em 0; overflow-x: auto }\n"
    "dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(13em, 1fr)); gap: .9em; margin: 1.5em 0 } dl "
    "div { "
    "background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .8em 1.1em }\n"
    "dt { color: var(--soft); font-size: .85em } dd { margin: 0; font-size: 1.45em; font-weight: 600; "
    "font-variant-numeric: tabular-nums }\n"
    "table { border-collapse: collapse; width: 100%; font-size: .92em } th, td { text-align: left; padding: .32em "
    ".7em; "
    "border-bottom: 1px solid var(--line); vertical-align: top; white-space: nowrap }\n"
    "th { color: var(--soft); font-weight: 500; font-size: .88em } tr:hover td { background: var(--back) } td.n, th.n "
    "{ "
    "text-align: right; font-variant-numeric: tabular-nums } td.w { white-space: normal; color: var(--soft); "
    "min-width: "
    "17em }\n"
    "td.n i { display: block; height: 3px; border-radius: 2px; background: var(--blue); margin: 2px 0 0 auto } b { "
    "font-weight: 600; padding: .05em .55em; border-radius: 9px; background: var(--line) } b.q { background: "
    "var(--green); "
    "color: var(--card) }\n"
    "svg { width: 100%; height: auto; background: var(--back); border-radius: 6px; display: block } rect { stroke: "
    "var(--card); stroke-width: .5; vector-effect: non-scaling-stroke } .bound { stroke: var(--red); stroke-dasharray: "
    "5 4; "
    "vector-effect: non-scaling-stroke; fill: none }\n"
    "svg.bars { width: 15em; height: 3em; fill: var(--blue) } svg.bars rect { stroke: none } svg.search { max-width: "
    "46em } "
    ".curve { stroke: var(--blue); stroke-width: 2; fill: none } .search circle { fill: var(--blue); stroke: "
    "var(--card) } "
    ".search text { fill: var(--soft); font-size: 13px }\n"
    "</style>\n";

void report_text(FILE *out, const char *s) {
    for (; *s; s++)
        if (*s == '<') fputs("&lt;", out);
        else if (*s == '>') fputs("&gt;", out);
        else if (*s == '&') fputs("&amp;", out);
        else if (*s == '"') fputs("&quot;", out);
        else fputc(*s, out);
}

static void put_total(FILE *out, const char *what, const char *key, size_t v) {
    fprintf(out, "<div><dt>%s</dt><dd data-key=\"totals.%s\">%zu</dd></div>\n", what, key, v);
}

static void put_cell(FILE *out, int i, const char *key, const char *s) {
    fprintf(out, "<td data-key=\"layers.%d.%s\">", i, key);
    report_text(out, s);
    fputs("</td>", out);
}

/* A figure, and a bar as long as its share of the largest one */
static void put_bytes(FILE *out, int i, const char *key, size_t v, size_t most) {
    fprintf(out, "<td class=\"n\"><span data-key=\"layers.%d.%s\">%zu</span><i style=\"width: %.1f%%\"></i></td>", i,
            key, v, most ? 100.0 * (double)v / (double)most : 0.0);
}

/* Bars reach from 0 to 60 dB: 10 bits. */
static void put_sqnr(FILE *out, const char *list, int i, double sqnr) {
    if (isnan(sqnr)) {
        fputs("<td class=\"n\"></td>", out);
        return;
    }
    fprintf(out, "<td class=\"n\"><span data-key=\"%s.%d.sqnr\">", list, i);
    if (isinf(sqnr)) fputs("exact", out);
    else fprintf(out, "%.2f", sqnr);
    fprintf(out, "</span><i style=\"width: %.1f%%\"></i></td>", fmin(fmax(sqnr / 0.6, 0), 100));
}

static void put_time(FILE *out, int i, double microseconds, double slowest) {
    if (isnan(microseconds)) fputs("<td class=\"n\"></td>", out);
    else
        fprintf(
            out,
            "<td class=\"n\"><span data-key=\"layers.%d.microseconds\">%.2f</span><i style=\"width: %.1f%%\"></i></td>",
            i, microseconds, slowest > 0 ? 100 * microseconds / slowest : 0);
}

static void put_scheme(FILE *out, int i, const char *scheme) {
    bool wide = !strcmp(scheme, "f32") || !strncmp(scheme, "int64", 5) || !strncmp(scheme, "int32", 5);
    fprintf(out, "<td><b class=\"%s\" data-key=\"layers.%d.scheme\">%s</b></td>", wide ? "f" : "q", i, scheme);
}

typedef struct Columns { /* of the table of layers: what all bars are measured by, and columns that would be empty */
    size_t most;
    double slowest;
    bool sqnr, time, why;
} Columns;

static Columns columns_of(const Report *r) {
    Columns c = {0};
    for (int i = 0; i < r->n_layers; i++) {
        const ReportLayer *l = &r->layers[i];
        c.most = l->before > c.most ? l->before : c.most;
        c.most = l->after > c.most ? l->after : c.most;
        c.slowest = l->microseconds > c.slowest ? l->microseconds : c.slowest;
        c.sqnr = c.sqnr || !isnan(l->sqnr);
        c.time = c.time || !isnan(l->microseconds);
        c.why = c.why || *l->why;
    }
    return c;
}

static void put_layers(const Report *r, FILE *out) {
    Columns c = columns_of(r);
    fprintf(out,
            "<section><h2>Layers</h2>\n<p>Signal to noise: of the layer's result in the compiled model against "
            "the float model, over <span data-key=\"noise.samples\">%d</span> inputs (<span "
            "data-key=\"noise.inputs\">%s</span>); exact: the same bits.</p>\n",
            r->ranges.noise_samples, report_noise_inputs(r));
    fputs("<table><thead><tr><th class=\"n\">node<th class=\"n\">nodes<th>name<th>operator<th>scheme<th>code<th>result"
          "<th>dims<th>weights<th class=\"n\">bytes before<th class=\"n\">bytes after",
          out);
    if (c.sqnr) fputs("<th class=\"n\">signal to noise, dB", out);
    if (c.time) fputs("<th class=\"n\">µs", out);
    fputs(c.why ? "<th>why</tr></thead><tbody>\n" : "</tr></thead><tbody>\n", out);
    for (int i = 0; i < r->n_layers; i++) {
        const ReportLayer *l = &r->layers[i];
        fprintf(out, "<tr><td class=\"n\" data-key=\"layers.%d.index\">%d</td>", i, l->index);
        fprintf(out, "<td class=\"n\" data-key=\"layers.%d.nodes\">%d</td>", i, l->nodes);
        put_cell(out, i, "name", l->name);
        put_cell(out, i, "operator", l->op);
        put_scheme(out, i, l->scheme);
        put_cell(out, i, "form", l->form);
        put_cell(out, i, "dtype", l->dtype);
        put_cell(out, i, "dims", l->dims);
        put_cell(out, i, "weights", l->weights);
        put_bytes(out, i, "bytes_before", l->before, c.most);
        put_bytes(out, i, "bytes_after", l->after, c.most);
        if (c.sqnr) put_sqnr(out, "layers", i, l->sqnr);
        if (c.time) put_time(out, i, l->microseconds, c.slowest);
        fprintf(out, "<td class=\"w\"%s data-key=\"layers.%d.why\">", c.why ? "" : " hidden", i);
        report_text(out, l->why);
        fputs("</td></tr>\n", out);
    }
    fputs("</tbody></table></section>\n", out);
}

/* ---- zeros ---- */

static void put_zeros_row(const ReportLayer *l, int i, FILE *out) {
    fputs("<tr><td>", out);
    report_text(out, l->name);
    fputs("</td><td>", out);
    report_text(out, l->form);
    fprintf(out,
            "</td><td class=\"n\" data-key=\"layers.%d.values\">%" PRId64
            "</td><td class=\"n\" data-key=\"layers.%d.zeros\">%" PRId64
            "</td><td class=\"n\"><span data-key=\"layers.%d.zeros_percent\">%.2f</span><i style=\"width: %.1f%%\"></i>"
            "</td>",
            i, l->values, i, l->zeros, i, report_zeros_percent(l), report_zeros_percent(l));
    put_cell(out, i, "pattern", l->pattern);
    fprintf(
        out,
        "<td class=\"n\">%zu</td><td class=\"n\">%zu</td><td class=\"n\" data-key=\"layers.%d.code_bytes\">%zu</td>",
        l->before, l->after, i, l->code);
    if (isnan(l->cycles)) fputs("<td class=\"n\"></td><td class=\"n\"></td>", out);
    else
        fprintf(out,
                "<td class=\"n\" data-key=\"layers.%d.cycles\">%.0f</td><td class=\"n\" "
                "data-key=\"layers.%d.dense_cycles\">%.0f</td>",
                i, l->cycles, i, l->dense_cycles);
    fputs("</tr>\n", out);
}

static void put_zeros(const Report *r, FILE *out) {
    bool any = false;
    for (int i = 0; i < r->n_layers; i++) any = any || report_has_zeros(&r->layers[i]);
    if (!any) return;
    fputs(
        "<section><h2>Zeros in weights</h2>\n<p>Layers with weights that are 0. Where they become straight-line code, "
        "a zero takes neither time nor space. Cycles are estimates, of code of the nonzeros and of the dense "
        "form.</p>\n"
        "<table><thead><tr><th>name<th>code<th class=\"n\">weights<th class=\"n\">zeros<th class=\"n\">zeros, "
        "%<th>pattern<th class=\"n\">bytes before<th class=\"n\">bytes after<th class=\"n\">and of code<th "
        "class=\"n\">cycles<th class=\"n\">dense</tr></thead><tbody>\n",
        out);
    for (int i = 0; i < r->n_layers; i++)
        if (report_has_zeros(&r->layers[i])) put_zeros_row(&r->layers[i], i, out);
    fputs("</tbody></table></section>\n", out);
}

/* Time runs to the right, a layer a step; addresses run upwards. */
static void put_block(const Report *r, int i, double high, FILE *out) {
    const ReportBlock *b = &r->blocks[i];
    double scale = r->workspace ? high / (double)r->workspace : 0;
    fprintf(out,
            "<rect data-block=\"%d\" data-bytes=\"%zu\" data-offset=\"%zu\" data-first=\"%d\" data-last=\"%d\" "
            "x=\"%d\" "
            "y=\"%.3f\" width=\"%d\" height=\"%.3f\" fill=\"hsl(%d %d%% 62%%)\"><title>",
            i, b->bytes, b->offset, b->first, b->last, b->first, high - scale * (double)(b->offset + b->bytes),
            b->last - b->first + 1, scale * (double)b->bytes, i * 47 % 360, b->scratch ? 10 : 45);
    report_text(out, b->name);
    fprintf(out, "%s: %zu bytes at %zu, layers %d to %d</title></rect>\n", b->scratch ? " (scratch)" : "", b->bytes,
            b->offset, b->first, b->last);
}

static void put_memory(const Report *r, FILE *out) {
    int wide = r->n_layers > 0 ? r->n_layers : 1;
    double high = wide * 0.35, bound = r->workspace ? high * (1 - (double)r->lower_bound / (double)r->workspace) : 0;
    fprintf(
        out,
        "<section><h2>Workspace over time</h2>\n<p>A step to the right is a layer, upwards are addresses; the "
        "dashed line "
        "is the lower "
        "bound. Point at a block to see what it holds.</p>\n"
        "<svg class=\"memory\" viewBox=\"0 0 %d %.3f\" role=\"img\" aria-label=\"blocks of workspace over time\">\n",
        wide, high);
    for (int i = 0; i < r->n_blocks; i++) put_block(r, i, high, out);
    fprintf(out, "<line class=\"bound\" x1=\"0\" x2=\"%d\" y1=\"%.3f\" y2=\"%.3f\"/>\n</svg></section>\n", wide, bound,
            bound);
}

/* Bars of equal width from low to high, the highest as high as the picture; what is counted stands beside it. */
static void put_histogram(const ReportRange *r, FILE *out) {
    uint64_t most = 1;
    for (int i = 0; i < r->n_bins; i++)
        if (r->bins[i] > most) most = r->bins[i];
    fprintf(out, "<svg class=\"bars\" viewBox=\"0 0 %d 20\" preserveAspectRatio=\"none\">", REPORT_BINS);
    for (int i = 0; i < r->n_bins; i++) {
        double high = 20 * (double)r->bins[i] / (double)most;
        fprintf(out, "<rect x=\"%d\" y=\"%.3f\" width=\"1\" height=\"%.3f\"><title>%" PRIu64 "</title></rect>", i,
                20 - high, high, r->bins[i]);
    }
    fputs("</svg>", out);
}

static void put_figure(FILE *out, int i, const char *key, double v) {
    fprintf(out, "<td class=\"n\" data-key=\"ranges.%d.%s\">%.9g</td>", i, key, v);
}

static void put_ranges(const Report *r, FILE *out) {
    if (!r->ranges.n) return;
    fputs("<section><h2>Activations</h2>\n<p>What calibration saw of each tensor that is held as integers: value = "
          "(integer - "
          "zero) * "
          "scale.</p>\n<table><thead><tr><th>tensor<th class=\"n\">values<th class=\"n\">low<th class=\"n\">high<th "
          "class=\"n\">scale<th class=\"n\">zero<th class=\"n\">first bin at<th class=\"n\">bins of<th "
          "class=\"n\">signal to noise, dB<th>values by "
          "size</tr></thead>"
          "<tbody>\n",
          out);
    for (int i = 0; i < r->ranges.n; i++) {
        const ReportRange *range = &r->ranges.item[i];
        fprintf(out, "<tr><td data-key=\"ranges.%d.tensor\">", i);
        report_text(out, range->tensor);
        fprintf(out, "</td><td class=\"n\" data-key=\"ranges.%d.values\">%" PRId64 "</td>", i, range->values);
        put_figure(out, i, "low", range->low);
        put_figure(out, i, "high", range->high);
        put_figure(out, i, "scale", range->scale);
        fprintf(out, "<td class=\"n\" data-key=\"ranges.%d.zero\">%d</td>", i, range->zero);
        put_figure(out, i, "first", range->first);
        put_figure(out, i, "step", range->step);
        put_sqnr(out, "ranges", i, range->sqnr);
        fputs("<td>", out);
        put_histogram(range, out);
        fputs("</td></tr>\n", out);
    }
    fputs("</tbody></table></section>\n", out);
}

/* ---- the search for layers in float ---- */

enum { CURVE_WIDE = 640, CURVE_HIGH = 240, MARGIN = 30 };
typedef struct Scale { /* of the curve: layers to the right, drops upwards, as their square root so that small ones show
                        */
    double most_drop;
    int most_layers;
} Scale;

static double curve_x(const Scale *s, int in_float) {
    return MARGIN + (CURVE_WIDE - 2.0 * MARGIN) * in_float / (s->most_layers ? s->most_layers : 1);
}
static double curve_y(const Scale *s, double drop) {
    double share = s->most_drop > 0 ? sqrt(fmin(drop / s->most_drop, 1)) : 0;
    return CURVE_HIGH - MARGIN - (CURVE_HIGH - 2.0 * MARGIN) * share;
}

/* The least drop seen with so many layers in float or fewer */
static void put_curve(const ReportRanges *r, const Scale *s, FILE *out) {
    double best = INFINITY;
    fputs("<polyline class=\"curve\" points=\"", out);
    for (int n = 0; n <= s->most_layers; n++) {
        double before = best;
        for (int i = 0; i < r->n_trials; i++)
            if (r->trials[i].in_float == n) best = fmin(best, r->trials[i].drop);
        if (best >= before) continue;
        if (isfinite(before)) fprintf(out, "%.2f,%.2f ", curve_x(s, n), curve_y(s, before));
        fprintf(out, "%.2f,%.2f ", curve_x(s, n), curve_y(s, best));
    }
    fputs("\"/>\n", out);
    for (int i = 0; i < r->n_trials; i++)
        fprintf(out,
                "<circle data-trial=\"%d\" cx=\"%.2f\" cy=\"%.2f\" r=\"4.5\"><title>trial %d: %d in float, drop "
                "%.9g</title></circle>\n",
                i, curve_x(s, r->trials[i].in_float), curve_y(s, r->trials[i].drop), i + 1, r->trials[i].in_float,
                fmin(r->trials[i].drop, 1e300));
}

static void put_search(const Report *report, FILE *out) {
    const ReportRanges *r = &report->ranges;
    Scale s = {r->most_drop, 1};
    if (!r->n_trials) return;
    for (int i = 0; i < r->n_trials; i++) {
        if (isfinite(r->trials[i].drop)) s.most_drop = fmax(s.most_drop, r->trials[i].drop);
        if (r->trials[i].in_float > s.most_layers) s.most_layers = r->trials[i].in_float;
    }
    fprintf(out,
            "<section><h2>Search</h2>\n<p>What was measured of networks with some products in float: the drop (<span "
            "data-key=\"search.metric\">%s</span>), of which <span data-key=\"search.allowed\">%.9g</span> is allowed "
            "(dashed). "
            "Upwards is its square root.</p>\n<svg class=\"search\" viewBox=\"0 0 %d %d\" role=\"img\" "
            "aria-label=\"drop by layers in "
            "float\">\n<line class=\"bound\" x1=\"%d\" x2=\"%d\" y1=\"%.2f\" y2=\"%.2f\"/>\n",
            r->metric, r->most_drop, CURVE_WIDE, CURVE_HIGH, MARGIN, CURVE_WIDE - MARGIN, curve_y(&s, r->most_drop),
            curve_y(&s, r->most_drop));
    put_curve(r, &s, out);
    fprintf(out,
            "<text x=\"%d\" y=\"%d\">all int8</text><text x=\"%d\" y=\"%d\" text-anchor=\"end\">%d products in "
            "float</text></svg>\n",
            MARGIN, CURVE_HIGH - 8, CURVE_WIDE - MARGIN, CURVE_HIGH - 8, s.most_layers);
    fprintf(out, "<details><summary>%d trials</summary>\n", r->n_trials);
    fputs("<table><thead><tr><th class=\"n\">trial<th class=\"n\">products in float<th "
          "class=\"n\">drop</tr></thead><tbody>\n",
          out);
    for (int i = 0; i < r->n_trials; i++)
        fprintf(
            out,
            "<tr><td class=\"n\">%d</td><td class=\"n\" data-key=\"search.trials.%d.in_float\">%d</td><td class=\"n\" "
            "data-key=\"search.trials.%d.drop\">%.9g</td></tr>\n",
            i + 1, i, r->trials[i].in_float, i, fmin(r->trials[i].drop, 1e300));
    fputs("</tbody></table></details></section>\n", out);
}

void report_html(const Report *r, FILE *out) {
    fputs("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>", out);
    report_text(out, r->model);
    fprintf(out, "</title>\n%s<h1 data-key=\"model\">", head);
    report_text(out, r->model);
    fputs("</h1>\n<p>Compiled by mcc <span data-key=\"mcc\">", out);
    report_text(out, r->version);
    fputs("</span> for <span data-key=\"target\">", out);
    report_text(out, r->target);
    fputs("</span>.</p>\n<dl>\n", out);
    put_total(out, "nodes of the model", "nodes", r->model_nodes);
    put_total(out, "layers of the code", "layers", (size_t)r->n_layers);
    put_total(out, "bytes of constants in the model", "bytes_before", r->before);
    put_total(out, "of them of nodes that left no layer", "bytes_elsewhere", r->elsewhere);
    put_total(out, "bytes of weights in the object", "bytes_after", r->after);
    put_total(out, "bytes of code made of weights", "code_bytes", r->code);
    put_total(out, "bytes of the object", "object_bytes", r->object);
    put_total(out, "weights of products", "values", (size_t)r->values);
    put_total(out, "of them zeros", "zeros", (size_t)r->zeros);
    put_total(out, "bytes of workspace", "workspace", r->workspace);
    put_total(out, "its lower bound", "workspace_lower_bound", r->lower_bound);
    fputs("</dl>\n", out);
    report_points_html(r->ranges.points, out);
    put_search(r, out);
    put_layers(r, out);
    put_zeros(r, out);
    put_memory(r, out);
    put_ranges(r, out);
    fputs("</html>\n", out);
}
