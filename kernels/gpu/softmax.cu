// Softmax and the losses over the classes of a row; the row's maximum is subtracted first.
#include "map.cuh"
#include "reduce.cuh"

struct Row {
    real highest;  // of the row
    real total;    // sum of exp(z - highest)
};

// The maximum and the sum of exponentials of z * factor.
__device__ inline Row exponentials(Team t, const real* z, long k, real factor) {
    real highest = z[0] * factor;
    for (long j = t.rank; j < k; j += t.size) highest = larger(highest, z[j] * factor);
    highest = largest(t, highest);
    real total = 0;
    for (long j = t.rank; j < k; j += t.size) total += exp(z[j] * factor - highest);
    return {highest, sum(t, total)};
}

extern "C" {

__global__ void softmax(const real* x, real* y, long rows, long k, bool block) {
    for (Team t = team(block); t.row < rows; t.row += t.step) {
        const real* z = x + t.row * k;
        Row r = exponentials(t, z, k, 1);
        for (long j = t.rank; j < k; j += t.size) y[t.row * k + j] = exp(z[j] - r.highest) / r.total;
    }
}

__global__ void log_softmax(const real* x, real* y, long rows, long k, bool block) {
    for (Team t = team(block); t.row < rows; t.row += t.step) {
        const real* z = x + t.row * k;
        Row r = exponentials(t, z, k, 1);
        real log_total = log(r.total);
        for (long j = t.rank; j < k; j += t.size) y[t.row * k + j] = z[j] - r.highest - log_total;
    }
}

__global__ void softmax_dx(const real* dy, const real* y, real* dx, long rows, long k, bool block) {
    for (Team t = team(block); t.row < rows; t.row += t.step) {
        long at = t.row * k;
        real inner = 0;
        for (long j = t.rank; j < k; j += t.size) inner += dy[at + j] * y[at + j];
        inner = sum(t, inner);
        for (long j = t.rank; j < k; j += t.size) dx[at + j] = y[at + j] * (dy[at + j] - inner);
    }
}

__global__ void log_softmax_dx(const real* dy, const real* y, real* dx, long rows, long k, bool block) {
    for (Team t = team(block); t.row < rows; t.row += t.step) {
        long at = t.row * k;
        real total = 0;
        for (long j = t.rank; j < k; j += t.size) total += dy[at + j];
        total = sum(t, total);
        for (long j = t.rank; j < k; j += t.size) dx[at + j] = dy[at + j] - exp(y[at + j]) * total;
    }
}

// weights may be a single 1 (weighted false); a label that is `ignored` (ignoring true) has loss and gradient 0.
__global__ void cross_entropy(const real* z, const long* labels, const real* weights, real* loss, real* dz, long rows,
                              long k, real smoothing, real scale, long ignored, bool ignoring, bool weighted, bool block) {
    for (Team t = team(block); t.row < rows; t.row += t.step) {
        const real* row = z + t.row * k;
        long label = labels[t.row];
        Row r = exponentials(t, row, k, 1);
        bool counts = !(ignoring && label == ignored);
        real log_total = log(r.total), base = smoothing / k, peak = 0;
        if (counts) peak = (1 - smoothing) * (weighted ? weights[label] : real(1));
        real q_sum = 0, smooth = 0;
        for (long j = t.rank; j < k; j += t.size) {
            real b = base * (weighted ? weights[j] : real(1));
            q_sum += b + (j == label ? peak : real(0));
            smooth += b * (row[j] - r.highest - log_total);
        }
        q_sum = sum(t, q_sum);
        smooth = sum(t, smooth);
        for (long j = t.rank; j < k; j += t.size) {
            real q = base * (weighted ? weights[j] : real(1)) + (j == label ? peak : real(0));
            dz[t.row * k + j] = counts ? scale * (exp(row[j] - r.highest) / r.total * q_sum - q) : real(0);
        }
        if (t.rank == 0) {
            real at_label = counts ? row[label] - r.highest - log_total : real(0);
            loss[t.row] = counts ? -peak * at_label - (smoothing != 0 ? smooth : real(0)) : real(0);
        }
    }
}

__global__ void kl_divergence(const real* z, const real* teacher, real* loss, real* dz, long rows, long k,
                              real temperature, real scale, bool block) {
    real factor = 1 / temperature;
    for (Team t = team(block); t.row < rows; t.row += t.step) {
        const real *p_row = z + t.row * k, *q_row = teacher + t.row * k;
        Row p = exponentials(t, p_row, k, factor), q = exponentials(t, q_row, k, factor);
        real log_p = log(p.total), log_q = log(q.total), total = 0;
        for (long j = t.rank; j < k; j += t.size) {
            real lp = p_row[j] * factor - p.highest - log_p, lq = q_row[j] * factor - q.highest - log_q;
            total += exp(lq) * (lq - lp);
            dz[t.row * k + j] = scale * temperature * (exp(lp) - exp(lq));
        }
        total = sum(t, total);
        if (t.rank == 0) loss[t.row] = temperature * temperature * total;
    }
}
}
