// The optimiser on flat vectors: every number is read once and written once (optim.py gives the formulas).

extern "C" __global__ void adam(real* theta, const real* grad, real* m, real* v, long long n, real beta1, real beta2,
                                real step_size, real epsilon) {
    EACH(i, n) {
        real g = grad[i];
        real a = beta1 * m[i] + g;
        real c = beta2 * v[i] + g * g;
        m[i] = a;
        v[i] = c;
        theta[i] -= step_size * a / (sqrt(c) + epsilon);
    }
}

// mean <- mean + weight (theta - mean)
extern "C" __global__ void average(real* mean, const real* theta, long long n, real weight) {
    EACH(i, n) mean[i] += weight * (theta[i] - mean[i]);
}
