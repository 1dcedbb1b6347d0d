// Functions of logits, one pass each (for the formulas see ops.py).

// out may be s
extern "C" __global__ void sigmoid(const real* s, real* out, long long n) { EACH(i, n) out[i] = sigma(s[i]); }

// out = log(1 + e^s) = max(s, 0) + log1p(e^-|s|); a NaN stays
extern "C" __global__ void softplus(const real* s, real* out, long long n) {
    EACH(i, n) out[i] = (s[i] < 0 ? (real)0 : s[i]) + log1p(exp(-fabs(s[i])));
}

// The objectives' gradients with respect to the logits r of real and f of generated samples, of the mean over `n` of either
// (for the formulas see objectives.py), in the order of OBJECTIVES in ops.py.
enum { MINIMAX, NON_SATURATING, LEAST_SQUARES, HINGE, WASSERSTEIN, RELATIVISTIC };

// d/ds of the cross-entropy of sigma(s) with `target`: sigma(s) - target, where sigma(s) - 1 = -sigma(-s) avoids cancellation
__device__ real cross_entropy_slope(real s, real target) { return target == 1 ? -sigma(-s) : sigma(s) - target; }

// dr = dL_D/dr, df = dL_D/df; target: that of real samples;  scale: 1 / n
extern "C" __global__ void discriminator_gradient(int objective, const real* r, const real* f, real* dr, real* df, long long n,
                                                  real target, real scale) {
    EACH(i, n) {
        switch (objective) {
            case LEAST_SQUARES: dr[i] = scale * (r[i] - 1), df[i] = scale * f[i]; break;
            case HINGE: dr[i] = r[i] < 1 ? -scale : (real)0, df[i] = f[i] > -1 ? scale : (real)0; break;
            case WASSERSTEIN: dr[i] = -scale, df[i] = scale; break;
            case RELATIVISTIC: dr[i] = -scale * sigma(f[i] - r[i]), df[i] = -dr[i]; break;
            default: dr[i] = scale * cross_entropy_slope(r[i], target), df[i] = scale * sigma(f[i]);
        }
    }
}

// df = dL_G/df
extern "C" __global__ void generator_gradient(int objective, const real* r, const real* f, real* df, long long n, real scale) {
    EACH(i, n) {
        switch (objective) {
            case MINIMAX: df[i] = -scale * sigma(f[i]); break;
            case NON_SATURATING: df[i] = -scale * sigma(-f[i]); break;
            case LEAST_SQUARES: df[i] = scale * (f[i] - 1); break;
            case RELATIVISTIC: df[i] = -scale * sigma(r[i] - f[i]); break;
            default: df[i] = -scale;
        }
    }
}
