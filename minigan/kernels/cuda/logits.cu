// Functions of logits, one pass each (ops.py gives the formulas).

// out = 1 / (1 + e^-s) = e^min(s, 0) / (1 + e^-|s|); out may be s
extern "C" __global__ void sigmoid(const real* s, real* out, long long n) {
    EACH(i, n) out[i] = exp(s[i] < 0 ? s[i] : (real)0) / (1 + exp(-fabs(s[i])));
}

// out = log(1 + e^s) = max(s, 0) + log1p(e^-|s|); a NaN stays
extern "C" __global__ void softplus(const real* s, real* out, long long n) {
    EACH(i, n) out[i] = (s[i] < 0 ? (real)0 : s[i]) + log1p(exp(-fabs(s[i])));
}
