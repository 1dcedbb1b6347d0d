// Functions of logits, one pass each (ops.py gives the formulas).

// 1 / (1 + e^-s) = e^min(s, 0) / (1 + e^-|s|)
__device__ real sigma(real s) { return exp(s < 0 ? s : (real)0) / (1 + exp(-fabs(s))); }

// out may be s
extern "C" __global__ void sigmoid(const real* s, real* out, long long n) { EACH(i, n) out[i] = sigma(s[i]); }

// out = scale (sigma(s) - target), where sigma(s) - 1 = -sigma(-s) loses nothing; out may be s
extern "C" __global__ void cross_entropy_gradient(const real* s, real* out, long long n, real target, real scale) {
    EACH(i, n) out[i] = scale * (target == 1 ? -sigma(-s[i]) : sigma(s[i]) - target);
}

// out = log(1 + e^s) = max(s, 0) + log1p(e^-|s|); a NaN stays
extern "C" __global__ void softplus(const real* s, real* out, long long n) {
    EACH(i, n) out[i] = (s[i] < 0 ? (real)0 : s[i]) + log1p(exp(-fabs(s[i])));
}
