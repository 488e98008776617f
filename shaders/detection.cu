// The numbers of all proposals of a detection head → the few boxes that count: as src/track/heads/detector.rs and boxes.rs.
//
// detection_candidates  One thread a proposal.
//   in   scores, boxes, objectness  the model's numbers, floats or halves, at the fields' places; objectness where there is such a field
//   out  candidates  proposals that reach the threshold, in any order; room for all proposals
//        counts      [0] candidates are added to it, [1] 1 by or where one of these numbers is none or beyond what they can be,
//                    whatever is found: the rest is then of no use. Zeros before the first launch.
// detection_suppress    One block of THREADS.
//   in   candidates, counts
//   out  found       at most `most`, the most probable first (of equals the first proposal), none hidden by a better one
//                    of its class; only the MOST_CANDIDATES most probable are looked at
//        found_count one number
//
// Scores lie within the last bits of the reference's, which takes another exp; the order among candidates is exact.

#define THREADS 256
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
    // Room for detection_suppress: 1 where a better one hides it, or it was taken.
    unsigned is_out;
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
    candidate->is_out = 0;
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

// The better of two candidates has the larger one. Scores are above 0: their bits stand in their order.
__device__ unsigned long long rank_of(const Candidate *candidate)
{
    return (unsigned long long)__float_as_uint(candidate->score) << 32 | (0xffffffffu - candidate->proposal);
}

extern "C" __global__ void detection_suppress(const __grid_constant__ DetectionParams p, Candidate *candidates, const unsigned *counts, Candidate *found,
                                              unsigned *found_count)
{
    __shared__ unsigned long long best_rank[THREADS];
    __shared__ unsigned best_index[THREADS];
    __shared__ unsigned before;
    unsigned count = min(counts[0], p.proposals);
    unsigned taken = 0;
    for (; taken < p.most; taken++) {
        // The best one that is still in.
        unsigned long long rank = 0;
        unsigned index = count;
        for (unsigned i = threadIdx.x; i < count; i += THREADS)
            if (!candidates[i].is_out && rank_of(&candidates[i]) > rank) {
                rank = rank_of(&candidates[i]);
                index = i;
            }
        best_rank[threadIdx.x] = rank;
        best_index[threadIdx.x] = index;
        if (threadIdx.x == 0)
            before = 0;
        for (unsigned half = THREADS / 2; half > 0; half /= 2) {
            __syncthreads();
            if (threadIdx.x < half && best_rank[threadIdx.x + half] > best_rank[threadIdx.x]) {
                best_rank[threadIdx.x] = best_rank[threadIdx.x + half];
                best_index[threadIdx.x] = best_index[threadIdx.x + half];
            }
        }
        __syncthreads();
        rank = best_rank[0];
        index = best_index[0];
        if (index == count)
            break;

        // Candidates beyond so many are not looked at, whatever became of those before.
        unsigned better = 0;
        for (unsigned i = threadIdx.x; i < count; i += THREADS)
            better += rank_of(&candidates[i]) > rank;
        atomicAdd(&before, better);
        __syncthreads();
        if (before >= MOST_CANDIDATES)
            break;

        const Candidate best = candidates[index];
        // Everybody has read it before it is changed.
        __syncthreads();
        for (unsigned i = threadIdx.x; i < count; i += THREADS) {
            Candidate *other = &candidates[i];
            bool is_hidden = p.has_iou && other->class_id == best.class_id && overlap(best.box, other->box) > p.iou;
            if (is_hidden || i == index)
                other->is_out = 1;
        }
        if (threadIdx.x == 0)
            found[taken] = best;
        __syncthreads();
    }
    if (threadIdx.x == 0)
        *found_count = taken;
}
