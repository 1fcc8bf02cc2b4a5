/* Where somebody speaks in a recording: reads a WAV file of 16 bits and 16 kHz, shows the network one frame of 32 ms after the other,
 * with the state that the frame before left, and draws a column a tenth of a second. Nothing is allocated while it listens. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "vad.h"

enum { RATE = 16000, FRAME = 512, CONTEXT = 64, STATE = 2 * 128, WIDTH = 72 };
#define SPEECH 0.5f

typedef struct Wav {
    FILE *file;
    uint32_t samples, channels;
} Wav;

static uint32_t number(const unsigned char *p, int bytes) {
    uint32_t v = 0;
    for (int i = bytes; i-- > 0;) v = v << 8 | p[i];
    return v;
}

static bool complain(const char *path, const char *why) {
    fprintf(stderr, "vad: %s: %s\n", path, why);
    return false;
}

/* RIFF: chunks of a name and a length; "fmt " stands before "data" */
static bool wav_open(Wav *w, const char *path) {
    unsigned char head[12], format[16] = {0};
    *w = (Wav){.file = fopen(path, "rb")};
    if (!w->file) return complain(path, "cannot be opened");
    if (fread(head, 1, 12, w->file) != 12 || memcmp(head, "RIFF", 4) || memcmp(head + 8, "WAVE", 4))
        return complain(path, "is no WAV file");
    for (;;) {
        if (fread(head, 1, 8, w->file) != 8) return complain(path, "has no samples");
        uint32_t bytes = number(head + 4, 4);
        if (!memcmp(head, "data", 4)) {
            w->channels = number(format + 2, 2);
            if (number(format, 2) != 1 || number(format + 14, 2) != 16 || !w->channels)
                return complain(path, "is not of integers of 16 bits");
            if (number(format + 4, 4) != RATE) return complain(path, "is not of 16000 samples a second");
            w->samples = bytes / 2 / w->channels;
            return true;
        }
        uint32_t read = !memcmp(head, "fmt ", 4) && bytes >= 16 ? 16 : 0;
        if (fread(format, 1, read, w->file) != read || fseek(w->file, (long)(bytes - read + (bytes & 1)), SEEK_CUR))
            return complain(path, "ends too early");
    }
}

/* The first channel, up to a frame; what the file does not have is silence. */
static bool wav_read(Wav *w, float out[FRAME]) {
    unsigned char raw[2];
    int i = 0;
    for (; i < FRAME && w->samples; i++, w->samples--) {
        if (fread(raw, 1, 2, w->file) != 2) break;
        out[i] = (float)(int16_t)number(raw, 2) / 32768;
        if (w->channels > 1 && fseek(w->file, (long)(w->channels - 1) * 2, SEEK_CUR)) break;
    }
    memset(out + i, 0, sizeof *out * (size_t)(FRAME - i));
    return i > 0;
}

static void draw(double second, float probability) {
    int filled = (int)(probability * WIDTH + 0.5f);
    printf("%7.2f s  %.2f  ", second, (double)probability);
    for (int i = 0; i < filled; i++) putchar(probability >= SPEECH ? '#' : '.');
    putchar('\n');
}

int main(int argc, char **argv) {
    static _Alignas(64) unsigned char workspace[VAD_WORKSPACE_BYTES];
    static float input[CONTEXT + FRAME], state[2][STATE], most;
    const int64_t rate = RATE;
    float probability;
    Wav w;
    if (argc != 2) {
        fprintf(stderr, "usage: vad FILE.wav\n");
        return 2;
    }
    if (!wav_open(&w, argv[1])) return 1;
    int frames = 0, speech = 0, status = MCC_OK;
    for (; wav_read(&w, input + CONTEXT); frames++) {
        status = vad_run(input, state[frames & 1], &rate, &probability, state[(frames + 1) & 1], workspace);
        if (status != MCC_OK) break;
        memmove(input, input + FRAME, sizeof *input * CONTEXT);
        speech += probability >= SPEECH;
        most = probability > most ? probability : most;
        if (frames % 3 < 2) continue;
        draw((double)(frames - 2) * FRAME / RATE, most);
        most = 0;
    }
    fclose(w.file);
    if (status != MCC_OK) {
        fprintf(stderr, "vad: the network failed with code %d\n", status);
        return 1;
    }
    printf("speech in %d of %d frames (%.1f of %.1f s)\n", speech, frames, (double)speech * FRAME / RATE, (double)frames * FRAME / RATE);
    return 0;
}
