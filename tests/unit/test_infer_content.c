/* Shapes that nodes compute: open dims go through Shape, Gather, arithmetic, Concat, … and come out as dims. */
#include "tests/unit/infer_program.h"

static const Case chains[] = {
    {"x: float32[N, 3, H, W]; s = Shape(x); i: int64{0}; n = Gather(s, i); m: int64{-1}; t = Concat(n, m) axis=0; y = "
     "Reshape(x, t)",
     "float32[N, (3*H*W)]"},
    {"x: float32[N, 3, H, W]; s = Shape(x); i: int64(2); h = Gather(s, i); two: int64(2); k = Mul(h, two); a: "
     "int64{0}; u = Unsqueeze(k, a); "
     "z: int64{5}; t = Concat(z, u) axis=0; y = ConstantOfShape(t)",
     "float32[5, (2*H)]"},
    {"x: float32[N, 8, H, W]; s = Shape(x); c = Cast(s) to=6; a: int64{0}; b: int64{2}; p = Slice(c, a, b); q = "
     "Cast(p) to=7; m: int64{-1}; "
     "t = Concat(q, m) axis=0; y = Reshape(x, t)",
     "float32[N, 8, (H*W)]"},
    {"x: float32[B, S, 512]; s = Shape(x); a, b, c = Split(s) num_outputs=3; h: int64{8}; d = Div(c, h); t = Concat(a, "
     "b, h, d) axis=0; "
     "y = Reshape(x, t)",
     "float32[B, S, 8, 64]"},
    {"x: float32[1, 4]; like: float32[N, S]; w: int64{-1, 4}; m: int64{-1}; e = Equal(w, m); s = Shape(like); o = "
     "Where(e, s, w); "
     "y = Expand(x, o)",
     "float32[N, 4]"},
    {"x: float32[H, W]; s = Shape(x); i: int64(1); w = Gather(s, i); a: int64(0); d: int64(1); y = Range(a, w, d)",
     "int64[W]"},
    {"x: float32[H, W]; s = Shape(x); i: int64(1); w = Gather(s, i); a: int64(1); d: int64(2); y = Range(a, w, d)",
     "int64[(W // 2)]"},
    {"x: float32[H, W]; y: float32[1, 1, 7, 9]; s = Shape(x); p: int64{1, 1}; t = Concat(p, s) axis=0; z = Resize(y, "
     "-, -, t)",
     "float32[1, 1, H, W]"},
    {"x: float32[H, W]; s = Shape(x); y = ReduceProd(s) keepdims=0", "int64[]{(H*W)}"},
    {"x: float32[H, 5]; s = Shape(x); y = ReduceMin(s)", "int64[1]{min(H, 5)}"},
    {"x: float32[H, 5]; s = Shape(x); k: int64{1}; y = Tile(x, s) : float32[9, 25]", "float32[(H*H), 25]"},
    {"x: float32[H]; s = Shape(x); k: int64{3}; r = Mod(s, k); y = ConstantOfShape(r)", "float32[(H - 3*(H // 3))]"},
    {"x: float32[H]; s = Shape(x); k: int64{-3}; y = Div(s, k)", "int64[1]"},
    {"x: float32[H]; s = Shape(x); k: int64{600}; y = Less(s, k)", "bool[1]{1}"},
    {"x: float32[H]; s = Shape(x); k: int64{0}; c = Equal(s, k); n = Not(c); z: int64{7}; y = Where(n, s, z)",
     "int64[1]{H}"},
    {"x: float32[H]; s = Shape(x); k: int64{100}; y = Less(s, k)", "bool[1]"},
    {"x: float32[H]; s = Shape(x); k: int64{2147483647}; m = Mul(s, k); y = Cast(m) to=6", "int32[1]"},
    {"s: int64{3}; v = ConstantOfShape(s); y = Identity(v)", "float32[3]"},
    {"x: int64{3, 4, 5}; p = Transpose(x); a: int64{-1}; e: int64{-9}; z: int64{0}; y = Slice(p, a, e, z, a)",
     "int64[3]{5, 4, 3}"},
    {"x: int64(3); s: int64{4}; y = Expand(x, s)", "int64[4]{3, 3, 3, 3}"},
    {"x: int64{3, 9}; lo: int64(4); y = Clip(x, lo)", "int64[2]{4, 9}"},
    {"a: float32(0); n: float32[]; d: float32(1); r = Range(a, n, d); k: float32(2); m = Mul(r, k); y = Cos(m) : "
     "float32[10]",
     "float32[?10]"},
    {"x: float32[H, 3]; s = Shape(x); one: int64(1); e = Expand(one, s); k: int64{0}; u = Unsqueeze(e, k); y = "
     "NonZero(u)",
     "int64[3, (3*H)]"},
    {"x: float32[H, 3]; s = Shape(x); c = ConstantOfShape(s); y = NonZero(c)", "int64[2, 0]"},
    {"x: int64{3, 0, -4}; y = NonZero(x)", "int64[1, 2]"},
    {"x: float32[H]; r: int64[1]; s = Shape(x); t = Concat(s, r) axis=0; i: int64{0}; y = Gather(t, i)", "int64[1]{H}"},
    {"x: float32[H]; r: int64[1]; s = Shape(x); t = Concat(s, r) axis=0; y = ConstantOfShape(t) : float32[512, 6]",
     "float32[H, ?6]"},
};

/* Through floats, where they are exact */
static const Case floats[] = {
    {"x: float32{320, 240.5}; m = ReduceMax(x) keepdims=0; y = Cast(m) to=7", "int64[]{320}"},
    {"x: float32[1, 3, 250, 300]; s = Shape(x); z: int64{2}; e: int64{4}; h = Slice(s, z, e); f = Cast(h) to=1; r = "
     "Reciprocal(f); t: float32{224, 320}; "
     "a = Mul(r, t); b: float32(0.9); c = Min(a, b); g = Mul(c, f); k = Floor(g); y = Cast(k) to=7",
     "int64[2]{224, 270}"},
    {"x: float32[1, 3, 7, 5]; s = Shape(x); z: int64{2}; e: int64{4}; h = Slice(s, z, e); f = Cast(h) to=1; t: "
     "float32{21, 3}; "
     "d = Div(t, f); o: float32{1, 1}; k = Concat(o, d) axis=0; y = Resize(x, -, k)",
     "float32[1, 3, 21, 3]"},
    {"x: float32[H]; s = Shape(x); f = Cast(s) to=1; z: int64{}; r = Reshape(f, z); a: float32(0); d: float32(2); y = "
     "Range(a, r, d)",
     "float32[((H + 1) // 2)]"},
    {"x: float32[H]; s = Shape(x); f = Cast(s) to=1; z: int64{}; r = Reshape(f, z); a: float32(0); d: float32(0); y = "
     "Range(a, r, d)",
     "!delta is 0"},
    {"x: float32[H, W]; s = Shape(x); f = Cast(s) to=1; k: float32(2); m = Mul(f, k); y = Cast(m) to=7",
     "int64[2]{(2*H), (2*W)}"},
    {"x: float32[H]; s = Shape(x); k: float32{0.5}; f = CastLike(s, k); m = Mul(f, k); y = CastLike(m, s)",
     "int64[1]{(H // 2)}"},
    {"x: float32[H]; s = Shape(x); f = Cast(s) to=1; k: float32{1.5}; m = Mul(f, k); r = Floor(m); y = Cast(r) to=7",
     "int64[1]{((3*H) // 2)}"},
    {"x: float32[H]; s = Shape(x); f = Cast(s) to=1; k: float32{3}; m = Div(f, k); r = Ceil(m); y = Cast(r) to=6",
     "int32[1]{((H + 2) // 3)}"},
    {"x: float32[H]; s = Shape(x); f = Cast(s) to=1; k: float32{3}; m = Div(f, k); d = Mul(m, k); y = Cast(d) to=6",
     "int32[1]"},
    {"x: float32[H]; s = Shape(x); f = Cast(s) to=1; k: float32{0.7}; m = Mul(f, k); y = Cast(m) to=6", "int32[1]"},
    {"x: float32[H<30000000]; s = Shape(x); f = Cast(s) to=1; y = Cast(f) to=6", "int32[1]"},
    {"x: float32[H<30000000]; s = Shape(x); f = Cast(s) to=11; y = Cast(f) to=6", "int32[1]{H}"},
    {"x: float32[H]; s = Shape(x); f = Cast(s) to=10; y = Cast(f) to=6", "int32[1]"},
    {"x: float32[H]; s = Shape(x); f = Cast(s) to=1; k: float32{0.5}; m = Sub(k, f); y = Cast(m) to=6", "int32[1]"},
    {"x: float32[H]; s = Shape(x); f = Cast(s) to=1; k: float32{7}; m = Sub(k, f); c = Concat(k, m) axis=0; y = "
     "Cast(c) to=6",
     "int32[2]{7, (-H + 7)}"},
};

int main(void) { return CHECK_CASES(chains) | CHECK_CASES(floats); }
