// nvrtc: -fmad=false
// Update rules: one pass, rounded where the definition rounds, so that replicas on GPUs and CPUs hold the same bits. A product
// and a sum are therefore never contracted (the option above); roots and quotients are IEEE's without being asked.
#include "map.cuh"

constexpr long CHUNK = 4096;  // numbers of one block; launched with this in mind (update.py)

// How many edges of the decay ranges lie at or before i: odd where weight decay applies.
__device__ inline long edges_before(const long* edges, long count, long i) {
    long low = 0, high = count;
    while (low < high) {
        long middle = (low + high) / 2;
        if (edges[middle] <= i)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// w[i] = rule(i, w[i], d); inside the ranges d += weight_decay * w[i] and w[i] *= shrink come first.
template <class F>
__device__ void update(real* w, const real* g, const long* decay, long ranges, long n, real weight_decay, real shrink, F rule) {
    __shared__ long ends[2];
    for (long start = blockIdx.x * CHUNK; start < n; start += gridDim.x * CHUNK) {
        long stop = min(start + CHUNK, n);
        if (threadIdx.x < 2) ends[threadIdx.x] = edges_before(decay, 2 * ranges, threadIdx.x ? stop - 1 : start);
        __syncthreads();
        bool alike = ends[0] == ends[1], inside = ends[0] & 1;
        for (long i = start + threadIdx.x; i < stop; i += blockDim.x) {
            bool decays = alike ? inside : edges_before(decay, 2 * ranges, i) & 1;
            real weight = w[i], d = g[i];
            if (decays) {
                d += weight_decay * weight;
                weight *= shrink;
            }
            w[i] = rule(i, weight, d);
        }
        __syncthreads();
    }
}

extern "C" {

__global__ void sgd(real* w, const real* g, const long* decay, long ranges, long n, real weight_decay, real shrink, real lr) {
    update(w, g, decay, ranges, n, weight_decay, shrink, [=](long i, real w, real d) { return w - lr * d; });
}

__global__ void momentum(real* w, const real* g, real* velocity, const long* decay, long ranges, long n, real weight_decay,
                         real shrink, real lr, real momentum, real share, bool nesterov, bool first) {
    update(w, g, decay, ranges, n, weight_decay, shrink, [=](long i, real w, real d) {
        real v = first ? d : momentum * velocity[i] + share * d;
        velocity[i] = v;
        return w - lr * (nesterov ? d + momentum * v : v);
    });
}

__global__ void sutskever(real* w, const real* g, real* velocity, const long* decay, long ranges, long n, real weight_decay,
                          real shrink, real lr, real momentum) {
    update(w, g, decay, ranges, n, weight_decay, shrink, [=](long i, real w, real d) {
        real v = momentum * velocity[i] - lr * d;
        velocity[i] = v;
        return w + v;
    });
}

__global__ void look_ahead(real* w, const real* velocity, real* exact, long n, real momentum) {
    for (long i = first_index(); i < n; i += all_threads()) {
        exact[i] = w[i];
        w[i] = w[i] + momentum * velocity[i];
    }
}

__global__ void nag(real* w, const real* g, real* exact, real* velocity, const long* decay, long ranges, long n,
                    real weight_decay, real shrink, real lr, real momentum) {
    update(w, g, decay, ranges, n, weight_decay, shrink, [=](long i, real w, real d) {
        real v = momentum * velocity[i] - lr * d;
        velocity[i] = v;
        exact[i] += v;
        return exact[i];
    });
}

__global__ void qhm(real* w, const real* g, real* velocity, const long* decay, long ranges, long n, real weight_decay,
                    real shrink, real lr, real momentum, real share, real nu, real rest) {
    update(w, g, decay, ranges, n, weight_decay, shrink, [=](long i, real w, real d) {
        real v = momentum * velocity[i] + share * d;
        velocity[i] = v;
        return w - lr * (rest * d + nu * v);
    });
}

// One more velocity of aggregated momentum: total collects them, and the last one moves the weights.
__global__ void aggmo(real* w, const real* g, real* velocity, real* total, const long* decay, long ranges, long n,
                      real weight_decay, real shrink, real lr, real beta, bool first, bool last) {
    update(w, g, decay, ranges, n, weight_decay, shrink, [=](long i, real w, real d) {
        real v = beta * velocity[i] + d;
        velocity[i] = v;
        real t = first ? v : total[i] + v;
        total[i] = t;
        return last ? w - lr * t : w;
    });
}

__global__ void adagrad(real* w, const real* g, real* squares, const long* decay, long ranges, long n, real weight_decay,
                        real shrink, real lr, real eps, real initial) {
    update(w, g, decay, ranges, n, weight_decay, shrink, [=](long i, real w, real d) {
        real s = (squares[i] + initial) + d * d;
        squares[i] = s;
        return w - lr * d / (sqrt(s) + eps);
    });
}

__global__ void rmsprop(real* w, const real* g, real* square, real* mean, real* velocity, const long* decay, long ranges,
                        long n, real weight_decay, real shrink, real lr, real alpha, real share, real eps, real momentum,
                        bool centered, bool moving) {
    update(w, g, decay, ranges, n, weight_decay, shrink, [=](long i, real w, real d) {
        real s = alpha * square[i] + share * (d * d), variance = s;
        square[i] = s;
        if (centered) {
            real m = mean[i] + share * (d - mean[i]);
            mean[i] = m;
            variance -= m * m;
            variance = variance < 0 ? real(0) : variance;
        }
        real u = d / (sqrt(variance) + eps);
        if (moving) {
            u = momentum * velocity[i] + u;
            velocity[i] = u;
        }
        return w - lr * u;
    });
}

__global__ void adam(real* w, const real* g, real* mean, real* square, real* highest, const long* decay, long ranges, long n,
                     real weight_decay, real shrink, real beta1, real beta2, real share1, real share2, real step, real root,
                     real eps, bool amsgrad) {
    update(w, g, decay, ranges, n, weight_decay, shrink, [=](long i, real w, real d) {
        real m = beta1 * mean[i] + share1 * d, s = beta2 * square[i] + share2 * (d * d), second = s;
        mean[i] = m;
        square[i] = s;
        if (amsgrad) {
            second = highest[i] > s ? highest[i] : s;
            highest[i] = second;
        }
        return w - step * m / (sqrt(second) / root + eps);
    });
}

__global__ void mixed_adam(real* w, const real* g, real* mean, real* square, const long* decay, long ranges, long n,
                           real weight_decay, real shrink, real beta1, real beta2, real share1, real share2, real lr, real eps,
                           real of_d, real of_m, real of_d2, real of_s) {
    update(w, g, decay, ranges, n, weight_decay, shrink, [=](long i, real w, real d) {
        real m = beta1 * mean[i] + share1 * d, s = beta2 * square[i] + share2 * (d * d);
        mean[i] = m;
        square[i] = s;
        return w - lr * (of_d * d + of_m * m) / (sqrt(of_d2 * (d * d) + of_s * s) + eps);
    });
}
}
