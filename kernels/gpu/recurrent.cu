// One step of a recurrence, element by element, after its product with the state; and one step back. a, gates, h, c, m are whole
// (N, T, .) arrays, s (N, G*H) is this step's product. From t = lengths[n] on a sample keeps its state and has no gates.
#include "map.cuh"

__device__ inline real logistic(real x) {
    real e = exp(-fabs(x));
    return (x < 0 ? e : real(1)) / (1 + e);
}

// Where element i of a step (N, H) is; `here`: its sample has this step.
struct Step {
    long n, j, now, before, gates;  // gates: of the first gate in (N, T, G*H); s: in (N, G*H)
    bool here, first;
    long s;

    __device__ Step(long i, long steps, long width, long count, long t, const long* lengths, bool masked)
        : n(i / width), j(i % width), now((n * steps + t) * width + j), before(now - width),
          gates((n * steps + t) * count * width + j), here(!masked || t < lengths[n]), first(t == 0), s(n * count * width + j) {}
    __device__ real state(const real* h) const { return first ? real(0) : h[before]; }
};

extern "C" {

__global__ void rnn(const real* a, const real* s, const real* b, const long* lengths, real* h, long size, long steps, long width,
                    long t, bool masked) {
    for (long i = first_index(); i < size; i += all_threads()) {
        Step at(i, steps, width, 1, t, lengths, masked);
        real moved = at.first ? real(0) : s[at.s];
        h[at.now] = at.here ? tanh(a[at.gates] + moved + b[at.j]) : at.state(h);
    }
}

__global__ void rnn_dx(const real* dy, const real* h, const long* lengths, real* dh, real* da, long size, long steps, long width,
                       long t, long dy_step, bool masked) {
    for (long i = first_index(); i < size; i += all_threads()) {
        Step at(i, steps, width, 1, t, lengths, masked);
        real outside = dy_step ? dy[at.now] : t == steps - 1 ? dy[i] : real(0), total = dh[i] + outside;
        da[at.now] = at.here ? total * (1 - h[at.now] * h[at.now]) : real(0);
        dh[i] = at.here ? real(0) : total;
    }
}

__global__ void lstm(const real* a, const real* s, const real* b, const long* lengths, real* h, real* c, real* gates, long size,
                     long steps, long width, long t, bool masked) {
    for (long i = first_index(); i < size; i += all_threads()) {
        Step at(i, steps, width, 4, t, lengths, masked);
        real sums[4];
        for (int k = 0; k < 4; k++)
            sums[k] = a[at.gates + k * width] + (at.first ? real(0) : s[at.s + k * width]) + b[at.j + k * width];
        real in = logistic(sums[0]), forget = logistic(sums[1]), g = tanh(sums[2]), o = logistic(sums[3]);
        real cell = at.here ? forget * at.state(c) + in * g : at.state(c);
        h[at.now] = at.here ? o * tanh(cell) : at.state(h);
        c[at.now] = cell;
        real values[4] = {in, forget, g, o};
        for (int k = 0; k < 4; k++) gates[at.gates + k * width] = at.here ? values[k] : real(0);
    }
}

__global__ void lstm_dx(const real* dy, const real* c, const real* gates, const long* lengths, real* dh, real* dc, real* da,
                        long size, long steps, long width, long t, long dy_step, bool masked) {
    for (long i = first_index(); i < size; i += all_threads()) {
        Step at(i, steps, width, 4, t, lengths, masked);
        real outside = dy_step ? dy[at.now] : t == steps - 1 ? dy[i] : real(0), total = dh[i] + outside;
        real in = gates[at.gates], forget = gates[at.gates + width], g = gates[at.gates + 2 * width];
        real o = gates[at.gates + 3 * width], bent = tanh(c[at.now]), cell = dc[i] + total * o * (1 - bent * bent);
        real parts[4] = {cell * g * in * (1 - in), cell * at.state(c) * forget * (1 - forget), cell * in * (1 - g * g),
                         total * bent * o * (1 - o)};
        for (int k = 0; k < 4; k++) da[at.gates + k * width] = at.here ? parts[k] : real(0);
        dh[i] = at.here ? real(0) : total;
        if (at.here) dc[i] = cell * forget;
    }
}

// after: the reset gate stands after the product (m = U_n h + b_n), else before it (m = r * h, and s holds U_n m)
__global__ void gru_gates(const real* a, const real* s, const real* b, const long* lengths, const real* h, real* gates, real* m,
                          long size, long steps, long width, long t, bool masked, bool after) {
    for (long i = first_index(); i < size; i += all_threads()) {
        Step at(i, steps, width, 3, t, lengths, masked);
        for (int k = 0; k < 2; k++) {
            real moved = at.first ? real(0) : s[at.s + k * width];
            gates[at.gates + k * width] = logistic(a[at.gates + k * width] + moved + b[at.j + k * width]);
        }
        real moved = at.first ? real(0) : s[at.s + 2 * width];
        m[at.now] = after ? moved + b[at.j + 2 * width] : gates[at.gates] * at.state(h);
    }
}

__global__ void gru_state(const real* a, const real* s, const real* b, const long* lengths, real* h, real* gates, real* m,
                          long size, long steps, long width, long t, bool masked, bool after) {
    for (long i = first_index(); i < size; i += all_threads()) {
        Step at(i, steps, width, 3, t, lengths, masked);
        real inner = after ? gates[at.gates] * m[at.now] : (at.first ? real(0) : s[i]) + b[at.j + 2 * width];
        real n = tanh(a[at.gates + 2 * width] + inner), z = gates[at.gates + width], old = at.state(h);
        h[at.now] = at.here ? (1 - z) * n + z * old : old;
        gates[at.gates + 2 * width] = n;
        if (at.here) continue;
        for (int k = 0; k < 3; k++) gates[at.gates + k * width] = 0;
        m[at.now] = 0;
    }
}

// dh: what is left of the state's gradient but for the products; dm (before): U_n' da_n follows, so da_r is not yet known
__global__ void gru_dx(const real* dy, const real* h, const real* gates, const real* m, const long* lengths, real* dh, real* da,
                       real* ds, long size, long steps, long width, long t, long dy_step, bool masked) {
    for (long i = first_index(); i < size; i += all_threads()) {
        Step at(i, steps, width, 3, t, lengths, masked);
        real outside = dy_step ? dy[at.now] : t == steps - 1 ? dy[i] : real(0), total = dh[i] + outside;
        real r = gates[at.gates], z = gates[at.gates + width], n = gates[at.gates + 2 * width];
        real dz = total * (at.state(h) - n) * z * (1 - z), dn = total * (1 - z) * (1 - n * n);
        real dr = dn * m[at.now] * r * (1 - r);
        real to_a[3] = {dr, dz, dn}, to_s[3] = {dr, dz, r * dn};
        for (int k = 0; k < 3; k++) {
            da[at.gates + k * width] = at.here ? to_a[k] : real(0);
            ds[at.gates + k * width] = at.here ? to_s[k] : real(0);
        }
        dh[i] = at.here ? total * z : total;
    }
}

__global__ void gru_cho_dx(const real* dy, const real* h, const real* gates, const long* lengths, real* dh, real* da, long size,
                           long steps, long width, long t, long dy_step, bool masked) {
    for (long i = first_index(); i < size; i += all_threads()) {
        Step at(i, steps, width, 3, t, lengths, masked);
        real outside = dy_step ? dy[at.now] : t == steps - 1 ? dy[i] : real(0), total = dh[i] + outside;
        real z = gates[at.gates + width], n = gates[at.gates + 2 * width];
        real dz = total * (at.state(h) - n) * z * (1 - z), dn = total * (1 - z) * (1 - n * n);
        da[at.gates + width] = at.here ? dz : real(0);
        da[at.gates + 2 * width] = at.here ? dn : real(0);
        dh[i] = at.here ? total * z : total;
    }
}

// dm = U_n' da_n is known: the reset gate's share
__global__ void gru_cho_reset(const real* dm, const real* h, const real* gates, const long* lengths, real* dh, real* da, long size,
                              long steps, long width, long t, bool masked) {
    for (long i = first_index(); i < size; i += all_threads()) {
        Step at(i, steps, width, 3, t, lengths, masked);
        real r = gates[at.gates];
        da[at.gates] = at.here ? dm[i] * at.state(h) * r * (1 - r) : real(0);
        if (at.here) dh[i] += dm[i] * r;
    }
}
}
