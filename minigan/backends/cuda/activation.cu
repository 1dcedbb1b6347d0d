// Bias and activation in one pass, and their backward pass. Arrays are (rows, width), row by row; n = rows * width.

// kinds of activation, in the order of activations.ACTIVATIONS
enum { RELU, LEAKY_RELU, TANH, SIGMOID, IDENTITY };

__device__ real phi(int kind, real z, real leak) {
    switch (kind) {
        case RELU: return z <= 0 ? (real)0 : z;  // a NaN is not <= 0 and stays
        case LEAKY_RELU: return z <= 0 ? leak * z : z;
        case TANH: return tanh(z);
        case SIGMOID: return sigma(z);
        default: return z;
    }
}

__device__ real slope_of(int kind, real y, real leak) {
    switch (kind) {
        case RELU: return y > 0 ? (real)1 : (real)0;
        case LEAKY_RELU: return y > 0 ? (real)1 : leak;
        case TANH: return 1 - y * y;
        case SIGMOID: return (1 - y) * y;
        default: return 1;
    }
}

// Y <- phi(Y + b)
extern "C" __global__ void bias_activation(real* y, const real* b, long long n, int width, int kind, real leak) {
    EACH(i, n) y[i] = phi(kind, y[i] + b[i % width], leak);
}

// slope = phi'(Y) and dZ = dY * slope; dz may be dy
extern "C" __global__ void activation_backward(const real* dy, const real* y, real* slope, real* dz, long long n, int kind,
                                               real leak) {
    EACH(i, n) {
        real s = slope_of(kind, y[i], leak);
        slope[i] = s;
        dz[i] = dy[i] * s;
    }
}

// dZ_below = (dZ W^T) * phi'(Y) below a layer with one output: dz (B, 1), W (width, 1); y, slope and out (B, width)
extern "C" __global__ void hidden_delta(const real* dz, const real* W, const real* y, real* slope, real* out, long long n,
                                        int width, int kind, real leak) {
    EACH(i, n) {
        real s = slope_of(kind, y[i], leak);
        slope[i] = s;
        out[i] = dz[i / width] * W[i % width] * s;
    }
}
