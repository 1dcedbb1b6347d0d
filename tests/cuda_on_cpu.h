// What a CUDA source needs to be compiled as C++ for a CPU: every kernel runs as one thread, whose loop covers everything.
#include <cmath>
using std::exp; using std::fabs; using std::log1p; using std::sqrt; using std::tanh;
#define __global__
#define __device__ static inline
static const struct { int x; } blockIdx = {0}, threadIdx = {0}, blockDim = {1}, gridDim = {1};
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
