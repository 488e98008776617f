// One pass: the logits of the instrument and the tissue map → probabilities, labels, class mask and confidence of each pixel of
// the window in which the picture lies. Where the picture stands still, probabilities are averaged with those of the frames
// before. The same operations in the same order as src/track/maps.rs; compiled without fused operations, the two agree to the
// last bit, except for the sum of certainties.
//
// in      tissue_logits, instrument_logits  the heads' outputs, one size, floats or halves; read where the head has channels
//         share        of each block of the input, how much of the newest answer counts, 0..1 (track::Stillness); none: all
// in/out  tissue       a plane of window.width·window.height probabilities a channel of the tissue head
//         instrument   one plane: probability of an instrument of whatever class
// out     labels       a byte a pixel: 0 nothing, 255 instrument, else a tissue's class id
//         mask         a byte a pixel: the class id; 255 where a calibrated head abstains
//         confidence   one plane: probability of what the label says; where it says nothing, of the likeliest tissue
//         certainty    a number a block of threads: sum over its pixels of the likeliest tissue's probability
//         odd          1 is added by or where a logit is no number or beyond what its head can give; the rest is then of no use
//
// One thread a pixel, THREADS to a block.

#define THREADS 256
#define NOTHING 0
#define INSTRUMENT 255
#define ABSTAINED 255
#define MOST_CHANNELS 64

struct Head {
    // 0: there is none.
    unsigned channels;
    // 0: probabilities already. 1: sigmoid. 2: softmax.
    unsigned activation;
    // 1 / temperature.
    float cold;
    float threshold;
    // Where nothing reaches the threshold, does it say so?
    unsigned abstains;
    // Logit of channel c and pixel i: logits[c·channel_step + i·pixel_step].
    unsigned channel_step, pixel_step;
    unsigned is_half;
    // Smaller and larger logits cannot be.
    float least, most;
    // Class id of each channel; 0: background.
    unsigned char classes[MOST_CHANNELS];
};

struct DecodeParams {
    Head tissue, instrument;
    // Of the outputs, and the part of them that is decoded.
    unsigned output_width, output_height;
    unsigned window_x, window_y, window_width, window_height;
    // Of `share`; 0: there is none.
    unsigned share_width, share_height;
};

// e^x to 2 parts in 100,000: src/track/maps.rs.
__device__ float exp_of(float x)
{
    const float round = 12582912.0f;
    x = x > -87.0f ? x : -87.0f;
    float powers = (x < 87.0f ? x : 87.0f) * 1.44269504088896341f;
    float rounded = powers + round;
    float part = powers - (rounded - round);
    float z = part * 0.693147180559945309f;
    float series = 1.0f + z * (1.0f + z * (0.5f + z * (1.0f / 6.0f + z * (1.0f / 24.0f + z * (1.0f / 120.0f)))));
    unsigned exponent = (__float_as_uint(rounded) - __float_as_uint(round) + 127) << 23;
    return series * __uint_as_float(exponent);
}

__device__ float logit_at(const void *logits, const Head *head, unsigned channel, unsigned pixel)
{
    unsigned at = channel * head->channel_step + pixel * head->pixel_step;
    return number_of(logits, at, head->is_half);
}

// What a pixel's softmax needs to know of all channels.
struct Whole {
    float most, part;
};

// Also looks for numbers that cannot be.
__device__ Whole whole_of(const void *logits, const Head *head, unsigned pixel, unsigned *odd)
{
    Whole whole = {-3.40282347e+38f, 0.0f};
    bool is_odd = false;
    for (unsigned c = 0; c < head->channels; c++) {
        float value = logit_at(logits, head, c, pixel);
        is_odd = is_odd || !(value >= head->least && value <= head->most);
        whole.most = value > whole.most ? value : whole.most;
    }
    if (is_odd)
        atomicOr(odd, 1);
    if (head->activation == 2) {
        float sum = 0.0f;
        for (unsigned c = 0; c < head->channels; c++)
            sum += exp_of((logit_at(logits, head, c, pixel) - whole.most) * head->cold);
        whole.part = 1.0f / sum;
    }
    return whole;
}

__device__ float probability(const void *logits, const Head *head, Whole whole, unsigned channel, unsigned pixel)
{
    float value = logit_at(logits, head, channel, pixel);
    if (head->activation == 2)
        return exp_of((value - whole.most) * head->cold) * whole.part;
    if (head->activation == 1)
        return 1.0f / (1.0f + exp_of(-value * head->cold));
    return fminf(fmaxf(value, 0.0f), 1.0f);
}

// All of the new, to the bit, where nothing is averaged.
__device__ float averaged(float *kept, float value, float share)
{
    *kept = share < 1.0f ? *kept + share * (value - *kept) : value;
    return *kept;
}

struct Pixel {
    unsigned char label, mask;
    // Of the likeliest tissue, and of what the label says.
    float tissue, confidence;
};

__device__ void decode_tissue(const void *logits, const Head *head, unsigned from, float share, float *planes, unsigned to, unsigned pixels,
                              Pixel *pixel, unsigned *odd)
{
    Whole whole = whole_of(logits, head, from, odd);
    float best = 0.0f;
    unsigned char of = NOTHING;
    for (unsigned c = 0; c < head->channels; c++) {
        float value = averaged(&planes[c * pixels + to], probability(logits, head, whole, c, from), share);
        if (value > best) {
            best = value;
            of = head->classes[c];
        }
    }
    bool is_enough = best >= head->threshold;
    pixel->label = is_enough ? of : NOTHING;
    pixel->mask = is_enough ? of : head->abstains ? ABSTAINED : NOTHING;
    pixel->tissue = pixel->confidence = best;
}

// On top of the tissue.
__device__ void decode_instrument(const void *logits, const Head *head, unsigned from, float share, float *kept, Pixel *pixel, unsigned *odd)
{
    Whole whole = whole_of(logits, head, from, odd);
    float best = 0.0f, any = 0.0f;
    unsigned char of = NOTHING;
    for (unsigned c = 0; c < head->channels; c++) {
        if (head->classes[c] == 0)
            continue;
        float value = probability(logits, head, whole, c, from);
        // Probabilities that exclude each other add up; others do not.
        any = head->activation == 2 ? any + value : fmaxf(any, value);
        if (value > best) {
            best = value;
            of = head->classes[c];
        }
    }
    any = averaged(kept, any, share);
    if (any >= head->threshold && of != NOTHING) {
        pixel->label = INSTRUMENT;
        pixel->mask = of;
        pixel->confidence = any;
    } else if (head->abstains && pixel->mask == NOTHING && 1.0f - any < head->threshold) {
        pixel->mask = ABSTAINED;
    }
}

extern "C" __global__ void decode(const __grid_constant__ DecodeParams p, const void *tissue_logits, const void *instrument_logits, const float *share, float *tissue,
                                  float *instrument, unsigned char *labels, unsigned char *mask, float *confidence, float *certainty,
                                  unsigned *odd)
{
    __shared__ float sums[THREADS];
    unsigned pixels = p.window_width * p.window_height;
    unsigned to = blockIdx.x * THREADS + threadIdx.x;
    sums[threadIdx.x] = 0.0f;
    if (to < pixels) {
        unsigned x = p.window_x + to % p.window_width, y = p.window_y + to / p.window_width;
        unsigned from = y * p.output_width + x;
        float newest = 1.0f;
        if (p.share_width != 0)
            newest = share[y * p.share_height / p.output_height * p.share_width + x * p.share_width / p.output_width];
        Pixel pixel = {NOTHING, NOTHING, 0.0f, 0.0f};
        if (p.tissue.channels != 0)
            decode_tissue(tissue_logits, &p.tissue, from, newest, tissue, to, pixels, &pixel, odd);
        if (p.instrument.channels != 0)
            decode_instrument(instrument_logits, &p.instrument, from, newest, &instrument[to], &pixel, odd);
        labels[to] = pixel.label;
        mask[to] = pixel.mask;
        confidence[to] = pixel.confidence;
        sums[threadIdx.x] = pixel.tissue;
    }
    for (unsigned half = THREADS / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        certainty[blockIdx.x] = sums[0];
}
