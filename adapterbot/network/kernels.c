/* What a token costs on a processor: int8 products, attention of one new token a row, residual adapters by row.
 *
 * Every row is computed by itself and in one order: no row of a batch changes another. One thread; x86-64 with AVX2 and
 * FMA. Elsewhere `usable` says no, and torch computes the same up to rounding. All floats are float32, all sizes and
 * strides are counted in elements.
 */

#include <stdint.h>

#if defined(_MSC_VER)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))

#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define LEVELS 127.0f /* of either sign, as in int8.py; likewise the next two */
#define HALVES 254.0f
#define TINY 1e-9f
#define TOGETHER 4 /* rows that read a row of weights at a time */
#define KEPT 64 /* rows of weights that stay in the cache while all rows read them */

EXPORT int usable(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

AVX2 static inline float sum_of(__m256 x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

AVX2 static inline float max_of(__m256 x) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

AVX2 static inline int32_t whole_sum_of(__m256i x) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* e^x of eight numbers, as Cephes has it: 2^n times a polynomial of what is left. */
AVX2 static inline __m256 exp_of(__m256 x) {
    x = _mm256_max_ps(x, _mm256_set1_ps(-87.0f));
    __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    x = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), x);
    x = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), x);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, x, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, x, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, x, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, x, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, x, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(x, x), x), _mm256_set1_ps(1.0f));
    __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}

/* -- int8 products ------------------------------------------------------------------------------------------------- */

AVX2 static inline __m256i packed(__m256 low, __m256 high) {
    __m256i both = _mm256_packs_epi32(_mm256_cvtps_epi32(low), _mm256_cvtps_epi32(high));
    return _mm256_permute4x64_epi64(both, 0xd8);
}

/* Inputs [k], times `even` if there is one, in levels of their largest [k]; returns a level. `rest` (or NULL) takes what
 * rounding leaves, in HALVES of a level. What is no number makes the level none. */
AVX2 static float rounded(const float *x, const float *even, int64_t k, float *scratch, int16_t *whole, int16_t *rest) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 most = _mm256_setzero_ps(), sound = _mm256_setzero_ps();
    for (int64_t i = 0; i < k; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i);
        if (even) v = _mm256_mul_ps(v, _mm256_loadu_ps(even + i));
        most = _mm256_max_ps(most, _mm256_andnot_ps(sign, v));
        sound = _mm256_fmadd_ps(v, _mm256_setzero_ps(), sound);
        _mm256_storeu_ps(scratch + i, v);
    }
    if (sum_of(sound) != 0.0f) {
        memset(whole, 0, k * sizeof(int16_t));
        if (rest) memset(rest, 0, k * sizeof(int16_t));
        return NAN;
    }
    float largest = max_of(most);
    float level = (largest > TINY ? largest : TINY) / LEVELS;
    const __m256 by = _mm256_set1_ps(level), halves = _mm256_set1_ps(HALVES);
    for (int64_t i = 0; i < k; i += 16) {
        __m256 low = _mm256_div_ps(_mm256_loadu_ps(scratch + i), by);
        __m256 high = _mm256_div_ps(_mm256_loadu_ps(scratch + i + 8), by);
        _mm256_storeu_si256((__m256i *)(whole + i), packed(low, high));
        if (rest) {
            __m256 r0 = _mm256_sub_ps(low, _mm256_round_ps(low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
            __m256 r1 = _mm256_sub_ps(high, _mm256_round_ps(high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
            _mm256_storeu_si256((__m256i *)(rest + i), packed(_mm256_mul_ps(r0, halves), _mm256_mul_ps(r1, halves)));
        }
    }
    return level;
}

/* Dots of a row of weights [k] with `count` rows of inputs [TOGETHER, k]. Sums stay below 2^31 up to k = 133,000. */
#define DOTS(count)                                                                                                      \
    AVX2 static inline void dots_##count(const int8_t *w, const int16_t *q, int64_t k, int32_t *sums) {                  \
        __m256i total[count];                                                                                            \
        for (int m = 0; m < count; m++) total[m] = _mm256_setzero_si256();                                               \
        for (int64_t i = 0; i < k; i += 16) {                                                                            \
            __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + i)));                              \
            for (int m = 0; m < count; m++) {                                                                            \
                __m256i pairs = _mm256_madd_epi16(wide, _mm256_loadu_si256((const __m256i *)(q + m * k + i)));           \
                total[m] = _mm256_add_epi32(total[m], pairs);                                                            \
            }                                                                                                            \
        }                                                                                                                \
        for (int m = 0; m < count; m++) sums[m] = whole_sum_of(total[m]);                                                \
    }
DOTS(1)
DOTS(2)
DOTS(3)
DOTS(4)

AVX2 static inline void dots(const int8_t *w, const int16_t *q, int64_t k, int64_t count, int32_t *sums) {
    switch (count) {
    case 1: dots_1(w, q, k, sums); break;
    case 2: dots_2(w, q, k, sums); break;
    case 3: dots_3(w, q, k, sums); break;
    default: dots_4(w, q, k, sums);
    }
}

/* Inputs x [m, k] times weights [n, k] int8 with scales [n] -> y [m, n]. k is a multiple of 16; `even` [k] or NULL;
 * `fine`: inputs are rounded to two bytes. Returns 0 where there is no memory. */
AVX2 EXPORT int product(const float *x, const float *even, const int8_t *weight, const float *scale, float *y, int64_t m,
                        int64_t n, int64_t k, int64_t fine) {
    int16_t *whole = malloc(m * k * sizeof(int16_t) * (fine ? 2 : 1));
    float *scratch = malloc((k + m) * sizeof(float));
    if (!whole || !scratch) {
        free(whole);
        free(scratch);
        return 0;
    }
    int16_t *rest = fine ? whole + m * k : NULL;
    float *level = scratch + k;
    for (int64_t row = 0; row < m; row++)
        level[row] = rounded(x + row * k, even, k, scratch, whole + row * k, fine ? rest + row * k : NULL);
    for (int64_t first = 0; first < n; first += KEPT) {
        int64_t end = first + KEPT < n ? first + KEPT : n;
        for (int64_t row = 0; row < m; row += TOGETHER) {
            int64_t count = m - row < TOGETHER ? m - row : TOGETHER;
            for (int64_t o = first; o < end; o++) {
                int32_t sums[TOGETHER], rests[TOGETHER];
                dots(weight + o * k, whole + row * k, k, count, sums);
                if (fine) dots(weight + o * k, rest + row * k, k, count, rests);
                for (int64_t i = 0; i < count; i++) {
                    float dot = (float)sums[i] + (fine ? (float)rests[i] / HALVES : 0.0f);
                    y[(row + i) * n + o] = dot * scale[o] * level[row + i];
                }
            }
        }
    }
    free(whole);
    free(scratch);
    return 1;
}

/* -- attention ----------------------------------------------------------------------------------------------------- */

/* Scores of `count` keys [count, w] for one query [w], scaled; returns the largest. */
AVX2 static float scores_of(const float *query, const float *keys, int64_t count, int64_t w, float scale, float *scores) {
    float largest = -INFINITY;
    for (int64_t t = 0; t < count; t++) {
        __m256 a = _mm256_setzero_ps(), b = _mm256_setzero_ps();
        const float *key = keys + t * w;
        int64_t i = 0;
        for (; i + 16 <= w; i += 16) {
            a = _mm256_fmadd_ps(_mm256_loadu_ps(query + i), _mm256_loadu_ps(key + i), a);
            b = _mm256_fmadd_ps(_mm256_loadu_ps(query + i + 8), _mm256_loadu_ps(key + i + 8), b);
        }
        if (i < w) a = _mm256_fmadd_ps(_mm256_loadu_ps(query + i), _mm256_loadu_ps(key + i), a);
        scores[t] = sum_of(_mm256_add_ps(a, b)) * scale;
        if (scores[t] > largest || scores[t] != scores[t]) largest = scores[t];
    }
    return largest;
}

/* y [w] += weights [count] times values [count, w]. */
AVX2 static void read(const float *weights, const float *values, int64_t count, int64_t w, float *y) {
    int64_t i = 0;
    for (; i + 32 <= w; i += 32) {
        __m256 a = _mm256_loadu_ps(y + i), b = _mm256_loadu_ps(y + i + 8);
        __m256 c = _mm256_loadu_ps(y + i + 16), d = _mm256_loadu_ps(y + i + 24);
        for (int64_t t = 0; t < count; t++) {
            const __m256 p = _mm256_set1_ps(weights[t]);
            const float *value = values + t * w + i;
            a = _mm256_fmadd_ps(p, _mm256_loadu_ps(value), a);
            b = _mm256_fmadd_ps(p, _mm256_loadu_ps(value + 8), b);
            c = _mm256_fmadd_ps(p, _mm256_loadu_ps(value + 16), c);
            d = _mm256_fmadd_ps(p, _mm256_loadu_ps(value + 24), d);
        }
        _mm256_storeu_ps(y + i, a);
        _mm256_storeu_ps(y + i + 8, b);
        _mm256_storeu_ps(y + i + 16, c);
        _mm256_storeu_ps(y + i + 24, d);
    }
    for (; i < w; i += 8) {
        __m256 a = _mm256_loadu_ps(y + i);
        for (int64_t t = 0; t < count; t++)
            a = _mm256_fmadd_ps(_mm256_set1_ps(weights[t]), _mm256_loadu_ps(values + t * w + i), a);
        _mm256_storeu_ps(y + i, a);
    }
}

/* One new token in each of `rows` rows: its keys and values k, v [rows, kv_heads, w] go into the cache of a layer at the
 * columns `at`, and its queries q [rows, heads, w] read all tokens up to it -> y [rows, heads * w]. Strides are of rows
 * and heads; what has a width lies together, and so do the tokens of the cache, [rows, kv_heads, ..., w]. Before them
 * stand `before` keys and values of an adapter (or 0), [rows, kv_heads, before, w], where `seen` [rows, before] is not 0.
 * w is a multiple of 8. Returns 0 where there is no memory. */
AVX2 EXPORT int attend(const float *q, int64_t q_row, int64_t q_head, const float *k, int64_t k_row, int64_t k_head,
                       const float *v, int64_t v_row, int64_t v_head, float *keys, float *values, int64_t cache_row,
                       int64_t cache_head, const int64_t *at, const float *prefix_keys, const float *prefix_values,
                       const uint8_t *seen, int64_t before, float *y, int64_t rows, int64_t heads, int64_t kv_heads,
                       int64_t w) {
    int64_t longest = 0, group = heads / kv_heads;
    for (int64_t row = 0; row < rows; row++) longest = at[row] + 1 > longest ? at[row] + 1 : longest;
    float *scores = malloc((before + longest + 8) * sizeof(float));
    if (!scores) return 0;
    float scale = 1.0f / sqrtf((float)w);
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t head = 0; head < kv_heads; head++) {
            float *own_keys = keys + row * cache_row + head * cache_head;
            float *own_values = values + row * cache_row + head * cache_head;
            int64_t count = at[row] + 1, told = 0;
            memcpy(own_keys + at[row] * w, k + row * k_row + head * k_head, w * sizeof(float));
            memcpy(own_values + at[row] * w, v + row * v_row + head * v_head, w * sizeof(float));
            const float *first_keys = prefix_keys + (row * kv_heads + head) * before * w;
            const float *first_values = prefix_values + (row * kv_heads + head) * before * w;
            for (int64_t t = 0; t < before; t++) told += seen[row * before + t] != 0;
            if (!told) first_keys = first_values = NULL; /* a row without a prefix is as if there were none in the batch */
            for (int64_t i = 0; i < group; i++) {
                const float *query = q + row * q_row + (head * group + i) * q_head;
                float *out = y + (row * heads + head * group + i) * w;
                int64_t all = count + (told ? before : 0);
                float largest = scores_of(query, own_keys, count, w, scale, scores);
                if (told) {
                    scores_of(query, first_keys, before, w, scale, scores + count);
                    for (int64_t t = 0; t < before; t++) {
                        if (!seen[row * before + t]) scores[count + t] = -INFINITY;
                        if (scores[count + t] > largest) largest = scores[count + t];
                    }
                }
                for (int64_t t = all; t % 8; t++) scores[t] = -INFINITY; /* up to a multiple of 8 */
                __m256 sum = _mm256_setzero_ps();
                const __m256 most = _mm256_set1_ps(largest);
                for (int64_t t = 0; t < all; t += 8) {
                    __m256 s = _mm256_sub_ps(_mm256_loadu_ps(scores + t), most);
                    __m256 unseen = _mm256_cmp_ps(s, _mm256_set1_ps(-INFINITY), _CMP_EQ_OQ);
                    __m256 p = _mm256_andnot_ps(unseen, exp_of(s));
                    _mm256_storeu_ps(scores + t, p);
                    sum = _mm256_add_ps(sum, p);
                }
                float by = largest != largest ? NAN : 1.0f / sum_of(sum);
                for (int64_t t = 0; t < all; t++) scores[t] *= by;
                memset(out, 0, w * sizeof(float));
                read(scores, own_values, count, w, out);
                if (told) read(scores + count, first_values, before, w, out);
            }
        }
    }
    free(scores);
    return 1;
}

/* -- residual adapters --------------------------------------------------------------------------------------------- */

/* y [d] = start [d] + inputs [n] times weights [n, d]; inputs of 0 are passed over, as half are behind a ReLU. */
AVX2 static void added(const float *start, const float *inputs, const float *weights, int64_t n, int64_t d, float *y) {
    int64_t i = 0;
    for (; i + 64 <= d; i += 64) {
        __m256 total[8];
        for (int c = 0; c < 8; c++) total[c] = _mm256_loadu_ps(start + i + 8 * c);
        for (int64_t j = 0; j < n; j++) {
            if (inputs[j] == 0.0f) continue;
            const __m256 input = _mm256_set1_ps(inputs[j]);
            for (int c = 0; c < 8; c++)
                total[c] = _mm256_fmadd_ps(input, _mm256_loadu_ps(weights + j * d + i + 8 * c), total[c]);
        }
        for (int c = 0; c < 8; c++) _mm256_storeu_ps(y + i + 8 * c, total[c]);
    }
    for (; i + 8 <= d; i += 8) {
        __m256 total = _mm256_loadu_ps(start + i);
        for (int64_t j = 0; j < n; j++)
            if (inputs[j] != 0.0f)
                total = _mm256_fmadd_ps(_mm256_set1_ps(inputs[j]), _mm256_loadu_ps(weights + j * d + i), total);
        _mm256_storeu_ps(y + i, total);
    }
    for (; i < d; i++) { /* as a lane would: a bottleneck that is filled up to that of another adapter is the same */
        float total = start[i];
        for (int64_t j = 0; j < n; j++)
            if (inputs[j] != 0.0f) total = __builtin_fmaf(inputs[j], weights[j * d + i], total);
        y[i] = total;
    }
}

/* x + Up(ReLU(Down(LN(x)))) of each row x [rows, d] by the adapter `group` [rows] (-1: none) of those that lie side by
 * side: scales and shifts [G, d], down [G, d, r], its biases [G, r], up [G, r, d], its biases [G, d] -> y [rows, d].
 * d is a multiple of 8. Returns 0 where there is no memory. */
AVX2 EXPORT int residual(const float *x, const int64_t *group, const float *scale, const float *shift, const float *down,
                         const float *down_bias, const float *up, const float *up_bias, float epsilon, float *y,
                         int64_t rows, int64_t d, int64_t r) {
    float *normal = malloc((2 * d + r) * sizeof(float));
    if (!normal) return 0;
    float *start = normal + d, *inner = normal + 2 * d;
    for (int64_t row = 0; row < rows; row++) {
        const float *state = x + row * d;
        int64_t g = group[row];
        if (g < 0) {
            memcpy(y + row * d, state, d * sizeof(float));
            continue;
        }
        __m256 sum = _mm256_setzero_ps(), squares = _mm256_setzero_ps();
        for (int64_t i = 0; i < d; i += 8) sum = _mm256_add_ps(sum, _mm256_loadu_ps(state + i));
        const __m256 mean = _mm256_set1_ps(sum_of(sum) / (float)d);
        for (int64_t i = 0; i < d; i += 8) {
            __m256 apart = _mm256_sub_ps(_mm256_loadu_ps(state + i), mean);
            squares = _mm256_fmadd_ps(apart, apart, squares);
        }
        const __m256 by = _mm256_set1_ps(1.0f / sqrtf(sum_of(squares) / (float)d + epsilon));
        for (int64_t i = 0; i < d; i += 8) {
            __m256 s = _mm256_loadu_ps(state + i);
            __m256 even = _mm256_mul_ps(_mm256_sub_ps(s, mean), by);
            __m256 scaled = _mm256_mul_ps(even, _mm256_loadu_ps(scale + g * d + i));
            _mm256_storeu_ps(normal + i, _mm256_add_ps(scaled, _mm256_loadu_ps(shift + g * d + i)));
            _mm256_storeu_ps(start + i, _mm256_add_ps(s, _mm256_loadu_ps(up_bias + g * d + i)));
        }
        added(down_bias + g * r, normal, down + g * d * r, d, r, inner);
        for (int64_t j = 0; j < r; j++)
            if (inner[j] < 0.0f) inner[j] = 0.0f; /* what is no number stays none */
        added(start, inner, up + g * r * d, r, d, y + row * d);
    }
    free(normal);
    return 1;
}

#else

EXPORT int usable(void) { return 0; }

#endif
