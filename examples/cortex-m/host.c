/* main.c's board on a PC. */
#include "board.h"
#include <stdio.h>

void board_print(const char *text) { fputs(text, stdout); }
void board_stack_paint(void) {}
size_t board_stack_used(void) { return 0; }
