// A minibatch from the training rows, which are on the device in the type that they are stored in.

// out[i] = (rows[chosen[i]] - offset) * factor, (count, width); `stored` is the type of rows. own: 1 where every column has
// its own offset and factor, 0 where one of each applies to all.
__device__ void gathered(const stored* rows, const long long* chosen, const real* offset, const real* factor, real* out,
                         int count, int width, int own) {
    EACH(i, (long long)count * width) {
        int j = i % width;
        out[i] = ((real)rows[chosen[i / width] * width + j] - offset[own * j]) * factor[own * j];
    }
}

extern "C" __global__ void gather(const stored* rows, const long long* chosen, const real* offset, const real* factor,
                                  real* out, int count, int width, int own) {
    gathered(rows, chosen, offset, factor, out, count, width, own);
}
