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

// the i-th of a block's eight uniforms, on [0, 1)
__device__ float uniform_of(Block b, int i) {
    word half = i % 2 ? b.w[i / 2] >> 32 : b.w[i / 2] & 0xFFFFFFFFULL;
    return (float)(half >> 8) * (1.0f / 16777216.0f);
}

// the raw words, for tests: out (n)
extern "C" __global__ void words(word* out, long long n, word seed, word stream, word step) {
    EACH(k, (n + 3) / 4) {
        Block b = philox(k, step, seed, stream);
        for (int i = 0; i < 4 && 4 * k + i < n; ++i) out[4 * k + i] = b.w[i];
    }
}

// step + *later: what a recorded launch cannot know when it is recorded stands in memory
extern "C" __global__ void uniform(real* out, long long n, word seed, word stream, word step, const word* later) {
    EACH(k, (n + 7) / 8) {
        Block b = philox(k, step + *later, seed, stream);
        for (int i = 0; i < 8 && 8 * k + i < n; ++i) out[8 * k + i] = uniform_of(b, i);
    }
}

// Uniforms number 0 ... half - 1 are the radii, half ... 2 half - 1 the angles: a thread takes eight of either, from one
// block of radii and the one or two blocks in which their angles stand.
__device__ void normals(real* out, long long n, word seed, word stream, word step) {
    long long half = (n + 1) / 2;
    EACH(k, (half + 7) / 8) {
        long long first = half + 8 * k;
        int shift = first % 8;
        Block radii = philox(k, step, seed, stream), angles = philox(first / 8, step, seed, stream), next = angles;
        if (shift) next = philox(first / 8 + 1, step, seed, stream);
        for (int i = 0; i < 8 && 8 * k + i < half; ++i) {
            long long at = 8 * k + i;
            float r = sqrtf(-2.0f * logf(1.0f - uniform_of(radii, i)));
            float angle = 6.2831853071795864769f * (i + shift < 8 ? uniform_of(angles, i + shift) : uniform_of(next, i + shift - 8));
            out[at] = r * cosf(angle);
            if (half + at < n) out[half + at] = r * sinf(angle);
        }
    }
}

extern "C" __global__ void normal(real* out, long long n, word seed, word stream, word step, const word* later) {
    normals(out, n, seed, stream, step + *later);
}
