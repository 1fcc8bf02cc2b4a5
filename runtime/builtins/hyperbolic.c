/* sinh, cosh, tanh and their inverses, from the cores of exp, expm1 and log1p. */
#include "runtime/builtins/builtins.h"
#include "runtime/builtins/real_f32.h"
#include "runtime/builtins/core.inc"
#include "runtime/builtins/hyperbolic.inc"
#include "runtime/builtins/real_f64.h"
#include "runtime/builtins/core.inc"
#include "runtime/builtins/hyperbolic.inc"
