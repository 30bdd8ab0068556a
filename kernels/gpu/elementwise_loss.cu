// Losses element by element: the loss and its gradient from one reading of outputs and targets.
#include "map.cuh"

__device__ inline real soft(real x) { return (x <= 0 ? real(0) : x) + log1p(exp(-fabs(x))); }

__device__ inline real logistic(real x) {
    real e = exp(-fabs(x));
    return (x < 0 ? e : real(1)) / (1 + e);
}

// f(z, target, loss, dz)
template <class F>
__device__ void terms(const real* z, const real* target, real* loss, real* dz, long n, F f) {
    for (long i = first_index(); i < n; i += all_threads()) {
        real l, d;
        f(z[i], target[i], l, d);
        loss[i] = l;
        dz[i] = d;
    }
}

extern "C" {

__global__ void mse(const real* z, const real* target, real* loss, real* dz, long n, real scale) {
    terms(z, target, loss, dz, n, [=](real z, real t, real& loss, real& dz) {
        real d = z - t;
        loss = d * d;
        dz = 2 * scale * d;
    });
}

__global__ void l1(const real* z, const real* target, real* loss, real* dz, long n, real scale) {
    terms(z, target, loss, dz, n, [=](real z, real t, real& loss, real& dz) {
        real d = z - t;
        loss = fabs(d);
        dz = d > 0 ? scale : d < 0 ? -scale : scale * d;  // 0 stays 0, a NaN a NaN
    });
}

__global__ void huber(const real* z, const real* target, real* loss, real* dz, long n, real delta, real scale) {
    terms(z, target, loss, dz, n, [=](real z, real t, real& loss, real& dz) {
        real d = z - t;
        real slope = d < -delta ? -delta : d > delta ? delta : d;
        loss = slope * (d - slope / 2);
        dz = scale * slope;
    });
}

__global__ void bce_with_logits(const real* z, const real* target, const real* weights, real* loss, real* dz, long n,
                                long k, bool weighted, real scale) {
    for (long i = first_index(); i < n; i += all_threads()) {
        real w = weighted ? weights[i % k] : real(1), t = target[i], share = 1 + (w - 1) * t;
        loss[i] = (1 - t) * z[i] + share * soft(-z[i]);
        dz[i] = scale * (share * logistic(z[i]) - w * t);
    }
}

__global__ void focal(const real* z, const real* target, real* loss, real* dz, long n, real gamma, real alpha, real scale) {
    terms(z, target, loss, dz, n, [=](real z, real t, real& loss, real& dz) {
        real s = t > real(0.5) ? 1 : -1, a = t > real(0.5) ? alpha : 1 - alpha;
        real u = s * z, wrong = logistic(-u), low = soft(-u);
        real factor = a * pow(wrong, gamma);
        loss = factor * low;
        dz = -scale * s * factor * (wrong + gamma * logistic(u) * low);
    });
}
}
