// Columns of a matrix, added up in columns of another: the patches of an image, and the transpose of taking them.

// out (rows, blocks width)_ij = sum over k < terms of x (rows, inputs) in column index[k][j / width] width + j % width; an index
// below 0 is none. The terms are added in the order of k.
extern "C" __global__ void sum_columns(const real* x, const long long* index, real* out, long long n, int inputs, int blocks,
                                       int terms, int width) {
    EACH(i, n) {
        long long row = i / (blocks * width);
        int j = i % (blocks * width), block = j / width;
        real total = 0;
        for (int k = 0; k < terms; k++) {
            long long at = index[(long long)k * blocks + block];
            if (at >= 0) total += x[row * inputs + at * width + j % width];
        }
        out[i] = total;
    }
}
