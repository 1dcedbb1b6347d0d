// The optimiser on flat vectors: every number is read once and written once (for the formulas see ops.py, `Ops.adam`).

// the i-th number of an update; factors: beta1, beta2, step_size, epsilon
__device__ real updated(real theta, real g, real* m, real* v, long long i, const real* factors) {
    m[i] = factors[0] * m[i] + g;
    v[i] = factors[1] * v[i] + g * g;
    return theta - factors[2] * m[i] / (sqrt(v[i]) + factors[3]);
}

extern "C" __global__ void adam(real* theta, const real* grad, real* m, real* v, long long n, const real* factors) {
    EACH(i, n) theta[i] = updated(theta[i], grad[i], m, v, i, factors);
}

// mean <- mean + weight (theta - mean)
__device__ real moved(real mean, real theta, real weight) { return mean + weight * (theta - mean); }

extern "C" __global__ void average(real* mean, const real* theta, long long n, const real* weight) {
    EACH(i, n) mean[i] = moved(mean[i], theta[i], weight[0]);
}

// both: the average of the updated theta
extern "C" __global__ void adam_average(real* theta, const real* grad, real* m, real* v, long long n, const real* factors,
                                        real* mean, const real* weight) {
    EACH(i, n) {
        real t = updated(theta[i], grad[i], m, v, i, factors);
        theta[i] = t;
        mean[i] = moved(mean[i], t, weight[0]);
    }
}
