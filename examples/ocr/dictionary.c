/* What the recogniser's classes mean: 0 is CTC's blank, then a line of the dictionary each, and a space at the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ocr.h"

enum { MAX_BYTES = 1 << 20 };

/* Cuts the text into lines. */
static void split(Dictionary *d) {
    d->entry[d->n++] = "";
    for (char *line = d->text; *line;) {
        size_t n = strcspn(line, "\r\n");
        bool more = line[n] != 0;
        line[n] = 0;
        if (n) d->entry[d->n++] = line;
        line += n + more;
    }
    d->entry[d->n++] = " ";
}

bool dictionary_read(const char *path, Dictionary *out) {
    *out = (Dictionary){.text = calloc(1, MAX_BYTES + 1), .entry = malloc((MAX_BYTES + 2) * sizeof *out->entry)};
    FILE *f = fopen(path, "rb");
    bool good = f && out->text && out->entry && fread(out->text, 1, MAX_BYTES, f) < MAX_BYTES && !ferror(f);
    if (f) fclose(f);
    if (good) split(out);
    else fprintf(stderr, "ocr: %s: cannot read the dictionary\n", path);
    return good;
}

void dictionary_free(Dictionary *d) {
    free(d->text);
    free(d->entry);
}

float dictionary_decode(const Dictionary *d, const float *steps, int n_steps, char *text, size_t size) {
    double sum = 0;
    int kept = 0, before = 0;
    size_t used = 0;
    for (int t = 0; t < n_steps; t++) {
        const float *p = steps + (size_t)t * (size_t)d->n;
        int best = 0;
        for (int i = 1; i < d->n; i++)
            if (p[i] > p[best]) best = i;
        size_t n = strlen(d->entry[best]);
        bool leading = !used && best == d->n - 1;
        if (best && !leading && best != before && used + n < size) {
            memcpy(text + used, d->entry[best], n);
            used += n;
            sum += (double)p[best];
            kept++;
        }
        before = best;
    }
    while (used && text[used - 1] == ' ') used--;
    text[used] = 0;
    return kept ? (float)(sum / kept) : 0;
}
