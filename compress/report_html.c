/* The report as a page of its own: no script, no font, no picture from elsewhere. What the JSON calls totals.workspace
 * stands in an element with data-key="totals.workspace", so that both can be compared. */
#include "compress/report.h"
#include <inttypes.h>

static const char head[] = "<meta name=\"viewport\" content=\"width=device-width\">\n"
                           "<style>\n"
                           "body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 78em; padding: 0 "
                           "1em; color: #222; background: #fff }\n"
                           "table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .15em "
                           ".6em; border-bottom: 1px solid #ddd }\n"
                           "th { position: sticky; top: 0; background: #fff } td.n, th.n { text-align: right; "
                           "font-variant-numeric: tabular-nums }\n"
                           "td.n i { display: block; height: 3px; background: #4a7fb5; margin-left: auto } svg { "
                           "width: 100%; height: auto; background: #f6f6f4 }\n"
                           "rect { stroke: #fff; stroke-width: .5; vector-effect: non-scaling-stroke } .bound { "
                           "stroke: #b03030; stroke-dasharray: 4 3; vector-effect: non-scaling-stroke }\n"
                           "svg.bars { width: 14em; height: 3em; fill: #4a7fb5 }\n"
                           "dl { display: grid; grid-template-columns: max-content max-content; gap: 0 2em } dd { "
                           "margin: 0; text-align: right }\n"
                           "</style>\n";

static void put_text(FILE *out, const char *s) {
    for (; *s; s++)
        if (*s == '<') fputs("&lt;", out);
        else if (*s == '>') fputs("&gt;", out);
        else if (*s == '&') fputs("&amp;", out);
        else if (*s == '"') fputs("&quot;", out);
        else fputc(*s, out);
}

static void put_total(FILE *out, const char *what, const char *key, size_t v) {
    fprintf(out, "<dt>%s</dt><dd data-key=\"totals.%s\">%zu</dd>\n", what, key, v);
}

static void put_cell(FILE *out, int i, const char *key, const char *s) {
    fprintf(out, "<td data-key=\"layers.%d.%s\">", i, key);
    put_text(out, s);
    fputs("</td>", out);
}

/* A figure, and a bar as long as its share of the largest one */
static void put_bytes(FILE *out, int i, const char *key, size_t v, size_t most) {
    fprintf(out, "<td class=\"n\"><span data-key=\"layers.%d.%s\">%zu</span><i style=\"width: %.1f%%\"></i></td>", i,
            key, v, most ? 100.0 * (double)v / (double)most : 0.0);
}

static void put_layers(const Report *r, FILE *out) {
    size_t most = 0;
    for (int i = 0; i < r->n_layers; i++) {
        if (r->layers[i].before > most) most = r->layers[i].before;
        if (r->layers[i].after > most) most = r->layers[i].after;
    }
    fputs("<h2>Layers</h2>\n<table><thead><tr><th "
          "class=\"n\">node<th class=\"n\">nodes<th>name<th>operator<th>code<th>result<th>dims<th>weights"
          "<th class=\"n\">bytes before<th class=\"n\">bytes after<th class=\"n\">µs</tr></thead><tbody>\n",
          out);
    for (int i = 0; i < r->n_layers; i++) {
        const ReportLayer *l = &r->layers[i];
        fprintf(out, "<tr><td class=\"n\" data-key=\"layers.%d.index\">%d</td>", i, l->index);
        fprintf(out, "<td class=\"n\" data-key=\"layers.%d.nodes\">%d</td>", i, l->nodes);
        put_cell(out, i, "name", l->name);
        put_cell(out, i, "operator", l->op);
        put_cell(out, i, "form", l->form);
        put_cell(out, i, "dtype", l->dtype);
        put_cell(out, i, "dims", l->dims);
        put_cell(out, i, "weights", l->scheme);
        put_bytes(out, i, "bytes_before", l->before, most);
        put_bytes(out, i, "bytes_after", l->after, most);
        if (l->microseconds == l->microseconds)
            fprintf(out, "<td class=\"n\" data-key=\"layers.%d.microseconds\">%.2f</td>", i, l->microseconds);
        fputs("</tr>\n", out);
    }
    fputs("</tbody></table>\n", out);
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
    put_text(out, b->name);
    fprintf(out, "%s: %zu bytes at %zu, layers %d to %d</title></rect>\n", b->scratch ? " (scratch)" : "", b->bytes,
            b->offset, b->first, b->last);
}

static void put_memory(const Report *r, FILE *out) {
    int wide = r->n_layers > 0 ? r->n_layers : 1;
    double high = wide * 0.35, bound = r->workspace ? high * (1 - (double)r->lower_bound / (double)r->workspace) : 0;
    fprintf(out,
            "<h2>Workspace over time</h2>\n<p>A step to the right is a layer, upwards are addresses; the dashed line "
            "is the lower "
            "bound. Point at a block to see what it holds.</p>\n"
            "<svg viewBox=\"0 0 %d %.3f\" role=\"img\" aria-label=\"blocks of workspace over time\">\n",
            wide, high);
    for (int i = 0; i < r->n_blocks; i++) put_block(r, i, high, out);
    fprintf(out, "<line class=\"bound\" x1=\"0\" x2=\"%d\" y1=\"%.3f\" y2=\"%.3f\"/>\n</svg>\n", wide, bound, bound);
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
    fputs("<h2>Activations</h2>\n<p>What calibration saw of each tensor that is held as integers: value = (integer - "
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
        put_text(out, range->tensor);
        fprintf(out, "</td><td class=\"n\" data-key=\"ranges.%d.values\">%" PRId64 "</td>", i, range->values);
        put_figure(out, i, "low", range->low);
        put_figure(out, i, "high", range->high);
        put_figure(out, i, "scale", range->scale);
        fprintf(out, "<td class=\"n\" data-key=\"ranges.%d.zero\">%d</td>", i, range->zero);
        put_figure(out, i, "first", range->first);
        put_figure(out, i, "step", range->step);
        if (range->sqnr == range->sqnr)
            fprintf(out, "<td class=\"n\" data-key=\"ranges.%d.sqnr\">%.2f</td>", i, range->sqnr);
        else fputs("<td></td>", out);
        fputs("<td>", out);
        put_histogram(range, out);
        fputs("</td></tr>\n", out);
    }
    fputs("</tbody></table>\n", out);
}

void report_html(const Report *r, FILE *out) {
    fputs("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>", out);
    put_text(out, r->model);
    fprintf(out, "</title>\n%s<h1 data-key=\"model\">", head);
    put_text(out, r->model);
    fputs("</h1>\n<p>Compiled by mcc <span data-key=\"mcc\">", out);
    put_text(out, r->version);
    fputs("</span> for <span data-key=\"target\">", out);
    put_text(out, r->target);
    fputs("</span>.</p>\n<dl>\n", out);
    put_total(out, "nodes of the model", "nodes", r->model_nodes);
    put_total(out, "layers of the code", "layers", (size_t)r->n_layers);
    put_total(out, "bytes of constants in the model", "bytes_before", r->before);
    put_total(out, "of them of nodes that left no layer", "bytes_elsewhere", r->elsewhere);
    put_total(out, "bytes of weights in the object", "bytes_after", r->after);
    put_total(out, "bytes of workspace", "workspace", r->workspace);
    put_total(out, "its lower bound", "workspace_lower_bound", r->lower_bound);
    fputs("</dl>\n", out);
    put_memory(r, out);
    put_layers(r, out);
    put_ranges(r, out);
    fputs("</html>\n", out);
}
