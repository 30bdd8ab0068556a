// Batch norm: given means and inverse deviations, one pass each.
#include "map.cuh"

extern "C" {

__global__ void batch_norm(const real* x, const real* mean, const real* inverse, const real* weight, const real* bias,
                           real* y, long n, long channels, bool relu) {
    for (long i = first_index(); i < n; i += all_threads()) {
        long c = i % channels;
        real value = (x[i] - mean[c]) * inverse[c] * weight[c] + bias[c];
        y[i] = relu && value <= 0 ? real(0) : value;
    }
}

__global__ void batch_norm_dx(const real* dy, const real* x, const real* mean, const real* inverse, const real* weight,
                              const real* mean_dy, const real* mean_product, real* dx, long n, long channels) {
    for (long i = first_index(); i < n; i += all_threads()) {
        long c = i % channels;
        real normalised = (x[i] - mean[c]) * inverse[c];
        dx[i] = weight[c] * inverse[c] * (dy[i] - mean_dy[c] - normalised * mean_product[c]);
    }
}
}
