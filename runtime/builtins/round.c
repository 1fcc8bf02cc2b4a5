/* floor, ceil, trunc, rint without the instructions that only some targets have; fmod and Python's modulo. */
#include "runtime/builtins/builtins.h"
#include "runtime/builtins/real_f32.h"
#include "runtime/builtins/round.inc"
#include "runtime/builtins/real_f64.h"
#include "runtime/builtins/round.inc"
