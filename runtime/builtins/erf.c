/* erf and gelu(x) = x Φ(x). Near zero both are polynomials; elsewhere e^(-z²) times a smooth function, so that gelu's
 * left tail keeps its relative accuracy, where 1 + erf would cancel. */
#include "runtime/builtins/builtins.h"
#include "runtime/builtins/real_f32.h"
#include "runtime/builtins/core.inc"
#include "runtime/builtins/erf.inc"
#include "runtime/builtins/real_f64.h"
#include "runtime/builtins/core.inc"
#include "runtime/builtins/erf.inc"
