// The optimiser on flat vectors: every number is read once and written once (optim.py gives the formulas).

// factors: beta1, beta2, step_size, epsilon
extern "C" __global__ void adam(real* theta, const real* grad, real* m, real* v, long long n, const real* factors) {
    real beta1 = factors[0], beta2 = factors[1], step_size = factors[2], epsilon = factors[3];
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
extern "C" __global__ void average(real* mean, const real* theta, long long n, const real* weight) {
    EACH(i, n) mean[i] += weight[0] * (theta[i] - mean[i]);
}
