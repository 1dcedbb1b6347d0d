// The beginning of a minibatch in one launch: its rows, its latent points, and the coefficients that change from step to step.
// All three are functions of the number of the minibatch, which is in device memory (runs/steps.py fills the tables).

// minibatch i = *counter + ahead has row i modulo turns of the tables:
// x = the rows that chosen (turns, count) names, see gather;  z (latents,) ~ N(0, 1), see normal;  numbers = table (turns, many)
extern "C" __global__ void minibatch(const word* counter, word ahead, const stored* rows, const long long* chosen,
                                     const real* offset, const real* factor, real* x, int count, int width, int own, real* z,
                                     long long latents, word seed, word stream, const real* table, long long turns,
                                     real* numbers, int many) {
    word number = *counter + ahead;
    long long turn = number % turns;
    gathered(rows, chosen + turn * count, offset, factor, x, count, width, own);
    normals(z, latents, seed, stream, number);
    EACH(i, many) numbers[i] = table[turn * many + i];
}
