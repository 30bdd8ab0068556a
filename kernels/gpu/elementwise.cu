// Arithmetic of arrays of one shape, and copies.
#include "map.cuh"

extern "C" {

__global__ void add(const real* a, const real* b, real* y, long n) {
    map(y, n, [](real a, real b) { return a + b; }, a, b);
}

__global__ void multiply(const real* a, const real* b, real* y, long n) {
    map(y, n, [](real a, real b) { return a * b; }, a, b);
}

__global__ void scaled(const real* x, real* y, real s, long n) {
    map(y, n, [=](real x) { return s * x; }, x);
}

__global__ void add_bias(const real* x, const real* bias, real* y, long n, long elements) {
    for (long i = first_index(); i < n; i += all_threads()) y[i] = x[i] + bias[i % elements];
}

__global__ void copy(const real* x, real* y, long n) {
    map(y, n, [](real x) { return x; }, x);
}

// y[n,c] = x[n, steps-1, c]
__global__ void last_step(const real* x, real* y, long n, long steps, long width) {
    for (long i = first_index(); i < n; i += all_threads())
        y[i] = x[((i / width + 1) * steps - 1) * width + i % width];
}

__global__ void last_step_dx(const real* dy, real* dx, long n, long steps, long width) {
    for (long i = first_index(); i < n; i += all_threads()) {
        long t = i / width % steps;
        dx[i] = t == steps - 1 ? dy[i / width / steps * width + i % width] : real(0);
    }
}
}
