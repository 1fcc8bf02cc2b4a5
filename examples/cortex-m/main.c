/* Classifies a hundred held-out digits and prints what it took each for, then how much stack the model used. The same
 * program runs on a Cortex-M and on a PC. No arithmetic on floats here: a core without an FPU would call a library for
 * it. */
#include "board.h"
#include "digits.h"
#include <stdint.h>

enum { PIXELS = 28 * 28, CLASSES = 10, COUNT = 100 };
static _Alignas(DIGITS_WORKSPACE_ALIGN) unsigned char workspace[DIGITS_WORKSPACE_BYTES];

static void print_number(size_t n) {
    static const size_t units[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
    char text[8], *p = text;
    for (int i = 0; i < 7; i++) {
        int digit = 0;
        while (n >= units[i]) n -= units[i], digit++;
        if (digit || p > text || i == 6) *p++ = (char)('0' + digit);
    }
    *p = 0;
    board_print(text);
}

/* The class with the largest share: shares are not negative, and such floats are in the order of their bits. */
static int largest(const float *share) {
    union {
        float number;
        uint32_t bits;
    } most = {share[0]}, next;
    int best = 0;
    for (int i = 1; i < CLASSES; i++) {
        next.number = share[i];
        if (next.bits > most.bits) most = next, best = i;
    }
    return best;
}

int main(void) {
    float share[CLASSES];
    size_t right = 0;
    board_stack_paint();
    for (int n = 0; n < COUNT; n++) {
        if (digits_run(digits_images + n * PIXELS, share, workspace) != MCC_OK) {
            board_print("digits_run failed\n");
            return 1;
        }
        right += largest(share) == digits_labels[n];
        print_number((size_t)largest(share));
        board_print(n % 25 == 24 ? "\n" : " ");
    }
    print_number(right);
    board_print(" of 100 right\n");
#ifdef DIGITS_STACK_BYTES
    board_print("stack ");
    print_number(board_stack_used());
    board_print(" of ");
    print_number(DIGITS_STACK_BYTES);
    board_print(" bytes, workspace ");
    print_number(sizeof workspace);
    board_print(" bytes\n");
#endif
    return 0;
}
