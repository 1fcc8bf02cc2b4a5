/* asin, acos, atan. */
#include "runtime/builtins/builtins.h"
#include "runtime/builtins/real_f32.h"
#include "runtime/builtins/arc.inc"
#include "runtime/builtins/real_f64.h"
#include "runtime/builtins/arc.inc"
