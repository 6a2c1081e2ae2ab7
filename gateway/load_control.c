// SPDX-License-Identifier: Apache-2.0
#include "gateway/load_control.h"

// The cost of one level is at most 1.8 times that of the one below, so that a step up from STEP_UP stays below
// STEP_DOWN.
static const unsigned complexities[] = {0, 1, 3, 5, 8};
static const double STEP_UP = 0.30, STEP_DOWN = 0.55, STEP_ALL = 0.75; // busy
static const double SMOOTHING = 0.25, RESUME_BELOW = 0.10;
static const double OWN_DOING = 0.50; // busy: what runs late then does so for its calls

enum {
    LEVELS = sizeof complexities / sizeof complexities[0],
    FIRST_LEVEL = 3,
    STEP_DOWN_WINDOWS = 2,
    CALM_WINDOWS = 8,
    LATE_WINDOWS = 4, // of these, LATE_MIN
    LATE_MIN = 3,
};

static uint32_t last(unsigned windows) {
    return (1u << windows) - 1;
}

void load_control_start(struct load_control *control, const struct load_limits *limits) {
    *control =
        (struct load_control){.limits = *limits, .level = FIRST_LEVEL, .capacity = limits->calls_assumed};
}

static bool later_than(const struct load_sample *sample, uint32_t us) {
    return sample->late_us > us || sample->lag_us > us;
}

static void choose_level(struct load_control *control, bool late) {
    unsigned level = control->level;
    control->since_step++;
    if (control->busy > STEP_ALL || control->reason != LOAD_OK)
        level = 0;
    else if ((control->busy > STEP_DOWN || late) && level > 0 && control->since_step >= STEP_DOWN_WINDOWS)
        level--;
    else if (control->busy < STEP_UP && !late && level + 1 < LEVELS && control->since_step >= CALM_WINDOWS)
        level++;
    if (level != control->level)
        control->since_step = 0;
    control->level = level;
}

// One call that ends does not open the door for one that closes it again: what refused must be well below its limit.
static void choose_reason(struct load_control *control) {
    double limit = control->limits.busy_percent / 100.0;
    bool late = __builtin_popcount(control->late & last(LATE_WINDOWS)) >= LATE_MIN;
    bool busy = limit > 0 && control->busy >= limit;
    if (control->reason == LOAD_OK)
        control->reason = late ? LOAD_LATE : busy ? LOAD_BUSY : LOAD_OK;
    else if ((control->calm & last(CALM_WINDOWS)) == last(CALM_WINDOWS))
        control->reason = LOAD_OK;
}

static void choose_capacity(struct load_control *control) {
    double limit = control->limits.busy_percent / 100.0;
    double capacity = control->limits.calls_assumed;
    if (limit > 0 && control->calls >= LOAD_FEW_CALLS && control->busy > 0)
        capacity = limit * control->calls / control->busy;
    // While encoders could do with less, what calls cost says too much; all the more so while many are being set up.
    if (control->level > 0 && capacity < control->limits.calls_assumed)
        capacity = control->limits.calls_assumed;
    control->capacity = capacity < UINT16_MAX ? (uint32_t)capacity : UINT16_MAX;
}

void load_control_step(struct load_control *control, const struct load_sample *sample) {
    const struct load_limits *limits = &control->limits;
    double limit = limits->busy_percent / 100.0;
    control->busy += SMOOTHING * (sample->busy - control->busy);
    control->calls += SMOOTHING * (sample->calls - control->calls);
    // Half as late is enough where more calls would make it worse; of an idle worker it is somebody else's doing.
    bool uneasy = limits->late_us && later_than(sample, limits->late_us / 2);
    bool late = uneasy && (later_than(sample, limits->late_us) || control->busy > OWN_DOING);
    bool calm = !uneasy && (limit <= 0 || control->busy < limit - RESUME_BELOW);
    control->late = control->late << 1 | late;
    control->calm = control->calm << 1 | calm;
    choose_reason(control);
    choose_level(control, uneasy);
    choose_capacity(control);
}

unsigned load_control_complexity(const struct load_control *control) {
    return complexities[control->level];
}
