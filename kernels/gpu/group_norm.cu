// Group norm: a block for each group of each sample; its numbers are read from the caches the second and third time.
#include "map.cuh"
#include "reduce.cuh"

struct Group {
    long start, channels, width, size, first;  // of its numbers: i -> start + i / width * channels + i % width

    __device__ Group(long job, long positions, long channels, long groups)
        : channels(channels), width(channels / groups), size(positions * (channels / groups)) {
        first = job % groups * width;
        start = job / groups * positions * channels + first;
    }
    __device__ long at(long i) const { return start + i / width * channels + i % width; }
    __device__ long channel(long i) const { return first + i % width; }
};

extern "C" {

__global__ void group_norm(const real* x, const real* weight, const real* bias, real* y, real* mean, real* inverse, long jobs,
                           long positions, long channels, long groups, double eps) {
    for (long job = blockIdx.x; job < jobs; job += gridDim.x) {
        Group g(job, positions, channels, groups);
        Team t = team(true);
        double total = 0, squares = 0, terms = g.size ? double(g.size) : 1;
        for (long i = threadIdx.x; i < g.size; i += blockDim.x) total += x[g.at(i)];
        double centre = sum(t, total) / terms;
        for (long i = threadIdx.x; i < g.size; i += blockDim.x) {
            double d = x[g.at(i)] - centre;
            squares += d * d;
        }
        double scale = 1 / sqrt(sum(t, squares) / terms + eps);
        for (long i = threadIdx.x; i < g.size; i += blockDim.x)
            y[g.at(i)] = real((x[g.at(i)] - centre) * scale * weight[g.channel(i)] + bias[g.channel(i)]);
        if (threadIdx.x == 0) {
            mean[job] = real(centre);
            inverse[job] = real(scale);
        }
    }
}

__global__ void group_norm_dx(const real* dy, const real* x, const real* mean, const real* inverse, const real* weight, real* dx,
                              long jobs, long positions, long channels, long groups) {
    for (long job = blockIdx.x; job < jobs; job += gridDim.x) {
        Group g(job, positions, channels, groups);
        Team t = team(true);
        double sum_e = 0, sum_product = 0, terms = g.size ? double(g.size) : 1;
        for (long i = threadIdx.x; i < g.size; i += blockDim.x) {
            double e = double(dy[g.at(i)]) * weight[g.channel(i)];
            sum_e += e;
            sum_product += e * ((double(x[g.at(i)]) - mean[job]) * inverse[job]);
        }
        double mean_e = sum(t, sum_e) / terms, mean_product = sum(t, sum_product) / terms;
        for (long i = threadIdx.x; i < g.size; i += blockDim.x) {
            double xn = (double(x[g.at(i)]) - mean[job]) * inverse[job];
            double e = double(dy[g.at(i)]) * weight[g.channel(i)];
            dx[g.at(i)] = real((e - mean_e - xn * mean_product) * inverse[job]);
        }
    }
}

// products[m,c] = dy * xn: what the gradient by the weight sums over m
__global__ void group_norm_products(const real* dy, const real* x, const real* mean, const real* inverse, real* products, long n,
                                    long positions, long channels, long groups) {
    for (long i = first_index(); i < n; i += all_threads()) {
        long job = i / (positions * channels) * groups + i % channels / (channels / groups);
        products[i] = dy[i] * ((x[i] - mean[job]) * inverse[job]);
    }
}
}
