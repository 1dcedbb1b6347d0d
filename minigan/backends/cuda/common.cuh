// Shared by all kernels: the type of numbers, and the loop over the share of a thread of n elements.
//
// `real` is float or double, named when compiling. A kernel is a loop over independent elements and nothing more (no shared
// memory, no barrier), so that the same source compiled for a CPU with one thread computes the same: tests do that.

#define EACH(i, n)                                                                                       \
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (long long)gridDim.x * blockDim.x)

typedef unsigned long long word;

// 1 / (1 + e^-s) = e^min(s, 0) / (1 + e^-|s|): no overflow, no cancellation
__device__ real sigma(real s) { return exp(s < 0 ? s : (real)0) / (1 + exp(-fabs(s))); }
