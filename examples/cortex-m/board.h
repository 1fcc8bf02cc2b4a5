/* What main.c needs of whatever it runs on: start.c on a Cortex-M, host.c on a PC. */
#ifndef BOARD_H
#define BOARD_H
#include <stddef.h>

void board_print(const char *text);
void board_stack_paint(void);  /* all that is free */
size_t board_stack_used(void); /* since: bytes below the stack of who painted it; 0: not known here */

extern const float digits_images[]; /* digits.S */
extern const unsigned char digits_labels[];
#endif
