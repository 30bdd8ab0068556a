// Activations and their gradients; a NaN stays a NaN, and no form overflows where the function does not.
#include "map.cuh"

__device__ inline real positive(real x) { return x <= 0 ? real(0) : x; }

__device__ inline real logistic(real x) {
    real e = exp(-fabs(x));
    return (x < 0 ? e : real(1)) / (1 + e);
}

__device__ inline real normal_distribution(real x) { return real(0.5) * (1 + erf(x * real(0.70710678118654752440))); }

__device__ inline real gelu_argument(real x) {
    return real(0.79788456080286535588) * (x + real(0.044715) * x * x * x);
}

extern "C" {

__global__ void relu(const real* x, real* y, long n) {
    map(y, n, [](real x) { return positive(x); }, x);
}

__global__ void relu_dx(const real* dy, const real* y, real* dx, long n) {
    map(dx, n, [](real dy, real y) { return y > 0 ? dy : real(0); }, dy, y);
}

__global__ void relu6(const real* x, real* y, long n) {
    map(y, n, [](real x) { return x >= 6 ? real(6) : positive(x); }, x);
}

__global__ void relu6_dx(const real* dy, const real* y, real* dx, long n) {
    map(dx, n, [](real dy, real y) { return y > 0 && y < 6 ? dy : real(0); }, dy, y);
}

__global__ void leaky_relu(const real* x, real* y, real slope, long n) {
    map(y, n, [=](real x) { return x > 0 ? x : slope * x; }, x);
}

__global__ void leaky_relu_dx(const real* dy, const real* x, real* dx, real slope, long n) {
    map(dx, n, [=](real dy, real x) { return x > 0 ? dy : slope * dy; }, dy, x);
}

__global__ void sigmoid(const real* x, real* y, long n) {
    map(y, n, [](real x) { return logistic(x); }, x);
}

__global__ void sigmoid_dx(const real* dy, const real* y, real* dx, long n) {
    map(dx, n, [](real dy, real y) { return dy * y * (1 - y); }, dy, y);
}

__global__ void tanh_(const real* x, real* y, long n) {
    map(y, n, [](real x) { return tanh(x); }, x);
}

__global__ void tanh_dx(const real* dy, const real* y, real* dx, long n) {
    map(dx, n, [](real dy, real y) { return dy * (1 - y * y); }, dy, y);
}

__global__ void softplus(const real* x, real* y, long n) {
    map(y, n, [](real x) { return positive(x) + log1p(exp(-fabs(x))); }, x);
}

__global__ void softplus_dx(const real* dy, const real* x, real* dx, long n) {
    map(dx, n, [](real dy, real x) { return dy * logistic(x); }, dy, x);
}

__global__ void silu(const real* x, real* y, long n) {
    map(y, n, [](real x) { return x * logistic(x); }, x);
}

__global__ void silu_dx(const real* dy, const real* x, real* dx, long n) {
    map(dx, n, [](real dy, real x) {
        real s = logistic(x);
        return dy * s * (1 + x * (1 - s));
    }, dy, x);
}

__global__ void gelu(const real* x, real* y, long n) {
    map(y, n, [](real x) { return x * normal_distribution(x); }, x);
}

__global__ void gelu_dx(const real* dy, const real* x, real* dx, long n) {
    map(dx, n, [](real dy, real x) {
        real density = exp(-x * x / 2) * real(0.39894228040143267794);
        return dy * (normal_distribution(x) + x * density);
    }, dy, x);
}

__global__ void gelu_tanh(const real* x, real* y, long n) {
    map(y, n, [](real x) { return x * (1 + tanh(gelu_argument(x))) / 2; }, x);
}

__global__ void gelu_tanh_dx(const real* dy, const real* x, real* dx, long n) {
    map(dx, n, [](real dy, real x) {
        real slope = real(0.79788456080286535588) * (1 + real(3 * 0.044715) * x * x);
        real s = (1 + tanh(gelu_argument(x))) / 2;
        return dy * (s + 2 * x * s * (1 - s) * slope);
    }, dy, x);
}
}
