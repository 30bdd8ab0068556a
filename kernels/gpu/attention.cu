// The softmax between the two products of attention, and its gradient: a warp or a block for each query.
#include "map.cuh"
#include "reduce.cuh"

extern "C" {

// p[n,h,t,s] <- softmax over the valid s of factor * p; zeros where no key is valid.
__global__ void attention_softmax(real* p, const bool* mask, long rows, long steps, long heads, real factor, bool causal,
                                  bool masked, bool block) {
    for (Team t = team(block); t.row < rows; t.row += t.step) {
        real* row = p + t.row * steps;
        const bool* keys = mask + t.row / (heads * steps) * steps;
        long last = causal ? t.row % steps : steps - 1;
        real highest = -INFINITY, total = 0;
        for (long s = t.rank; s < steps; s += t.size)
            if (s <= last && (!masked || keys[s])) highest = larger(highest, row[s] * factor);
        highest = largest(t, highest);
        for (long s = t.rank; s < steps; s += t.size)
            if (s <= last && (!masked || keys[s])) total += exp(row[s] * factor - highest);
        total = sum(t, total);
        for (long s = t.rank; s < steps; s += t.size)
            row[s] = s <= last && (!masked || keys[s]) ? exp(row[s] * factor - highest) / total : real(0);
    }
}

// dp <- p * (dp - sum_s p dp) * factor
__global__ void attention_softmax_dx(const real* p, real* dp, long rows, long steps, real factor, bool block) {
    for (Team t = team(block); t.row < rows; t.row += t.step) {
        long at = t.row * steps;
        real inner = 0;
        for (long s = t.rank; s < steps; s += t.size) inner += p[at + s] * dp[at + s];
        inner = sum(t, inner);
        for (long s = t.rank; s < steps; s += t.size) dp[at + s] = p[at + s] * (dp[at + s] - inner) * factor;
    }
}
}
