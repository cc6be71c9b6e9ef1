// SPDX-License-Identifier: Apache-2.0
//
// Which level a model should run at, from what the system says of clock, battery and heat.
// A library of its own (librt3_policy.a); the runtime does not need it. No allocation, no
// global state; only rt3_policy_read_linux touches the system.
//
//   rt3_policy_init(&policy, &options);
//   ...
//   rt3_policy_read_linux(&paths, &reading);
//   uint32_t level = rt3_policy_step(&policy, &reading, now_ms);
//   rt3_model_set_level(model, level);

#ifndef RT3_RT3_POLICY_H
#define RT3_RT3_POLICY_H

#include "rt3/rt3.h"

#ifdef __cplusplus
extern "C" {
#endif

// The most levels a policy chooses from.
#define RT3_POLICY_MAX_LEVELS 16
// A reading that is missing.
#define RT3_POLICY_UNKNOWN INT32_MIN

// What sources say at one moment. Of a source that is missing or says what cannot be true (a battery
// of over 100 %, a core at 300 degrees, a clock of nothing), what it last said still holds.
typedef struct rt3_policy_reading_t {
  int32_t manual_level;    // What the user has chosen; wins over all others.
  int32_t cap_khz;         // The fastest clock that the system allows now.
  int32_t battery_percent; // 0 to 100.
  int32_t temperature_mc;  // Thousandths of a degree Celsius.
} rt3_policy_reading_t;

// All unknown.
static inline rt3_policy_reading_t rt3_policy_no_reading(void) {
  rt3_policy_reading_t reading = {RT3_POLICY_UNKNOWN, RT3_POLICY_UNKNOWN, RT3_POLICY_UNKNOWN, RT3_POLICY_UNKNOWN};
  return reading;
}

typedef struct rt3_policy_options_t {
  uint32_t level_count; // 1 to RT3_POLICY_MAX_LEVELS; slowest clock first.
  // Clock of each level, rising; 0: not known, a cap does not concern it.
  uint32_t frequency_khz[RT3_POLICY_MAX_LEVELS];
  // The battery that a level needs at least, rising; the first level needs none.
  int32_t battery_percent[RT3_POLICY_MAX_LEVELS];
  // From `hot_mc` on one level less for each `step_mc` more. 0: heat is not looked at.
  int32_t hot_mc, step_mc;
  // A faster level must be allowed with this much to spare ...
  int32_t battery_margin_percent, temperature_margin_mc;
  // ... and at least so long after the last switch. A slower one is taken at once after
  // min_slower_ms.
  uint32_t min_faster_ms, min_slower_ms;
} rt3_policy_options_t;

// Levels evenly over the battery, heat from 70 degrees on, margins of 3 % and 5 degrees, a
// faster level after 5 s, a slower one after 200 ms. `frequency_khz`: of each level, or NULL.
rt3_policy_options_t rt3_policy_default_options(uint32_t level_count, const uint32_t *frequency_khz);

typedef struct rt3_policy_t {
  rt3_policy_options_t options;
  uint32_t level;
  uint64_t last_switch_ms; // When.
  uint64_t switches;       // Count.
  uint32_t has_stepped;    // 0 until the first step, which is free to take any level.
  rt3_policy_reading_t last; // What each source has last said that can be true.
} rt3_policy_t;

// Begins at the fastest level. Returns RT3_INVALID_ARGUMENT for a count of levels that is not
// allowed, for clocks or batteries that do not rise, and for margins, heat or steps beyond what
// sensors show.
RT3_API rt3_status_t rt3_policy_init(rt3_policy_t *policy, const rt3_policy_options_t *options);

// The level from now on. `now_ms`: of a clock that does not go back; one that does is held
// where it was.
//
// However readings chatter, there are at most 1 + t / min(min_faster_ms, min_slower_ms) switches in
// t ms, and no way up within min_faster_ms of the last switch.
uint32_t rt3_policy_step(rt3_policy_t *policy, const rt3_policy_reading_t *reading, uint64_t now_ms);

// Files of Linux, each NULL or a path. What cannot be read is unknown.
typedef struct rt3_policy_paths_t {
  const char *cap;         // /sys/devices/system/cpu/cpufreq/policy4/scaling_max_freq, kHz.
  const char *battery;     // /sys/class/power_supply/battery/capacity, percent.
  const char *temperature; // /sys/class/thermal/thermal_zone0/temp, thousandths of a degree.
  const char *manual;      // A file with the number of a level, for tests and users.
} rt3_policy_paths_t;
void rt3_policy_read_linux(const rt3_policy_paths_t *paths, rt3_policy_reading_t *reading);

// One line of a trace: `ms cap_khz battery_percent temperature_mc`, `-` for what is unknown. Returns
// where the next line begins, NULL at the end; `*ok` is 0 for a line that is none of this
// (empty lines and those that begin with # are passed over).
const char *rt3_policy_read_trace(const char *text, uint64_t *out_ms, rt3_policy_reading_t *reading, int *ok);

#ifdef __cplusplus
}
#endif

#endif // RT3_RT3_POLICY_H
