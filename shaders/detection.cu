// The numbers of all proposals of a detection head → the few boxes that count: as src/track/heads/detector.rs and boxes.rs.
//
// detection_candidates  One thread a proposal.
//   in   scores, boxes, objectness  the model's numbers, floats or halves, at the fields' places; objectness where there is such a field
//   out  candidates  proposals that reach the threshold, in any order; room for all proposals
//        counts      [0] candidates are added to it, [1] 1 by or where one of these numbers is none or beyond what they can be,
//                    whatever is found: the rest is then of no use. Zeros before the first launch.
// detection_suppress    One block of MOST_CANDIDATES.
//   in   candidates, counts
//   out  found       at most `most`, the most probable first (of equals the first proposal), none hidden by a better one
//                    of its class; only the MOST_CANDIDATES most probable are looked at
//        found_count one number
//
// Scores lie within the last bits of the reference's, which takes another exp; the order among candidates is exact.

#define MOST_CANDIDATES 1024
#define MOST_CLASSES 256

// Attribute a of proposal p is numbers[start + a·attribute_step + p·proposal_step].
struct Field {
    unsigned start, attribute_step, proposal_step;
    unsigned is_half;
};

struct DetectionParams {
    unsigned proposals;
    Field boxes, scores, objectness;
    unsigned has_objectness;
    // Boxes are: 0 left, top, right, bottom; 1 centre and size.
    unsigned is_centre;
    // Makes them input pixels.
    float unit[2];
    // 0: probabilities. 1: sigmoid. 2: softmax over all classes.
    unsigned activation;
    // Numbers that are larger, whatever their sign, cannot be.
    float most_number;
    // Above 0; and the least of the model's numbers that reaches it.
    float threshold, least;
    // Boxes of one class that overlap more than this are one thing; where there is none, none are.
    float iou;
    unsigned has_iou;
    unsigned most;
    unsigned classes;
    // 0: background.
    unsigned char class_of[MOST_CLASSES];
};

struct Candidate {
    unsigned class_id;
    // 0..1
    float score;
    // Left, top, right, bottom, in input pixels.
    float box[4];
    unsigned proposal;
};

__device__ float number_at(const void *numbers, Field field, unsigned attribute, unsigned proposal)
{
    unsigned at = field.start + attribute * field.attribute_step + proposal * field.proposal_step;
    return number_of(numbers, at, field.is_half);
}

// Is one of these attributes of the proposal none, or beyond what it can be?
__device__ bool has_odd(const DetectionParams *p, const void *numbers, Field field, unsigned attributes, unsigned proposal)
{
    bool is_odd = false;
    for (unsigned a = 0; a < attributes; a++)
        is_odd = is_odd || !(fabsf(number_at(numbers, field, a, proposal)) <= p->most_number);
    return is_odd;
}

__device__ float probability(unsigned activation, float number)
{
    if (activation == 1)
        return 1.0f / (1.0f + expf(-number));
    return fminf(fmaxf(number, 0.0f), 1.0f);
}

struct Best {
    // For softmax the probability, else the model's own number.
    float number;
    unsigned channel;
};

__device__ Best best_of(const void *scores, const DetectionParams *p, unsigned proposal)
{
    const float least = __uint_as_float(0xff800000u);
    Best best = {least, 0};
    float most_of_all = least;
    for (unsigned c = 0; c < p->classes; c++) {
        bool is_class = p->class_of[c] != 0;
        if (!is_class && p->activation != 2)
            continue;
        float value = number_at(scores, p->scores, c, proposal);
        most_of_all = fmaxf(most_of_all, value);
        if (is_class && value > best.number) {
            best.number = value;
            best.channel = c;
        }
    }
    if (p->activation == 2) {
        float sum = 0.0f;
        for (unsigned c = 0; c < p->classes; c++)
            sum += expf(number_at(scores, p->scores, c, proposal) - most_of_all);
        best.number = expf(best.number - most_of_all) / sum;
    }
    return best;
}

// Is it one?
__device__ bool candidate_of(const DetectionParams *p, const void *scores, const void *boxes, const void *objectness, unsigned proposal,
                             Candidate *candidate)
{
    Best best = best_of(scores, p, proposal);
    if (best.number < p->least)
        return false;
    float score = probability(p->activation, best.number);
    if (p->has_objectness)
        score *= probability(p->activation, number_at(objectness, p->objectness, 0, proposal));
    if (!(score >= p->threshold))
        return false;
    float n[4];
    for (unsigned i = 0; i < 4; i++)
        n[i] = number_at(boxes, p->boxes, i, proposal) * p->unit[i % 2];
    float *box = candidate->box;
    for (unsigned i = 0; i < 2; i++) {
        box[i] = p->is_centre ? n[i] - n[i + 2] / 2.0f : n[i];
        box[i + 2] = p->is_centre ? n[i] + n[i + 2] / 2.0f : n[i + 2];
    }
    candidate->class_id = p->class_of[best.channel];
    candidate->score = fminf(score, 1.0f);
    candidate->proposal = proposal;
    // A box that is inside out shows nothing.
    return box[2] > box[0] && box[3] > box[1];
}

extern "C" __global__ void detection_candidates(const __grid_constant__ DetectionParams p, const void *scores, const void *boxes, const void *objectness,
                                                Candidate *candidates, unsigned *counts)
{
    unsigned proposal = blockIdx.x * blockDim.x + threadIdx.x;
    if (proposal >= p.proposals)
        return;
    if (has_odd(&p, scores, p.scores, p.classes, proposal) || has_odd(&p, boxes, p.boxes, 4, proposal)
        || has_odd(&p, objectness, p.objectness, p.has_objectness, proposal)) {
        atomicOr(&counts[1], 1);
        return;
    }
    Candidate candidate;
    if (candidate_of(&p, scores, boxes, objectness, proposal, &candidate))
        candidates[atomicAdd(&counts[0], 1)] = candidate;
}

__device__ float area_of(float left, float top, float right, float bottom)
{
    return fmaxf(right - left, 0.0f) * fmaxf(bottom - top, 0.0f);
}

// Intersection over union.
__device__ float overlap(const float *a, const float *b)
{
    float common = area_of(fmaxf(a[0], b[0]), fmaxf(a[1], b[1]), fminf(a[2], b[2]), fminf(a[3], b[3]));
    float all = area_of(a[0], a[1], a[2], a[3]) + area_of(b[0], b[1], b[2], b[3]) - common;
    return all > 0.0f ? common / all : 0.0f;
}

typedef unsigned long long u64;

// The better of two candidates has the larger one; no two have the same. Scores are above 0: their bits stand in their order.
__device__ u64 rank_of(const Candidate *candidate)
{
    return (u64)__float_as_uint(candidate->score) << 32 | (0xffffffffu - candidate->proposal);
}

// How many candidates have this rank or a better one: over all threads of the block.
__device__ unsigned count_from(u64 rank, const Candidate *candidates, unsigned count, unsigned *room)
{
    __syncthreads();
    if (threadIdx.x == 0)
        *room = 0;
    __syncthreads();
    unsigned own = 0;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < count; i += MOST_CANDIDATES)
        own += rank_of(&candidates[i]) >= rank ? 1 : 0;
    if (own != 0)
        atomicAdd(room, own);
    __syncthreads();
    return *room;
}

// The best of them first.
__device__ void sort(u64 *ranks, unsigned *places)
{
    for (unsigned size = 2; size <= MOST_CANDIDATES; size *= 2)
        for (unsigned step = size / 2; step > 0; step /= 2) {
            __syncthreads();
            unsigned own = threadIdx.x, other = own ^ step;
            bool is_downwards = (own & size) == 0;
            if (other > own && (ranks[own] < ranks[other]) == is_downwards) {
                u64 rank = ranks[own];
                unsigned place = places[own];
                ranks[own] = ranks[other];
                places[own] = places[other];
                ranks[other] = rank;
                places[other] = place;
            }
        }
    __syncthreads();
}

extern "C" __launch_bounds__(MOST_CANDIDATES) __global__ void detection_suppress(const __grid_constant__ DetectionParams p,
                                                                                 const Candidate *candidates, const unsigned *counts,
                                                                                 Candidate *found, unsigned *found_count)
{
    __shared__ u64 ranks[MOST_CANDIDATES];
    __shared__ unsigned places[MOST_CANDIDATES], classes[MOST_CANDIDATES];
    __shared__ float boxes[MOST_CANDIDATES][4];
    __shared__ bool is_out[MOST_CANDIDATES];
    __shared__ unsigned room, looked_at;
    unsigned count = min(counts[0], p.proposals), own = threadIdx.x;
    // The least rank that is looked at, from its highest bit on.
    u64 least = 0;
    for (u64 bit = count > MOST_CANDIDATES ? 1ull << 63 : 0; bit != 0; bit >>= 1)
        if (count_from(least | bit, candidates, count, &room) >= MOST_CANDIDATES)
            least |= bit;
    if (own == 0)
        looked_at = 0;
    ranks[own] = 0;
    __syncthreads();
    for (unsigned i = own; i < count; i += MOST_CANDIDATES) {
        u64 rank = rank_of(&candidates[i]);
        if (rank < least)
            continue;
        unsigned to = atomicAdd(&looked_at, 1);
        ranks[to] = rank;
        places[to] = i;
    }
    sort(ranks, places);
    Candidate candidate = {};
    if (own < looked_at)
        candidate = candidates[places[own]];
    classes[own] = candidate.class_id;
    for (unsigned i = 0; i < 4; i++)
        boxes[own][i] = candidate.box[i];
    is_out[own] = false;
    __syncthreads();

    unsigned taken = 0;
    for (unsigned best = 0; best < looked_at && taken < p.most; best++) {
        if (is_out[best])
            continue;
        if (own == best)
            found[taken] = candidate;
        else if (own > best && p.has_iou && classes[best] == candidate.class_id && overlap(boxes[best], candidate.box) > p.iou)
            is_out[own] = true;
        taken++;
        __syncthreads();
    }
    if (own == 0)
        *found_count = taken;
}
