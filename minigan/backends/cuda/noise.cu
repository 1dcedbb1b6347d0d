// The counter-based noise of noise.py: Philox-4x64-10 (Salmon et al. 2011), then Box and Muller (1958).
//
// Key (seed, stream) and counter (block, step, 0, 0), as NumPy counts: its first block is number 1. A block gives four words
// of 64 bits, eight uniforms: the low half of a word first, (half >> 8) 2^-24 each.

struct Block { word w[4]; };

__device__ Block philox(word block, word step, word seed, word stream) {
    word c0 = block + 1, c1 = step, c2 = 0, c3 = 0, k0 = seed, k1 = stream;
    for (int round = 0; round < 10; ++round) {
        word low0 = 0xD2E7470EE14C6C93ULL * c0, high0 = __umul64hi(0xD2E7470EE14C6C93ULL, c0);
        word low1 = 0xCA5A826395121157ULL * c2, high1 = __umul64hi(0xCA5A826395121157ULL, c2);
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B97F4A7C15ULL;
        k1 += 0xBB67AE8584CAA73BULL;
    }
    Block result = {{c0, c1, c2, c3}};
    return result;
}

// the i-th uniform, on [0, 1)
__device__ float uniform_of(long long i, word seed, word stream, word step) {
    Block b = philox(i / 8, step, seed, stream);
    word w = i % 8 < 4 ? (i % 8 < 2 ? b.w[0] : b.w[1]) : (i % 8 < 6 ? b.w[2] : b.w[3]);  // no index: that would go through memory
    word half = i % 2 ? w >> 32 : w & 0xFFFFFFFFULL;
    return (float)(half >> 8) * (1.0f / 16777216.0f);
}

// the raw words, for tests: out (n)
extern "C" __global__ void words(word* out, long long n, word seed, word stream, word step) {
    EACH(k, (n + 3) / 4) {
        Block b = philox(k, step, seed, stream);
        for (int i = 0; i < 4 && 4 * k + i < n; ++i) out[4 * k + i] = b.w[i];
    }
}

// step + *later: the part of the step that is not known when a launch is recorded is in memory
extern "C" __global__ void uniform(real* out, long long n, word seed, word stream, word step, const word* later) {
    EACH(i, n) out[i] = uniform_of(i, seed, stream, step + *later);
}

// Uniforms number 0 ... half - 1 are the radii, half ... 2 half - 1 the angles. A thread computes a pair of normals: computing
// a block anew for each uniform takes less time than one thread per block would.
__device__ void normals(real* out, long long n, word seed, word stream, word step) {
    long long half = (n + 1) / 2;
    EACH(i, half) {
        float r = sqrtf(-2.0f * logf(1.0f - uniform_of(i, seed, stream, step)));
        float angle = 6.2831853071795864769f * uniform_of(half + i, seed, stream, step);
        out[i] = r * cosf(angle);
        if (half + i < n) out[half + i] = r * sinf(angle);
    }
}

extern "C" __global__ void normal(real* out, long long n, word seed, word stream, word step, const word* later) {
    normals(out, n, seed, stream, step + *later);
}

// the counter of minibatches, after the last one of a launch: in a launch of its own, because all kernels that read it must have finished
extern "C" __global__ void advance(word* counter, word by) { EACH(once, 1) *counter += by; }
