// Soft Dice loss: a block for each sample.
#include "map.cuh"
#include "reduce.cuh"

__device__ inline real logistic(real x) {
    real e = exp(-fabs(x));
    return (x < 0 ? e : real(1)) / (1 + e);
}

// p[i,k], the probability of class k at each pixel, and t[i,k], what it should be
__device__ inline real probability(const real* z, long k, long classes, bool labels) {
    if (!labels) return logistic(z[k]);
    real highest = z[0], total = 0;
    for (long j = 1; j < classes; j++) highest = larger(highest, z[j]);
    for (long j = 0; j < classes; j++) total += exp(z[j] - highest);
    return exp(z[k] - highest) / total;
}

extern "C" {

// ratios[n,k,0] = 2 I + smooth, ratios[n,k,1] = P + T + smooth; dz keeps the probabilities meanwhile
__global__ void dice_sums(const real* z, const real* target, const long* label, real* ratios, real* dz, long samples,
                          long pixels, long classes, real smooth, bool labels) {
    for (long job = blockIdx.x; job < samples * classes; job += gridDim.x) {
        long n = job / classes, k = job % classes;
        real both = 0, all = 0;
        for (long i = threadIdx.x; i < pixels; i += blockDim.x) {
            long pixel = n * pixels + i;
            real p = probability(z + pixel * classes, k, classes, labels);
            real t = labels ? real(label[pixel] == k) : target[pixel * classes + k];
            dz[pixel * classes + k] = p;
            both += p * t;
            all += p + t;
        }
        both = sum(team(true), both);
        all = sum(team(true), all);
        if (threadIdx.x == 0) {
            ratios[2 * job] = 2 * both + smooth;
            ratios[2 * job + 1] = all + smooth;
        }
    }
}

__global__ void dice(const real* target, const long* label, const real* ratios, real* loss, real* dz, long samples, long pixels,
                     long classes, real scale, bool labels) {
    for (long i = first_index(); i < samples * pixels; i += all_threads()) {
        const real* r = ratios + i / pixels * 2 * classes;
        real inner = 0;
        for (int pass = 0; pass < 2; pass++)
            for (long k = 0; k < classes; k++) {
                real t = labels ? real(label[i] == k) : target[i * classes + k], p = dz[i * classes + k];
                real dp = (r[2 * k] / r[2 * k + 1] - 2 * t) / (r[2 * k + 1] * classes);
                if (pass == 0)
                    inner += p * dp;
                else
                    dz[i * classes + k] = scale * p * (dp - (labels ? inner : p * dp));
            }
        if (i % pixels == 0) {
            real mean = 0;
            for (long k = 0; k < classes; k++) mean += r[2 * k] / r[2 * k + 1];
            loss[i / pixels] = 1 - mean / classes;
        }
    }
}
}
